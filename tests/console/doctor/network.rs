//! Names, ports, firewalls, and servers that are no managers.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::{diagnose, doctor, doctor_of};
use crate::support::free_port;
use crate::support::manager::{Home, Manager};
use crate::support::network::Network;
use crate::support::pseudo_terminal::PseudoTerminal;

/// A server that does the same with every connection, until the end of the test.
fn server(serve: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            serve(stream.unwrap());
        }
    });
    port
}

#[test]
fn a_name_that_nobody_knows_is_told_with_the_one_that_may_be_meant() {
    let home = Home::new();
    home.prepare(&["profile", "add", "lab", "--host", "lab-pc-7.invalid:1876"]);
    let diagnosis = diagnose(&mut doctor(&home, &["lab-pc7.invalid"]));
    let texts = [
        "'lab-pc7.invalid'",
        "labwire doctor lab-pc-7.invalid",
        "the command line",
    ];
    diagnosis.failed(3, "name", "unknown-name", &texts);
    let diagnosis = diagnose(&mut doctor(&home, &["--profile", "lab"]));
    diagnosis.failed(3, "name", "unknown-name", &["the profile 'lab'"]);
}

#[test]
fn a_port_at_which_nothing_listens_is_told_with_the_command_that_starts_a_manager() {
    let home = Home::new();
    let port = free_port();
    let diagnosis = diagnose(&mut doctor(&home, &[&format!("localhost:{port}")]));
    let remedy = format!("labwire start --port {port}");
    diagnosis.failed(3, "port", "no-listener", &[&remedy, "on this computer"]);
    let plain = diagnose(&mut doctor(
        &home,
        &[&format!("localhost:{port}"), "--disable-tls"],
    ));
    let remedy = format!("labwire start --port {port} --disable-tls");
    plain.failed(3, "port", "no-listener", &[&remedy, "the default port"]);
}

#[test]
fn a_wrong_port_is_told_with_the_one_at_which_a_manager_listens() {
    let (plain, secure) = (Manager::start(&["--disable-tls"]), Manager::start(&[]));
    let home = Home::new();
    let place = |manager: &Manager| format!("localhost:{}", manager.port());
    for (name, manager) in [("plain", &plain), ("secure", &secure)] {
        home.prepare(&["profile", "add", name, "--host", &place(manager)]);
    }
    let wrong = format!("localhost:{}", free_port());
    let diagnosis = diagnose(&mut doctor(&home, &[&wrong]));
    let texts = [
        "a manager without TLS listens at port",
        &format!("labwire doctor {} --disable-tls", place(&plain)),
        "a server with TLS, as managers are, listens at port",
        &format!("labwire doctor {}", place(&secure)),
        "is from the command line",
    ];
    diagnosis.failed(3, "port", "no-listener", &texts);
}

#[test]
fn the_own_manager_at_another_port_is_found() {
    for (options, what, end) in [
        (
            &["--disable-tls"][..],
            "a manager without TLS listens",
            " --disable-tls",
        ),
        (&[], "a server with TLS, as managers are, listens", ""),
    ] {
        let manager = Manager::start(options);
        let wrong = format!("localhost:{}", free_port());
        let diagnosis = diagnose(&mut doctor(manager.home(), &[&wrong]));
        let port = manager.port();
        let texts = [
            &*format!("{what} at port {port}, at which you have started one"),
            &format!("labwire doctor localhost:{port}{end}"),
        ];
        diagnosis.failed(3, "port", "no-listener", &texts);
    }
}

#[test]
fn the_managers_of_addresses_of_ipv6_are_known_by_their_whole_address() {
    let home = Home::new();
    std::fs::create_dir_all(home.path("certs")).unwrap();
    let manager = Manager::start(&["--disable-tls"]);
    let port = manager.port();
    std::fs::write(home.path("certs").join(format!("--1_{port}.crt")), "").unwrap();
    let wrong = format!("[::1]:{}", free_port());
    let diagnosis = diagnose(&mut doctor(&home, &[&wrong]));
    let remedy = format!("labwire doctor '[::1]:{port}' --disable-tls");
    diagnosis.failed(3, "port", "no-listener", &[&remedy]);
}

/// A socket whose queue is full answers no packet, as behind a firewall that drops them.
#[test]
fn a_port_that_does_not_answer_is_told_as_a_firewall() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        queued.push(stream);
        assert!(queued.len() < 100, "the queue is never full");
    }
    let home = Home::new();
    let target = address.to_string();
    let diagnosis = diagnose(&mut doctor(&home, &[&target, "--connect-timeout", "0.5"]));
    let rule = format!("sudo ufw allow {}/tcp", address.port());
    let texts = [
        "firewall",
        "within 0.5 s",
        "netsh advfirewall",
        "ping 127.0.0.1",
        &rule,
    ];
    diagnosis.failed(3, "port", "silence", &texts);
}

