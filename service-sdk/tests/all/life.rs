//! How services begin and end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use labwire_service::{ConnectError, Notifier, NotifyError, RunError, ServiceState, service};
use labwire_testing::TestManager;
use serde_json::json;
use tokio::sync::{Semaphore, oneshot};

use crate::peer::{Peer, options, runner, serve, soon};

#[derive(Default)]
struct Mortal {
    gate: Arc<Gate>,
}

struct Gate(Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

#[service]
impl Mortal {
    pub async fn slow(&self) -> &'static str {
        self.gate.0.acquire().await.unwrap().forget();
        "done"
    }

    pub fn shutdown_service(&self, agree: bool) -> Result<String, std::io::Error> {
        if !agree {
            return Err(std::io::Error::other("not yet"));
        }
        self.gate.0.add_permits(1);
        Ok("bye".to_owned())
    }
}

#[tokio::test]
async fn shutdown_service_ends_it_once_all_that_executes_is_answered() {
    let manager = TestManager::start().await;
    let called = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&called);
    let running = runner(&manager, Mortal::default())
        .on_shutdown(move || seen.store(true, Ordering::SeqCst))
        .connect()
        .await
        .unwrap();
    let mut peer = Peer::connect(&manager).await;
    peer.link("Mortal").await;
    assert_eq!(
        peer.call("Mortal", "shutdown_service", json!([false])).await,
        Err("OSError: not yet".to_owned())
    );
    peer.send("Mortal", "slow", "[]", "{}", "1").await;
    peer.send("Mortal", "shutdown_service", "[true]", "{}", "2").await;
    let mut results = [peer.receive().await, peer.receive().await].map(|reply| reply["result"].to_string());
    results.sort();
    assert_eq!(results, ["\"bye\"", "\"done\""]);
    assert_eq!(peer.receive().await["attribute"], "unlinked");
    soon(running.wait()).await.unwrap();
    assert!(called.load(Ordering::SeqCst));
    // The manager has forgotten it: the name is free.
    runner(&manager, Mortal::default()).connect().await.unwrap();
}

#[tokio::test]
async fn a_lost_connection_that_is_final_ends_the_service_with_an_error_and_its_handler_is_called() {
    let manager = TestManager::start().await;
    let (called, wait) = oneshot::channel();
    let notifier = Notifier::new();
    let running = runner(&manager, Mortal::default())
        .options(options(&manager).without_reconnect())
        .notifier(notifier.clone())
        .on_shutdown(|| panic!("a handler that fails"))
        .on_shutdown(move || called.send(()).unwrap())
        .connect()
        .await
        .unwrap();
    let handle = running.handle().clone();
    assert_eq!(handle.state(), ServiceState::Connected);
    manager.kill().await;
    assert!(matches!(
        soon(running.wait()).await,
        Err(RunError::Closed { .. } | RunError::Lost(_))
    ));
    soon(wait).await.unwrap();
    assert_eq!(handle.state(), ServiceState::Ended);
    assert_eq!(notifier.notify(()), Err(NotifyError::Ended));
}

#[tokio::test]
async fn a_handle_ends_the_service_in_order() {
    let (manager, running) = serve(Mortal::default()).await;
    assert!(running.network_name().starts_with("Mortal["));
    let handle = running.handle().clone();
    handle.shut_down();
    soon(running.wait()).await.unwrap();
    assert_eq!(
        handle.wait_for(ServiceState::Connected).await,
        ServiceState::Ended
    );
    let mut peer = Peer::connect(&manager).await;
    let error = peer.call("Mortal", "slow", json!([])).await.unwrap_err();
    assert!(error.contains("not connected"), "{error}");
}

#[tokio::test]
async fn a_run_that_is_dropped_takes_the_service_with_it() {
    let manager = TestManager::start().await;
    let (connected, wait) = oneshot::channel();
    let run = runner(&manager, Mortal::default()).background(|service| async move {
        connected.send(service).unwrap();
        std::future::pending::<()>().await;
    });
    let task = tokio::spawn(run.run());
    let handle = soon(wait).await.unwrap();
    assert_eq!(handle.name(), "Mortal");
    let mut peer = Peer::connect(&manager).await;
    peer.link("Mortal").await;
    task.abort();
    assert_eq!(peer.receive().await["attribute"], "unlinked");
}

