//! Times on the command line, and those that people read.

use super::super::support::free_port;
use super::status::service_that_is_away;
use super::watch::wait;
use super::*;

/// The commands that have options for times, with arguments that let them end at once where no manager
/// is.
const TIMED: [&[&str]; 11] = [
    &["status", "--watch"],
    &["top"],
    &["call", "Meter", "read"],
    &["lock", "Meter"],
    &["ping"],
    &["bench", "Meter", "read"],
    &["watch", "Meter", "--reconnect=false"],
    &["subscribe", "lab.>", "--reconnect=false"],
    &["record", "lab.csv", "--watch", "Meter", "--reconnect=false"],
    &["shell"],
    &["admin", "stats"],
];

/// Returns the options of a command whose value is a time.
fn time_options(home: &Home, command: &str) -> Vec<String> {
    let help = run(&mut home.command(&[command, "--help"]));
    let words = help.output.split_whitespace().collect::<Vec<_>>();
    let options = words.windows(2).filter(|pair| pair[1] == "<TIME>");
    options.map(|pair| pair[0].to_owned()).collect()
}

#[test]
fn every_time_is_a_number_of_seconds_or_has_a_unit() {
    let home = Home::new();
    let port = free_port().to_string();
    let mut seen = 0;
    for arguments in TIMED {
        for option in time_options(&home, arguments[0]) {
            // It needs a terminal.
            if option == "--window" {
                continue;
            }
            for (value, code) in [
                ("3", 3),
                ("1.5s", 3),
                ("500ms", 3),
                ("10m", 3),
                ("2min", 3),
                ("2h", 3),
                ("1d", 3),
                ("soon", 2),
                ("0", 2),
            ] {
                let connection = ["--disable-tls", "--port", &port];
                let all = [arguments, &[&*option, value], &connection].concat();
                let done = run(&mut home.command(&all));
                // The failure of a recording does not wait for its first connection.
                assert_eq!(done.code, Some(code), "{all:?}: {done:?}");
                seen += 1;
            }
        }
    }
    assert!(seen > 9 * 20, "{seen}");
    for option in time_options(&home, "start") {
        let with = |value| run(&mut home.command(&["start", "--check", "--disable-tls", &option, value]));
        for value in ["3", "1.5s", "500ms", "1m", "2min", "1h", "1d"] {
            let done = with(value);
            assert!(
                !done.errors.contains("write a time"),
                "{option} {value}: {done:?}"
            );
        }
        assert!(with("soon").errors.contains("write a time"), "{option}");
    }
    for option in ["--since", "--until"] {
        let with =
            |value| run(&mut home.command(&["history", "--disable-tls", "--port", &port, option, value]));
        for value in ["3", "1.5s", "500ms", "10m", "2min", "2h", "1d", "2026-11-29"] {
            assert_eq!(with(value).code, Some(3), "{option} {value}");
        }
        assert_eq!(with("soon").code, Some(2), "{option}");
    }
    home.prepare(&["user", "add", "ada", "--compatible", "--password", "x"]);
    for (value, code) in [
        ("30", 0),
        ("90s", 0),
        ("2m", 0),
        ("2min", 0),
        ("1.5h", 0),
        ("1d", 0),
        ("soon", 2),
        ("0", 2),
    ] {
        let granted = run(&mut home.command(&[
            "grant",
            "add",
            "observer",
            "--to-group",
            "everyone",
            "--for",
            value,
        ]));
        assert_eq!(granted.code, Some(code), "--for {value}: {granted:?}");
        let mut pinged = home.command(&["ping", "--disable-tls", "--port", &port]);
        let pinged = run(pinged.env("LABWIRE_SESSION_GRACE", value));
        let code = if code == 0 { 3 } else { code };
        assert_eq!(
            pinged.code,
            Some(code),
            "LABWIRE_SESSION_GRACE={value}: {pinged:?}"
        );
    }
    let timed = ["profile", "add", "slow", "--connect-timeout", "10m"];
    assert_eq!(run(&mut home.command(&timed)).code, Some(0));
    let config = home.path("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains("connect-timeout = 600"), "{text}");
    fs::write(&config, text.replace("600.0", "\"10m\"")).unwrap();
    let listed = run(&mut home.command(&["profile", "list"]));
    assert!(listed.output.contains("--connect-timeout 600"), "{listed:?}");
}

#[test]
fn times_that_a_manager_tells_are_local_for_people() {
    let home = Home::new();
    home.prepare(&["user", "add", "ada", "--admin", "--compatible", "--password", "x"]);
    let manager = Manager::start_in(home, &["--disable-tls"]);
    service_that_is_away(&manager, "Meter");
    let statuses = json_lines(&output(&manager, &["status", "--json"]));
    let away = statuses.iter().find(|object| object["name"] == "Meter").unwrap();
    let since = time_in_zone(&away["away"]["since"]);
    let done = run(command(&manager, &["call", "Meter", "read"]).env("TZ", zone()));
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(
        done.errors
            .contains(&format!("is away since {since}, the request was not")),
        "{done:?}"
    );
    fs::write(manager.home().path("calls"), "Meter read\n").unwrap();
    let done = run(command(&manager, &["call", "--batch", "calls", "--json"]).env("TZ", zone()));
    let error = json_lines(&done.output)[0]["error"].clone();
    assert!(error.as_str().unwrap().contains('T'), "{error}");
    assert!(done.errors.contains(&since), "{done:?}");

    let _scope = RawPeer::service(&manager, "Scope", &json!({}));
    wait_for_service(&manager, "Scope");
    let mut lock = command(&manager, &["lock", "Scope"]);
    let mut lock = Process::spawn("labwire", lock.env("TZ", zone()));
    wait(&lock, "is locked");
    let broken = run(command(&manager, &["admin", "break_lock", "Scope"])
        .env("LABWIRE_USERNAME", "ada")
        .env("LABWIRE_PASSWORD", "x"));
    assert_eq!(broken.code, Some(0), "{broken:?}");
    assert_eq!(lock.wait().code(), Some(4));
    let printed = lock.everything_printed();
    let at = printed.split("was broken by 'ada' at ").nth(1).unwrap();
    assert!(
        at.len() >= 8 && at.as_bytes()[2] == b':' && at.as_bytes()[5] == b':',
        "{printed}"
    );
}
