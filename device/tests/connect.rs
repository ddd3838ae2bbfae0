//! Connecting to a real manager: every way of authentication, TLS, and what goes wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use labwire_device::{
    ConnectError, ConnectOptions, FirstUse, Home, Introduction, Question, TrustError, connect,
};
use labwire_testing::TestManager;

fn options(manager: &TestManager) -> ConnectOptions {
    ConnectOptions::new().port(manager.port()).without_tls()
}

fn ada() -> Introduction {
    Introduction::client("Ada")
}

#[tokio::test]
async fn a_client_learns_its_name_and_that_of_the_manager() {
    let manager = TestManager::start().await;
    let connection = connect(&options(&manager), &ada()).await.unwrap();
    assert!(
        connection.network_name.starts_with("Ada["),
        "{}",
        connection.network_name
    );
    assert!(
        connection
            .network_name
            .ends_with(&format!(":{}]", connection.local_port))
    );
    assert!(
        connection.manager.starts_with("Manager["),
        "{}",
        connection.manager
    );
    assert!(connection.manager.ends_with(&format!(":{}]", manager.port())));
}

#[tokio::test]
async fn a_service_is_told_at_once_that_its_name_is_taken() {
    let manager = TestManager::start().await;
    let echo = Introduction::service("Echo", "{}");
    let _first = connect(&options(&manager), &echo).await.unwrap();
    let error = connect(&options(&manager), &echo).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(
        error.to_string().contains("A 'Echo' service is already running"),
        "{error}"
    );
}

#[tokio::test]
async fn the_managers_password_is_given_when_it_is_asked_for() {
    let manager = TestManager::builder().password("abc 123").start().await;
    connect(&options(&manager).manager_password("abc 123"), &ada())
        .await
        .unwrap();
    let error = connect(&options(&manager).manager_password("guess"), &ada())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ConnectError::Refused { message } if message.contains("Wrong Manager password"))
    );
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_user_logs_in_and_what_is_missing_is_asked_for_once() {
    let manager = TestManager::builder()
        .login(&[("ada", "engine", false)])
        .start()
        .await;
    connect(&options(&manager).username("ada").password("engine"), &ada())
        .await
        .unwrap();

    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let asking = options(&manager).username("ada").ask_with(move |question| {
        counter.fetch_add(1, Ordering::SeqCst);
        assert_eq!(
            question,
            &Question::Password {
                username: "ada".into()
            }
        );
        Some("engine".to_owned())
    });
    connect(&asking, &ada()).await.unwrap();
    connect(&asking, &ada()).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1);

    let error = connect(&options(&manager).username("ada").ask_with(|_| None), &ada())
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::NoAnswer(_)), "{error}");
}

