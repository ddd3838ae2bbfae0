//! Locks that are renewed, waited for, and broken.

use std::time::Duration;

use labwire_client::{CallError, Client, ConnectOptions, Executed, Lock, LockOptions};
use tokio::time::timeout;

use crate::lab::lab;
use crate::waiting::until;

/// Breaks all locks on a service.
async fn break_locks(options: &ConnectOptions, service: &str) -> Result<Vec<String>, CallError> {
    let admin = options.clone().username("ada").password("difference engine");
    let admin = Client::connect("Admin", admin).await.expect("the manager runs");
    admin.admin_request("break_lock", (service,)).await
}

#[test]
fn a_lock_with_a_time_to_live_is_renewed_while_its_guard_exists() {
    lab(|options| async move {
        let client = Client::connect("Ada", options.clone()).await?;
        let terms = LockOptions::new(Lock::Exclusive).ttl(Duration::from_secs(1));
        let guard = client.lock("Echo", terms).await?;
        // Three times its time to live, without a request.
        let lost = timeout(Duration::from_secs(3), guard.lost()).await;
        assert!(lost.is_err() && guard.is_held());
        guard.link().call::<serde_json::Value>("echo", ()).await?;
        Ok(())
    });
}

#[test]
fn a_lock_that_is_broken_ends_the_link_and_says_so_in_every_call() {
    lab(|options| async move {
        let client = Client::connect("Ada", options.clone()).await?;
        let guard = client.lock("Echo", Lock::Exclusive).await?;
        let link = guard.link().clone();
        let mut notifications = link.notifications();
        let (broken, ()) = tokio::join!(break_locks(&options, "Echo"), guard.lost());
        assert_eq!(broken?, [client.network_name()]);
        assert!(!guard.is_held() && !link.is_linked());
        let reason = guard.end_reason().expect("it was broken");
        assert!(
            reason.starts_with("the lock on the 'Echo' Service was broken by 'ada' at "),
            "{reason}"
        );
        assert!(notifications.next().await.is_none());
        let error = link.call::<()>("echo", ()).await.unwrap_err();
        assert!(matches!(error, CallError::LockEnded { .. }), "{error:?}");
        assert_eq!(error.executed(), Executed::No);
        assert_eq!(error.to_string(), format!("{reason}; link again to call echo"));
        // A new link is one like any other.
        let again = client.link("Echo").await?;
        again.call::<serde_json::Value>("echo", ()).await?;
        assert!(!guard.is_held());
        drop(guard);
        again.call::<serde_json::Value>("echo", ()).await?;
        Ok(())
    });
}

#[test]
fn a_wait_for_a_lock_ends_when_its_future_is_dropped() {
    lab(|options| async move {
        let ada = Client::connect("Ada", options.clone()).await?;
        let bob = Client::connect("Bob", options.clone()).await?;
        let carl = Client::connect("Carl", options.clone()).await?;
        let guard = ada.lock("Echo", Lock::Exclusive).await?;
        let terms = LockOptions::new(Lock::Exclusive).wait(Duration::from_mins(10));
        let waiting = timeout(Duration::from_millis(50), bob.lock("Echo", terms.clone())).await;
        assert!(waiting.is_err());
        // The queue is empty again.
        until("nobody waits", async || {
            let error = carl.lock("Echo", Lock::Shared).await.unwrap_err();
            let lock = error.lock().expect("a lock is in the way").clone();
            assert_eq!(lock.holder, Some(ada.network_name()));
            lock.position == 1
        })
        .await;
        drop(guard);
        assert!(carl.lock("Echo", terms).await?.is_held());
        Ok(())
    });
}
