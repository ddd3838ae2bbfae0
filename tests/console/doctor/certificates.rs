//! Certificates and clocks.

use std::fs;
use std::process::Command;

use super::{Diagnosis, diagnose, doctor, doctor_of};
use crate::support::clock::begin_at;
use crate::support::manager::{Home, Manager};

fn address(manager: &Manager) -> String {
    format!("localhost:{}", manager.port())
}

/// Runs OpenSSL in the home folder, with words between spaces.
fn openssl(home: &Home, line: &str) {
    let mut command = Command::new("openssl");
    let made = command
        .args(line.split_whitespace())
        .current_dir(home.path(""))
        .output()
        .unwrap();
    assert!(made.status.success(), "{line}: {made:?}");
}

const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

#[test]
fn an_unknown_certificate_is_told_with_its_fingerprint_and_nothing_is_saved() {
    let manager = Manager::start(&[]);
    let home = Home::new();
    let diagnosis = diagnose(&mut doctor(&home, &[&address(&manager)]));
    let line = manager.wait_for_log("SHA-256 fingerprint is ");
    let fingerprint = line.rsplit(' ').next().unwrap();
    let remedy = format!("labwire trust localhost:{}", manager.port());
    diagnosis.failed(4, "certificate", "unknown-certificate", &[fingerprint, &remedy]);
    assert!(!home.path("certs").exists());
}

#[test]
fn a_changed_certificate_is_told_with_both_fingerprints_and_its_file() {
    let (manager, former) = (Manager::start(&[]), Manager::start(&[]));
    let home = Home::new();
    fs::create_dir(home.path("certs")).unwrap();
    fs::copy(former.certificate(), home.path("certs/localhost.crt")).unwrap();
    let diagnosis = diagnose(&mut doctor(&home, &[&address(&manager)]));
    let remedy = format!("labwire trust localhost:{}", manager.port());
    let texts = ["certs/localhost.crt", "saved on ", &remedy];
    diagnosis.failed(4, "certificate", "certificate-changed", &texts);

    let file = former.certificate();
    let given = diagnose(&mut doctor(&home, &[&address(&manager), "--cert-file", &file]));
    given.failed(
        4,
        "certificate",
        "certificate-changed",
        &[&file, "leave --cert-file out"],
    );
    let missing = diagnose(&mut doctor(
        &home,
        &[&address(&manager), "--cert-file", "none.pem"],
    ));
    missing.failed(1, "certificate", "certificate-file", &["none.pem", "--cert-file"]);
}

/// Runs `labwire certgen` with these arguments, and makes the manager use the new certificate.
fn renew(manager: &Manager, arguments: &[&str]) {
    let made = manager.home().labwire(arguments);
    let made = String::from_utf8(made.stdout).unwrap();
    let fingerprint = made
        .lines()
        .find_map(|line| line.strip_prefix("SHA-256 fingerprint: "));
    manager.signal(crate::support::process::Signal::HUP);
    manager.wait_for_log(fingerprint.unwrap());
}

#[test]
fn a_certificate_that_does_not_name_the_host_is_told_with_the_names_that_it_has() {
    let manager = Manager::start(&[]);
    // An address of this computer that no certificate names.
    let target = format!("127.0.0.2:{}", manager.port());
    let diagnosis = diagnose(&mut doctor_of(&manager, &[&target]));
    let texts = ["'127.0.0.2'", "localhost", "labwire certgen --name 127.0.0.2"];
    diagnosis.failed(4, "certificate", "other-host", &texts);
    // It is not enough to trust it.
    let unknown = diagnose(&mut doctor(&Home::new(), &[&target]));
    let remedy = format!("labwire trust {target}");
    unknown.failed(
        4,
        "certificate",
        "other-host",
        &["certgen where it was started, with --name 127.0.0.2", &remedy],
    );
    // The remedy repairs it.
    renew(&manager, &["certgen", "--name", "127.0.0.2"]);
    let repaired = diagnose(&mut doctor_of(&manager, &[&target]));
    assert_eq!(repaired.code, Some(0), "{repaired:#?}");
}

/// Returns the commands that make a certificate.
fn certgen_of(diagnosis: &Diagnosis) -> Vec<&str> {
    let mut commands = diagnosis.commands("certificate");
    commands.retain(|command| command.contains("certgen"));
    commands
}

