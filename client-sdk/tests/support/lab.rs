// A manager with some services, in the process of a test or of an example in the documentation.
//
// The services speak the wire by themselves, so that the client is tested against what stands in protocol.md.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use labwire_client::{ConnectOptions, from_json, to_json};
use labwire_device::{Introduction, connect};
use labwire_testing::TestManager;
use labwire_wire::{Envelope, Line, Member, array_elements, frames};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs an example against a manager with the services `Echo`, `BasicMath`, `Thermometer` and `Heartbeat`.
pub(crate) fn lab<F, Fut>(example: F)
where
    F: FnOnce(ConnectOptions) -> Fut,
    Fut: Future<Output = Result<(), Failure>>,
{
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let manager = start_manager().await;
        start_services(&options(&manager)).await;
        example(options(&manager)).await.unwrap();
    });
}

/// The same without services.
pub(crate) fn empty_lab<F, Fut>(example: F)
where
    F: FnOnce(ConnectOptions) -> Fut,
    Fut: Future<Output = Result<(), Failure>>,
{
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let manager = start_manager().await;
        example(options(&manager)).await.unwrap();
    });
}

/// The same for an example without a runtime of its own.
pub(crate) fn blocking_lab(example: impl FnOnce(ConnectOptions) -> Result<(), Failure>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let manager = runtime.block_on(async {
        let manager = start_manager().await;
        start_services(&options(&manager)).await;
        manager
    });
    example(options(&manager)).unwrap();
}

/// The same with one service of `labwire-service` instead.
pub(crate) fn blocking_lab_with<S: labwire_service::IntoService>(
    service: S,
    example: impl FnOnce(ConnectOptions) -> Result<(), Failure>,
) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (manager, _running) = runtime.block_on(async {
        let manager = start_manager().await;
        let runner = labwire_service::Runner::new(service).options(options(&manager));
        let running = runner.connect().await.unwrap();
        (manager, running)
    });
    example(options(&manager)).unwrap();
}

/// What a process finds in its environment that was started to be an example's `main`.
const PROGRAM: &str = "LABWIRE_EXAMPLE";

/// Runs the `main` that calls this in a process of its own, whose environment names a manager with services. In that
/// process it gives `false` at once; here it gives `true` when the process has ended well.
pub(crate) fn ran_as_a_program() -> bool {
    if std::env::var_os(PROGRAM).is_some() {
        return false;
    }
    // The example may have a runtime already.
    let example = std::thread::spawn(|| {
        blocking_lab(|options| {
            let status = std::process::Command::new(std::env::current_exe()?)
                .args(std::env::args_os().skip(1))
                .env(PROGRAM, "main")
                .env("LABWIRE_MANAGER", options.address())
                .env("LABWIRE_DISABLE_TLS", "true")
                .status()?;
            assert!(status.success());
            Ok(())
        });
    });
    example.join().unwrap();
    true
}

pub(crate) async fn start_manager() -> TestManager {
    let users = [
        ("ada", "difference engine", true),
        ("bob", "analytical engine", false),
    ];
    TestManager::builder().users(&users).start().await
}

pub(crate) fn options(manager: &TestManager) -> ConnectOptions {
    ConnectOptions::new()
        .host(TestManager::HOST)
        .port(manager.port())
        .without_tls()
}

pub(crate) async fn start_services(options: &ConnectOptions) {
    for name in ["Echo", "BasicMath", "Thermometer", "Heartbeat"] {
        Service::start(name, 0, options).await;
    }
}

/// A service that runs until it is dropped with `stop`, or the manager ends.
pub(crate) struct Service {
    frames: UnboundedSender<Bytes>,
    task: tokio::task::JoinHandle<()>,
}

const ATTRIBUTES: &str = r#"{"echo":"(*args, **kwargs)","add":"(x: float, y: float) -> float",
    "multiply":"(x: float, y: float) -> float","divide":"(x: float, y: float) -> float","pi":3.14,
    "read":"(channel: int) -> float","beat":"(count: int)","sleep":"(seconds: float)","count":"() -> int"}"#;

