//! Revoked certificates, and lists that are overdue.

use super::peer::{ASKING, Peer, home, issue, labwire_as, start};
use crate::support::clock;
use crate::support::manager::{HOST, Home, Manager};
use crate::support::process::Signal;

/// Revokes the certificate of ada.
fn revoke(home: &Home) {
    home.prepare(&["certgen", "--revoke", "ada.crt", "--issuer", "ca.crt", "ca.crl"]);
}

#[test]
fn connections_of_a_revoked_certificate_end_at_hup_and_others_stay() {
    let home = home();
    let serial = issue(&home, "ada");
    issue(&home, "root");
    let manager = start(home, &["--auth-certificate"]);
    let ada = Peer::with_certificate(&manager, "ada").client();
    let mut root = Peer::with_certificate(&manager, "root").client();
    revoke(manager.home());
    manager.signal(Signal::HUP);
    ada.wait_for_end();
    manager.wait_for_log("1 revoked in ca.crl");
    manager.wait_for_log("the client certificate was revoked");
    let identity = root.ask(&super::to_manager("identity"));
    assert_eq!(identity["error"], false, "{identity}");
    // A new connection is refused in its handshake, and both sides say why.
    let status = labwire_as(&manager, "ada", &["status"]);
    assert_eq!(status.status.code(), Some(4), "{status:?}");
    let told = String::from_utf8_lossy(&status.stderr).into_owned();
    assert!(
        told.contains("does not accept the client certificate: it was revoked"),
        "{told}"
    );
    manager.wait_for_log("has presented a certificate that is not accepted: it was revoked");
    // By its serial number, a certificate is revoked whose file is lost.
    let home = manager.end();
    std::fs::remove_file(home.path("ca.crl")).unwrap();
    let by_number = ["certgen", "--revoke", &serial, "--issuer", "ca.crt", "ca.crl"];
    home.prepare(&by_number);
    let manager = start(home, &["--auth-certificate"]);
    assert_eq!(labwire_as(&manager, "ada", &["status"]).status.code(), Some(4));
    assert!(labwire_as(&manager, "root", &["status"]).status.success());
}

#[test]
fn an_older_list_is_not_taken_at_hup() {
    let home = home();
    issue(&home, "ada");
    issue(&home, "root");
    let manager = start(home, &["--auth-certificate"]);
    let file = |name: &str| manager.home().path(name);
    std::fs::copy(file("ca.crl"), file("old.crl")).unwrap();
    revoke(manager.home());
    manager.signal(Signal::HUP);
    manager.wait_for_log("1 revoked in ca.crl");
    std::fs::copy(file("old.crl"), file("ca.crl")).unwrap();
    manager.signal(Signal::HUP);
    manager.wait_for_log("is older than one that was in use before");
    assert_eq!(labwire_as(&manager, "ada", &["status"]).status.code(), Some(4));
    assert!(labwire_as(&manager, "root", &["status"]).status.success());
}

#[test]
fn two_lists_of_one_authority_are_refused() {
    let home = home();
    issue(&home, "ada");
    let mut lists = std::fs::read(home.path("ca.crl")).unwrap();
    revoke(&home);
    lists.extend(std::fs::read(home.path("ca.crl")).unwrap());
    std::fs::write(home.path("ca.crl"), lists).unwrap();
    let start = [&["start", "--check", "--auth-certificate"], &ASKING[..]].concat();
    let checked = home.labwire(&start);
    let told = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
    assert!(
        !checked.status.success() && told.contains("it is the second one of"),
        "{told}"
    );
}

