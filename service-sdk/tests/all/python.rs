//! Real MSL-Network clients at services of this crate.

use std::path::PathBuf;
use std::process::Command;

use labwire_service::{Keywords, Positional, Request, args, service};
use labwire_testing::TestManager;

use crate::peer::{runner, soon};
use crate::requirements;

struct Math {
    power: u32,
}

#[service(name = "Basic Math")]
impl Math {
    pub const PI: f64 = std::f64::consts::PI;

    pub fn add(&self, x: f64, y: f64) -> f64 {
        x + y
    }

    pub fn power(&self, x: f64, #[default(2)] n: i32) -> f64 {
        x.powi(n + i32::try_from(self.power).unwrap())
    }

    pub fn echo(&self, args: Positional, kwargs: Keywords) -> (Positional, Keywords) {
        (args, kwargs)
    }

    pub fn divide(&self, x: i64, y: i64) -> Result<i64, labwire_service::ServiceError> {
        x.checked_div(y)
            .ok_or_else(|| labwire_service::ServiceError::new("ZeroDivisionError", "division by zero"))
    }

    pub fn tell(&self, request: &Request) {
        request.notifier().notify(args![1, word = "é"]).unwrap();
    }

    pub async fn sleep(&self, seconds: f64) -> f64 {
        tokio::time::sleep(std::time::Duration::from_secs_f64(seconds)).await;
        seconds
    }

    pub fn shutdown_service(&mut self) -> bool {
        true
    }
}

const SCRIPT: &str = r#"
import math, sys, threading, time
from msl.network import connect

cxn = connect(host='localhost', port=int(sys.argv[1]), disable_tls=True, timeout=30)
link = cxn.link('Basic Math')
assert link.service_attributes['power'] == '(x: float, n: int = 2) -> float', link.service_attributes
assert link.service_attributes['PI'] == math.pi
assert link.PI() == math.pi
assert link.add(1, 2) == 3.0
assert link.add(y=1, x=float('inf')) == float('inf')
assert math.isnan(link.add(float('nan'), 0))
assert link.power(3) == 9 and link.power(2, n=3) == 8
assert link.echo(1, [2.5, None], a={'b': 'é'}) == [[1, [2.5, None]], {'a': {'b': 'é'}}]
assert link.describe()['attributes']['add']['parameters'][0] == {'name': 'x', 'type': 'float'}
for call, expected in [
    (lambda: link.divide(1, 0), 'ZeroDivisionError: division by zero'),
    (lambda: link.add(1), "TypeError: add() missing 1 required argument: 'y'"),
    (lambda: link.add(1, 2, z=3), "TypeError: add() got an unexpected keyword argument 'z'"),
    (lambda: link.add('a', 2), "TypeError: add() argument 'x': invalid type: string"),
    (lambda: link.nothing(), "AttributeError: the 'Basic Math' service has no attribute 'nothing'"),
]:
    try:
        call()
    except RuntimeError as error:
        assert expected in str(error), error
    else:
        assert False, expected

told = threading.Event()
seen = []
def handler(*args, **kwargs):
    seen.append((args, kwargs))
    told.set()
link.notification_handler = handler
link.tell()
assert told.wait(30)
assert seen == [((1,), {'word': 'é'})], seen

begin = time.monotonic()
futures = [link.sleep(3, asynchronous=True) for _ in range(6)]
assert [future.result() for future in futures] == [3.0] * 6
assert time.monotonic() - begin < 12, 'six calls did not overlap'

assert link.shutdown_service() is True
cxn.disconnect()
print('done')
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_python_client_finds_what_it_finds_at_a_python_service() {
    let manager = TestManager::start().await;
    let running = runner(&manager, Math { power: 0 }).connect().await.unwrap();
    let port = manager.port().to_string();
    let output = tokio::task::spawn_blocking(move || {
        let mut script = Command::new(python());
        script.args(["-c", SCRIPT, &port]).output().unwrap()
    })
    .await
    .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    soon(running.wait()).await.unwrap();
}

/// The interpreter of the virtual environment with the package.
fn python() -> PathBuf {
    requirements::python_environment().join("bin/python")
}