#[test]
fn a_cable_that_is_pulled_is_silence_and_a_manager_of_another_computer_may_serve_its_own_alone() {
    let Some(network) = Network::new() else {
        return;
    };
    let manager = network.near(|| Manager::start(&["--disable-tls"]));
    let target = format!("{}:{}", network.near_address(), manager.port());
    let home = Home::new();
    let far = || {
        network.far(|| {
            diagnose(&mut doctor(
                &home,
                &[&target, "--disable-tls", "--connect-timeout", "2"],
            ))
        })
    };
    let tunnel = format!(
        "ssh -L {0}:localhost:{0} {1}",
        manager.port(),
        network.near_address()
    );
    let start = format!("labwire start --auth-login --port {}", manager.port());
    far().failed(4, "login", "own-computer-only", &[&tunnel, &start]);
    network.pull();
    far().failed(3, "port", "silence", &["firewall"]);
}

#[test]
fn servers_that_are_no_managers_are_told_by_what_they_do() {
    let home = Home::new();
    let ssh = server(|mut stream| {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n");
    });
    let silent = server(|stream| {
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut &stream, &mut std::io::sink());
        });
    });
    let closing = server(drop);
    for (port, problem, text) in [
        (ssh, "not-a-manager", "an SSH server"),
        (silent, "silent", "has sent nothing within 2 s"),
        (closing, "closed", "closes them at once"),
    ] {
        for tls in ["--disable-tls=false", "--disable-tls"] {
            let target = format!("localhost:{port}");
            let arguments = [&target, tls, "--connect-timeout", "2"];
            let diagnosis = diagnose(&mut doctor(&home, &arguments));
            diagnosis.failed(3, "tls", problem, &[text]);
        }
    }
}

#[test]
fn a_server_that_is_silent_is_told_within_five_seconds_and_meanwhile_what_is_waited_for() {
    let home = Home::new();
    let silent = server(|stream| {
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut &stream, &mut std::io::sink());
        });
    });
    for tls in ["--disable-tls=false", "--disable-tls"] {
        let begun = Instant::now();
        let target = format!("localhost:{silent}");
        let diagnosis = diagnose(&mut doctor(&home, &[&target, tls]));
        diagnosis.failed(3, "tls", "silent", &["has sent nothing within 4 s"]);
        // Half a second for a computer with much to do.
        assert!(
            begun.elapsed() < Duration::from_millis(5_500),
            "{:?}",
            begun.elapsed()
        );
        let mut terminal = PseudoTerminal::start(&doctor(&home, &[&target, tls]), 80, 24);
        terminal.wait_for(&format!("waiting for the first bytes of {target}, 4 s at most"));
        terminal.wait_for("has sent");
    }
}

#[test]
fn tls_on_one_side_only_is_told_at_once_with_where_it_is_turned_off() {
    let secure = Manager::start(&[]);
    let begun = Instant::now();
    let expected = diagnose(&mut doctor_of(&secure, &["--disable-tls"]));
    expected.failed(3, "tls", "tls-expected", &["leave --disable-tls out"]);
    let again = expected.check("tls")["remedies"][0]["command"].as_str().unwrap();
    assert_eq!(again, format!("labwire doctor localhost:{}", secure.port()));
    let variable = diagnose(doctor_of(&secure, &[]).env("LABWIRE_DISABLE_TLS", "true"));
    variable.failed(
        3,
        "tls",
        "tls-expected",
        &[
            "unset the environment variable LABWIRE_DISABLE_TLS",
            "--disable-tls=false",
        ],
    );
    let plain = Manager::start(&["--disable-tls"]);
    let spoken = diagnose(doctor_of(&plain, &[]).env_remove("LABWIRE_DISABLE_TLS"));
    let remedy = format!("labwire doctor localhost:{} --disable-tls", plain.port());
    spoken.failed(3, "tls", "tls-not-spoken", &[&remedy]);
    // Other commands tell the same, and not after the ten seconds that connecting may take.
    let services = super::labwire(&secure, &["services", "--disable-tls"]);
    assert_eq!(services.code, Some(3), "{services:?}");
    assert!(services.errors.contains("answers with TLS"), "{services:?}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}
