//! Services that are killed or stopped with requests in flight.

use std::time::{Duration, Instant};

use crate::generator::{Task, run, spawn};
use crate::observed::{IDLE_MEMORY, Subject};
use crate::outcomes::{Outcomes, milliseconds};
use crate::peer::{Peer, Target, address, client};
use crate::programs::start_service;
use crate::runner::scaled;
use crate::support::process::Signal;

/// Time after which the callers of a dead service must have their errors.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Connects clients, each with its requests in flight.
async fn ask(
    target: Target,
    clients: usize,
    attribute: &'static str,
    requests: usize,
) -> Vec<(Peer, Outcomes)> {
    let mut asked = Vec::new();
    for number in 0..clients {
        let peer = Peer::join(&target, address(3, number), client("Ada")).await;
        let mut peer = peer.expect("the manager serves");
        let outcomes = Outcomes::begin(&mut peer, "Oven", attribute, 0..requests).await;
        asked.push((peer, outcomes.expect("the manager reads")));
    }
    asked
}

/// Starts to read the outcomes of all clients.
fn read(asked: Vec<(Peer, Outcomes)>) -> Vec<Task<(Outcomes, Peer, Instant)>> {
    let read = |(mut peer, mut outcomes): (Peer, Outcomes)| async move {
        let last = outcomes.read(&mut peer).await;
        (outcomes, peer, last.into_std())
    };
    asked.into_iter().map(|asked| spawn(read(asked))).collect()
}

/// Waits for all outcomes, and expects exactly one for each request. Returns the number of results,
/// the number of errors that contain the text, and when the last outcome arrived.
fn gather(reading: Vec<Task<(Outcomes, Peer, Instant)>>, error: &'static str) -> (usize, usize, Instant) {
    let (mut results, mut errors, mut last) = (0, 0, None);
    for task in reading {
        let (mut outcomes, mut peer, came) = task.join();
        let (some_results, some_errors) = outcomes.expect_one_each(error);
        results += some_results;
        errors += some_errors;
        last = last.max(Some(came));
        run(async move { outcomes.expect_nothing_more(&mut peer).await });
    }
    (results, errors, last.expect("there are clients"))
}

pub(crate) fn a_killed_service_ends_each_request_that_it_held_once_and_at_once() -> String {
    let (clients, requests) = scaled((20, 50), (100, 100));
    let mut subject = Subject::start(&["--disable-tls"]);
    let mut service = start_service(&subject.manager, "Oven");
    let asked = run(ask(subject.target.clone(), clients, "heat", requests));
    let all = clients * requests;
    subject.wait_for_statistic("in_flight", |in_flight| in_flight >= all as u64);
    let reading = read(asked);
    let killed = Instant::now();
    service.signal(Signal::KILL);
    let (results, errors, last) = gather(reading, "'Oven' Service left before it replied");
    service.wait();
    let took = last.duration_since(killed);
    assert_eq!((results, errors), (0, all));
    assert!(took < AT_ONCE, "the last caller knew after {took:?}");
    let figures = format!(
        "{all} requests of {clients} clients, {errors} outcomes in {}",
        milliseconds(took)
    );
    subject.finish(&figures, IDLE_MEMORY)
}

pub(crate) fn a_service_that_is_stopped_for_a_while_delays_nobody_else() -> String {
    let (clients, requests) = scaled((10, 20), (50, 100));
    let pause = Duration::from_secs(scaled(1, 5));
    let mut subject = Subject::start(&["--disable-tls"]);
    let service = start_service(&subject.manager, "Oven");
    service.signal(Signal::STOP);
    let asked = run(ask(subject.target.clone(), clients, "double", requests));
    let all = clients * requests;
    subject.wait_for_statistic("in_flight", |in_flight| in_flight >= all as u64);
    // Any duration suffices: the requests of a stopped service must stay in flight.
    std::thread::sleep(pause);
    let still = subject.statistic("in_flight");
    assert!(still >= all as u64, "somebody has answered for a stopped service");
    let reading = read(asked);
    let continued = Instant::now();
    service.signal(Signal::CONT);
    let (results, errors, last) = gather(reading, "");
    assert_eq!((results, errors), (all, 0));
    drop(service);
    let figures = format!(
        "{all} requests of {clients} clients to a service stopped for {} s, {results} answered {} after it went on",
        pause.as_secs(),
        milliseconds(last.duration_since(continued))
    );
    subject.finish(&figures, IDLE_MEMORY)
}