#[tokio::test]
async fn a_manager_that_is_met_for_the_first_time_is_saved_only_if_somebody_says_so() {
    let manager = TestManager::builder().tls().start().await;
    let folder = tempfile::tempdir().unwrap();
    let options = ConnectOptions::new()
        .port(manager.port())
        .home(Home::at(folder.path()));
    let saved = Home::at(folder.path()).trusted_certificate_file("localhost", manager.port());

    let error = connect(&options.clone().first_use(FirstUse::Refuse), &ada())
        .await
        .unwrap_err();
    let ConnectError::Trust(TrustError::Unknown {
        fingerprint, file, ..
    }) = error
    else {
        panic!("{error}");
    };
    assert_eq!((file, saved.exists()), (saved.clone(), false));

    let decided = options
        .clone()
        .first_use(FirstUse::Decide(Arc::new(move |unknown| {
            unknown.fingerprint == fingerprint
        })));
    connect(&decided, &ada()).await.unwrap();
    assert!(saved.exists());
    connect(&options.first_use(FirstUse::Refuse), &ada())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_certificate_that_changed_is_refused_with_both_fingerprints_and_the_remedy() {
    let manager = TestManager::builder().tls().start().await;
    let other = TestManager::builder().tls().start().await;
    let given = ConnectOptions::new().port(manager.port());
    connect(
        &given.clone().certificate_file(manager.certificate_file()),
        &ada(),
    )
    .await
    .unwrap();

    let wrong = other.certificate_file();
    let error = connect(&given.certificate_file(&wrong), &ada())
        .await
        .unwrap_err();
    let text = error.to_string();
    let ConnectError::Trust(TrustError::Changed {
        trusted,
        presented,
        file,
    }) = error
    else {
        panic!("{text}");
    };
    assert!(
        trusted != presented && text.contains(&trusted) && text.contains(&presented),
        "{text}"
    );
    assert!(
        file == wrong && text.contains(&format!("({})", wrong.display())),
        "{text}"
    );
    assert!(text.contains("labwire trust HOST:PORT"), "{text}");
    // The file may be the own certificate of a manager of this computer.
    assert!(!text.contains("another name"), "{text}");
}

#[tokio::test]
async fn one_side_with_tls_and_one_without_is_told_what_to_change() {
    let plain = TestManager::start().await;
    let folder = tempfile::tempdir().unwrap();
    let options = ConnectOptions::new()
        .port(plain.port())
        .home(Home::at(folder.path()));
    let error = connect(&options.first_use(FirstUse::Save), &ada())
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::NoTls { .. }), "{error}");

    let secure = TestManager::builder().tls().start().await;
    let options = ConnectOptions::new()
        .port(secure.port())
        .without_tls()
        .timeout(Duration::from_secs(8));
    let begun = Instant::now();
    let error = connect(&options, &ada()).await.unwrap_err();
    assert!(matches!(error, ConnectError::TlsExpected { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_manager_that_is_met_does_not_take_the_place_of_the_own_managers_certificate() {
    let manager = TestManager::builder().tls().start().await;
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    let options = ConnectOptions::new().port(manager.port()).home(home.clone());
    connect(&options.clone().first_use(FirstUse::Save), &ada())
        .await
        .unwrap();
    assert!(!home.certificate_file().exists());

    // The file of the host counts until the manager has one of its own.
    let saved = home.trusted_certificate_file("localhost", manager.port());
    std::fs::rename(&saved, home.certificate_file()).unwrap();
    let refusing = options.clone().first_use(FirstUse::Refuse);
    connect(&refusing, &ada()).await.unwrap();
    let other = TestManager::builder().tls().start().await;
    std::fs::copy(other.certificate_file(), &saved).unwrap();
    let error = connect(&refusing, &ada()).await.unwrap_err();
    let is_changed =
        matches!(&error, ConnectError::Trust(TrustError::Changed { file, .. }) if *file == saved);
    assert!(is_changed, "{error}");
}

#[tokio::test]
async fn nobody_there_is_told_with_the_address() {
    let port = {
        let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        unused.local_addr().unwrap().port()
    };
    let error = connect(&ConnectOptions::new().port(port).without_tls(), &ada())
        .await
        .unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(
        error.to_string().contains(&format!("localhost:{port}")),
        "{error}"
    );
}

#[tokio::test]
async fn a_wrong_answer_is_not_kept() {
    let manager = TestManager::builder()
        .login(&[("ada", "engine", false)])
        .start()
        .await;
    let answers = Arc::new(std::sync::Mutex::new(vec!["engine", "typing error"]));
    let options = options(&manager).username("ada").ask_with(move |question| {
        assert!(matches!(question, Question::Password { .. }));
        answers.lock().unwrap().pop().map(str::to_owned)
    });
    let error = connect(&options, &ada()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Refused { .. }), "{error}");
    connect(&options, &ada()).await.unwrap();
    // The right one is.
    connect(&options, &ada()).await.unwrap();
}

#[tokio::test]
async fn a_short_timeout_is_enough_for_a_manager_that_does_not_say_that_a_device_is_in() {
    use tokio::io::AsyncWriteExt;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let manager = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let identity = labwire_wire::frames::manager_request("identity", &[], "Manager[h:2]");
        stream.write_all(&identity).await.unwrap();
        std::future::pending::<()>().await;
    });
    let options = ConnectOptions::new()
        .host("127.0.0.1")
        .port(port)
        .without_tls()
        .timeout(Duration::from_millis(900));
    let connection = connect(&options, &ada()).await.unwrap();
    assert_eq!(connection.manager, "Manager[h:2]");
    manager.abort();
}

#[tokio::test]
async fn what_is_no_manager_cannot_fill_the_memory_with_a_line() {
    use tokio::io::AsyncWriteExt;

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let sending = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut sent = 0_usize;
        while stream.write_all(&[b'x'; 16 * 1024]).await.is_ok() && sent < 64 * 1024 * 1024 {
            sent += 16 * 1024;
        }
        sent
    });
    let options = ConnectOptions::new().port(port).without_tls();
    let error = connect(&options, &ada()).await.unwrap_err();
    assert!(matches!(error, ConnectError::NotAManager { .. }), "{error}");
    assert!(error.to_string().contains("is not a manager"), "{error}");
    assert!(
        error.to_string().contains("xxx") && error.to_string().len() < 300,
        "{error}"
    );
    let sent = sending.await.unwrap();
    // What the two sockets hold, too.
    assert!(sent < 32 * 1024 * 1024, "{sent} bytes were taken");
}
