//! Short runs of each workload, also against faulty brokers, which the load generator must detect.
//! The figures are not checked, so that the tests run on any machine.

use std::io::{BufRead as _, BufReader, Write as _, copy};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use clap::Parser as _;
use labwire_testing::TestManager;

use crate::dialect::Dialect;
use crate::options::{Cli, Command};
use crate::payload::{Content, Payload};
use crate::session::Target;
use crate::{call, idle, large, mux, notify, relay, tls};

#[test]
fn a_manager_is_looked_for_at_its_default_port() {
    let Command::Call(options) = Cli::parse_from(["labwire-bench", "call"]).command else {
        panic!("it is another command");
    };
    let target = options.broker.target().unwrap();
    assert_eq!(target.address.port(), labwire_wire::DEFAULT_PORT);
}

fn any() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// Starts a mux, which runs until the tests' process ends.
fn start_mux() -> Target {
    let listener = mio::net::TcpListener::bind(any()).unwrap();
    let target = lines_at(listener.local_addr().unwrap().port());
    thread::spawn(|| mux::serve(listener));
    target
}

/// Starts a relay, which runs until the tests' process ends.
fn start_relay() -> Target {
    let [clients, services] = [(); 2].map(|()| mio::net::TcpListener::bind(any()).unwrap());
    let target = Target {
        address: clients.local_addr().unwrap(),
        services: services.local_addr().unwrap(),
        dialect: Dialect::Bare,
        tls: None,
    };
    thread::spawn(|| relay::serve(clients, services));
    target
}

fn lines_at(port: u16) -> Target {
    let address = (Ipv4Addr::LOCALHOST, port).into();
    Target {
        address,
        services: address,
        dialect: Dialect::Lines,
        tls: None,
    }
}

/// Replaces each line to a client with the returned lines.
type Fault = fn(usize, Vec<u8>) -> Vec<Vec<u8>>;

/// Starts a faulty broker: services connect directly to a mux, clients through a proxy. The proxy
/// counts the lines with a result to all clients from 0, except the replies to `link`.
fn start_wrong(fault: Fault) -> Target {
    let right = start_mux();
    let mux = right.address;
    let listener = TcpListener::bind(any()).unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let broker = TcpStream::connect(mux).unwrap();
            let (mut up, mut to_broker) = (client.try_clone().unwrap(), broker.try_clone().unwrap());
            thread::spawn(move || copy(&mut up, &mut to_broker));
            let count = Arc::clone(&count);
            thread::spawn(move || spoil(broker, client, &count, fault));
        }
    });
    Target { address, ..right }
}

fn spoil(broker: TcpStream, mut client: TcpStream, count: &AtomicUsize, fault: Fault) {
    let mut broker = BufReader::new(broker);
    let mut line = Vec::new();
    while broker.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let taken = std::mem::take(&mut line);
        let is_counted = String::from_utf8_lossy(&taken).contains("\"result\": [")
            || String::from_utf8_lossy(&taken).contains("\"result\": \"");
        let lines = if is_counted {
            fault(count.fetch_add(1, Ordering::Relaxed), taken)
        } else {
            vec![taken]
        };
        if lines.iter().any(|line| client.write_all(line).is_err()) {
            return;
        }
    }
}

fn calls() -> call::Plan {
    call::Plan {
        services: 2,
        clients: 3,
        in_flight: 4,
        payload: Payload::new(Content::Text, 100).unwrap(),
        time: Duration::from_millis(50),
        idle: 2,
        drain: Duration::from_millis(500),
    }
}

fn notifications(clients: usize) -> notify::Plan {
    notify::Plan {
        clients,
        payload: Payload::new(Content::Numbers, 200).unwrap(),
        time: Duration::from_millis(50),
        drain: Duration::from_millis(500),
    }
}

fn large_call() -> large::Plan {
    large::Plan {
        size: 5 * 1_048_576,
        content: Content::Numbers,
        small_clients: 2,
        cut_through: false,
    }
}

/// Returns the error of the load generator about calls through a faulty broker.
fn complaint_of_calls(fault: Fault) -> String {
    let result = call::run(start_wrong(fault), &calls(), None);
    result.expect_err("the broker did wrong").to_string()
}

/// Returns the error of the load generator about notifications through a faulty broker.
fn complaint_of_notifications(fault: Fault) -> String {
    let result = notify::run(start_wrong(fault), &notifications(1), None);
    result.expect_err("the broker did wrong").to_string()
}

#[test]
fn all_is_well_with_a_proxy_that_does_nothing_wrong() {
    let right: Fault = |_, line| vec![line];
    assert!(call::run(start_wrong(right), &calls(), None).unwrap().per_second > 0.0);
    assert!(
        notify::run(start_wrong(right), &notifications(2), None)
            .unwrap()
            .per_second
            > 0.0
    );
}

#[test]
fn a_lost_reply_is_noticed() {
    let complaint = complaint_of_calls(|count, line| if count == 20 { vec![] } else { vec![line] });
    assert!(complaint.contains("in vain for the replies"), "{complaint}");
}

#[test]
fn a_doubled_reply_is_noticed() {
    let complaint = complaint_of_calls(|count, line| {
        if count == 20 {
            vec![line.clone(), line]
        } else {
            vec![line]
        }
    });
    assert!(complaint.contains("got one twice"), "{complaint}");
}

