//! Every example of the documentation's chapter on the command line, word for word, and the short
//! forms.

use std::fs;

use super::{answering, command, opens, run, start, takes_login, takes_password};
use crate::support::free_port;
use crate::support::manager::{Home, Manager};

const USERS: &[&str] = &[
    "labwire user add j.doe --password a good password",
    "labwire user add a.smith --password !PaSsWoRd* --admin",
];

#[test]
fn the_version_is_told() {
    let home = Home::new();
    let expected = format!("labwire {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&home, "labwire --version").succeeded(), expected);
    assert_eq!(run(&home, "labwire -V").succeeded(), expected);
}

#[test]
fn the_key_and_certificate_examples_work_as_printed() {
    let home = Home::new();
    run(&home, "labwire keygen").succeeded();
    let key = fs::read_to_string(home.path("keys/localhost.key")).unwrap();
    assert!(key.contains("PRIVATE KEY") && !key.contains("ENCRYPTED"));
    run(&home, "labwire certgen").succeeded();
    assert!(home.path("certs/localhost.crt").is_file());
    assert_eq!(fs::read_to_string(home.path("keys/localhost.key")).unwrap(), key);

    run(&home, "labwire keygen --out /path/to/key.pem").succeeded();
    run(
        &home,
        "labwire certgen --key-file /path/to/key.pem /path/to/cert.pem",
    )
    .succeeded();
    let shown = run(&home, "labwire certdump /path/to/cert.pem").succeeded();
    assert!(shown.contains("Fingerprint (SHA256):"), "{shown}");
    let told = run(&home, "labwire certdump /path/to/cert.pem --out dump.txt").succeeded();
    assert!(
        told.contains("dump.txt") && !told.contains("Fingerprint"),
        "{told}"
    );
    let dumped = fs::read_to_string(home.path("dump.txt")).unwrap();
    assert!(dumped.contains(&shown), "{dumped}");
}

#[test]
fn the_dsa_example_is_refused_with_the_reason_and_the_remedy() {
    let home = Home::new();
    let dsa = "labwire keygen dsa --size 3072 --password WhatEVER you wAnt!";
    run(&home, dsa).failed(2, &["TLS 1.3 has no DSA", "'rsa', 'ecc' or 'ed25519'"]);
    assert!(!home.path("keys").exists());

    run(&home, &dsa.replace("dsa", "rsa")).succeeded();
    let key = home.path("keys/localhost.key");
    assert!(opens(&key, "WhatEVER you wAnt!"));
    assert!(!opens(&key, "WhatEVER"));
}

#[test]
fn the_user_examples_work_as_printed() {
    let home = Home::new();
    for line in USERS {
        run(&home, line).succeeded();
    }
    let admins = |home: &Home| -> Vec<String> {
        let list = run(home, "labwire user list").succeeded();
        let admin = |line: &str| line.strip_suffix(" True").map(|name| name.trim().to_owned());
        list.lines().filter_map(admin).collect()
    };
    assert_eq!(admins(&home), ["a.smith"]);
    run(&home, "labwire user update j.doe --admin").succeeded();
    run(&home, "labwire user update a.smith").succeeded();
    assert_eq!(admins(&home), ["j.doe"]);

    let elsewhere = "labwire user add j.doe --password The Password To Use --database /path/to/database.db";
    run(&home, elsewhere).failed(1, &["--create"]);
    run(
        &home,
        "labwire hostname add localhost --create --database /path/to/database.db",
    )
    .succeeded();
    run(&home, elsewhere).succeeded();
    let other = start(
        home,
        "labwire start --auth-login --disable-tls --database /path/to/database.db",
    );
    assert!(takes_login(&other, "j.doe", "The Password To Use"));
    assert!(!takes_login(&other, "j.doe", "a good password"));

    fs::write(other.home().path("password.txt"), "from a file\nnot this\n").unwrap();
    let update = "labwire user update j.doe --password /path/to/my/password.txt";
    run(other.home(), update).succeeded();
    let home = other.end();
    let manager = start(home, "labwire start --auth-login --disable-tls");
    assert!(takes_login(&manager, "a.smith", "!PaSsWoRd*"));
    assert!(takes_login(&manager, "j.doe", "from a file"));
    assert!(!takes_login(&manager, "j.doe", "a good password"));

    run(manager.home(), "labwire user remove j.doe").succeeded();
    let list = run(manager.home(), "labwire user list").succeeded();
    assert!(list.contains("a.smith") && !list.contains("j.doe"), "{list}");
}

#[test]
fn the_hostname_examples_work_as_printed() {
    let home = Home::new();
    let listed = |line| -> Vec<String> {
        let list = run(&home, line).succeeded();
        list.lines()
            .filter_map(|line| line.strip_prefix("  "))
            .map(str::to_owned)
            .collect()
    };
    run(&home, "labwire hostname add TheHostname").succeeded();
    run(&home, "labwire hostname add TheHostname OtherHostname").succeeded();
    run(&home, "labwire hostname remove OtherHostname").succeeded();
    let elsewhere = "labwire hostname add TheHostname --database /path/to/database.db";
    run(&home, elsewhere).failed(1, &["--create"]);
    run(&home, &format!("{elsewhere} --create")).succeeded();
    for line in [
        "labwire hostname list",
        "labwire hostname list --database /path/to/database.db",
    ] {
        let names = listed(line);
        assert!(names.contains(&"TheHostname".to_owned()), "{names:?}");
        assert!(!names.contains(&"OtherHostname".to_owned()), "{names:?}");
    }
}

#[test]
fn the_delete_examples_ask_and_obey() {
    let home = Home::new();
    run(&home, "labwire certgen").succeeded();
    run(&home, "labwire user add j.doe --password x").succeeded();
    fs::create_dir(home.path("logs")).unwrap();
    fs::write(home.path("logs/a.log"), "").unwrap();

    let refused = answering(&home, "labwire delete --logs", "n\n").succeeded();
    assert!(refused.contains("Proceed (y/N)?"), "{refused}");
    assert!(home.path("logs/a.log").exists());
    let unanswered = run(&home, "labwire delete --logs");
    assert_eq!(unanswered.code, 1, "{unanswered:?}");
    assert!(home.path("logs/a.log").exists());
    answering(&home, "labwire delete --logs", "y\n").succeeded();
    assert!(!home.path("logs/a.log").exists());
    assert!(home.path("manager.sqlite3").exists());

    // The database, its record, the certificate, the key.
    answering(&home, "labwire delete --all", "n\nn\ny\nn\n").succeeded();
    assert!(home.path("manager.sqlite3").exists());
    assert!(home.path("manager.record.sqlite3").exists());
    assert!(!home.path("certs/localhost.crt").exists());
    assert!(home.path("keys/localhost.key").exists());
    run(&home, "labwire delete --all --yes").succeeded();
    assert!(!home.path("manager.sqlite3").exists());
    assert!(!home.path("keys/localhost.key").exists());
}

#[test]
fn the_start_examples_work_as_printed() {
    let manager = start(Home::new(), "labwire start");
    let home = manager.end();
    let free = free_port();
    let line = format!("labwire start --port {free}");
    let manager = Manager::start_command(Home::new(), &mut command(&home, &line));
    assert_eq!(manager.port(), free);
    drop(manager);

    let manager = start(home, "labwire start --disable-tls --auth-password abc 123");
    assert!(takes_password(&manager, "abc 123"));
    assert!(!takes_password(&manager, "abc"));
    let home = manager.end();

    run(&home, "labwire keygen --out /path/to/key.pem").succeeded();
    run(
        &home,
        "labwire certgen --key-file /path/to/key.pem /path/to/cert.pem",
    )
    .succeeded();
    let line = "labwire start --cert-file /path/to/cert.pem --key-file /path/to/key.pem";
    let manager = start(home, line);
    assert_eq!(manager.certificate(), manager.home().argument("cert.pem"));
    let home = manager.end();

    run(&home, USERS[0]).succeeded();
    let manager = start(home, "labwire start --auth-login --disable-tls");
    assert!(takes_login(&manager, "j.doe", "a good password"));
}

#[test]
fn options_have_the_short_forms_of_the_documentation() {
    let home = Home::new();
    run(
        &home,
        "labwire keygen ecc -c SECP256R1 -p a secret -o /path/to/k.pem",
    )
    .succeeded();
    assert!(opens(&home.path("k.pem"), "a secret"));
    run(&home, "labwire keygen rsa -s 3072 -o /path/to/r.pem").succeeded();
    run(
        &home,
        "labwire certgen -a SHA256 -y 0.25 -k /path/to/k.pem -p a secret -- /path/to/c.pem",
    )
    .succeeded();
    run(&home, "labwire certdump /path/to/c.pem -o /path/to/c.txt").succeeded();
    let details = fs::read_to_string(home.path("c.txt")).unwrap();
    assert!(details.contains("secp256r1"), "{details}");
    run(
        &home,
        "labwire hostname add localhost --create -d /path/to/d.sqlite3",
    )
    .succeeded();
    run(
        &home,
        "labwire user add j.doe -a -p two words -d /path/to/d.sqlite3",
    )
    .succeeded();

    let line = "labwire start -c /path/to/c.pem -k /path/to/k.pem -D a secret -d /path/to/d.sqlite3 -H localhost \
                -p 0 -G DEBUG -l /path/to/l.log -P open the door";
    let manager = Manager::start_command(Home::new(), &mut command(&home, line));
    assert_eq!(manager.certificate(), home.argument("c.pem"));
    drop(manager);
    let log = fs::read_to_string(home.path("l.log")).unwrap();
    assert!(log.contains("using a password for authentication"), "{log}");

    fs::create_dir(home.path("certs")).unwrap();
    fs::write(home.path("certs/a.crt"), "").unwrap();
    assert_eq!(run(&home, "labwire delete -q -y -c").succeeded(), "");
    assert!(!home.path("certs/a.crt").exists());
    let elsewhere = Home::new();
    run(
        &elsewhere,
        &format!("labwire delete -a -d -k -l -y -r {}", home.argument("")),
    )
    .succeeded();
}