impl Service {
    /// Starts a service under this name; `limit` is how many clients it takes, 0 for any number.
    pub(crate) async fn start(name: &str, limit: u32, options: &ConnectOptions) -> Self {
        let introduction = Introduction::service(name, ATTRIBUTES.replace('\n', " ")).max_clients(limit);
        let mut connection = connect(options, &introduction).await.unwrap();
        let (frames, mut waiting) = unbounded_channel::<Bytes>();
        let replies = frames.clone();
        let name: Arc<str> = Arc::from(name);
        let calls = Calls::default();
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    line = connection.reader.next_line() => match line {
                        Ok(Some(line)) => answer(Arc::clone(&name), &calls, line, replies.clone()),
                        _ => return,
                    },
                    frame = waiting.recv() => {
                        let Some(frame) = frame else { return };
                        if connection.writer.write(&[frame]).await.is_err() {
                            return;
                        }
                    }
                }
            }
        });
        Self { frames, task }
    }

    /// Tells those who are linked.
    pub(crate) fn notify(&self, name: &str, result: &str) {
        self.frames.send(notification(name, result)).unwrap();
    }

    /// Ends the service without a word.
    pub(crate) async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

fn notification(name: &str, result: &str) -> Bytes {
    format!("{{\"error\":false,\"result\":{result},\"service\":\"{name}\",\"uid\":\"notification\"}}\r\n")
        .into()
}

type Calls = std::sync::atomic::AtomicU64;

/// Answers in a task of its own, so that requests overlap. Naps are counted in the order of the requests.
fn answer(name: Arc<str>, calls: &Calls, line: Line, replies: UnboundedSender<Bytes>) {
    let naps = u64::from(String::from_utf8_lossy(line.content()).contains("\"attribute\":\"sleep\""));
    let naps = calls.fetch_add(naps, std::sync::atomic::Ordering::SeqCst);
    tokio::spawn(async move {
        let content = line.content();
        let envelope = Envelope::scan(content).unwrap();
        let string = |member| {
            envelope
                .string(content, member)
                .unwrap()
                .unwrap_or_default()
                .into_owned()
        };
        let raw = |member| std::str::from_utf8(envelope.raw(content, member).unwrap()).unwrap();
        let (args, kwargs) = (raw(Member::Args), raw(Member::Kwargs));
        let (requester, uid) = (string(Member::Requester), string(Member::Uid));
        let attribute = string(Member::Attribute);
        let result = match attribute.as_str() {
            "echo" => Ok(format!("[{args},{kwargs}]")),
            "pi" => Ok("3.14".to_owned()),
            "read" => Ok("21.5".to_owned()),
            "text" => Ok("\"text\"".to_owned()),
            "sleep" => {
                let seconds: (f64,) = from_json(args).unwrap();
                tokio::time::sleep(Duration::from_secs_f64(seconds.0)).await;
                Ok("null".to_owned())
            }
            "count" => Ok(naps.to_string()),
            "beat" => {
                let count = array_elements(args.as_bytes()).unwrap()[0];
                let count = std::str::from_utf8(count).unwrap();
                replies
                    .send(notification(&name, &format!("[[{count}],{{}}]")))
                    .unwrap();
                Ok("null".to_owned())
            }
            "add" | "multiply" | "divide" => calculate(&attribute, args, kwargs),
            _ => Err(format!("AttributeError: '{name}' has no attribute '{attribute}'")),
        };
        let frame = match result {
            Ok(result) => frames::result(&requester, &*uid, result.as_bytes()),
            Err(message) => {
                let traceback = to_json(&["in a service of a test".to_owned(), message.clone()]).unwrap();
                frames::error(&message, &requester, &*uid, traceback.as_bytes())
            }
        };
        let _ = replies.send(frame);
    });
}

fn calculate(attribute: &str, args: &str, kwargs: &str) -> Result<String, String> {
    let mut values: Vec<f64> = from_json(args).map_err(|error| format!("TypeError: {error}"))?;
    let mut named: HashMap<String, f64> = from_json(kwargs).map_err(|error| format!("TypeError: {error}"))?;
    values.extend(["x", "y"].into_iter().filter_map(|name| named.remove(name)));
    let [x, y] = values[..] else {
        return Err(format!("TypeError: {attribute}() takes x and y"));
    };
    match attribute {
        "add" => Ok(x + y),
        "multiply" => Ok(x * y),
        _ if y == 0.0 => Err("ZeroDivisionError: division by zero".to_owned()),
        _ => Ok(x / y),
    }
    .map(|value| to_json(&value).unwrap())
}
