//! The messages of a start: hints, peers that it cannot serve, and files that it does not use.

use std::fs;
use std::net::TcpListener;

use super::{Ran, at_terminal, command, run};
use crate::hardening::network::apart;
use crate::support::manager::{Home, Manager};

#[test]
fn the_hint_fits_the_way_of_authentication() {
    let home = Home::new();
    run(&home, "labwire user add ada --admin --compatible --password x").succeeded();
    for (options, typed, next) in [
        (
            "",
            "then type: client, identity, exit",
            "to make an administrator: labwire user add NAME --admin",
        ),
        (
            " --auth-password x",
            "then type: the password, client, identity, exit",
            "to make an administrator: labwire user add NAME --admin",
        ),
        (
            " --auth-login",
            "then type: your username, your password, client, identity, exit",
            "to let somebody else log in: labwire user add NAME",
        ),
        (
            " --auth-hostname",
            "then type: client, identity, exit",
            "to trust another computer: labwire hostname add NAME",
        ),
        (
            " --auth-login --database manager.sqlite3",
            "then type: your username",
            "labwire user add NAME --database manager.sqlite3",
        ),
    ] {
        let line = format!("labwire start --port 0 --disable-tls{options}");
        let screen = at_terminal(&home, &line, &[("Network Manager running on", "\u{3}")]).succeeded();
        let hint = screen
            .lines()
            .find(|line| line.contains("to talk to it by hand: nc localhost "));
        let hint = hint.unwrap_or_else(|| panic!("there is no hint:\n{screen}"));
        assert!(hint.contains(typed), "{options}: {hint}");
        assert!(screen.contains(next), "{options}: {screen}");
    }
}

/// Clients on this computer would take its certificate and its database for those of the manager that runs.
#[test]
fn a_manager_whose_port_is_in_use_makes_no_files() {
    let home = Home::new();
    let other = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = other.local_addr().unwrap().port();
    let line = format!("labwire start --host 127.0.0.1 --port {port}");
    run(&home, &line).failed(1, &[&format!("cannot listen on 127.0.0.1:{port}"), "--port 0"]);
    let made: Vec<_> = fs::read_dir(home.path("")).unwrap().collect();
    assert!(made.is_empty(), "{made:?}");
}

/// In a network namespace where the computer's name resolves to 127.0.1.1, as on Debian.
#[test]
fn a_host_that_means_this_computer_alone_is_told_with_how_to_be_reachable() {
    let home = Home::new();
    fs::write(
        home.path("hosts"),
        "127.0.0.1 localhost\n127.0.1.1 bench-pc\n192.0.2.7 lab-pc\n",
    )
    .unwrap();
    let preparation = format!(
        "ip address add 192.0.2.7/24 dev lo; mount --bind '{}' /etc/hosts;",
        home.argument("hosts")
    );
    let line = "labwire start --check --port 0 --disable-tls --host bench-pc";
    let Some(mut check) = apart(&preparation, &command(&home, line)) else {
        return;
    };
    let found = Ran::from(check.output().unwrap()).succeeded();
    assert!(
        found.contains("doubtful  port           'bench-pc' means 127.0.1.1 on this computer"),
        "{found}"
    );

    let mut home = Some(home);
    for (host, is_told) in [
        ("bench-pc", true),
        ("lab-pc", false),
        ("127.0.1.1", false),
        ("localhost", false),
    ] {
        let line = format!("labwire start --port 0 --disable-tls --host {host}");
        let mut command = command(home.as_ref().unwrap(), &line);
        command = apart(&preparation, &command).expect("it was possible before");
        let manager = Manager::start_command(home.take().unwrap(), &mut command);
        if is_told {
            let line = manager.wait_for_log("'bench-pc' means 127.0.1.1 on this computer");
            for text in [
                "[WARNING]",
                "no other computer can reach",
                "--host (LABWIRE_HOST)",
                "192.0.2.7",
            ] {
                assert!(line.contains(text), "{text}: {line}");
            }
        }
        assert_eq!(
            manager.log().contains("on this computer (see /etc/hosts)"),
            is_told,
            "{host}"
        );
        home = Some(manager.end());
    }
}

#[test]
fn an_installation_of_msl_network_that_is_not_used_is_told_until_there_are_files_of_its_own() {
    let user = Home::new();
    let theirs = user.argument(".msl/network");
    fs::create_dir_all(&theirs).unwrap();
    fs::write(user.path(".msl/network/manager.sqlite3"), "").unwrap();
    let as_user = |line: &str| {
        let mut command = command(&user, line);
        command.env("HOME", user.path("")).env_remove("LABWIRE_HOME");
        command
    };
    let told = format!("found an installation of MSL-Network in {theirs}, which is not used");
    let check = Ran::from(
        as_user("labwire start --check --port 0 --disable-tls")
            .output()
            .unwrap(),
    )
    .succeeded();
    assert!(
        check.contains(&format!("doubtful  configuration  {told}")),
        "{check}"
    );

    let start = |variable: Option<&str>| {
        let mut command = as_user("labwire start --port 0 --disable-tls");
        command.envs(variable.map(|name| (name, theirs.as_str())));
        let manager = Manager::start_command(Home::new(), &mut command);
        manager.log()
    };
    assert!(!start(Some("MSL_NETWORK_HOME")).contains("which is not used"));
    let log = start(None);
    let line = log.lines().find(|line| line.contains(&told)).expect("it is told");
    assert!(line.contains(&format!("MSL_NETWORK_HOME={theirs}")), "{line}");
    // Now it has files of its own.
    assert!(!start(None).contains("which is not used"));
}
