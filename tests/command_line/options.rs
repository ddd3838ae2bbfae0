//! The sources of options and their precedence, the help pages, and the errors.

use std::fs;
use std::net::TcpListener;
use std::process::Stdio;

use super::{Ran, command, run, takes_password};
use crate::support::free_port;
use crate::support::manager::{Home, Manager};

#[test]
fn what_is_typed_wrongly_exits_with_2_and_what_cannot_be_done_with_1() {
    let home = Home::new();
    for (line, code, text) in [
        ("labwire starts", 2, "start"),
        ("labwire start --prot 1", 2, "--port"),
        (
            "labwire start --port banana",
            2,
            "a port is a number from 0 to 65535",
        ),
        (
            "labwire start --port 65536",
            2,
            "a port is a number from 0 to 65535",
        ),
        (
            "labwire start --log-level loud",
            2,
            "Cannot set logging level to 'loud'",
        ),
        ("labwire start --open=perhaps", 2, "true or false"),
        (
            "labwire start --auth-login --auth-password x",
            2,
            "Cannot specify multiple authentication methods",
        ),
        (
            "labwire start --auth-login --auth-hostname",
            2,
            "Cannot specify multiple authentication methods",
        ),
        ("labwire start --auth-login --open", 2, "--open admits everyone"),
        (
            "labwire start --auth-login",
            1,
            "The 'auth_users' table is empty, no one could log in",
        ),
        ("labwire start --config /path/to/nothing.toml", 1, "nothing.toml"),
        (
            "labwire start --cert-file /path/to/nothing.crt",
            1,
            "labwire certgen",
        ),
        (
            "labwire start --key-file /path/to/nothing.key",
            1,
            "labwire keygen",
        ),
        (
            "labwire start --host no-such-host.invalid",
            1,
            "cannot listen on no-such-host.invalid",
        ),
        ("labwire user add", 2, "You must specify a username to add"),
        ("labwire user ad j.doe", 2, "add"),
        ("labwire user remove j.doe", 1, "This user is not in the table"),
        ("labwire hostname add", 2, "No hostnames were added"),
        (
            "labwire hostname remove nobody",
            1,
            "This hostname is not in the table",
        ),
        (
            "labwire keygen rsa --size 1024 --out new.key",
            2,
            "2048, 3072 or 4096",
        ),
        ("labwire keygen ecc --curve secp256k1", 2, "secp384r1"),
        ("labwire certgen --years-valid -1", 2, "-1 years"),
        ("labwire certdump", 2, "FILE"),
        ("labwire certdump /path/to/nothing.crt", 1, "nothing.crt"),
        ("labwire delete", 2, "You must specify what you want to delete"),
    ] {
        // If a manager starts by mistake, it must at least find a free port.
        let mut command = command(&home, line);
        let ran = Ran::from(
            command
                .env("LABWIRE_PORT", "0")
                .stdin(Stdio::null())
                .output()
                .unwrap(),
        );
        let Ran {
            code: ended,
            ref error,
            ..
        } = ran;
        assert_eq!((ended, error.contains(text)), (code, true), "{line}: {ran:?}");
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error_and_no_panic() {
    let home = Home::new();
    run(&home, "labwire certgen").succeeded();
    run(&home, "labwire user add j.doe --compatible --password x").succeeded();
    for line in ["labwire certdump certs/localhost.crt", "labwire user list"] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let ran = Ran::from(command(&home, line).stdout(full).output().unwrap());
        ran.failed(1, &["No space left on device"]);
    }
}

#[test]
fn every_help_page_fits_a_terminal_and_shows_examples() {
    let home = Home::new();
    for command in [
        "start", "user", "hostname", "keygen", "certgen", "certdump", "delete",
    ] {
        let page = run(&home, &format!("labwire {command} --help")).succeeded();
        assert!(page.contains("Examples:\n  # "), "{page}");
        assert!(page.contains(&format!("\n  labwire {command} ")), "{page}");
        for line in page.lines() {
            assert!(line.chars().count() <= 110, "{command}: {line}");
        }
        let lines = |text: &str| text.lines().count();
        let short = run(&home, &format!("labwire {command} -h")).succeeded();
        assert!(lines(&short) <= lines(&page));
        assert_eq!(run(&home, &format!("labwire help {command}")).succeeded(), page);
    }
    let ran = run(&home, "labwire");
    assert_eq!((ran.code, ran.output.as_str()), (2, ""));
    assert!(ran.error.contains("Exit codes: 0 done, 1"), "{}", ran.error);
}

#[test]
fn every_option_of_start_can_come_from_the_environment_and_from_the_file() {
    let home = Home::new();
    let page = run(&home, "labwire start --help").succeeded();
    // The line of an option begins with its short form or, further indented, with its long one. The
    // text about it is indented further.
    let options: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("  -") || line.starts_with("      --"))
        .filter_map(|line| line.split_once("--")?.1.split([' ', '[']).next())
        .filter(|option| !["help", "check"].contains(option))
        .collect();
    assert!(options.len() > 15 && options.contains(&"port"), "{options:?}");
    let text = page.split_whitespace().collect::<Vec<_>>().join(" ");
    for option in options {
        let variable = format!("[env: LABWIRE_{}", option.to_uppercase().replace('-', "_"));
        assert!(text.contains(&variable), "{variable} is not in the help");
        // A value that no option accepts leads to an error about the value, not about the option.
        if option != "config" {
            fs::write(home.path("c.toml"), format!("{option} = [[]]\n")).unwrap();
            let ran = run(&home, "labwire start --config c.toml");
            assert_eq!(ran.code, 2, "{option}: {ran:?}");
            assert!(!ran.error.contains("unknown field"), "{option}: {ran:?}");
        }
    }
}

