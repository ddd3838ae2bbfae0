//! Calls that take long: their items, deadlines and cancellation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use labwire_client::{CallError, Link};
use serde_json::{Value, json};
use tokio::time::{sleep, sleep_until, timeout};

use crate::counting::{Counter, connect, direct, judge, next_number};
use crate::generator::{Task, block_on, run, spawn};
use crate::observed::{IDLE_MEMORY, MIB, Subject};
use crate::outcomes::milliseconds;
use crate::peer::{Peer, Target, reply, request};
use crate::runner::{expect_in_time, scaled};
use crate::support::DEADLINE;

/// The manager disconnects a reader after so long if others wait for it, by default.
const STALL: Duration = Duration::from_secs(2);

/// Time that the manager may need beyond a stated one, on a busy computer.
const MARGIN: Duration = Duration::from_secs(1);

/// Length of an item, in bytes.
const ITEM: usize = 8 * 1024;

/// A client that calls a service all the time.
struct Neighbour {
    is_last: Arc<AtomicBool>,
    calling: Task<Vec<Duration>>,
}

impl Neighbour {
    fn start(target: &Target, service: &'static str) -> Self {
        let options = direct(target);
        let is_last = Arc::<AtomicBool>::default();
        let stop = Arc::clone(&is_last);
        let calling = spawn(async move {
            let client = connect("Neighbour", options).await;
            let link = client.link(service).await.expect("the service is here");
            let mut times = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let (number, begun) = (next_number(), Instant::now());
                let calling = link.call::<u64>("work", (number, 0));
                let result = timeout(DEADLINE, calling).await.expect("it is served");
                assert_eq!(result.expect("it is served"), number);
                times.push(begun.elapsed());
                sleep(Duration::from_millis(5)).await;
            }
            client.disconnect().await;
            times
        });
        Self { is_last, calling }
    }

    /// Stops it. Returns how long its calls took, in order of length.
    fn stop(self) -> Vec<Duration> {
        self.is_last.store(true, Ordering::Relaxed);
        let mut times = self.calling.join();
        times.sort_unstable();
        times
    }
}

/// Formats the median and the worst of some times in order.
fn spread(times: &[Duration]) -> String {
    let [median, worst] = [times.len() / 2, times.len() - 1].map(|rank| milliseconds(times[rank]));
    format!("median {median}, worst {worst}")
}

/// A client on a bare socket that reads items.
struct Reader {
    peer: Peer,
    number: u64,
    /// The index of the next item.
    next: u64,
}

impl Reader {
    async fn start(target: &Target, count: u64) -> Self {
        let mut peer = Peer::client(target, "Reader").await.expect("the manager serves");
        let number = next_number();
        let mut call = request("Stream", "stream", &json!([number, count, ITEM]), "items");
        call["progress"] = json!(true);
        peer.send(&call).await.expect("the manager reads");
        Self {
            peer,
            number,
            next: 0,
        }
    }

    /// Reads until an item with this index is there, or the call has ended. Returns the result.
    async fn read(&mut self, until: u64) -> Option<Value> {
        while self.next < until {
            let frame = self.peer.frame().await.expect("the connection is open");
            if frame.get("item").is_none() {
                assert_eq!(frame["error"], false, "{frame}");
                return Some(frame["result"].clone());
            }
            assert_eq!(frame["item"][0], self.next, "an item is missing or came twice");
            self.next += 1;
        }
        None
    }
}

