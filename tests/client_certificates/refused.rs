//! Certificates that are not accepted, and what both sides are told.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::peer::{Peer, home, issue, labwire, labwire_as, start};
use crate::support::clock;
use crate::support::manager::{Home, Manager};

/// Runs `openssl` in a folder.
fn openssl(home: &Home, arguments: &str) {
    let mut command = Command::new("openssl");
    command.args(arguments.split(' ')).current_dir(home.path(""));
    let output = command.output().unwrap();
    assert!(output.status.success(), "openssl {arguments}: {output:?}");
}

/// Makes `NAME.crt` and `NAME.key` with OpenSSL: a certificate of this subject and these extensions,
/// issued by `ISSUER.crt`.
fn sign(home: &Home, name: &str, subject: &str, extensions: &str, issuer: &str) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(
        home,
        &format!("req -utf8 -new {key} -keyout {name}.key -out {name}.csr -subj {subject}"),
    );
    std::fs::write(home.path("extensions"), extensions).unwrap();
    openssl(
        home,
        &format!(
            "x509 -req -in {name}.csr -CA {issuer}.crt -CAkey {issuer}.key -days 30 -out {name}.crt -extfile extensions"
        ),
    );
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(home.path(&format!("{name}.key")), mode).unwrap();
}

const FOR_CLIENTS: &str = "extendedKeyUsage=clientAuth";

/// Expects that the handshake with the certificate `NAME.crt` ends, that a client is told the one text,
/// and that the log has the other.
fn expect_refusal(manager: &Manager, name: &str, told: &str, logged: &str) {
    let status = labwire_as(manager, name, &["status"]);
    let error = String::from_utf8_lossy(&status.stderr).into_owned();
    assert_eq!(status.status.code(), Some(4), "{name}: {status:?}");
    assert!(error.contains(told), "{name}: {error}");
    manager.wait_for_log(logged);
}

#[test]
fn a_certificate_that_is_not_valid_ends_the_handshake_and_both_sides_say_why() {
    let home = home();
    // Another authority issues one for the same user.
    home.prepare(&["certgen", "--ca", "other.crt"]);
    home.prepare(&[
        "certgen",
        "--client",
        "ada",
        "--issuer",
        "other.crt",
        "foreign.crt",
    ]);
    sign(&home, "server", "/CN=ada", "extendedKeyUsage=serverAuth", "ca");
    let mut command = home.command(&[
        "certgen",
        "--client",
        "ada",
        "--issuer",
        "ca.crt",
        "old.crt",
        "--years-valid",
        "0.1",
    ]);
    clock::begin_at(&mut command, "2024-01-01 00:00:00");
    assert!(command.output().unwrap().status.success());
    let manager = start(home, &["--auth-login"]);
    for (name, told, logged) in [
        (
            "foreign",
            "its issuer is unknown",
            "none of the authorities in --client-ca",
        ),
        (
            "server",
            "it is not for TLS clients",
            "that is not accepted: it is not for TLS clients",
        ),
        (
            "old",
            "it has expired or is not valid yet",
            "that is not accepted: it has expired",
        ),
    ] {
        expect_refusal(&manager, name, told, logged);
    }
    let home = manager.end();
    let history = home.labwire(&["history", "--file", "manager.record.sqlite3", "--json"]);
    let history = String::from_utf8(history.stdout).unwrap();
    assert!(
        history.contains("the client certificate is not accepted: it has expired"),
        "{history}"
    );
}

#[test]
fn a_certificate_is_for_one_user_by_its_only_name_and_for_nobody_otherwise() {
    let home = home();
    sign(&home, "two", "/CN=ada/CN=root", FOR_CLIENTS, "ca");
    sign(&home, "none", "/O=Laboratory", FOR_CLIENTS, "ca");
    // The first letter is Cyrillic.
    sign(&home, "alike", "/CN=\u{430}da", FOR_CLIENTS, "ca");
    sign(
        &home,
        "mail",
        "/O=Laboratory",
        &format!("{FOR_CLIENTS}\nsubjectAltName=email:ada"),
        "ca",
    );
    sign(
        &home,
        "names",
        "/O=Laboratory",
        &format!("{FOR_CLIENTS}\nsubjectAltName=DNS:ada,DNS:root"),
        "ca",
    );
    sign(&home, "invisible", "/CN=ad\u{200b}a", FOR_CLIENTS, "ca");
    sign(&home, "case", "/CN=ADA", FOR_CLIENTS, "ca");
    let manager = start(home, &["--auth-certificate"]);
    for (name, told) in [
        ("two", "it has several common names"),
        ("none", "it has neither a common name"),
        ("names", "several alternative names"),
        ("alike", "who is no user of this manager"),
        ("invisible", "U+200B"),
        ("case", "who is no user of this manager"),
    ] {
        let status = labwire_as(&manager, name, &["status"]);
        let error = String::from_utf8_lossy(&status.stderr).into_owned();
        assert_eq!(status.status.code(), Some(4), "{name}: {status:?}");
        assert!(error.contains(told), "{name}: {error}");
    }
    assert!(labwire_as(&manager, "mail", &["status"]).status.success());
}