#[test]
fn what_is_typed_counts_before_the_environment_and_that_before_the_file() {
    let (typed, environment, file) = (free_port(), free_port(), free_port());
    let text = format!(
        "port = {file}\nlog-level = \"ERROR\"\nauth-password = \"of the file\"\ndisable-tls = false\n"
    );
    for (arguments, variables, port, password) in [
        (
            format!(" --port {typed} -G INFO --disable-tls -P typed one"),
            true,
            typed,
            "typed one",
        ),
        (String::new(), true, environment, "of the environment"),
        (" -G INFO --disable-tls".to_owned(), false, file, "of the file"),
    ] {
        let home = Home::new();
        fs::write(home.path("labwire.toml"), &text).unwrap();
        let line = format!("labwire start --config /path/to/labwire.toml{arguments}");
        let mut command = command(&home, &line);
        if variables {
            command
                .env("LABWIRE_PORT", environment.to_string())
                .env("LABWIRE_LOG_LEVEL", "INFO")
                .env("LABWIRE_DISABLE_TLS", "true")
                .env("LABWIRE_AUTH_PASSWORD", "of the environment");
        }
        // The log line that it runs shows that its level is not the one in the file.
        let manager = Manager::start_command(home, &mut command);
        assert_eq!(manager.port(), port, "{line}");
        assert!(takes_password(&manager, password), "{line}");
    }
}

#[test]
fn a_flag_is_switched_off_by_what_counts_first() {
    let home = Home::new();
    fs::write(
        home.path("labwire.toml"),
        "disable-tls = true\nauth-login = true\nport = 0\n",
    )
    .unwrap();
    let line = "labwire start --config labwire.toml --auth-login=false --auth-password x";
    let mut command = command(&home, line);
    let manager = Manager::start_command(home, command.env("LABWIRE_DISABLE_TLS", "false"));
    manager.wait_for_log("(TLS ENABLED)");
    manager.wait_for_log("using a password for authentication");
}

