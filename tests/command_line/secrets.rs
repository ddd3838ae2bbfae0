//! Passwords that are not on the command line: piped in, typed at a prompt, or in a file.

use std::process::Command;

use super::{Ran, answering, at_terminal, command, opens, run, start, takes_login, takes_password};
use crate::support::manager::{Home, Manager};

#[test]
fn a_secret_can_come_from_standard_input() {
    let home = Home::new();
    answering(
        &home,
        "labwire user add j.doe --password -",
        "of a pipe\nnot this\n",
    )
    .succeeded();
    answering(&home, "labwire user add a.smith", "without the option\n").succeeded();
    answering(&home, "labwire keygen -p - -o /path/to/key.pem", "of the key\n").succeeded();
    assert!(opens(&home.path("key.pem"), "of the key"));
    let nothing = run(&home, "labwire user add n.bohr --password -");
    nothing.failed(1, &["the password is empty"]);

    let mut manager = command(&home, "labwire start --auth-login --disable-tls --port 0");
    let manager = Manager::start_command(home, &mut manager);
    assert!(takes_login(&manager, "j.doe", "of a pipe"));
    assert!(takes_login(&manager, "a.smith", "without the option"));
    let home = manager.end();

    let mut manager = command(&home, "labwire start --disable-tls --port 0 --auth-password -");
    let manager = Manager::start_command_typing(home, &mut manager, "open the door");
    assert!(takes_password(&manager, "open the door"));
}

#[test]
fn a_secret_that_is_asked_for_is_not_seen_and_is_typed_twice() {
    let home = Home::new();
    let (prompt, again) = ("Password for j.doe: ", "Again, to be sure: ");
    let differing = [(prompt, "a better one"), (again, "a bitter one")];
    let ran = at_terminal(&home, "labwire user add j.doe", &differing);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        !home.path("manager.sqlite3").exists(),
        "an empty database was left"
    );
    let dialogue = [(prompt, "a good one"), (again, "a good one")];
    for line in ["labwire user add j.doe", "labwire user update j.doe --password -"] {
        let screen = at_terminal(&home, line, &dialogue).succeeded();
        assert!(!screen.contains("a good one"), "{screen}");
    }
    let line = "labwire user update j.doe --password";
    let ran = at_terminal(&home, line, &differing);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.output.contains("the two passwords are not the same"),
        "{ran:?}"
    );

    let manager = start(home, "labwire start --auth-login --disable-tls");
    assert!(takes_login(&manager, "j.doe", "a good one"));
}

#[test]
fn a_secret_can_come_from_the_pipe_that_a_shell_makes() {
    let home = Home::new();
    let labwire = command(&home, "labwire keygen --out key.pem --password");
    let mut shell = Command::new("bash");
    shell.args(["-c", r#""$@" <(echo of a pipe)"#, "bash"]);
    shell.arg(labwire.get_program()).args(labwire.get_args());
    let ran = Ran::from(shell.current_dir(home.path("")).output().unwrap());
    ran.succeeded();
    assert!(opens(&home.path("key.pem"), "of a pipe"));
}

#[test]
fn a_password_that_looks_like_the_path_of_no_file_is_taken_with_a_warning() {
    let home = Home::new();
    for (number, password) in [
        "/no/such.txt",
        "~/secret.txt",
        ".secret",
        r"c:\secret.txt",
        "logs/",
        "ada.txt",
    ]
    .into_iter()
    .enumerate()
    {
        let ran = run(
            &home,
            &format!("labwire user add u{number} --compatible --password {password}"),
        );
        assert_eq!(
            (ran.code, ran.error.matches("warning: ").count()),
            (0, 1),
            "{ran:?}"
        );
        assert!(ran.error.contains("looks like the path of a file"), "{ran:?}");
        assert!(!ran.error.contains(password), "{ran:?}");
    }
    let ran = run(
        &home,
        "labwire user add u9 --compatible --password pass.txt enc.crt",
    );
    let swallowed = "(all 2 words behind the option: put it last)";
    assert!(ran.error.contains(swallowed), "{ran:?}");
    let ran = run(&home, "labwire user add ada --compatible --password a good one.");
    assert!(ran.code == 0 && !ran.error.contains("warning"), "{ran:?}");

    let manager = start(home, "labwire start --auth-login --disable-tls");
    assert!(takes_login(&manager, "u0", "/no/such.txt"));
    let manager = start(
        manager.end(),
        "labwire start --disable-tls --auth-password ~/no secret",
    );
    assert!(takes_password(&manager, "~/no secret"));
    let warning = "warning: the password looks like the path of a file";
    assert!(manager.log().contains(warning), "{}", manager.log());
}

#[test]
fn a_name_behind_the_password_is_told_to_be_part_of_it() {
    let home = Home::new();
    for (line, action) in [
        ("labwire user add --password geheim bob", "add"),
        ("labwire user update --admin -p geheim bob", "update"),
    ] {
        let ran = run(&home, line);
        assert!(!ran.error.contains("geheim"), "{ran:?}");
        let first = format!("labwire user {action} NAME --password WORD");
        ran.failed(
            2,
            &[
                "You must specify a username",
                "all words behind --password",
                &first,
            ],
        );
    }
}
