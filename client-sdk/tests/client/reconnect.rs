//! Losing the manager or a service, and coming back.

use std::time::Duration;

use labwire_client::{Backoff, CallError, Client, ClientOptions, Executed, Lock, Notifications, args};
use labwire_testing::TestManager;

use crate::lab::{Service, lab, options, start_manager};
use crate::waiting::{until, within_the_deadline};

fn quick() -> Backoff {
    Backoff::new().maximum(Duration::from_millis(200))
}

/// The service tells until the reader hears it: a link that is made anew is not there from one moment to the next.
async fn tell_until_heard(service: &Service, name: &str, notifications: &mut Notifications) -> u64 {
    let telling = async {
        loop {
            service.notify(name, "[[1], {}]");
            let heard = tokio::time::timeout(Duration::from_millis(50), notifications.next()).await;
            if let Ok(heard) = heard {
                break heard.expect("the notifications go on");
            }
        }
    };
    let heard = within_the_deadline("a notification is heard", telling).await;
    heard.decode::<(u64,)>().unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reconnects_takes_everything_up_again() {
    let manager = start_manager().await;
    let service = Service::start("Echo", 0, &options(&manager)).await;
    let client = Client::connect("Ada", options(&manager).reconnect(quick()))
        .await
        .unwrap();
    let link = client.link("Echo").await.unwrap();
    let guard = link.lock(Lock::Exclusive).await.unwrap();
    let mut notifications = link.notifications();
    let pending = link.call::<()>("sleep", args![60]).send().await.unwrap();
    assert_eq!(link.call::<u64>("count", ()).await.unwrap(), 1);

    let stopped = manager.kill().await;
    let error = pending.await.unwrap_err();
    assert!(
        matches!(
            &error,
            CallError::Disconnected {
                executed: Executed::Maybe,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(!client.is_connected() && !link.is_linked() && !guard.is_held());
    let error = link.call::<()>("echo", ()).await.unwrap_err();
    assert!(
        matches!(
            &error,
            CallError::Disconnected {
                executed: Executed::No,
                ..
            }
        ),
        "{error:?}"
    );

    let manager = stopped.start().await;
    assert!(client.connected().await);
    // The service comes back later than the client.
    service.stop().await;
    let service = Service::start("Echo", 0, &options(&manager)).await;
    link.linked().await.unwrap();
    assert_eq!(link.call::<u64>("count", ()).await.unwrap(), 0);
    assert_eq!(tell_until_heard(&service, "Echo", &mut notifications).await, 1);
    assert!(guard.release().await.unwrap().is_empty());
    let names = client.identities().await.unwrap();
    assert!(names.clients.contains_key(&client.network_name()));
}

#[test]
fn without_reconnecting_a_lost_manager_is_the_end() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let manager = start_manager().await;
        let _service = Service::start("Echo", 0, &options(&manager)).await;
        let client = Client::connect("Ada", options(&manager).session_grace(Duration::from_secs(1)))
            .await
            .unwrap();
        let link = client.link("Echo").await.unwrap();
        let mut notifications = link.notifications();
        manager.kill().await;
        assert!(client.closed().await.contains("connection"));
        assert!(notifications.next().await.is_none());
        assert!(link.linked().await.is_err());
        let error = link.call::<()>("echo", ()).await.unwrap_err();
        assert!(matches!(
            error,
            CallError::Disconnected {
                executed: Executed::No,
                ..
            }
        ));
    });
}

#[test]
fn a_service_that_comes_back_is_linked_again_by_who_reconnects() {
    lab(|options| async move {
        let passing = Service::start("Passing", 1, &options).await;
        let client = Client::connect("Ada", options.clone().reconnect(quick())).await?;
        let link = client.link("Passing").await?;
        let mut notifications = link.notifications();
        passing.stop().await;
        until("the service has left", async || !link.is_linked()).await;
        let error = link.call::<()>("echo", ()).await.unwrap_err();
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
        let passing = Service::start("Passing", 1, &options).await;
        link.linked().await?;
        assert_eq!(tell_until_heard(&passing, "Passing", &mut notifications).await, 1);
        Ok(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_sent_once_when_the_link_is_back() {
    let manager = start_manager().await;
    let service = Service::start("Echo", 1, &options(&manager)).await;
    let connect = options(&manager).reconnect(quick());
    let client = Client::connect("Ada", ClientOptions::from(connect).buffer(3))
        .await
        .unwrap();
    let link = client.link("Echo").await.unwrap();
    let stopped = manager.kill().await;
    until("the connection is lost", async || !client.is_connected()).await;
    let kept = link.call::<()>("sleep", args![0.1]).send().await.unwrap();
    let impatient = link
        .call::<()>("sleep", args![0.1])
        .timeout(Duration::from_millis(20));
    let error = impatient.await.unwrap_err();
    assert!(
        matches!(
            &error,
            CallError::TimedOut {
                executed: Executed::No,
                ..
            }
        ),
        "{error:?}"
    );
    let names = client.identities();
    let more = link.call::<()>("sleep", args![0]).send().await.unwrap();
    let most = link.call::<()>("sleep", args![0]).send().await.unwrap();
    let error = link.call::<()>("sleep", args![0]).await.unwrap_err();
    assert!(error.to_string().contains("3 calls wait already"), "{error}");
    assert_eq!(error.executed(), Executed::No);

    service.stop().await;
    let manager = stopped.start().await;
    assert!(client.connected().await);
    assert!(names.await.is_ok());
    let _service = Service::start("Echo", 1, &options(&manager)).await;
    for pending in [kept, more, most] {
        pending.await.unwrap();
    }
    assert_eq!(link.call::<u64>("count", ()).await.unwrap(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn unlinking_fails_what_is_kept() {
    let manager = start_manager().await;
    let service = Service::start("Echo", 0, &options(&manager)).await;
    let connect = options(&manager).reconnect(quick());
    let client = Client::connect("Ada", ClientOptions::from(connect).buffer(3))
        .await
        .unwrap();
    let link = client.link("Echo").await.unwrap();
    service.stop().await;
    until("the service has left", async || !link.is_linked()).await;
    let kept = link.call::<()>("sleep", args![0.1]).send().await.unwrap();
    link.unlink().await.unwrap();
    assert!(matches!(kept.await, Err(CallError::Unlinked { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_can_leave_while_it_waits_for_the_manager() {
    let manager = start_manager().await;
    let client = Client::connect("Ada", options(&manager).reconnect(quick()))
        .await
        .unwrap();
    let stopped = manager.kill().await;
    until("the connection is lost", async || !client.is_connected()).await;
    client.disconnect().await;
    assert_eq!(client.closed().await, "the client has disconnected");
    drop(stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_refuses_for_good_ends_the_client() {
    let manager = TestManager::builder().password("before").start().await;
    let port = manager.port();
    let connect = options(&manager).manager_password("before").reconnect(quick());
    let client = Client::connect("Ada", connect).await.unwrap();
    manager.kill().await;
    let _other = TestManager::builder().port(port).password("after").start().await;
    let reason = client.closed().await;
    assert!(reason.contains("Wrong Manager password"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_clients_are_back_and_linked_within_ten_seconds() {
    let manager = start_manager().await;
    let service = Service::start("Echo", 0, &options(&manager)).await;
    let mut clients = Vec::new();
    for index in 0..100 {
        let connect = options(&manager).reconnect(Backoff::new());
        let client = Client::connect(format!("client {index}"), connect).await.unwrap();
        clients.push(client.link("Echo").await.unwrap());
    }
    let mut pending = Vec::new();
    for link in &clients {
        pending.push(link.call::<()>("sleep", args![60]).send().await.unwrap());
    }
    assert!(clients[99].call::<u64>("count", ()).await.is_ok());
    let stopped = manager.kill().await;
    for pending in pending {
        assert!(matches!(pending.await, Err(CallError::Disconnected { .. })));
    }
    service.stop().await;
    let manager = stopped.start().await;
    let _service = Service::start("Echo", 0, &options(&manager)).await;
    let back = async {
        for link in &clients {
            link.linked().await.unwrap();
            link.call::<()>("sleep", args![0]).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(10), back).await.unwrap();
}
