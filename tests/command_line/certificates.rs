//! Certificates that other programs created, or that do not suit this computer: the messages about
//! them, and that no printed remedy destroys a file.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Ran, command, run, start};
use crate::support::manager::Home;
use crate::support::process::through;

/// Creates a key and a self-signed certificate in the home folder with OpenSSL and these arguments.
fn made_by_openssl(home: &Home, key: &str, certificate: &str, arguments: &[&str]) {
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ]);
    openssl.args(["-subj", "/CN=elsewhere"]).args(arguments);
    openssl
        .arg("-keyout")
        .arg(home.path(key))
        .arg("-out")
        .arg(home.path(certificate));
    let made = openssl.output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

const NAMED_ELSEWHERE: &[&str] = &["-days", "3650", "-addext", "subjectAltName=DNS:elsewhere.example"];

/// Runs the command that a message contains, from `labwire` on, in the home folder.
fn run_remedy(home: &Home, message: &str) -> Ran {
    let (_, remedy) = message
        .split_once("labwire certgen")
        .expect("the remedy is a command");
    // The command ends where the sentence continues.
    let end = [", ", " (", "\n"].iter().filter_map(|end| remedy.find(end)).min();
    let line = format!("certgen{}", &remedy[..end.unwrap_or(remedy.len())]);
    let labwire = command(home, "labwire");
    let mut shell = through("sh", &["-c", &format!("\"$0\" {line}")], &labwire);
    Ran::from(shell.current_dir(home.path("")).output().unwrap())
}

fn contents(paths: &[&Path]) -> Vec<Vec<u8>> {
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn certgen_replaces_what_labwire_made_and_nothing_else_unless_it_is_forced() {
    let home = Home::new();
    fs::create_dir(home.path("certs")).unwrap();
    made_by_openssl(&home, "k.pem", "certs/localhost.crt", NAMED_ELSEWHERE);
    let foreign = fs::read(home.path("certs/localhost.crt")).unwrap();
    let kept = run(&home, "labwire certgen");
    assert_eq!(kept.code, 1, "{kept:?}");
    for text in ["certs/localhost.crt", "labwire did not make", "--force"] {
        assert!(kept.error.contains(text), "{kept:?}");
    }
    assert_eq!(fs::read(home.path("certs/localhost.crt")).unwrap(), foreign);

    run(&home, "labwire certgen --force").succeeded();
    let own = fs::read(home.path("certs/localhost.crt")).unwrap();
    assert_ne!(own, foreign);
    run(&home, "labwire certgen").succeeded();
    assert_ne!(fs::read(home.path("certs/localhost.crt")).unwrap(), own);
    run(&home, "labwire certgen --force keys/localhost.key").failed(1, &["holds a private key"]);
}

#[test]
fn a_start_with_another_key_leaves_a_certificate_that_labwire_did_not_make() {
    let home = Home::new();
    fs::create_dir(home.path("certs")).unwrap();
    made_by_openssl(&home, "k.pem", "certs/localhost.crt", NAMED_ELSEWHERE);
    run(&home, "labwire keygen ecc --out other.pem").succeeded();
    let before = contents(&[&home.path("certs/localhost.crt")]);
    run(&home, "labwire start --key-file other.pem")
        .failed(1, &["certs/localhost.crt", "labwire did not make"]);
    assert_eq!(contents(&[&home.path("certs/localhost.crt")]), before);
}

#[test]
fn the_remedy_for_a_certificate_of_another_key_costs_no_file() {
    for is_foreign in [true, false] {
        let home = Home::new();
        run(&home, "labwire keygen ecc --out k.pem").succeeded();
        run(&home, "labwire certgen c.pem --key-file k.pem").succeeded();
        if is_foreign {
            made_by_openssl(&home, "unused.pem", "c.pem", NAMED_ELSEWHERE);
        }
        run(&home, "labwire keygen ecc --out other.pem").succeeded();
        let files = ["c.pem", "k.pem", "other.pem"].map(|name| home.path(name));
        let files: Vec<_> = files.iter().map(AsRef::as_ref).collect();
        let before = contents(&files);
        let refused = run(&home, "labwire start --cert-file c.pem --key-file other.pem");
        assert_eq!(refused.code, 1, "{refused:?}");
        run_remedy(&home, &refused.error).succeeded();
        assert_eq!(contents(&files), before);
        let manager = start(home, "labwire start --cert-file c.pem.new --key-file other.pem");
        manager.wait_for_log("(TLS ENABLED)");
    }
}

#[test]
fn a_certificate_that_does_not_suit_this_computer_is_told_with_a_remedy_that_costs_no_file() {
    for (arguments, told) in [
        (NAMED_ELSEWHERE, "the certificate is not for "),
        (
            &["-days", "3650", "-config", "none.cnf"],
            "the certificate names no host",
        ),
        (
            &["-days", "20", "-addext", "subjectAltName=DNS:localhost"],
            "the certificate expires on ",
        ),
    ] {
        let home = Home::new();
        // OpenSSL's default configuration may add host names; this one adds none on every computer.
        fs::write(
            home.path("none.cnf"),
            "[req]\ndistinguished_name = name\n[name]\n",
        )
        .unwrap();
        let configuration = home.argument("none.cnf");
        let arguments: Vec<_> = arguments
            .iter()
            .map(|&argument| {
                if argument == "none.cnf" {
                    configuration.as_str()
                } else {
                    argument
                }
            })
            .collect();
        made_by_openssl(&home, "k.pem", "c.pem", &arguments);
        let manager = start(
            home,
            "labwire start --host localhost --cert-file c.pem --key-file k.pem",
        );
        let line = manager.wait_for_log(told);
        assert!(line.contains("[WARNING]"), "{line}");
        let home = manager.end();
        let check = run(&home, "labwire start --check -p 0 -H localhost -c c.pem -k k.pem").succeeded();
        assert!(
            check.contains(&format!("doubtful  certificate    {told}")),
            "{check}"
        );

        let files = ["c.pem", "k.pem"].map(|name| home.path(name));
        let files: Vec<_> = files.iter().map(AsRef::as_ref).collect();
        let before = contents(&files);
        run_remedy(&home, &line).succeeded();
        assert_eq!(contents(&files), before);
        let manager = start(
            home,
            "labwire start --host localhost --cert-file c.pem.new --key-file k.pem",
        );
        assert!(
            !manager.log().contains("[WARNING] labwire - the certificate"),
            "{}",
            manager.log()
        );
    }
}

#[test]
fn a_certificate_of_an_authority_is_to_be_had_from_its_issuer() {
    let home = Home::new();
    made_by_openssl(&home, "ca.key", "ca.crt", &["-days", "3650"]);
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ]);
    openssl.args(["-subj", "/CN=bench", "-keyout", "k.pem", "-out", "c.csr"]);
    let requested = openssl.current_dir(home.path("")).output().unwrap();
    assert!(requested.status.success(), "{requested:?}");
    let mut openssl = Command::new("openssl");
    openssl.args([
        "x509",
        "-req",
        "-in",
        "c.csr",
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
    ]);
    let signed = openssl
        .args(["-days", "20", "-out", "c.pem"])
        .current_dir(home.path(""))
        .output()
        .unwrap();
    assert!(signed.status.success(), "{signed:?}");
    let manager = start(home, "labwire start --cert-file c.pem --key-file k.pem");
    let line = manager.wait_for_log("the certificate expires on ");
    assert!(
        line.contains("from who issued it") && !line.contains("certgen"),
        "{line}"
    );
    let home = manager.end();
    let before = contents(&[&home.path("c.pem")]);
    run(&home, "labwire certgen c.pem --key-file k.pem").failed(1, &["labwire did not make"]);
    assert_eq!(contents(&[&home.path("c.pem")]), before);
}

