//! `labwire certgen`: authorities, certificates for clients, and lists of revoked ones.

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::peer::{home, issue};
use crate::support::manager::Home;

fn mode(home: &Home, name: &str) -> u32 {
    std::fs::metadata(home.path(name)).unwrap().permissions().mode() & 0o777
}

/// Returns what `openssl` prints.
fn openssl(home: &Home, arguments: &[&str]) -> String {
    let mut command = Command::new("openssl");
    let output = command
        .args(arguments)
        .current_dir(home.path(""))
        .output()
        .unwrap();
    let printed = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&printed).into_owned()
}

#[test]
fn what_certgen_makes_for_clients_is_what_openssl_expects_and_keys_are_private() {
    let home = home();
    let serials: HashSet<_> = ["ada", "bob", "eve"].map(|user| issue(&home, user)).into();
    assert_eq!(serials.len(), 3);
    assert!(
        serials.iter().all(|serial| (31..=32).contains(&serial.len())),
        "{serials:?}"
    );
    for key in ["ca.key", "ada.key"] {
        assert_eq!(mode(&home, key), 0o600, "{key}");
    }
    let verify = ["verify", "-purpose", "sslclient", "-CAfile", "ca.crt", "ada.crt"];
    assert!(openssl(&home, &verify).contains("ada.crt: OK"));
    let server = ["verify", "-purpose", "sslserver", "-CAfile", "ca.crt", "ada.crt"];
    assert!(!openssl(&home, &server).contains("ada.crt: OK"));
    let list = [
        "crl",
        "-in",
        "ca.crl",
        "-CAfile",
        "ca.crt",
        "-noout",
        "-crlnumber",
    ];
    let printed = openssl(&home, &list);
    assert!(
        printed.contains("verify OK") && printed.contains("crlNumber=0x"),
        "{printed}"
    );
    // A list keeps what was revoked before.
    for user in ["ada", "bob", "bob"] {
        let file = format!("{user}.crt");
        home.prepare(&["certgen", "--revoke", &file, "--issuer", "ca.crt", "ca.crl"]);
    }
    let printed = openssl(&home, &["crl", "-in", "ca.crl", "-noout", "-text"]);
    assert_eq!(printed.matches("Serial Number: ").count(), 2, "{printed}");
    for (user, is_valid) in [("ada", false), ("bob", false), ("eve", true)] {
        let file = format!("{user}.crt");
        let verify = [
            "verify",
            "-crl_check",
            "-CAfile",
            "ca.crt",
            "-CRLfile",
            "ca.crl",
            &file,
        ];
        let printed = openssl(&home, &verify);
        assert_eq!(printed.contains(": OK"), is_valid, "{user}: {printed}");
    }
}

#[test]
fn certgen_replaces_no_file_of_an_authority_or_a_client() {
    let home = home();
    issue(&home, "ada");
    home.prepare(&["certgen", "--ca", "other.crt"]);
    let before: Vec<_> = ["ca.crt", "ca.key", "ada.crt", "ada.key", "ca.crl"]
        .map(|name| (name, std::fs::read(home.path(name)).unwrap()))
        .into();
    for (arguments, expected) in [
        (&["--ca", "ca.crt"][..], "'ca.crt' exists already"),
        (
            &["--client", "ada", "--issuer", "ca.crt"],
            "'ada.crt' exists already",
        ),
        (
            &[
                "--client",
                "ada",
                "--issuer",
                "ca.crt",
                "new.crt",
                "--key-file",
                "ada.key",
            ],
            "'ada.key' exists already",
        ),
        (
            &["--crl", "--issuer", "ca.crt", "ada.crt"],
            "not one list of revoked certificates",
        ),
        (
            &["--crl", "--issuer", "other.crt", "ca.crl"],
            "not one list of revoked certificates",
        ),
        (
            &["--revoke", "zz", "--issuer", "ca.crt", "ca.crl"],
            "neither the file of a certificate nor",
        ),
        (
            &[
                "--revoke",
                "other.crt",
                "--issuer",
                "ca.crt",
                "--issuer-key",
                "other.key",
                "ca.crl",
            ],
            "does not belong",
        ),
        (&["--client", "bob"], "there is no authority"),
        (&["--client", "bob", "--issuer", "ada.crt"], "is no authority"),
        (&["--client", "a\u{200b}", "--issuer", "ca.crt"], "U+200B"),
        (
            &["--client", "../bob", "--issuer", "ca.crt"],
            "makes no name of a file",
        ),
        (
            &["--client", "bob", "--issuer", "ca.crt", "--years-valid", "50"],
            "must not outlive it",
        ),
        (&["--issuer", "ca.crt"], "--issuer goes with --client"),
    ] {
        let output = home.labwire(&[&["certgen"], arguments].concat());
        assert!(!output.status.success(), "{arguments:?}");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    for (name, content) in before {
        assert_eq!(std::fs::read(home.path(name)).unwrap(), content, "{name}");
    }
}

#[test]
fn an_authority_in_the_home_folder_needs_no_options() {
    let home = Home::new();
    home.prepare(&["certgen", "--ca"]);
    assert_eq!(mode(&home, "keys/ca.key"), 0o600);
    home.prepare(&["certgen", "--client", "ada"]);
    home.prepare(&["certgen", "--revoke", "ada.crt"]);
    let printed = openssl(&home, &["crl", "-in", "certs/ca.crl", "-noout", "-text"]);
    assert_eq!(printed.matches("Serial Number: ").count(), 1, "{printed}");
}

#[test]
fn certgen_lists_what_it_has_issued_and_what_was_revoked() {
    let home = home();
    let list = |options: &[&str]| {
        let listed = home.labwire(&[&["certgen", "--list", "--issuer", "ca.crt"], options].concat());
        (
            listed.status.code(),
            String::from_utf8(listed.stdout).unwrap(),
            String::from_utf8(listed.stderr).unwrap(),
        )
    };
    let (code, _, errors) = list(&[]);
    assert!(
        code == Some(1) && errors.contains("there is no 'ca.issued'"),
        "{errors}"
    );
    let serials = ["ada", "bob"].map(|user| issue(&home, user));
    let eve = [
        "certgen",
        "--client",
        "eve",
        "--issuer",
        "ca.crt",
        "--years-valid",
        "0.01",
    ];
    home.prepare(&eve);
    home.prepare(&["certgen", "--revoke", "ada.crt", "--issuer", "ca.crt", "ca.crl"]);
    for options in [&[][..], &["ca.crl"]] {
        let (code, output, _) = list(options);
        assert_eq!(code, Some(0));
        let lines: Vec<_> = output.lines().collect();
        assert_eq!(lines.len(), 3, "{output}");
        assert!(
            lines[0].starts_with(&serials[0]) && lines[0].ends_with("  ada  revoked"),
            "{output}"
        );
        assert!(
            lines[1].starts_with(&serials[1]) && lines[1].ends_with("  bob"),
            "{output}"
        );
        assert!(lines[2].ends_with("  eve"), "{output}");
    }
}