#[test]
fn no_remedy_replaces_the_certificate_of_another_manager_of_this_computer() {
    let texts = [
        "this manager uses another certificate file than this home folder's (its --cert-file, or another LABWIRE_HOME)",
        "run certgen where it was started, with --name 127.0.0.2",
    ];
    // The manager of this home folder has a certificate without a fault.
    let desk = Home::new();
    desk.prepare(&["certgen"]);
    // A manager with another LABWIRE_HOME.
    let manager = Manager::start(&[]);
    let target = format!("127.0.0.2:{}", manager.port());
    let diagnosis = diagnose(&mut doctor(&desk, &[&target]));
    diagnosis.failed(4, "certificate", "other-host", &texts);
    assert_eq!(certgen_of(&diagnosis), [""; 0]);
    // A manager with --cert-file in this home folder, whose certificate has expired.
    let files = ["certgen", "--key-file", "keys/localhost.key", "other.crt"];
    let mut made = desk.command(&[&files[..], &["--years-valid", "1"]].concat());
    begin_at(&mut made, "2020-01-01 00:00:00");
    assert!(made.output().unwrap().status.success());
    let options = ["--cert-file", "other.crt", "--key-file", "keys/localhost.key"];
    let manager = Manager::start_in(desk, &options);
    let target = address(&manager);
    super::run(&mut manager.home().command(&["trust", &target, "--yes"]));
    let diagnosis = diagnose(&mut doctor(manager.home(), &[&target]));
    let texts = [texts[0], "and the FILE of its --cert-file, if it has them"];
    diagnosis.failed(4, "certificate", "expired", &texts);
    assert_eq!(certgen_of(&diagnosis), [""; 0]);
}

#[test]
fn a_changed_certificate_costs_no_manager_of_this_computer_its_own() {
    let elsewhere = Manager::start(&[]);
    let desk = Home::new();
    desk.prepare(&["certgen"]);
    let own = desk.argument("certs/localhost.crt");
    let target = address(&elsewhere);
    let remedy = format!("labwire trust {target}");
    let diagnosis = diagnose(&mut doctor(&desk, &[&target]));
    let texts = [&*own, "the own certificate of a manager of this computer"];
    diagnosis.failed(4, "certificate", "certificate-changed", &texts);
    assert_eq!(diagnosis.commands("certificate"), [&*remedy]);
    // The file was given as the one to trust.
    let given = diagnose(&mut doctor(&desk, &[&target, "--cert-file", &own]));
    let texts = ["which stays as it is", "leave --cert-file out"];
    given.failed(4, "certificate", "certificate-changed", &texts);
    // The remedy repairs it, and the certificate is the same one.
    let before = fs::read(&own).unwrap();
    desk.prepare(&["trust", &target, "--yes"]);
    assert!(fs::read(&own).unwrap() == before);
    assert_eq!(diagnose(&mut doctor(&desk, &[&target])).code, Some(0));
}

#[test]
fn an_issuer_that_is_not_trusted_is_told() {
    let home = Home::new();
    openssl(
        &home,
        &format!("req -x509 {NEW_KEY} -days 90 -subj /CN=Institute -keyout ca.key -out ca.crt"),
    );
    openssl(
        &home,
        &format!("req -new {NEW_KEY} -subj /CN=bench -keyout k.pem -out c.csr"),
    );
    fs::write(home.path("names"), "subjectAltName=DNS:localhost\n").unwrap();
    openssl(
        &home,
        "x509 -req -in c.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 90 -extfile names -out c.pem",
    );
    openssl(
        &home,
        &format!("req -x509 {NEW_KEY} -days 90 -subj /CN=Other -keyout other.key -out other.crt"),
    );
    let manager = Manager::start_in(home, &["--cert-file", "c.pem", "--key-file", "k.pem"]);
    let given = |file: &str| {
        let mut command = doctor(manager.home(), &[&address(&manager), "--cert-file", file]);
        diagnose(&mut command)
    };
    let texts = ["'Institute'", "--cert-file", "has to come first"];
    given("other.crt").failed(4, "certificate", "unknown-issuer", &texts);
    let trusted = given("ca.crt");
    assert_eq!(trusted.code, Some(0), "{trusted:#?}");
}

#[test]
fn an_expired_certificate_is_told_and_one_that_expires_soon() {
    let home = Home::new();
    let mut made = home.command(&[
        "certgen",
        "--years-valid",
        "1",
        "--name",
        "lab-pc.example.org,192.0.2.77",
    ]);
    begin_at(&mut made, "2020-01-01 00:00:00");
    assert!(made.output().unwrap().status.success());
    let manager = Manager::start_in(home, &[]);
    let diagnosis = diagnose(&mut doctor(manager.home(), &[&address(&manager)]));
    let made = "labwire certgen --name lab-pc.example.org,192.0.2.77\"";
    let texts = ["has expired on 2021-01-01", made, "kill -HUP"];
    diagnosis.failed(4, "certificate", "expired", &texts);
    // The manager's own file is the one that programs of this user trust.
    let told = diagnosis.check("certificate").to_string();
    assert!(!told.contains("labwire trust"), "{told}");
    let elsewhere = diagnose(&mut doctor(&Home::new(), &[&address(&manager)]));
    let remedy = format!("labwire trust localhost:{}", manager.port());
    let texts = ["run certgen where it was started, with --name lab-pc", &remedy];
    elsewhere.failed(4, "certificate", "expired", &texts);
    assert_eq!(certgen_of(&elsewhere), [""; 0]);
    let copy = manager.home().argument("copy.crt");
    fs::copy(manager.certificate(), &copy).unwrap();
    let given = diagnose(doctor_of(&manager, &[]).env("LABWIRE_CERT_FILE", &copy));
    let texts = ["in the place of", "LABWIRE_CERT_FILE"];
    given.failed(4, "certificate", "expired", &texts);

    let home = Home::new();
    home.prepare(&["certgen", "--years-valid", "0.05"]);
    let manager = Manager::start_in(home, &[]);
    let diagnosis = diagnose(&mut doctor_of(&manager, &[]));
    diagnosis.warned("certificate", "expires-soon", &["day(s)", "labwire certgen"]);
}

