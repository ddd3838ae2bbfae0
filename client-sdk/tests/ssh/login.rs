//! Logging in with keys.

use std::net::TcpListener;
use std::time::Duration;

use labwire_client::ssh::{Ssh, SshError, SshOptions, SshQuestion};

use super::server::{Agent, DEADLINE, Server, make_key, user};

#[tokio::test]
async fn key_files_of_all_kinds_let_in() {
    let server = Server::start();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        server.authorize(&make_key(&server.path(kind), kind, ""));
        let ssh = Ssh::connect(&server.options().key_file(server.path(kind)))
            .await
            .unwrap();
        let output = ssh.run("id -un", DEADLINE).await.unwrap();
        assert_eq!(output.stdout.trim(), user(), "{kind}");
    }
}

#[tokio::test]
async fn an_encrypted_key_file_needs_its_passphrase() {
    let server = Server::start();
    server.authorize(&make_key(&server.path("encrypted"), "ed25519", "abacus"));
    let options = || server.options().key_file(server.path("encrypted"));
    Ssh::connect(&options().passphrase("abacus")).await.unwrap();

    let asked = server.path("encrypted");
    let answer = move |question: &SshQuestion| {
        assert_eq!(*question, SshQuestion::Passphrase { file: asked.clone() });
        Some("abacus".to_owned())
    };
    Ssh::connect(&options().ask_with(answer)).await.unwrap();

    let error = Ssh::connect(&options().passphrase("engine")).await.unwrap_err();
    assert!(
        matches!(error, SshError::Passphrase { given: true, .. }),
        "{error}"
    );
    let error = Ssh::connect(&options().ask_with(|_| None)).await.unwrap_err();
    assert!(
        matches!(error, SshError::Passphrase { given: false, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_key_that_the_server_does_not_know_is_refused() {
    let server = Server::start();
    make_key(&server.path("stranger"), "ed25519", "");
    let error = Ssh::connect(&server.options().key_file(server.path("stranger")))
        .await
        .unwrap_err();
    let text = error.to_string();
    let SshError::Denied {
        user: denied,
        accepted,
        ..
    } = error
    else {
        panic!("{text}");
    };
    assert_eq!((denied, accepted), (user(), vec!["publickey".to_owned()]));
    assert!(text.contains("stranger"), "{text}");
}

#[tokio::test]
async fn key_files_are_tried_in_turn() {
    let server = Server::start();
    make_key(&server.path("stranger"), "ed25519", "");
    let options = server
        .options()
        .key_file(server.path("stranger"))
        .key_file(server.path("user_key"));
    Ssh::connect(&options).await.unwrap();
}

#[tokio::test]
async fn a_file_that_holds_no_private_key_is_told() {
    let server = Server::start();
    for (file, word) in [("authorized_keys", "private key"), ("missing", "No such file")] {
        let error = Ssh::connect(&server.options().key_file(server.path(file)))
            .await
            .unwrap_err();
        assert!(matches!(error, SshError::KeyFile { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[tokio::test]
async fn the_keys_of_an_agent_let_in() {
    let server = Server::start();
    let agent = Agent::start(server.path("").as_path());
    let options = server.options().agent_socket(&agent.socket);
    let error = Ssh::connect(&options).await.unwrap_err();
    assert!(error.to_string().contains("the 0 keys of the agent"), "{error}");

    make_key(&server.path("stranger"), "ed25519", "");
    agent.add(&server.path("stranger"));
    server.authorize(&make_key(&server.path("rsa"), "rsa", ""));
    agent.add(&server.path("rsa"));
    Ssh::connect(&options).await.unwrap();
}

#[tokio::test]
async fn an_agent_that_is_not_there_is_told() {
    let server = Server::start();
    let error = Ssh::connect(&server.options().agent_socket(server.path("nobody")))
        .await
        .unwrap_err();
    assert!(matches!(error, SshError::Agent { .. }), "{error}");
}

#[tokio::test]
async fn the_user_is_asked_for_when_nobody_said_it() {
    let server = Server::start();
    let options = SshOptions::new("127.0.0.1")
        .port(server.port)
        .known_hosts(server.path("known_hosts"))
        .host_keys(labwire_client::ssh::HostKeys::Accept)
        .key_file(server.path("user_key"));
    let asked = options.clone().ask_with(|question| {
        matches!(question, SshQuestion::User { host } if host == "127.0.0.1").then(user)
    });
    Ssh::connect(&asked).await.unwrap();
    let error = Ssh::connect(&options.ask_with(|_| None)).await.unwrap_err();
    assert!(matches!(error, SshError::NoUser { .. }), "{error}");
}

#[tokio::test]
async fn nobody_at_the_port_and_silence_there_are_told() {
    let server = Server::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let silent = server.with_key().port(port).timeout(Duration::from_millis(300));
    let error = Ssh::connect(&silent).await.unwrap_err();
    assert!(matches!(error, SshError::TimedOut { .. }), "{error}");
    drop(listener);
    let error = Ssh::connect(&silent.timeout(DEADLINE)).await.unwrap_err();
    assert!(matches!(error, SshError::Unreachable { .. }), "{error}");
}
