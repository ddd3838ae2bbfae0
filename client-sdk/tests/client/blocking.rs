//! The face for programs without async.

use std::sync::Arc;
use std::time::{Duration, Instant};

use labwire_client::blocking::{Client, LinkedClient};
use labwire_client::{CallError, Lock, args};

use crate::lab::{blocking_lab, lab};
use crate::waiting::until_blocking;

#[test]
fn calls_wait_and_calls_that_are_started_overlap() {
    blocking_lab(|options| {
        let client = Client::connect("Ada", options)?;
        let echo = client.link("Echo")?;
        assert_eq!(echo.call_raw("echo", args![1.50])?, "[[1.5],{}]");
        let start = Instant::now();
        let pending: Result<Vec<_>, _> = (0..20).map(|_| echo.start::<()>("sleep", args![0.5])).collect();
        for pending in pending? {
            pending.wait()?;
        }
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        let hasty = echo.clone().with_timeout(Duration::from_millis(20));
        assert!(matches!(
            hasty.call::<()>("sleep", args![60]),
            Err(CallError::TimedOut { .. })
        ));
        Ok(())
    });
}

#[test]
fn handles_work_in_other_threads_and_end_with_the_last() {
    blocking_lab(|options| {
        let client = Client::connect("Ada", options)?;
        let spawned = client.spawn("Bob")?;
        let echo = spawned.link("Echo")?;
        drop(spawned);
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let echo = echo.clone();
                std::thread::spawn(move || echo.call::<()>("sleep", args![0.01]))
            })
            .collect();
        for thread in threads {
            thread.join().expect("the thread does not panic")?;
        }
        assert_eq!(client.identities()?.clients.len(), 2);
        drop(echo);
        until_blocking("Bob has left", || client.identities().unwrap().clients.len() == 1);
        client.disconnect();
        assert!(!client.is_connected() && !client.connected());
        assert_eq!(client.closed(), "the client has disconnected");
        Ok(())
    });
}

#[test]
fn locks_notifications_and_linked_clients_are_there_too() {
    blocking_lab(|options| {
        let linked = LinkedClient::connect_as("Ada", "Heartbeat", options)?;
        let guard = linked.lock(Lock::Exclusive)?;
        assert!(guard.is_held());
        assert!(guard.release()?.is_empty());
        let mut beats = linked.notifications();
        assert!(beats.next_within(Duration::from_millis(1)).is_none());
        linked.call::<()>("beat", args![7])?;
        assert_eq!(beats.next().ok_or("no beat")?.decode::<(u64,)>()?, (7,));
        linked.unlink()?;
        assert!(beats.next().is_none());
        linked.disconnect();
        Ok(())
    });
}

#[test]
fn a_lock_that_is_lost_is_waited_for_on_another_thread() {
    blocking_lab(|options| {
        let client = Client::connect("Ada", options)?;
        let echo = client.link("Echo")?;
        let guard = Arc::new(echo.lock(Lock::Exclusive)?);
        assert!(guard.held_again(), "it was not lost");
        let (told, lost) = std::sync::mpsc::channel();
        let waiting = Arc::clone(&guard);
        let thread = std::thread::spawn(move || {
            waiting.lost();
            told.send(waiting.is_held()).unwrap();
        });
        assert!(lost.try_recv().is_err() && guard.is_held());
        echo.unlink()?;
        assert!(!lost.recv_timeout(Duration::from_secs(30))?);
        thread.join().expect("the thread does not panic");
        assert!(!guard.held_again());
        Ok(())
    });
}

#[test]
fn asynchronous_code_is_refused_and_a_blocking_task_is_not() {
    lab(|options| async move {
        let connected = options.clone();
        let client = tokio::task::spawn_blocking(move || Client::connect("Ada", connected)).await??;
        let refused = client.clone();
        let error = tokio::spawn(async move { refused.identities().is_ok() })
            .await
            .unwrap_err();
        let message = error
            .into_panic()
            .downcast::<String>()
            .or_else(|other| other.downcast::<&str>().map(|text| Box::new((*text).to_owned())));
        let message = message.expect("a panic has a text");
        assert!(message.contains("use labwire_client::Client there"), "{message}");
        tokio::task::spawn_blocking(move || client.disconnect()).await?;
        Ok(())
    });
}