#[test]
fn certdump_leaves_a_file_that_is_there_unless_it_is_forced() {
    let home = Home::new();
    run(&home, "labwire certgen").succeeded();
    fs::write(home.path("notes.txt"), "the only copy").unwrap();
    let dump = |out: &str| {
        run(
            &home,
            &format!("labwire certdump certs/localhost.crt --out {out}"),
        )
    };
    let key = fs::read(home.path("keys/localhost.key")).unwrap();
    for out in ["notes.txt", "keys/localhost.key", "certs/localhost.crt"] {
        let before = fs::read(home.path(out)).unwrap();
        dump(out).failed(1, &[&format!("'{out}'"), "left as it is", "--out", "--force"]);
        assert_eq!(fs::read(home.path(out)).unwrap(), before, "{out}");
    }
    dump("notes.txt --force").succeeded();
    let dumped = fs::read_to_string(home.path("notes.txt")).unwrap();
    assert!(dumped.starts_with("Certificate details for "), "{dumped}");
    // `--force` does not replace a key either.
    dump("keys/localhost.key --force").failed(1, &["keys/localhost.key", "holds a private key"]);
    assert_eq!(fs::read(home.path("keys/localhost.key")).unwrap(), key);
    // A device is not a file that could be lost.
    let shown = dump("/dev/stdout").succeeded();
    assert!(shown.contains("Fingerprint (SHA256):"), "{shown}");
}

#[test]
fn a_certificate_that_is_replaced_is_told_with_what_is_to_be_done() {
    let home = Home::new();
    let first = run(&home, "labwire certgen");
    assert!(
        first.output.contains("Created the self-signed certificate"),
        "{first:?}"
    );
    assert!(!first.error.contains("HUP"), "{first:?}");
    for line in ["labwire certgen", "labwire certgen --force"] {
        let again = run(&home, line);
        assert!(
            again.output.contains("Replaced the certificate") && !again.output.contains("Created"),
            "{again:?}"
        );
        for text in ["signal HUP", "clients that saved the old one must fetch it anew"] {
            assert!(again.error.contains(text), "{text}: {again:?}");
        }
    }
}

#[test]
fn a_certificate_of_another_manager_does_not_keep_a_start_from_telling_the_remedy() {
    let home = Home::new();
    fs::create_dir(home.path("certs")).unwrap();
    let certificate = home.path("certs/localhost.crt");
    made_by_openssl(&home, "k.pem", "certs/localhost.crt", NAMED_ELSEWHERE);
    let before = contents(&[&certificate]);
    let remedy = home.argument("certs/localhost_1875.crt");
    run(&home, "labwire start --port 0").failed(1, &["that of another manager", &remedy]);
    let check = run(&home, "labwire start --check --port 0");
    assert!(check.code == 1 && check.output.contains(&remedy), "{check:?}");
    assert_eq!(contents(&[&certificate]), before);
    fs::rename(&certificate, &remedy).unwrap();
    start(home, "labwire start").wait_for_log("(TLS ENABLED)");
}