#[tokio::test]
async fn who_is_refused_is_told_why() {
    let (manager, _running) = serve(Mortal::default()).await;
    let error = runner(&manager, Mortal::default()).connect().await.unwrap_err();
    assert!(
        matches!(&error, RunError::Connect(ConnectError::Refused { message }) if message.contains("already running"))
    );
    let error = Mortal::default()
        .runner()
        .options(options(&manager))
        .name("")
        .run()
        .await;
    assert!(error.unwrap_err().to_string().contains("a name must have"));
    let error = Mortal::default().start().unwrap_err();
    assert!(matches!(error, RunError::InsideRuntime));
}

#[tokio::test]
async fn max_clients_and_hidden_attributes_are_the_runners_word_too() {
    let manager = TestManager::start().await;
    let _running = runner(&manager, Mortal::default())
        .max_clients(1)
        .hidden(["slow", "describe", "unknown"])
        .connect()
        .await
        .unwrap();
    let mut first = Peer::connect(&manager).await;
    let identity = first.link("Mortal").await;
    assert_eq!(
        identity["attributes"],
        json!({"shutdown_service": "(agree: bool) -> str"})
    );
    let mut second = Peer::connect(&manager).await;
    let error = second
        .call("Manager", "link", json!(["Mortal"]))
        .await
        .unwrap_err();
    assert!(error.contains("maximum number of Clients"), "{error}");
    assert!(first.call("Mortal", "describe", json!([])).await.is_ok());
}

/// Not a test of its own: what the next one runs as a process.
#[test]
#[ignore = "it is run as a process by another test"]
fn a_service_that_serves_until_a_signal() {
    Mortal::default()
        .runner()
        .on_shutdown(|| println!("safe"))
        .start()
        .unwrap();
}

#[test]
fn a_signal_ends_a_started_service_in_order() {
    let manager = TestManager::start_blocking();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture"])
        .arg("life::a_service_that_serves_until_a_signal")
        .env("LABWIRE_MANAGER", format!("localhost:{}", manager.port()))
        .env("LABWIRE_DISABLE_TLS", "true")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut peer = runtime.block_on(Peer::connect(&manager));
    runtime.block_on(soon(async {
        while peer.call("Manager", "link", json!(["Mortal"])).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }));
    let killed = std::process::Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    assert!(killed.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("safe"));
    assert_eq!(runtime.block_on(peer.receive())["attribute"], "unlinked");
}

#[tokio::test]
async fn who_waits_for_the_end_hears_of_a_run_that_was_dropped() {
    let manager = TestManager::start().await;
    let (give, handle) = tokio::sync::oneshot::channel();
    let run = runner(&manager, Mortal::default())
        .background(|handle| async move {
            let _ = give.send(handle);
        })
        .run();
    let run = tokio::spawn(run);
    let handle = soon(handle).await.unwrap();
    run.abort();
    assert_eq!(
        soon(handle.wait_for(ServiceState::Ended)).await,
        ServiceState::Ended
    );
    assert_eq!(handle.notifier().notify((1,)), Err(NotifyError::Ended));
}

#[tokio::test]
async fn a_background_task_that_cannot_be_made_does_not_end_the_service() {
    let manager = TestManager::start().await;
    let running = runner(&manager, Mortal::default())
        .background(|_| {
            assert!(std::hint::black_box(false), "the heart does not beat");
            async {}
        })
        .connect()
        .await
        .unwrap();
    let mut peer = Peer::connect(&manager).await;
    assert!(peer.call("Mortal", "describe", json!([])).await.is_ok());
    soon(running.shut_down()).await.unwrap();
}

#[tokio::test]
async fn a_service_that_is_connected_can_notify_at_once() {
    let (_manager, running) = serve(Mortal::default()).await;
    running.notifier().notify((1,)).unwrap();
}