#[test]
fn a_chain_may_have_intermediate_authorities_and_is_bounded() {
    let home = home();
    let root = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -keyout root.key -out root.crt";
    openssl(
        &home,
        &format!("{root} -subj /CN=Root -addext keyUsage=critical,keyCertSign,cRLSign"),
    );
    let authority = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign";
    sign(&home, "middle", "/CN=Middle", authority, "root");
    sign(&home, "leaf", "/CN=ada", FOR_CLIENTS, "middle");
    sign(&home, "below", "/CN=ada", FOR_CLIENTS, "ca");
    let manager = Manager::start_in(home, &["--auth-certificate", "--client-ca", "root.crt"]);
    let read = |name: &str| std::fs::read_to_string(manager.home().path(name)).unwrap();
    // Without the authority between, the issuer is unknown.
    expect_refusal(
        &manager,
        "leaf",
        "its issuer is unknown",
        "none of the authorities in --client-ca",
    );
    let chain = read("leaf.crt") + &read("middle.crt");
    std::fs::write(manager.home().path("leaf.crt"), &chain).unwrap();
    assert!(labwire_as(&manager, "leaf", &["status"]).status.success());
    std::fs::write(
        manager.home().path("leaf.crt"),
        chain + &read("middle.crt").repeat(40),
    )
    .unwrap();
    expect_refusal(
        &manager,
        "leaf",
        "damaged or not suitable",
        "has more than 8 certificates or 16384 bytes",
    );
    // The users of `ca.crt`, which this manager does not know, are refused.
    expect_refusal(
        &manager,
        "below",
        "its issuer is unknown",
        "none of the authorities",
    );
}

#[test]
fn the_certificate_of_a_user_issues_no_others() {
    let home = home();
    issue(&home, "ada");
    sign(&home, "leaf", "/CN=root", FOR_CLIENTS, "ada");
    let manager = Manager::start_in(home, &["--auth-certificate", "--client-ca", "ca.crt"]);
    let read = |name: &str| std::fs::read_to_string(manager.home().path(name)).unwrap();
    std::fs::write(
        manager.home().path("leaf.crt"),
        read("leaf.crt") + &read("ada.crt"),
    )
    .unwrap();
    expect_refusal(&manager, "leaf", "does not accept", "that is not accepted: ");
}

#[test]
fn a_client_says_what_is_wrong_with_the_files_of_its_certificate() {
    let home = home();
    issue(&home, "ada");
    issue(&home, "root");
    let manager = start(home, &["--auth-certificate"]);
    let home = manager.home();
    openssl(
        home,
        "ec -in ada.key -aes256 -passout pass:abc -out encrypted.key",
    );
    let restrict = |name: &str, mode: u32| {
        std::fs::set_permissions(home.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    restrict("encrypted.key", 0o600);
    std::fs::copy(home.path("ada.key"), home.path("open.key")).unwrap();
    restrict("open.key", 0o644);
    for (certificate, key, told) in [
        ("ada.crt", "open.key", "chmod 600 'open.key'"),
        ("ada.crt", "encrypted.key", "openssl pkey -in 'encrypted.key'"),
        ("ada.crt", "root.key", "holds the key of another certificate"),
        ("ada.crt", "missing.key", "missing.key cannot be read"),
        ("missing.crt", "ada.key", "missing.crt cannot be read"),
        ("ada.key", "ada.key", "holds no certificate in PEM form"),
        ("ada.crt", "ada.crt", "holds no private key in PEM form"),
    ] {
        let options = ["status", "--client-cert", certificate, "--client-key", key];
        let status = labwire(&manager, &options);
        let error = String::from_utf8_lossy(&status.stderr).into_owned();
        assert_eq!(status.status.code(), Some(1), "{key}: {status:?}");
        assert!(error.contains(told), "{key}: {error}");
    }
    let status = labwire(&manager, &["status", "--client-key", "ada.key"]);
    let error = String::from_utf8_lossy(&status.stderr).into_owned();
    assert!(error.contains("is a key without a certificate"), "{error}");
}

#[test]
fn the_key_of_a_certificate_must_be_proved() {
    let home = home();
    issue(&home, "ada");
    issue(&home, "root");
    let manager = start(home, &["--auth-certificate"]);
    // openssl refuses a key that does not fit, so nothing but the certificate itself remains.
    let peer = Peer::with_options(&manager, &["-cert", "ada.crt", "-key", "root.key"]);
    peer.wait_for_end();
    assert!(!manager.log().contains("is a new Client connection"));
}
