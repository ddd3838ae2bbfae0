//! Locks over a restart of the manager.

use std::time::Duration;

use labwire_client::{Backoff, CallError, Client, Lock, LockOptions, SessionState};
use labwire_testing::TestManager;

use crate::lab::{Service, options, start_manager};
use crate::waiting::{until, within_the_deadline};

/// The reason of the lock, which is found in the database file once it is written.
const REASON: &str = "calibration of the reference";

fn quick() -> Backoff {
    Backoff::new().maximum(Duration::from_millis(200))
}

fn terms() -> LockOptions {
    LockOptions::new(Lock::Exclusive)
        .ttl(Duration::from_mins(10))
        .reason(REASON)
}

/// Waits until the lock is in the database.
async fn until_written(manager: &TestManager) {
    let path = manager.home().database();
    until("the lock is written", async || {
        let file = std::fs::read(&path).unwrap_or_default();
        file.windows(REASON.len())
            .any(|window| window == REASON.as_bytes())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_held_over_a_restart_of_the_manager_and_no_rival_gets_in_between() {
    for kills in [false, true] {
        let manager = start_manager().await;
        let service = Service::start("Echo", 0, &options(&manager)).await;
        let ada = Client::connect("Ada", options(&manager).reconnect(quick()))
            .await
            .unwrap();
        let guard = ada.lock("Echo", terms()).await.unwrap();
        until_written(&manager).await;
        let stopped = if kills {
            manager.kill().await
        } else {
            manager.stop().await
        };
        service.stop().await;
        let manager = stopped.start().await;
        let _service = Service::start("Echo", 0, &options(&manager)).await;
        let rival = Client::connect("Rival", options(&manager)).await.unwrap();
        let refused = async || {
            let error = rival.link("Echo").await.unwrap_err();
            assert!(error.to_string().contains(REASON), "{error}");
            error.lock().unwrap().clone()
        };
        let lock = refused().await;
        assert!(lock.holder.unwrap().starts_with("Ada["));
        // Refused at each attempt until the holder has its lock again.
        let back = async {
            while ada.session() != SessionState::Lost || !guard.link().is_linked() {
                refused().await;
            }
        };
        within_the_deadline("the holder is back", back).await;
        assert!(guard.is_held() && guard.end_reason().is_none());
        let lock = refused().await;
        assert_eq!((lock.holder, lock.reserved), (Some(ada.network_name()), false));
        guard.link().call::<u64>("count", ()).await.unwrap();
        guard.release().await.unwrap();
        rival.link("Echo").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_the_manager_forgot_is_lost_and_a_client_without_reconnecting_has_none() {
    let manager = start_manager().await;
    let service = Service::start("Echo", 0, &options(&manager)).await;
    let ada = Client::connect("Ada", options(&manager).reconnect(quick()))
        .await
        .unwrap();
    let guard = ada.lock("Echo", terms()).await.unwrap();
    until_written(&manager).await;
    let database = manager.home().database();
    let stopped = manager.stop().await;
    service.stop().await;
    // The disk was replaced.
    std::fs::remove_file(database).unwrap();
    let manager = stopped.start().await;
    let _service = Service::start("Echo", 0, &options(&manager)).await;
    within_the_deadline("the lock is lost", guard.lost()).await;
    assert!(!guard.is_held() && !guard.held_again().await);
    guard.link().linked().await.unwrap();

    // It tries to return for its grace period.
    let short = options(&manager).session_grace(Duration::from_secs(1));
    let bob = Client::connect("Bob", short).await.unwrap();
    guard.link().unlink().await.unwrap();
    let guard = bob.lock("Echo", terms()).await.unwrap();
    manager.stop().await;
    within_the_deadline("the lock is lost", guard.lost()).await;
    let error = guard.link().call::<u64>("count", ()).await.unwrap_err();
    assert!(matches!(error, CallError::Disconnected { .. }), "{error:?}");
}