#[test]
fn certificates_that_are_revoked_at_the_same_time_are_all_in_the_list() {
    const COUNT: usize = 6;

    let home = home();
    let names: Vec<_> = (0..COUNT).map(|number| format!("u{number}")).collect();
    let mut revoking = Vec::new();
    for name in &names {
        issue(&home, name);
    }
    for name in &names {
        let certificate = format!("{name}.crt");
        let mut command = home.command(&[
            "certgen",
            "--revoke",
            &certificate,
            "--issuer",
            "ca.crt",
            "ca.crl",
        ]);
        revoking.push(command.stdout(std::process::Stdio::null()).spawn().unwrap());
    }
    for mut command in revoking {
        assert!(command.wait().unwrap().success());
    }
    let list = std::process::Command::new("openssl")
        .args(["crl", "-noout", "-text", "-in"])
        .arg(home.path("ca.crl"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&list.stdout).into_owned();
    assert_eq!(text.matches("Serial Number:").count(), COUNT, "{text}");
}

#[test]
fn connections_of_an_authority_that_is_removed_end_at_hup() {
    let home = home();
    issue(&home, "ada");
    home.prepare(&["certgen", "--ca", "other.crt"]);
    let manager = Manager::start_in(home, &["--auth-certificate", "--client-ca", "ca.crt"]);
    let ada = Peer::with_certificate(&manager, "ada").client();
    std::fs::copy(manager.home().path("other.crt"), manager.home().path("ca.crt")).unwrap();
    manager.signal(Signal::HUP);
    ada.wait_for_end();
    manager.wait_for_log("the client certificate is not accepted any more");
}

/// Connects with the certificate of ada, and writes the TLS session to a file, or resumes it.
fn s_client(manager: &Manager, version: &str, session: &[&str]) -> String {
    let address = format!("{HOST}:{}", manager.port());
    let mut command = std::process::Command::new("openssl");
    command
        .args([
            "s_client", "-connect", &address, version, "-cert", "ada.crt", "-key", "ada.key",
        ])
        .args(session)
        .current_dir(manager.home().path(""));
    let mut process = crate::support::process::Process::spawn("openssl s_client", &mut command);
    // The session arrives with the first bytes, and is written when openssl ends.
    process.wait_for("a frame", |line| line.contains("\"requester\"").then_some(()));
    process.close_input();
    process.wait();
    process.everything_printed()
}

#[test]
fn a_session_of_tls_that_is_resumed_lets_no_revoked_certificate_in() {
    for version in ["-tls1_3", "-tls1_2"] {
        let home = home();
        issue(&home, "ada");
        let manager = start(home, &["--auth-certificate"]);
        s_client(&manager, version, &["-sess_out", "session"]);
        let again = s_client(&manager, version, &["-sess_in", "session"]);
        assert!(again.contains("Reused, TLS"), "{version}: {again}");
        assert!(again.contains("\"attribute\":\"identity\""), "{version}: {again}");
        revoke(manager.home());
        manager.signal(Signal::HUP);
        manager.wait_for_log("1 revoked in ca.crl");
        let refused = s_client(&manager, version, &["-sess_in", "session"]);
        assert!(refused.contains("Reused, TLS"), "{version}: {refused}");
        assert!(
            refused.contains("the client certificate was revoked"),
            "{version}: {refused}"
        );
        assert!(
            !refused.contains("\"attribute\":\"identity\""),
            "{version}: {refused}"
        );
    }
}

#[test]
fn an_overdue_list_lets_nobody_in_by_certificate_and_the_operator_is_told() {
    let home = home();
    issue(&home, "ada");
    std::fs::remove_file(home.path("ca.crl")).unwrap();
    // The authority began a day before it was made, so the list of some hours before is one of it.
    let list = [
        "certgen",
        "--crl",
        "--issuer",
        "ca.crt",
        "ca.crl",
        "--years-valid",
        "0.001",
    ];
    let mut command = home.command(&list);
    clock::begin_at(&mut command, "2024-01-01 00:00:00");
    let made = command.output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let check = ["start", "--check", "--port", "0", "--auth-certificate"];
    let check = home.labwire(&[&check[..], &ASKING].concat());
    let printed = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(printed.contains("doubtful  clients "), "{printed}");
    assert!(printed.contains("is overdue since 2024-01-01"), "{printed}");
    let manager = start(home, &["--auth-login"]);
    manager.wait_for_log("is overdue since 2024-01-01");
    let status = labwire_as(&manager, "ada", &["status"]);
    assert_eq!(status.status.code(), Some(4), "{status:?}");
    manager.wait_for_log("the list of revoked certificates of its issuer is overdue");
    // Once it is renewed, they are admitted, and others never were kept out.
    assert_eq!(
        Peer::without_certificate(&manager).frame()["attribute"],
        "username"
    );
    manager
        .home()
        .prepare(&["certgen", "--crl", "--issuer", "ca.crt", "ca.crl"]);
    manager.signal(Signal::HUP);
    manager.wait_for_log("0 revoked in ca.crl");
    manager.wait_for_log("opened the log file anew");
    assert!(labwire_as(&manager, "ada", &["status"]).status.success());
}
