//! Peers that together exceed a budget: unfinished lines, requests without a reply, and unread
//! replies.

use std::fmt::Write;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use crate::generator::{Task, run, spawn};
use crate::observed::{IDLE_MEMORY, MIB, Subject};
use crate::outcomes::milliseconds;
use crate::peer::{Peer, Target, address, client, reply, request};
use crate::runner::scaled;
use crate::support::DEADLINE;

/// The `--line-stall` of these cases.
const LINE_STALL: Duration = Duration::from_secs(3);

/// Memory of a request in flight in the manager, including the queues of its service and its
/// client, in bytes.
const IN_FLIGHT: u64 = 512;

/// Answers each request with the length of its argument.
async fn count(mut service: Peer) {
    while let Ok(Some(line)) = service.line_without_deadline().await {
        let Ok(asked) = serde_json::from_str::<Value>(&line) else {
            return;
        };
        let length = asked["args"][0].as_str().map_or(0, str::len);
        if service.send(&reply(&asked, &json!(length))).await.is_err() {
            return;
        }
    }
}

/// Sends the beginning of a line and nothing more. The connection stays open, and errors are not
/// read.
async fn hoard(target: Target, number: usize, bytes: usize) -> Peer {
    let mut peer = Peer::join(&target, address(8, number), client("hoarder"))
        .await
        .expect("the manager serves");
    let head = format!(r#"{{"attribute":"count","service":"Count","uid":"{number}","args":[""#);
    peer.send_bytes(head.as_bytes()).await.expect("the manager reads");
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..bytes >> 20 {
        peer.send_bytes(&piece).await.expect("the manager reads");
    }
    peer
}

pub(crate) fn lines_without_an_end_take_no_more_than_their_budget_and_are_thrown_away() -> String {
    let (budget, hoarded, honest, calls) = scaled((64, 20, 8, 5), (1024, 300, 110, 5));
    let options = [
        "--disable-tls",
        "--budget-lines",
        &format!("{budget}MiB"),
        "--line-stall",
        &format!("{}s", LINE_STALL.as_secs()),
    ];
    let mut subject = Subject::start(&options);
    let target = subject.target.clone();
    let (service, mut caller) = run({
        let target = target.clone();
        async move {
            let service = Peer::service(&target, "Count").await.expect("the manager serves");
            let caller = Peer::client(&target, "honest").await.expect("the manager serves");
            (service, caller)
        }
    });
    let counting = spawn(count(service));
    let hoarding: Vec<_> = (0..4)
        .map(|number| spawn(hoard(target.clone(), number, hoarded << 20)))
        .collect();
    let hoarders: Vec<_> = hoarding.into_iter().map(Task::join).collect();
    let held = subject.statistic("line_bytes") / MIB;
    // The requests of another peer still pass, although they need memory from the budget.
    let mut slowest = Duration::ZERO;
    let mut refused = 0;
    for number in 0..calls {
        let begun = Instant::now();
        let told;
        (caller, told) = run(async move {
            let mut line = br#"{"args":[""#.to_vec();
            line.resize(line.len() + (honest << 20), b'y');
            let envelope = request("Count", "count", &json!([]), &number.to_string()).to_string();
            let envelope = envelope.trim_start_matches(r#"{"args":[],"#);
            line.extend_from_slice(format!("\"],{envelope}\r\n").as_bytes());
            caller.send_bytes(&line).await.expect("the manager reads");
            let told = caller.frame().await.expect("the manager answers");
            (caller, told)
        });
        assert_eq!(told["uid"], number.to_string(), "{told}");
        if told["result"] == json!(honest << 20) {
            slowest = slowest.max(begun.elapsed());
        } else {
            refused += 1;
        }
    }
    assert_eq!(refused, 0, "requests of a client that holds little were refused");
    let freed = subject.wait_for_statistic("line_bytes", |bytes| bytes == 0);
    assert!(
        freed < LINE_STALL + DEADLINE / 2,
        "lines that do not grow stay for {freed:?}"
    );
    let over = subject.statistic("lines_over_budget");
    let stalled = subject.statistic("lines_stalled");
    assert_eq!(
        over + stalled,
        4,
        "each line of the hoarders was thrown away once"
    );
    let longest = subject.statistic("longest_step_microseconds");
    drop((hoarders, caller, counting));
    let figures = format!(
        "4 clients sent {hoarded} MiB without an end each, and held {held} of {budget} MiB; {calls} requests of \
         {honest} MiB were answered meanwhile, the slowest in {}; {over} of the lines were thrown away for them, \
         {stalled} since they did not grow; the longest step of the routing thread took {}",
        milliseconds(slowest),
        milliseconds(Duration::from_micros(longest))
    );
    // The request that is arriving, the one that is being written to its service, and the memory
    // reserved for the next.
    let most = IDLE_MEMORY + (budget + 2 * honest as u64 + hoarded as u64) * MIB;
    subject.finish(&figures, most)
}

/// Sends requests that are not answered, and reads the errors for those that are refused.
async fn flood(target: Target, number: usize, requests: usize) -> Peer {
    const LAST: &[u8] = br#""uid":"last""#;
    let mut peer = Peer::join(&target, address(9, number), client("flood"))
        .await
        .expect("the manager serves");
    let Peer { reader, writer } = &mut peer;
    let sending = async {
        for begin in (0..requests).step_by(256) {
            let mut lines = String::new();
            for uid in begin..requests.min(begin + 256) {
                // As long as those of Python's clients.
                write!(
                    lines,
                    "{{\"args\":[],\"attribute\":\"wait\",\"error\":false,\"kwargs\":{{}},\"service\":\"Silent\",\
                     \"uid\":\"{number:08}-0000-0000-0000-{uid:012}\"}}\r\n"
                )
                .expect("a string takes any text");
            }
            writer
                .write_all(lines.as_bytes())
                .await
                .expect("the manager reads");
        }
        let last = request("Manager", "identity", &json!([]), "last").to_string() + "\r\n";
        writer
            .write_all(last.as_bytes())
            .await
            .expect("the manager reads");
    };
    let reading = async {
        let mut chunk = vec![0; 64 * 1024];
        let mut kept = 0;
        loop {
            let count = reader
                .read(&mut chunk[kept..])
                .await
                .expect("the manager answers");
            assert!(count > 0, "the manager has closed the connection");
            let bytes = &chunk[..kept + count];
            if bytes.windows(LAST.len()).any(|bytes| bytes == LAST) {
                return;
            }
            let end = bytes.len().saturating_sub(LAST.len());
            chunk.copy_within(end..kept + count, 0);
            kept = kept + count - end;
        }
    };
    tokio::join!(sending, reading);
    peer
}

/// A service that reads its requests and answers none, until it is dropped. It has a thread with
/// normal priority: a service that does not keep up would be disconnected.
struct Silent {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Silent {
    fn start(target: &Target) -> Self {
        let target = target.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let (connected, is_connected) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a thread can wait for sockets").block_on(async {
                let mut service = Peer::service(&target, "Silent")
                    .await
                    .expect("the manager serves");
                let _ = connected.send(());
                let mut chunk = vec![0; 256 * 1024];
                let reading =
                    async { while service.reader.read(&mut chunk).await.is_ok_and(|count| count > 0) {} };
                tokio::select! {
                    () = reading => {}
                    _ = stopped => {}
                }
            });
        });
        is_connected.recv().expect("the manager serves");
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its failure was already printed.
            let _ = thread.join();
        }
    }
}

