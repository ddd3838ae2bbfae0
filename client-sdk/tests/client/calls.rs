//! Calls: their results, their errors, and that they overlap.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use labwire_client::{
    CallError, Client, ClientOptions, ConnectOptions, Error, Executed, LinkedClient, Lock, SessionState, args,
};
use tokio::io::AsyncWriteExt;

use crate::lab::{Service, lab, options, start_manager};
use crate::waiting::until;

#[test]
fn many_calls_are_under_way_at_once() {
    lab(|options| async move {
        let client = Client::connect("Ada", options).await?;
        let echo = client.link("Echo").await?;
        let start = Instant::now();
        let mut pending = Vec::new();
        for _ in 0..2000 {
            pending.push(echo.call::<()>("sleep", args![0.3]).send().await?);
        }
        for pending in pending {
            pending.await?;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
        assert_eq!(echo.call::<u64>("count", ()).await?, 2000);
        Ok(())
    });
}

#[test]
fn results_are_of_the_type_that_is_asked_for_or_say_why_not() {
    lab(|options| async move {
        let client = Client::connect("Ada", options).await?;
        let echo = client.link("Echo").await?;
        let (values, named): (Vec<f64>, HashMap<String, String>) =
            echo.call("echo", args![1, f64::INFINITY, unit = "V"]).await?;
        assert_eq!(values, [1.0, f64::INFINITY]);
        assert_eq!(named["unit"], "V");
        let (integers, _): (Vec<i64>, HashMap<String, String>) = echo.call("echo", args![3.0, -2e3]).await?;
        assert_eq!(integers, [3, -2_000]);
        let with_fraction = echo.call::<(Vec<i64>, HashMap<String, String>)>("echo", args![1.5]);
        assert!(matches!(with_fraction.await, Err(CallError::Decode { .. })));
        let error = echo.call::<f64>("text", ()).await.unwrap_err();
        assert!(matches!(error, CallError::Decode { .. }), "{error:?}");
        assert_eq!(error.executed(), Executed::Maybe);
        assert!(error.to_string().contains("'Echo'.text"), "{error}");
        let unwritable = std::collections::BTreeMap::from([(vec![1], 1)]);
        let error = echo.call::<()>("echo", args![unwritable]).await.unwrap_err();
        assert!(matches!(error, CallError::Encode { .. }), "{error:?}");
        assert_eq!(error.executed(), Executed::No);
        Ok(())
    });
}

#[test]
fn an_error_says_whether_the_service_or_the_manager_failed() {
    lab(|options| async move {
        let client = Client::connect("Ada", options.clone()).await?;
        let math = client.link("BasicMath").await?;
        let error = math.call::<f64>("divide", args![1, 0]).await.unwrap_err();
        assert!(matches!(&error, CallError::Service { service, .. } if service == "BasicMath"));
        assert_eq!(error.traceback().len(), 2);
        assert_eq!(
            error.report(),
            "'BasicMath'.divide failed: ZeroDivisionError: division by zero\nin a service of a test\n\
             ZeroDivisionError: division by zero"
        );
        assert_eq!(error.executed(), Executed::Maybe);

        let passing = Service::start("Passing", 0, &options).await;
        let link = client.link("Passing").await?;
        let pending = link.call::<()>("sleep", args![60]).send().await?;
        // The reply to a later call says that the service has the one before it.
        assert_eq!(link.call::<u64>("count", ()).await?, 1);
        passing.stop().await;
        let error = pending.await.unwrap_err();
        assert!(
            matches!(
                &error,
                CallError::Manager {
                    executed: Executed::Maybe,
                    ..
                }
            ),
            "{error:?}"
        );
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
        assert!(
            error
                .to_string()
                .starts_with("KeyError: the 'Passing' Service is not connected"),
            "{error}"
        );
        Ok(())
    });
}

#[test]
fn a_call_that_takes_too_long_ends_and_its_late_reply_is_ignored() {
    lab(|options| async move {
        let client = Client::connect("Ada", options).await?;
        let echo = client
            .link("Echo")
            .await?
            .with_timeout(Duration::from_millis(100));
        let error = echo.call::<()>("sleep", args![0.4]).await.unwrap_err();
        assert!(
            matches!(
                &error,
                CallError::TimedOut {
                    executed: Executed::Maybe,
                    ..
                }
            ),
            "{error:?}"
        );
        assert!(
            error
                .to_string()
                .contains("within 0.1 s, it may have been executed"),
            "{error}"
        );
        // Its own limit is longer than the late reply takes.
        echo.call::<()>("sleep", args![0.6])
            .timeout(Duration::from_mins(1))
            .await?;
        Ok(())
    });
}

#[test]
fn a_call_that_is_dropped_before_it_is_awaited_is_not_made() {
    lab(|options| async move {
        let client = Client::connect("Ada", options).await?;
        let echo = client.link("Echo").await?;
        drop(echo.call::<()>("sleep", args![0]));
        let sent = echo.call::<()>("sleep", args![60]).send().await?;
        drop(sent);
        assert!(echo.call::<u64>("count", ()).await? <= 1);
        Ok(())
    });
}

#[test]
fn calls_on_a_client_that_has_left_fail_and_were_not_executed() {
    lab(|options| async move {
        let client = Client::connect("Ada", options).await?;
        let echo = client.link("Echo").await?;
        let pending = echo.call::<()>("sleep", args![60]).send().await?;
        assert_eq!(echo.call::<u64>("count", ()).await?, 1);
        client.disconnect().await;
        assert!(!client.is_connected() && !echo.is_linked());
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
        let error = echo.call::<()>("echo", ()).await.unwrap_err();
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
        assert!(
            error.to_string().contains("the client has disconnected"),
            "{error}"
        );
        client.disconnect().await;
        Ok(())
    });
}

#[test]
fn a_client_without_handles_leaves_the_manager() {
    lab(|options| async move {
        let watcher = Client::connect("Watcher", options.clone()).await?;
        let client = Client::connect("Ada", options).await?;
        let spawned = client.spawn("Bob").await?;
        assert_eq!(watcher.identities().await?.clients.len(), 3);
        let echo = client.link("Echo").await?;
        drop(client);
        echo.call::<()>("sleep", args![0]).await?;
        drop((echo, spawned));
        until("Ada and Bob have left", async || {
            watcher.identities().await.unwrap().clients.len() == 1
        })
        .await;
        Ok(())
    });
}

#[test]
fn an_administrator_is_asked_once_and_who_is_none_is_refused() {
    lab(|options| async move {
        let ada = options.clone().username("ada").password("difference engine");
        let client = Client::connect("Ada", ada).await?;
        let names: Vec<String> = client.admin_request("users_table.usernames", ()).await?;
        assert_eq!(names, ["ada", "bob"]);
        let error = client.admin_request::<()>("no_such_thing", ()).await.unwrap_err();
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

        let bob = options.clone().username("bob").password("analytical engine");
        let client = Client::connect("Bob", bob).await?;
        let error = client.admin_request::<u16>("port", ()).await.unwrap_err();
        assert!(
            error.to_string().contains("You must be an administrator"),
            "{error}"
        );

        let client = Client::connect("Eve", options.ask_with(|_| None)).await?;
        let error = client.admin_request::<u16>("port", ()).await.unwrap_err();
        assert!(error.to_string().contains("set `username`"), "{error}");
        assert!(client.identities().await?.clients.len() == 3);
        // The manager still waits for the answer, and asks no further question.
        let again = async {
            tokio::join!(
                client.admin_request::<u16>("port", ()),
                client.admin_request::<u16>("port", ())
            )
        };
        let (first, second) = tokio::time::timeout(std::time::Duration::from_secs(10), again).await?;
        for outcome in [first, second] {
            assert!(matches!(outcome, Err(CallError::NoAnswer(_))), "{outcome:?}");
        }
        Ok(())
    });
}

#[test]
fn a_manager_that_is_shut_down_says_so_to_who_asked_for_it() {
    lab(|options| async move {
        let ada = options.username("ada").password("difference engine");
        let client = Client::connect("Ada", ada).await?;
        client.admin_request::<()>("shutdown_manager", ()).await?;
        assert!(
            client
                .closed()
                .await
                .contains("the manager closed the connection")
        );
        assert!(!client.connected().await);
        Ok(())
    });
}

#[test]
fn a_manager_that_is_shut_down_keeps_no_session_for_who_asked_for_it() {
    lab(|options| async move {
        let ada = options.username("ada").password("difference engine");
        // Longer than a test waits.
        let ada = ada.session(true).session_grace(Duration::from_mins(10));
        let client = Client::connect("Ada", ada).await?;
        assert_eq!(client.session(), SessionState::New);
        client.admin_request::<()>("shutdown_manager", ()).await?;
        Ok(())
    });
}

#[tokio::test]
async fn a_linked_client_waits_for_its_service() {
    let manager = start_manager().await;
    let options = options(&manager);
    let client = tokio::spawn(LinkedClient::connect("Late", options.clone()));
    let watcher = Client::connect("Watcher", options.clone()).await.unwrap();
    until("the client that waits for its service is there", async || {
        watcher.identities().await.unwrap().clients.len() == 2
    })
    .await;
    let _late = Service::start("Late", 0, &options).await;
    let client = client.await.unwrap().unwrap();
    assert!(client.get::<f64>("pi").await.is_ok());
    assert_eq!(client.client().name(), "LinkedClient");
    let spawned = client.spawn("Second").await.unwrap();
    assert!(spawned.client().network_name().starts_with("Second["));
    client.disconnect().await;
    assert!(spawned.is_connected() && !client.is_connected());
}

#[tokio::test]
async fn a_linked_client_gives_up_after_its_timeout() {
    let manager = start_manager().await;
    let options = options(&manager).timeout(Duration::from_millis(300));
    match LinkedClient::connect("Never", options).await {
        Err(error @ Error::Unavailable { .. }) => {
            assert_eq!(
                error.to_string(),
                "the service 'Never' is not available, 0.3 s were waited for it"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_question_mark_serves_connecting_and_calling() {
    async fn connect() -> Result<(), Error> {
        let options = ClientOptions::from(ConnectOptions::new().host("localhost").port(1).without_tls());
        let client = Client::connect("Ada", options).await?;
        client.link("Echo").await?;
        Ok(())
    }
    assert!(matches!(connect().await, Err(Error::Connect(_))));
}

/// A manager that lets a client in and reads nothing more.
async fn deaf_manager() -> (u16, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind(("localhost", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let requests = ["identity", "registered"]
            .map(|attribute| labwire_wire::frames::manager_request(attribute, &["Ada[h:1]"], "Manager[h:2]"));
        stream.write_all(&requests.concat()).await.unwrap();
        std::future::pending::<()>().await;
    });
    (port, task)
}

#[tokio::test]
async fn a_client_can_leave_a_manager_that_reads_nothing() {
    let (port, manager) = deaf_manager().await;
    let options = ConnectOptions::new().port(port).without_tls();
    let client = Client::connect("Ada", options).await.unwrap();
    let large = "x".repeat(64 * 1024 * 1024);
    let request = client.admin_request::<()>("anything", args![large]);
    let error = request.timeout(Duration::from_millis(200)).await.unwrap_err();
    assert!(
        matches!(
            &error,
            CallError::TimedOut {
                executed: Executed::Maybe,
                ..
            }
        ),
        "{error:?}"
    );
    let left = tokio::time::timeout(Duration::from_secs(30), client.disconnect()).await;
    assert!(left.is_ok());
    manager.abort();
}

#[tokio::test]
async fn callers_are_held_back_while_the_manager_reads_nothing() {
    let (port, manager) = deaf_manager().await;
    let options = ConnectOptions::new().port(port).without_tls();
    let client = Client::connect("Ada", options).await.unwrap();
    let large = "x".repeat(64 * 1024 * 1024);
    let stuck = client
        .admin_request::<()>("anything", args![large])
        .send()
        .await
        .unwrap();
    let mut sent = Vec::new();
    let error = loop {
        let call = client
            .admin_request::<()>("anything", ())
            .timeout(Duration::from_millis(300));
        match call.send().await {
            Ok(pending) => sent.push(pending),
            Err(error) => break error,
        }
        assert!(sent.len() < 2000, "{} requests wait", sent.len());
    };
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
    drop((stuck, sent));
    manager.abort();
}

/// Between a client and the service that it has locked, long lines go on while they arrive, and these are as whole.
#[test]
fn a_long_call_of_a_locked_service_comes_back_as_it_was_sent() {
    lab(|options| async move {
        let client = Client::connect("Ada", options).await?;
        let echo = client.link("Echo").await?;
        let lock = echo.lock(Lock::Exclusive).await?;
        let text = "a frame of \"many\" lines\n\u{e9}".repeat(100_000);
        for _ in 0..10 {
            let (values, named): (Vec<String>, HashMap<String, String>) =
                echo.call("echo", args![text.clone(), unit = "V"]).await?;
            assert!(values == [text.as_str()] && named["unit"] == "V");
        }
        lock.release().await?;
        Ok(())
    });
}