pub(crate) fn a_reader_that_stops_amid_items_is_cut_in_time_and_one_that_goes_on_loses_nothing() -> String {
    let items = scaled(4_000, 16_000);
    let pause = STALL / 2;
    let mut subject = Subject::start(&["--disable-tls", "--queue", "1MiB"]);
    let counter = Counter::default();
    let service = counter.serve("Stream", direct(&subject.target));

    // A reader that pauses while others wait for it, and one with the SDK.
    let neighbour = Neighbour::start(&subject.target, "Stream");
    let target = subject.target.clone();
    let pausing = spawn(async move {
        let mut reader = Reader::start(&target, items).await;
        assert_eq!(reader.read(100).await, None);
        sleep(pause).await;
        let result = reader.read(u64::MAX).await;
        assert_eq!((result, reader.next), (Some(json!(reader.number)), items));
        reader.number
    });
    let options = direct(&subject.target);
    let steady = spawn(async move {
        let client = connect("Steady", options).await;
        let link = client.link("Stream").await.expect("the service is here");
        let number = next_number();
        let call = link.call::<u64>("stream", (number, 1_000, ITEM)).follow().await;
        let mut call = call.expect("the service is here");
        let mut received = call.items::<(u64, String)>();
        let mut expected = 0;
        while let Some(item) = received.next().await {
            let (index, _) = item.expect("nothing is lost");
            assert_eq!(index, expected, "an item is missing or came twice");
            expected += 1;
            if expected == 500 {
                sleep(pause).await;
            }
        }
        assert_eq!((call.await.expect("it is served"), expected), (number, 1_000));
        client.disconnect().await;
        number
    });
    let numbers = [pausing.join(), steady.join()];
    let beside_a_pause = neighbour.stop();
    assert_eq!(
        subject.statistic("cut"),
        0,
        "a reader that went on was disconnected"
    );
    for number in numbers {
        assert_eq!(counter.of(number), 1);
    }

    // A reader that stops for good.
    let neighbour = Neighbour::start(&subject.target, "Stream");
    let target = subject.target.clone();
    let stopped = run(async move {
        let mut reader = Reader::start(&target, items).await;
        assert_eq!(reader.read(100).await, None);
        reader
    });
    let number = stopped.number;
    let cut = subject.wait_for_statistic("cut", |cut| cut == 1);
    expect_in_time(cut < STALL + MARGIN, || {
        format!("the reader was cut after {cut:?}")
    });
    let beside_a_stop = neighbour.stop();
    run(async move { drop(stopped) });
    let worst = beside_a_stop.last().copied().unwrap_or_default();
    expect_in_time(worst < STALL + MARGIN, || {
        format!("another caller of the service waited for {worst:?}")
    });
    assert_eq!(counter.of(number), 1);
    block_on(service.shut_down()).expect("the service leaves");
    let figures = format!(
        "a reader of {items} items of {} KiB that paused for {} s and one with the SDK missed none (other callers of the \
         service: {}); one that stopped was cut after {} (others: {})",
        ITEM / 1024,
        pause.as_secs(),
        spread(&beside_a_pause),
        milliseconds(cut),
        spread(&beside_a_stop)
    );
    subject.finish(&figures, IDLE_MEMORY + 16 * MIB)
}

/// How long the services take for a request, whatever they are asked.
const STUBBORN: Duration = Duration::from_millis(1_500);

/// A service without any feature, which answers each request after a while.
fn start_old(target: &Target) -> Task<()> {
    let target = target.clone();
    let peer = run(async move { Peer::service(&target, "Old").await }).expect("the manager serves");
    spawn(async move {
        let Peer {
            mut reader,
            mut writer,
        } = peer;
        let (held, mut due) = tokio::sync::mpsc::unbounded_channel();
        let replying = spawn(async move {
            use tokio::io::AsyncWriteExt;
            while let Some((time, asked)) = due.recv().await {
                sleep_until(time).await;
                let asked: Value = asked;
                let line = format!("{}\r\n", reply(&asked, &asked["args"][0]));
                if writer.write_all(line.as_bytes()).await.is_err() || writer.flush().await.is_err() {
                    return;
                }
            }
        });
        let mut line = String::new();
        while matches!(
            tokio::io::AsyncBufReadExt::read_line(&mut reader, &mut line).await,
            Ok(1..)
        ) {
            let asked: Value = serde_json::from_str(&line).expect("the manager writes JSON");
            let time = tokio::time::Instant::now() + STUBBORN;
            held.send((time, asked)).expect("the other half lives");
            line.clear();
        }
        drop(held);
        drop(replying);
    })
}