#[test]
fn a_variable_that_says_nothing_clear_is_refused_and_named() {
    let home = Home::new();
    for (variable, value, code) in [
        ("LABWIRE_OPEN", "flase", 2),
        ("LABWIRE_PORT", "x", 2),
        ("LABWIRE_AUTH_PASSWORD", "/dev/null", 1),
    ] {
        let mut command = command(&home, "labwire start");
        let ran = Ran::from(command.env(variable, value).output().unwrap());
        let named = if code == 2 {
            variable
        } else {
            "--auth-password (or LABWIRE_AUTH_PASSWORD): the password is empty"
        };
        ran.failed(code, &[named]);
    }
}

#[test]
fn a_mistake_in_the_configuration_is_told_without_what_may_be_a_secret() {
    let home = Home::new();
    for (line, text) in [
        ("prot = 8326", "`prot`"),
        ("auth-pasword = \"geheim\"", "`auth-pasword`"),
        ("port = 70000", "a port is a number from 0 to 65535"),
        ("port = \"8326\"", "a port is a number from 0 to 65535"),
        ("log-format = \"xml\"", "`human` or `json`"),
        ("log-level = \"loud\"", "'loud'"),
        (
            "auth-login = true\nauth-hostname = true",
            "Cannot specify multiple authentication methods",
        ),
    ] {
        fs::write(home.path("labwire.toml"), line).unwrap();
        let ran = run(&home, "labwire start --config labwire.toml");
        assert!(!ran.error.contains("geheim"), "{ran:?}");
        ran.failed(2, &[text]);
    }
}

#[test]
fn a_port_in_use_is_told_with_the_remedy() {
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let ran = run(
        &Home::new(),
        &format!("labwire start --disable-tls --port {port}"),
    );
    assert_eq!(ran.code, 1, "{ran:?}");
    for text in [format!("cannot listen on *:{port}"), "--port".to_owned()] {
        assert!(ran.error.contains(&text), "{ran:?}");
    }
}

#[test]
fn the_level_of_the_log_can_be_a_number_in_the_configuration() {
    let home = Home::new();
    for level in ["10", "\"10\"", "\"debug\""] {
        fs::write(home.path("labwire.toml"), format!("log-level = {level}\n")).unwrap();
        run(&home, "labwire start --check --config labwire.toml --port 0").succeeded();
    }
    fs::write(home.path("labwire.toml"), "log-level = -1\n").unwrap();
    run(&home, "labwire start --config labwire.toml").failed(2, &["'-1'"]);
    fs::write(home.path("labwire.toml"), "log-level = true\n").unwrap();
    run(&home, "labwire start --config labwire.toml").failed(2, &["line 1", "TRACE, DEBUG"]);
}

#[test]
fn an_unknown_option_in_the_configuration_is_told_with_the_nearest_one() {
    let home = Home::new();
    for (key, told) in [
        ("prot", "did you mean `port`?"),
        ("log_level", "did you mean `log-level`?"),
        ("AUTH-LOGIN", "did you mean `auth-login`?"),
        (
            "unidentified-per-adress",
            "did you mean `unidentified-per-address`?",
        ),
        ("colour", "labwire start --help"),
    ] {
        fs::write(
            home.path("labwire.toml"),
            format!("disable-tls = true\n{key} = 1\n"),
        )
        .unwrap();
        let ran = run(&home, "labwire start --config labwire.toml");
        assert!(ran.error.len() < 200, "{ran:?}");
        ran.failed(2, &[&format!("`{key}`"), "line 2", told]);
    }
}

#[test]
fn the_help_pages_are_true() {
    let home = Home::new();
    for page in ["labwire keygen --help", "labwire keygen -h"] {
        let page = run(&home, page).succeeded();
        assert!(
            page.contains("ed25519") && !page.to_lowercase().contains("dsa"),
            "{page}"
        );
    }
    let page = run(&home, "labwire start --help").succeeded();
    let (_, check) = page.split_once("--check\n").unwrap();
    let (check, _) = check.split_once("-h, --help").unwrap();
    for code in ["0 when", "1 when", "2 when"] {
        assert!(check.contains(code), "{check}");
    }
    assert!(!page.contains("from which on"), "{page}");
    run(&home, "labwire start --check --port banana").failed(2, &["a port is a number"]);
}