pub(crate) fn requests_in_flight_of_many_clients_take_no_more_than_their_budget() -> String {
    let (clients, each, budget) = scaled((10, 4_096, 16_384), (50, 65_536, 262_144));
    let queued = scaled(16, 256);
    let options = [
        "--disable-tls",
        "--budget-in-flight",
        &budget.to_string(),
        "--budget-queues",
        &format!("{queued}MiB"),
        // A peer that others of the crowd keep from reading must not be disconnected for it.
        "--stall",
        "1min",
        "--patience",
        "1min",
    ];
    let mut subject = Subject::start(&options);
    let before = subject.process().memory("VmRSS");
    let target = subject.target.clone();
    let silent = Silent::start(&target);
    let begun = Instant::now();
    let floods: Vec<_> = (0..clients)
        .map(|number| spawn(flood(target.clone(), number, each)))
        .collect();
    let floods: Vec<_> = floods.into_iter().map(Task::join).collect();
    let took = begun.elapsed().as_secs_f64();
    let in_flight = subject.statistic("in_flight");
    let refused = subject.statistic("in_flight_over_budget");
    let sent = (clients * each) as u64;
    // The bystander may have a request in flight.
    assert!(
        (in_flight + refused).abs_diff(sent) <= 2,
        "{in_flight} and {refused} of {sent}"
    );
    assert!(
        in_flight <= budget + 16 * clients as u64,
        "{in_flight} of {budget}"
    );
    let longest = subject.statistic("longest_step_microseconds");
    let cost = subject.process().memory("VmRSS").saturating_sub(before);
    drop((floods, silent));
    let figures = format!(
        "{clients} clients sent {each} requests each in {took:.1} s; {in_flight} of {budget} are in flight and take {} \
         MiB, the others were refused; the longest step of the routing thread took {}",
        cost / MIB,
        milliseconds(Duration::from_micros(longest))
    );
    subject.finish(&figures, IDLE_MEMORY + budget * IN_FLIGHT + queued * MIB)
}