#[test]
fn a_changed_reply_is_noticed() {
    let complaint = complaint_of_calls(|count, mut line| {
        if count == 20 {
            let at = line
                .iter()
                .position(|byte| *byte == b'z')
                .expect("only the payload has one");
            line[at] = b'Z';
        }
        vec![line]
    });
    assert!(complaint.contains("another payload"), "{complaint}");
}

#[test]
fn a_reply_that_came_to_another_client_is_noticed() {
    let complaint = complaint_of_calls(|count, line| {
        let text = String::from_utf8(line).unwrap();
        // The marks of clients 0 to 2 begin with 10000 to 10002.
        let other = if text.contains("\"10000") {
            "\"10001"
        } else {
            "\"10000"
        };
        let spoiled = ["\"10000", "\"10001", "\"10002"]
            .iter()
            .fold(text.clone(), |text, mark| text.replace(mark, other));
        vec![if count == 20 { spoiled } else { text }.into_bytes()]
    });
    assert!(complaint.contains("not its own"), "{complaint}");
}

#[test]
fn a_missing_notification_is_noticed() {
    let complaint = complaint_of_notifications(|count, line| if count == 20 { vec![] } else { vec![line] });
    assert!(complaint.contains("missed a notification"), "{complaint}");
}

#[test]
fn a_doubled_notification_is_noticed() {
    let complaint = complaint_of_notifications(|count, line| {
        if count == 20 {
            vec![line.clone(), line]
        } else {
            vec![line]
        }
    });
    assert!(complaint.contains("got one twice"), "{complaint}");
}

#[test]
fn swapped_notifications_are_noticed() {
    // The payload with the mark of the next notification comes first.
    let complaint = complaint_of_notifications(|count, line| {
        let text = String::from_utf8(line).unwrap();
        let own = format!("[[[1000000000{:06}", count + 1);
        let next = format!("[[[1000000000{:06}", count + 2);
        assert!(text.contains(&own), "{text}");
        match count {
            20 => vec![text.replace(&own, &next).into_bytes(), text.into_bytes()],
            21 => vec![],
            _ => vec![text.into_bytes()],
        }
    });
    assert!(complaint.contains("out of turn"), "{complaint}");
}

#[test]
fn a_changed_notification_is_noticed() {
    let complaint = complaint_of_notifications(|count, mut line| {
        if count == 20 {
            let at = line.iter().rposition(|byte| *byte == b'1').expect("a digit");
            line[at] = b'2';
        }
        vec![line]
    });
    assert!(complaint.contains("another payload"), "{complaint}");
}

#[test]
fn a_mux_does_each_workload() {
    let target = start_mux();
    assert!(
        call::run(target.clone(), &calls(), None)
            .unwrap()
            .p50_microseconds
            > 0.0
    );
    let target = start_mux();
    assert!(notify::run(target, &notifications(3), None).unwrap().per_second > 0.0);
    let target = start_mux();
    assert!(
        large::run(target, &large_call(), None)
            .unwrap()
            .small_max_milliseconds
            > 0.0
    );
    let target = start_mux();
    assert!(idle::run(target, 60, None).unwrap().per_second > 0.0);
}

#[test]
fn a_relay_does_what_pairs_can_do() {
    assert!(call::run(start_relay(), &calls(), None).unwrap().per_second > 0.0);
    assert!(
        notify::run(start_relay(), &notifications(1), None)
            .unwrap()
            .per_second
            > 0.0
    );
    assert!(
        large::run(start_relay(), &large_call(), None)
            .unwrap()
            .mebibytes_per_second
            > 0.0
    );
    let error = notify::run(start_relay(), &notifications(2), None).unwrap_err();
    assert!(error.to_string().contains("give it one client"), "{error}");
}

#[test]
fn a_manager_does_each_workload() {
    let manager = TestManager::start_blocking();
    let target = lines_at(manager.port());
    assert!(call::run(target, &calls(), None).unwrap().per_second > 0.0);
    // A manager for each run: the services of the last run may still be connected for a moment.
    let manager = TestManager::start_blocking();
    assert!(
        notify::run(lines_at(manager.port()), &notifications(3), None)
            .unwrap()
            .per_second
            > 0.0
    );
    let manager = TestManager::start_blocking();
    assert!(
        large::run(lines_at(manager.port()), &large_call(), None)
            .unwrap()
            .mebibytes_per_second
            > 0.0
    );
    let manager = TestManager::start_blocking();
    assert!(idle::run(lines_at(manager.port()), 60, None).unwrap().per_second > 0.0);
}

#[test]
fn a_manager_with_tls_is_trusted_by_its_certificate_and_no_other() {
    let [manager, other] = [(); 2].map(|()| TestManager::builder().tls().start_blocking());
    let trusting = |file: &std::path::Path| Target {
        tls: Some(tls::trusting(file).unwrap()),
        ..lines_at(manager.port())
    };
    let target = trusting(&manager.certificate_file());
    assert!(call::run(target, &calls(), None).unwrap().per_second > 0.0);
    let error = call::run(trusting(&other.certificate_file()), &calls(), None).unwrap_err();
    assert!(format!("{error:#}").contains("certificate"), "{error:#}");
    let error = tls::trusting(&manager.certificate_file().with_file_name("none")).unwrap_err();
    assert!(error.to_string().contains("cannot read"), "{error}");
}

#[test]
fn a_broker_that_is_not_there_is_told() {
    let nobody = TcpListener::bind(any()).unwrap().local_addr().unwrap();
    let error = call::run(lines_at(nobody.port()), &calls(), None).unwrap_err();
    assert!(
        error.to_string().contains("is the broker running there?"),
        "{error}"
    );
}