#[test]
fn the_files_of_a_manager_that_was_started_with_a_host_are_in_the_remedy() {
    let home = Home::new();
    home.prepare(&["keygen", "ecc", "--out", "keys/127.0.0.1.key"]);
    let mut made = home.command(&[
        "certgen",
        "--key-file",
        "keys/127.0.0.1.key",
        "certs/127.0.0.1.crt",
    ]);
    made.args(["--years-valid", "1"]);
    begin_at(&mut made, "2020-01-01 00:00:00");
    assert!(made.output().unwrap().status.success());
    let manager = Manager::start_in(home, &["--host", "127.0.0.1"]);
    let target = format!("127.0.0.1:{}", manager.port());
    let diagnosis = diagnose(&mut doctor(manager.home(), &[&target]));
    let command = format!(
        "labwire certgen --key-file {} {}",
        manager.home().argument("keys/127.0.0.1.key"),
        manager.home().argument("certs/127.0.0.1.crt")
    );
    diagnosis.failed(4, "certificate", "expired", &[&command]);
    // The remedy repairs it.
    let words: Vec<_> = command.split(' ').skip(1).collect();
    renew(&manager, &words);
    let repaired = diagnose(&mut doctor(manager.home(), &[&target]));
    assert_eq!(repaired.code, Some(0), "{repaired:#?}");
}

#[test]
fn a_certificate_with_a_thousand_names_does_not_fill_the_screen() {
    let home = Home::new();
    openssl(
        &home,
        &format!("req -new {NEW_KEY} -subj /CN=bench -keyout k.pem -out c.csr"),
    );
    let names: Vec<_> = (0..1_000).map(|number| format!("DNS:host-{number}")).collect();
    fs::write(
        home.path("names"),
        format!("subjectAltName={}\n", names.join(",")),
    )
    .unwrap();
    openssl(
        &home,
        "x509 -req -in c.csr -signkey k.pem -days 90 -extfile names -out c.pem",
    );
    let manager = Manager::start_in(home, &["--cert-file", "c.pem", "--key-file", "k.pem"]);
    let target = address(&manager);
    let given = diagnose(&mut doctor_of(&manager, &[&target]));
    let texts = ["host-9, and 990 more", "run certgen where it was started"];
    given.failed(4, "certificate", "other-host", &texts);
    assert!(given.check("certificate").to_string().len() < 3_000, "{given:#?}");
    let trusted = super::run(&mut manager.home().command(&["trust", &target, "--yes"]));
    for (stream, text) in [
        (&trusted.output, "names"),
        (&trusted.errors, "a name that it holds"),
    ] {
        assert!(
            stream.contains(text) && stream.contains("and 990 more"),
            "{trusted:?}"
        );
        assert!(stream.len() < 2_000, "{trusted:?}");
    }
}

#[test]
fn a_clock_that_is_wrong_is_told() {
    let manager = Manager::start(&[]);
    let at = |time: &str| {
        let mut command = doctor_of(&manager, &[]);
        begin_at(&mut command, time);
        // Files keep the times at which they were written.
        diagnose(command.env("NO_FAKE_STAT", "1"))
    };
    let behind = at("2001-01-01 12:00:00");
    let texts = ["clock shows 2001-01-01 12:00", "set it"];
    behind.failed(4, "certificate", "not-yet-valid", &texts);
    assert!(
        behind.with("warning").contains(&("clock", "clock-behind")),
        "{behind:#?}"
    );
    let ahead = at("2300-01-01 12:00:00");
    ahead.failed(
        4,
        "certificate",
        "expired",
        &["clock shows 2300-01-01 12:00", "set it"],
    );
}

#[test]
fn an_old_certificate_that_the_python_package_has_saved_is_told() {
    let (manager, former) = (Manager::start(&[]), Manager::start(&[]));
    let python = Home::new();
    fs::create_dir(python.path("certs")).unwrap();
    fs::copy(former.certificate(), python.path("certs/localhost.crt")).unwrap();
    let with_python = || {
        let mut command = doctor_of(&manager, &[]);
        diagnose(command.env("MSL_NETWORK_HOME", python.path("")))
    };
    let remedy = format!("labwire trust localhost:{}", manager.port());
    let file = python.argument("certs/localhost.crt");
    let texts = [&*file, "saved on ", &remedy, "one certificate per host"];
    with_python().warned("python", "python-certificate", &texts);
    // The remedy repairs it.
    let trust = ["trust", &address(&manager), "--yes"];
    let mut trust = manager.home().command(&trust);
    let trusted = super::run(trust.env("MSL_NETWORK_HOME", python.path("")));
    assert_eq!(trusted.code, Some(0), "{trusted:?}");
    assert_eq!(with_python().check("python")["status"], "ok");
}
