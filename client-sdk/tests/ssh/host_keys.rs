//! Whom a client believes to be the other computer.

use std::sync::Arc;

use labwire_client::ssh::{HostKeys, Ssh, SshError, UnknownHost};

use super::server::{Server, fingerprint, make_key};

#[tokio::test]
async fn a_server_that_is_accepted_is_known_from_then_on() {
    let server = Server::start();
    server.connect().await.close().await;
    let known = server.text("known_hosts");
    assert!(
        known.starts_with(&format!("[127.0.0.1]:{} ssh-ed25519 ", server.port)),
        "{known}"
    );
    let options = server.with_key().host_keys(HostKeys::Refuse);
    Ssh::connect(&options).await.unwrap().close().await;
    assert_eq!(server.text("known_hosts"), known);
}

#[tokio::test]
async fn a_server_that_is_known_by_a_hash_is_known() {
    let server = Server::start();
    server.connect().await.close().await;
    let hashed = std::process::Command::new("ssh-keygen")
        .arg("-Hf")
        .arg(server.path("known_hosts"))
        .output();
    assert!(hashed.unwrap().status.success());
    assert!(server.text("known_hosts").starts_with("|1|"));
    let options = server.with_key().host_keys(HostKeys::Refuse);
    Ssh::connect(&options).await.unwrap().close().await;
}

#[tokio::test]
async fn an_unknown_server_is_refused_with_its_fingerprint_when_nobody_can_be_asked() {
    let server = Server::start();
    // The tests have no terminal, or one at which nobody sits: a function answers for it.
    for policy in [HostKeys::Refuse, HostKeys::Decide(Arc::new(|_| false))] {
        let error = Ssh::connect(&server.with_key().host_keys(policy))
            .await
            .unwrap_err();
        let SshError::UnknownHost {
            host,
            fingerprint: presented,
            ..
        } = &error
        else {
            panic!("{error}");
        };
        assert_eq!(*host, format!("[127.0.0.1]:{}", server.port));
        assert_eq!(*presented, fingerprint(&server.path("host_key")));
        assert!(error.to_string().contains("ssh-keygen -l"), "{error}");
    }
    assert!(!server.path("known_hosts").exists());
}

#[tokio::test]
async fn a_function_can_decide_about_an_unknown_server() {
    let server = Server::start();
    let expected = UnknownHost {
        host: format!("[127.0.0.1]:{}", server.port),
        algorithm: "ssh-ed25519".to_owned(),
        fingerprint: fingerprint(&server.path("host_key")),
    };
    let decide = HostKeys::Decide(Arc::new(move |unknown| *unknown == expected));
    Ssh::connect(&server.with_key().host_keys(decide))
        .await
        .unwrap()
        .close()
        .await;
    assert!(server.path("known_hosts").exists());
}

#[tokio::test]
async fn a_changed_key_is_refused_under_every_policy() {
    let server = Server::start();
    let other = make_key(&server.path("other"), "ed25519", "");
    let known = format!("# the lab\n[127.0.0.1]:{} {other}", server.port);
    std::fs::write(server.path("known_hosts"), &known).unwrap();
    for policy in [
        HostKeys::Ask,
        HostKeys::Accept,
        HostKeys::Refuse,
        HostKeys::Decide(Arc::new(|_| true)),
    ] {
        let error = Ssh::connect(&server.with_key().host_keys(policy))
            .await
            .unwrap_err();
        let text = error.to_string();
        let SshError::Changed {
            trusted,
            presented,
            file,
            line,
            ..
        } = error
        else {
            panic!("{text}");
        };
        assert_eq!(trusted, fingerprint(&server.path("other")));
        assert_eq!(presented, fingerprint(&server.path("host_key")));
        assert_eq!((file, line), (server.path("known_hosts"), 2));
        for part in [&trusted, &presented, "line 2", "ssh-keygen -R", "between you"] {
            assert!(text.contains(part), "{text}");
        }
    }
    assert_eq!(server.text("known_hosts"), known);
}

#[tokio::test]
async fn the_line_that_a_changed_key_names_can_be_removed_as_the_error_says() {
    let server = Server::start();
    let other = make_key(&server.path("other"), "ed25519", "");
    std::fs::write(
        server.path("known_hosts"),
        format!("[127.0.0.1]:{} {other}", server.port),
    )
    .unwrap();
    let text = Ssh::connect(&server.with_key()).await.unwrap_err().to_string();
    let remedy = text.split('`').nth(1).unwrap();
    assert!(
        std::process::Command::new("sh")
            .args(["-c", remedy])
            .output()
            .unwrap()
            .status
            .success()
    );
    server.connect().await.close().await;
}

#[tokio::test]
async fn a_file_of_known_servers_that_cannot_be_read_is_no_empty_one() {
    let server = Server::start();
    std::fs::create_dir(server.path("known_hosts")).unwrap();
    let error = Ssh::connect(&server.with_key()).await.unwrap_err();
    assert!(matches!(error, SshError::KnownHosts { .. }), "{error}");
}