/// Answers each request with a text of so many bytes.
async fn answer_at_length(mut service: Peer, bytes: usize) {
    let text = json!("x".repeat(bytes));
    while let Ok(Some(line)) = service.line_without_deadline().await {
        let Ok(asked) = serde_json::from_str::<Value>(&line) else {
            return;
        };
        if service.send(&reply(&asked, &text)).await.is_err() {
            return;
        }
    }
}

/// Returns the slowest of some calls, each of which is answered with so many bytes.
async fn slowest_call(mut caller: Peer, calls: usize, bytes: usize) -> Duration {
    let mut slowest = Duration::ZERO;
    for number in 0..calls {
        let begun = Instant::now();
        let ask = request("Honest", "read", &json!([]), &number.to_string());
        let told = caller.ask(&ask).await.expect("the manager answers");
        assert_eq!(
            told["result"].as_str().map(str::len),
            Some(bytes),
            "it was refused"
        );
        slowest = slowest.max(begun.elapsed());
    }
    slowest
}

pub(crate) fn queues_of_peers_that_do_not_read_take_no_more_than_their_budget() -> String {
    /// Length of each reply, in bytes.
    const REPLY: usize = 1 << 20;
    /// How long a peer may read nothing while others wait for it. Each of these peers has a queue
    /// of 32 MiB at most.
    const STALL: Duration = Duration::from_secs(1);
    let (clients, replies, budget, calls) = scaled((8, 20, 64, 100), (64, 40, 512, 1_000));
    let options = [
        "--disable-tls",
        "--budget-queues",
        &format!("{budget}MiB"),
        "--stall",
        &format!("{}s", STALL.as_secs()),
    ];
    let mut subject = Subject::start(&options);
    let target = subject.target.clone();
    let (services, caller) = run({
        let target = target.clone();
        async move {
            let greedy = Peer::service(&target, "Greedy")
                .await
                .expect("the manager serves");
            let honest = Peer::service(&target, "Honest")
                .await
                .expect("the manager serves");
            let caller = Peer::client(&target, "honest").await.expect("the manager serves");
            let services = [greedy, honest].map(|service| spawn(answer_at_length(service, REPLY)));
            (services, caller)
        }
    });
    let hoarding: Vec<_> = (0..clients)
        .map(|number| {
            let target = target.clone();
            spawn(async move {
                let mut peer = Peer::join(&target, address(10, number), client("hoarder"))
                    .await
                    .expect("the manager serves");
                let ask = request("Greedy", "read", &json!([]), "1").to_string() + "\r\n";
                let asked = peer.send_bytes(ask.repeat(replies).as_bytes()).await;
                asked.expect("the manager reads");
                peer
            })
        })
        .collect();
    let hoarders: Vec<_> = hoarding.into_iter().map(Task::join).collect();
    // The budget is smaller than their total demand, so some must be disconnected.
    subject.wait_for_statistic("queues_over_budget", |waits| waits > 0);
    let queued = subject.statistic("queued_bytes") / MIB;
    let slowest = run(slowest_call(caller, calls, REPLY));
    let cut = subject.statistic("cut");
    drop((hoarders, services));
    let figures = format!(
        "{clients} clients that read nothing asked for {replies} MiB each, and {queued} of {budget} MiB were queued; {calls} \
         calls of 1 MiB meanwhile, the slowest in {}; {cut} of them were disconnected",
        milliseconds(slowest)
    );
    assert!(
        slowest < STALL,
        "a call that could go on at once took {slowest:?}"
    );
    subject.finish(&figures, IDLE_MEMORY + (budget + 64) * MIB)
}
