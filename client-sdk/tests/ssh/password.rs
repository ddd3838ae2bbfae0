//! Logging in with a password, at a server inside the test that has accounts of its own.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use labwire_client::ssh::{HostKeys, Ssh, SshError, SshOptions, SshQuestion};
use russh::server::{Auth, Config, Handler, Response};
use russh::{MethodKind, MethodSet};
use tokio::net::TcpListener;

use super::server::make_key;

const WAYS: &[MethodKind] = &[MethodKind::Password, MethodKind::KeyboardInteractive];

/// Lets `ada` in, whose password is `engine`, and who has a code for one login where a dialogue is held.
struct Account;

impl Handler for Account {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, russh::Error> {
        Ok(decide(user == "ada" && password == "engine"))
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, russh::Error> {
        let Some(response) = response else {
            return Ok(Auth::Partial {
                name: "login".into(),
                instructions: "".into(),
                prompts: Cow::Owned(vec![("Password: ".into(), false), ("Code: ".into(), true)]),
            });
        };
        let answers: Vec<_> = response.map(|answer| answer.to_vec()).collect();
        Ok(decide(
            user == "ada" && answers == [b"engine".to_vec(), b"1843".to_vec()],
        ))
    }
}

fn decide(accepted: bool) -> Auth {
    if accepted {
        return Auth::Accept;
    }
    // The library's own words for it would take the way away that was tried.
    Auth::Reject {
        proceed_with_methods: Some(MethodSet::from(WAYS)),
        partial_success: false,
    }
}

/// Starts a server that accepts these ways to log in; gives options that lead there.
async fn serve(folder: &Path, methods: &[MethodKind]) -> SshOptions {
    make_key(&folder.join("host_key"), "ed25519", "");
    let config = Arc::new(Config {
        methods: MethodSet::from(methods),
        keys: vec![russh::keys::load_secret_key(folder.join("host_key"), None).unwrap()],
        auth_rejection_time: Duration::ZERO,
        ..Config::default()
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let config = Arc::clone(&config);
            tokio::spawn(async move {
                if let Ok(session) = russh::server::run_stream(config, stream, Account).await {
                    let _ = session.await;
                }
            });
        }
    });
    SshOptions::new("ada@127.0.0.1")
        .port(port)
        .known_hosts(folder.join("known_hosts"))
        .host_keys(HostKeys::Accept)
}

#[tokio::test]
async fn the_password_that_was_given_lets_in() {
    let folder = tempfile::tempdir().unwrap();
    let options = serve(folder.path(), &[MethodKind::PublicKey, MethodKind::Password]).await;
    Ssh::connect(&options.clone().password("engine")).await.unwrap();
    let error = Ssh::connect(&options.password("abacus")).await.unwrap_err();
    assert!(
        matches!(&error, SshError::Denied { tried, .. } if tried == &["a password"]),
        "{error}"
    );
    assert!(!error.to_string().contains("abacus"), "{error}");
}

#[tokio::test]
async fn a_person_is_asked_for_the_password_three_times() {
    let folder = tempfile::tempdir().unwrap();
    let options = serve(folder.path(), &[MethodKind::Password]).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let ask = |right_at: usize| {
        let asked = Arc::clone(&asked);
        options.clone().ask_with(move |question| match question {
            SshQuestion::Password { user, .. } if user == "ada" => {
                let count = asked.fetch_add(1, Ordering::Relaxed) + 1;
                Some(if count == right_at { "engine" } else { "abacus" }.to_owned())
            }
            // Key files of whoever runs the tests.
            _ => None,
        })
    };
    Ssh::connect(&ask(2)).await.unwrap();
    assert_eq!(asked.swap(0, Ordering::Relaxed), 2);
    let error = Ssh::connect(&ask(9)).await.unwrap_err();
    assert!(matches!(error, SshError::Denied { .. }), "{error}");
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn nobody_who_could_be_asked_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let options = serve(folder.path(), &[MethodKind::Password]).await;
    let error = Ssh::connect(&options.ask_with(|_| None)).await.unwrap_err();
    assert!(error.to_string().contains("nobody could be asked"), "{error}");
}

#[tokio::test]
async fn a_server_that_holds_a_dialogue_gets_the_password_and_what_else_it_asks() {
    let folder = tempfile::tempdir().unwrap();
    let options = serve(folder.path(), &[MethodKind::KeyboardInteractive]).await;
    let options = options.password("engine");
    let answer = |code: &'static str| {
        options.clone().ask_with(move |question| match question {
            SshQuestion::Other {
                prompt,
                visible: true,
                ..
            } if prompt == "Code: " => Some(code.to_owned()),
            _ => None,
        })
    };
    Ssh::connect(&answer("1843")).await.unwrap();
    let error = Ssh::connect(&answer("1")).await.unwrap_err();
    assert!(matches!(error, SshError::Denied { .. }), "{error}");
}

#[tokio::test]
async fn the_time_a_person_takes_does_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let options = serve(folder.path(), &[MethodKind::Password]).await;
    let slow = options
        .timeout(Duration::from_secs(3))
        .ask_with(|question| match question {
            SshQuestion::Password { .. } => {
                std::thread::sleep(Duration::from_secs(4));
                Some("engine".to_owned())
            }
            _ => None,
        });
    Ssh::connect(&slow).await.unwrap();
}
