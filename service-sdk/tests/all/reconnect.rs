//! Services that come back by themselves.

use std::sync::Arc;
use std::time::Duration;

use labwire_service::{Backoff, NotifyError, RunError, ServiceState, service};
use labwire_testing::TestManager;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::peer::{Peer, options, runner, soon};

struct Phoenix {
    begun: Arc<Semaphore>,
    gate: Arc<Semaphore>,
}

#[service]
impl Phoenix {
    pub async fn slow(&self) -> u8 {
        self.begun.add_permits(1);
        self.gate.acquire().await.unwrap().forget();
        1
    }

    pub fn quick(&self) -> u8 {
        2
    }
}

fn phoenix() -> Phoenix {
    Phoenix {
        begun: Arc::new(Semaphore::new(0)),
        gate: Arc::new(Semaphore::new(0)),
    }
}

fn backoff() -> Backoff {
    Backoff::new()
        .initial(Duration::from_millis(10))
        .maximum(Duration::from_millis(100))
}

#[tokio::test]
async fn it_can_be_started_before_its_manager() {
    let manager = TestManager::start().await;
    let starting = runner(&manager, phoenix()).connect();
    let stopped = manager.stop().await;
    tokio::pin!(starting);
    // Several attempts fail.
    let early = tokio::time::timeout(Duration::from_millis(500), &mut starting).await;
    assert!(early.is_err(), "it is connected to a manager that is not there");
    let manager = stopped.start().await;
    let running = soon(starting).await.unwrap();
    let mut peer = Peer::connect(&manager).await;
    assert_eq!(peer.call("Phoenix", "quick", json!([])).await, Ok(json!(2)));
    running.shut_down().await.unwrap();
}

#[tokio::test]
async fn it_registers_again_and_old_replies_are_dropped() {
    let manager = TestManager::start().await;
    let service = phoenix();
    let (begun, gate) = (Arc::clone(&service.begun), Arc::clone(&service.gate));
    let running = runner(&manager, service)
        .options(options(&manager).reconnect(backoff()))
        .connect()
        .await
        .unwrap();
    let mut peer = Peer::connect(&manager).await;
    peer.send("Phoenix", "slow", "[]", "{}", "old").await;
    begun.acquire().await.unwrap().forget();
    let stopped = manager.kill().await;
    soon(running.handle().wait_for(ServiceState::Reconnecting)).await;
    assert_eq!(running.notifier().notify((1,)), Err(NotifyError::Disconnected));

    let manager = stopped.start().await;
    assert_eq!(
        soon(running.handle().wait_for(ServiceState::Connected)).await,
        ServiceState::Connected
    );
    let mut peer = Peer::connect(&manager).await;
    gate.add_permits(1);
    assert_eq!(peer.call("Phoenix", "quick", json!([])).await, Ok(json!(2)));
    gate.add_permits(1);
    assert_eq!(peer.call("Phoenix", "slow", json!([])).await, Ok(json!(1)));
    running.shut_down().await.unwrap();
}

#[tokio::test]
async fn notifications_made_meanwhile_are_kept_as_far_as_the_buffer_goes() {
    // No manager is in the way: who is linked would have to be faster than the service is.
    let listener = tokio::net::TcpListener::bind(("localhost", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = labwire_service::ConnectOptions::new()
        .port(port)
        .without_tls()
        .reconnect(backoff());
    let runner = labwire_service::Runner::new(phoenix()).options(connect).buffer(2);
    let connecting = tokio::spawn(runner.connect());
    let first = admit(&listener).await;
    let running = soon(connecting).await.unwrap().unwrap();
    drop(first);
    soon(running.handle().wait_for(ServiceState::Reconnecting)).await;
    let notifier = running.notifier();
    notifier.notify((1,)).unwrap();
    notifier.notify_when_ready((2,)).await.unwrap();
    assert_eq!(notifier.notify((3,)), Err(NotifyError::Full));

    let mut second = admit(&listener).await;
    soon(running.handle().wait_for(ServiceState::Connected)).await;
    notifier.notify((4,)).unwrap();
    for n in [1, 2, 4] {
        let line = read_line(&mut second).await;
        assert_eq!(
            line,
            format!(
                "{{\"error\":false,\"result\":[[{n}],{{}}],\"service\":\"Phoenix\",\"uid\":\"notification\"}}\r\n"
            )
        );
    }
}

/// Admits a peer, as a manager without authentication does.
async fn admit(listener: &tokio::net::TcpListener) -> tokio::io::BufReader<tokio::net::TcpStream> {
    use tokio::io::AsyncWriteExt;
    let (stream, _) = soon(listener.accept()).await.unwrap();
    let mut stream = tokio::io::BufReader::new(stream);
    for attribute in ["identity", "registered"] {
        let argument = if attribute == "registered" {
            "\"Phoenix[x:1]\""
        } else {
            ""
        };
        let request = format!(
            "{{\"args\":[{argument}],\"attribute\":\"{attribute}\",\"error\":false,\"kwargs\":{{}},\
             \"requester\":\"Manager[x:1]\",\"uid\":\"\"}}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        if attribute == "identity" {
            assert!(read_line(&mut stream).await.contains("\"type\":\"service\""));
        }
    }
    stream
}

async fn read_line(stream: &mut tokio::io::BufReader<tokio::net::TcpStream>) -> String {
    use tokio::io::AsyncBufReadExt;
    let mut line = String::new();
    soon(stream.read_line(&mut line)).await.unwrap();
    line
}

#[tokio::test]
async fn it_can_be_ended_while_the_manager_is_away() {
    let manager = TestManager::start().await;
    let running = runner(&manager, phoenix())
        .options(options(&manager).reconnect(backoff()))
        .connect()
        .await
        .unwrap();
    manager.kill().await;
    soon(running.handle().wait_for(ServiceState::Reconnecting)).await;
    soon(running.shut_down()).await.unwrap();
}

#[tokio::test]
async fn a_refusal_that_will_not_change_ends_it() {
    let manager = TestManager::start().await;
    let running = runner(&manager, phoenix())
        .options(options(&manager).reconnect(backoff()))
        .connect()
        .await
        .unwrap();
    let port = manager.port();
    manager.kill().await;
    let _other = TestManager::builder().port(port).password("secret").start().await;
    assert!(matches!(soon(running.wait()).await, Err(RunError::Connect(_))));
}

#[tokio::test]
async fn a_client_cannot_notify_in_the_services_name() {
    use tokio::io::AsyncWriteExt;
    let listener = tokio::net::TcpListener::bind(("localhost", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = labwire_service::ConnectOptions::new().port(port).without_tls();
    let connecting = tokio::spawn(labwire_service::Runner::new(phoenix()).options(connect).connect());
    let mut manager = admit(&listener).await;
    let _running = soon(connecting).await.unwrap().unwrap();
    // Older managers let this uid through.
    for uid in ["notification", "1"] {
        let request = format!(
            "{{\"args\":[],\"attribute\":\"quick\",\"error\":false,\"kwargs\":{{}},\
             \"requester\":\"Eve[x:2]\",\"service\":\"Phoenix\",\"uid\":\"{uid}\"}}\r\n"
        );
        manager.write_all(request.as_bytes()).await.unwrap();
    }
    let line = read_line(&mut manager).await;
    assert!(line.contains("\"uid\":\"1\""), "{line}");
}
