//! The client with services and a manager of the real Python package.

use std::process::Command;
use std::time::{Duration, Instant};

use labwire_client::{CallError, Client, ConnectOptions, Executed, LinkedClient, Lock, args};
use serde_json::json;

use crate::lab::{Service, options, start_manager};
use crate::peers::process::Process;
use crate::peers::python::{self, Connection, program};
use crate::waiting::until;

fn connection(port: u16) -> Connection {
    Connection::new(json!({ "host": "localhost", "port": port, "disable_tls": true }))
}

/// Linked with a service that a starting interpreter has yet to connect.
async fn linked(service: &str, options: &ConnectOptions) -> LinkedClient {
    let patient = options.clone().timeout(Duration::from_mins(1));
    LinkedClient::connect(service, patient).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn python_services_are_called() {
    let manager = start_manager().await;
    let options = options(&manager);
    let connection = connection(manager.port());
    let _services = ["BasicMath", "Echo"].map(|class| python::Service::start(class, &connection));
    let math = linked("BasicMath", &options).await;
    assert_eq!(math.call::<f64>("add", args![1, 2.5]).await.unwrap(), 3.5);
    assert_eq!(math.call::<f64>("power", args![2, n = 4]).await.unwrap(), 16.0);
    assert!((math.get::<f64>("pi").await.unwrap() - std::f64::consts::PI).abs() < 1e-9);
    let error = math.call::<f64>("divide", args![1, 0]).await.unwrap_err();
    assert!(matches!(error, CallError::Service { .. }), "{error:?}");
    assert!(error.to_string().contains("ZeroDivisionError"), "{error}");
    assert!(matches!(
        math.describe().await,
        Err(CallError::NotDescribed { .. })
    ));

    let echo = linked("Echo", &options).await;
    let raw = echo
        .call::<()>("echo", args![f64::NAN, "µ", x = [1, 2]])
        .raw()
        .await
        .unwrap();
    assert!(raw.starts_with("[[NaN, \""), "{raw}");
    let text = echo.client().identities().await.unwrap().to_string();
    assert!(
        text.contains("    attributes:\n      add(x: Union[int, float], y: Union[int, float])"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_python_calls_overlap() {
    let manager = start_manager().await;
    let _service = python::Service::start("BasicMath", &connection(manager.port()));
    let math = linked("BasicMath", &options(&manager)).await;
    let start = Instant::now();
    // They take 1 to 6 seconds, 21 together.
    let subtract = math.call::<f64>("subtract", args![1, 2]).send().await.unwrap();
    let divide = math.call::<f64>("divide", args![1, 2]).send().await.unwrap();
    let power = math.call::<f64>("power", args![2, 3]).send().await.unwrap();
    assert_eq!(power.await.unwrap(), 8.0);
    assert_eq!(subtract.await.unwrap(), -1.0);
    assert_eq!(divide.await.unwrap(), 0.5);
    assert!(start.elapsed() < Duration::from_secs(11), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn python_notifications_arrive_and_a_python_service_shuts_down() {
    let manager = start_manager().await;
    let _service = python::Service::start("Heartbeat", &connection(manager.port()));
    let heartbeat = linked("Heartbeat", &options(&manager)).await;
    let mut beats = heartbeat.notifications();
    let first = beats.next().await.unwrap().decode::<(f64,)>().unwrap();
    let second = beats.next().await.unwrap().decode::<(f64,)>().unwrap();
    assert_eq!(first.0 + 1.0, second.0);
    heartbeat.call::<()>("kill", ()).await.unwrap();
}

/// The Python package's own manager, which knows nothing of this project's extensions.
#[tokio::test(flavor = "multi_thread")]
async fn a_python_manager_serves_as_well() {
    let home = tempfile::tempdir().unwrap();
    let mut adding = Command::new(program("msl-network"));
    adding
        .args(["user", "add", "ada", "--password", "engine", "--admin"])
        .env("MSL_NETWORK_HOME", home.path());
    assert!(Process::spawn("msl-network", &mut adding).wait().success());
    let (port, _process) = python::start_manager(home.path(), &["--disable-tls"]);
    let options = ConnectOptions::new().port(port).without_tls();
    let echo = Service::start("Echo", 0, &options).await;
    let client = Client::connect("Ada", options.clone()).await.unwrap();
    assert!(client.network_name().starts_with("Ada["), "{client:?}");
    let link = client.link("Echo").await.unwrap();
    assert_eq!(
        link.call::<(Vec<u8>, ())>("echo", (1,)).raw().await.unwrap(),
        "[[1],{}]"
    );
    let guard = link.lock(Lock::Exclusive).await.unwrap();
    assert!(guard.release().await.unwrap().is_empty());
    assert!(
        client
            .identities()
            .await
            .unwrap()
            .to_string()
            .contains("\n      pi() -> 3.14\n")
    );
    let error = client.link("Oven").await.unwrap_err();
    assert!(
        matches!(
            &error,
            CallError::Manager {
                executed: Executed::No,
                ..
            }
        ),
        "{error:?}"
    );
    // It forgets the uid in this error.
    echo.stop().await;
    until("Echo has left", async || {
        !client.identities().await.unwrap().services.contains_key("Echo")
    })
    .await;
    let error = link.call::<()>("echo", ()).await.unwrap_err();
    assert!(
        error.to_string().contains("the 'Echo' Service is not connected"),
        "{error:?}"
    );
    // The error could be about another call that the service was executing when it left.
    assert!(matches!(
        error,
        CallError::Manager {
            executed: Executed::Maybe,
            ..
        }
    ));
    client.disconnect().await;
    // It asks for the login, and forgets the uid of what it answers then.
    let options = options.username("ada").password("engine");
    let client = Client::connect("Ada", options).await.unwrap();
    let names: Vec<String> = client.admin_request("users_table.usernames", ()).await.unwrap();
    assert_eq!(names, ["ada"]);
    client.admin_request::<()>("shutdown_manager", ()).await.unwrap();
    client.closed().await;
}

/// What Python prints of a manager and its peers, this client prints as well.
#[tokio::test(flavor = "multi_thread")]
async fn the_text_of_the_identities_is_that_of_the_python_client() {
    let manager = start_manager().await;
    let options = options(&manager);
    let _services =
        ["BasicMath", "MyArray"].map(|class| python::Service::start(class, &connection(manager.port())));
    let _service = Service::start("Plain", 3, &options).await;
    let client = linked("BasicMath", &options).await;
    linked("MyArray", &options).await.disconnect().await;
    let script = "import sys; from msl.network import connect; \
                  c = connect(name='Py', port=int(sys.argv[1]), disable_tls=True); \
                  print(c.identities(as_string=True)); sys.stdout.flush(); sys.stdin.readline()";
    let mut python = Process::spawn(
        "python",
        Command::new(program("python")).args(["-c", script, &manager.port().to_string()]),
    );
    python.wait_for("the services", |line| {
        line.starts_with("Services [3]").then_some(())
    });
    let identities = client.client().identities().await.unwrap().to_string();
    python.type_line("");
    assert!(python.wait().success());
    assert_eq!(python.output().trim_end(), identities);
}