/// Makes a call that takes too long, of the kind that its index says: one in four is cancelled at
/// the service without features, one at the other, and two have a deadline there. Returns its number,
/// its outcome, how late it ended, and the index.
async fn call_stubbornly(
    stubborn: Link,
    old: Link,
    index: u64,
) -> (u64, Result<u64, CallError>, Duration, u64) {
    let limit = Duration::from_millis(100 + 40 * index);
    let busy = u64::try_from(STUBBORN.as_millis()).expect("it is short");
    let number = next_number();
    let link = if index.is_multiple_of(4) { old } else { stubborn };
    let call = link.call::<u64>("work", (number, busy));
    if index % 2 == 1 {
        let begun = Instant::now();
        let outcome = call.deadline(limit).await;
        let late = begun.elapsed().checked_sub(limit).expect("it is not too early");
        let has_passed = matches!(outcome, Err(CallError::DeadlinePassed { .. }));
        assert!(has_passed, "{outcome:?}");
        return (number, outcome, late, index);
    }
    let sent = call.send().await.expect("the service is here");
    let canceller = sent.canceller();
    sleep(limit).await;
    let begun = Instant::now();
    let told = canceller.cancel(Some("it takes too long")).await;
    told.expect("the manager knows the call");
    let outcome = sent.await;
    if index.is_multiple_of(4) {
        let error = outcome.as_ref().expect_err("it cannot be asked to stop");
        assert!(error.is_cancelled(), "{error}");
    } else {
        // It was asked to stop, and the caller still waits for what it says.
        assert_eq!(outcome.as_ref().ok(), Some(&number), "{outcome:?}");
    }
    (number, outcome, begun.elapsed(), index)
}

pub(crate) fn a_service_that_ignores_deadlines_and_cancellation_keeps_no_caller_beyond_them() -> String {
    /// The manager remembers 64 such requests of each client.
    const CALLS: u64 = 20;
    let clients = scaled(20, 100);
    let mut subject = Subject::start(&["--disable-tls"]);
    let counter = Counter::default();
    let service = counter.serve("Stubborn", direct(&subject.target));
    let old = start_old(&subject.target);
    let neighbour = Neighbour::start(&subject.target, "Stubborn");
    let before = subject.statistic("late_replies");
    let calling: Vec<_> = (0..clients)
        .map(|client| {
            let options = direct(&subject.target);
            spawn(async move {
                let client = connect(&format!("Caller {client}"), options).await;
                let stubborn = client.link("Stubborn").await.expect("the service is here");
                let old = client.link("Old").await.expect("the service is here");
                let calls = (0..CALLS).map(|call| {
                    let calling = call_stubbornly(stubborn.clone(), old.clone(), call);
                    spawn(timeout(DEADLINE, calling))
                });
                let mut ended = Vec::new();
                for call in calls.collect::<Vec<_>>() {
                    ended.push(call.ended().await.expect("each call ends"));
                }
                (client, ended)
            })
        })
        .collect();
    let (callers, ended): (Vec<_>, Vec<_>) = calling.into_iter().map(Task::join).unzip();
    let (mut deadlines, mut cancelled, mut finished) = (Vec::new(), Vec::new(), 0_u64);
    let mut outcomes = Vec::new();
    for (number, outcome, late, call) in ended.into_iter().flatten() {
        match call % 4 {
            0 => cancelled.push(late),
            2 => finished += 1,
            _ => deadlines.push(late),
        }
        // The service without features does not count.
        if call % 4 != 0 {
            outcomes.push((number, outcome));
        }
    }
    deadlines.sort_unstable();
    cancelled.sort_unstable();
    for times in [&deadlines, &cancelled] {
        let worst = times[times.len() - 1];
        expect_in_time(worst < MARGIN, || format!("a caller knew {worst:?} late"));
    }
    let late = (deadlines.len() + cancelled.len()) as u64;
    subject.wait_for_statistic("late_replies", |replies| replies - before == late);
    assert_eq!(subject.statistic("replies_owed"), 0, "all late replies have come");
    let times = neighbour.stop();
    let worst = times[times.len() - 1];
    expect_in_time(worst < MARGIN, || format!("another caller waited for {worst:?}"));
    let tally = judge(&outcomes, &counter);
    assert_eq!(tally.not_executed, 0, "all were executed");
    run(async move {
        for caller in callers {
            caller.disconnect().await;
        }
    });
    drop(old);
    block_on(service.shut_down()).expect("the service leaves");
    let figures = format!(
        "{} deadlines: callers knew late by {}; {} cancelled calls: known after {}; {finished} that were only asked to stop \
         had their replies; {late} late replies were dropped; {} calls of another client: {}",
        deadlines.len(),
        spread(&deadlines),
        cancelled.len(),
        spread(&cancelled),
        times.len(),
        spread(&times)
    );
    subject.finish(&figures, IDLE_MEMORY)
}
