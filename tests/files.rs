//! The files of an existing installation: `labwire` works with the files of `msl-network`, and
//! `msl-network` with those that `labwire` creates for it.

use serde_json::json;

use super::support::manager::{Home, Manager};
use super::support::python::run_script;

#[test]
fn users_of_an_existing_database_can_log_in() {
    let home = Home::new();
    let database = home.argument("existing.sqlite3");
    home.msl_network(&[
        "user",
        "add",
        "j.doe",
        "--password",
        "a",
        "good",
        "one",
        "-d",
        &database,
    ]);
    let manager = Manager::start_in(home, &["-d", &database, "--auth-login"]);
    let credentials = json!({ "username": "j.doe", "password": "a good one" });
    run_script(
        "admitted.py",
        &manager.connection(),
        &json!({ "credentials": credentials }),
    );
    let wrong = json!({ "credentials": { "username": "j.doe", "password": "a bad one" },
                        "expected": ["Wrong login password"] });
    run_script("refused.py", &manager.connection(), &wrong);
}

#[test]
fn trusted_hostnames_of_an_existing_database_are_trusted() {
    let home = Home::new();
    let (trusting, distrusting) = (
        home.argument("trusting.sqlite3"),
        home.argument("distrusting.sqlite3"),
    );
    home.msl_network(&["hostname", "add", "localhost", "-d", &trusting]);
    home.msl_network(&["hostname", "add", "balance-7", "-d", &distrusting]);
    home.msl_network(&["hostname", "remove", "localhost", "-d", &distrusting]);

    let trusting = Manager::start_in(
        Home::new(),
        &["-d", &trusting, "--auth-hostname", "--disable-tls"],
    );
    run_script("admitted.py", &trusting.connection(), &json!({}));
    let distrusting = Manager::start_in(
        Home::new(),
        &["-d", &distrusting, "--auth-hostname", "--disable-tls"],
    );
    let refusal = json!({ "credentials": {}, "expected": ["'localhost' is not a trusted hostname"] });
    run_script("refused.py", &distrusting.connection(), &refusal);
}

#[test]
fn a_compatible_user_can_log_in_at_the_python_manager() {
    let home = Home::new();
    let database = home.argument("shared.sqlite3");
    home.prepare(&[
        "user",
        "add",
        "j.doe",
        "--compatible",
        "--create",
        "-d",
        &database,
        "--password",
        "a",
        "good",
        "one",
    ]);
    let manager = Manager::start_reference(home, &["--disable-tls", "-d", &database, "--auth-login"]);
    let credentials = json!({ "username": "j.doe", "password": "a good one" });
    run_script(
        "admitted.py",
        &manager.connection(),
        &json!({ "credentials": credentials }),
    );
}

#[test]
fn both_managers_can_use_one_database_in_turn() {
    let home = Home::new();
    let database = home.argument("shared.sqlite3");
    home.msl_network(&[
        "user",
        "add",
        "j.doe",
        "--password",
        "a",
        "good",
        "one",
        "-d",
        &database,
    ]);
    let credentials = json!({ "credentials": { "username": "j.doe", "password": "a good one" } });
    let arguments = ["--disable-tls", "-d", &database, "--auth-login"];
    for _ in 0..2 {
        let manager = Manager::start_in(Home::new(), &arguments);
        run_script("admitted.py", &manager.connection(), &credentials);
        drop(manager);
        let manager = Manager::start_reference(Home::new(), &arguments);
        run_script("admitted.py", &manager.connection(), &credentials);
    }
}

/// Creates a key and a certificate with `msl-network`, and connects a Python client to `labwire`
/// with them.
fn key_and_certificate_serve(keygen: &[&str], password: &[&str]) {
    let home = Home::new();
    let (key, certificate) = (home.argument("lab.key"), home.argument("lab.crt"));
    let with_password = |option| {
        if password.is_empty() {
            vec![]
        } else {
            [&[option], password].concat()
        }
    };
    home.msl_network(
        &[
            &["keygen"],
            keygen,
            &["--out", &key],
            &with_password("--password"),
        ]
        .concat(),
    );
    home.msl_network(
        &[
            &["certgen", &certificate, "--key-file", &key],
            &with_password("--key-file-password")[..],
        ]
        .concat(),
    );
    let start = ["--cert-file", &certificate, "--key-file", &key];
    let manager = Manager::start_in(
        home,
        &[&start[..], &with_password("--key-file-password")].concat(),
    );
    assert_eq!(manager.certificate(), certificate);
    run_script("admitted.py", &manager.connection_with_certificate(), &json!({}));
}

#[test]
fn an_rsa_key_of_the_python_package_serves() {
    key_and_certificate_serve(&["rsa"], &[]);
}

#[test]
fn an_encrypted_rsa_key_of_the_python_package_serves() {
    key_and_certificate_serve(&["rsa"], &["a", "secret", "key"]);
}

#[test]
fn an_elliptic_curve_key_of_the_python_package_serves() {
    key_and_certificate_serve(&["ecc"], &[]);
}

#[test]
fn an_encrypted_elliptic_curve_key_of_the_python_package_serves() {
    key_and_certificate_serve(&["ecc", "--curve", "SECP256R1"], &["a", "secret", "key"]);
}

#[test]
fn the_default_files_of_the_python_package_serve() {
    let home = Home::new();
    home.msl_network(&["keygen"]);
    home.msl_network(&["certgen"]);
    let certificate = std::fs::read(home.path("certs/localhost.crt")).unwrap();
    let manager = Manager::start_in(home, &[]);
    assert_eq!(
        std::fs::read(manager.certificate()).unwrap(),
        certificate,
        "the certificate was replaced"
    );
    run_script("admitted.py", &manager.connection_with_certificate(), &json!({}));
}
