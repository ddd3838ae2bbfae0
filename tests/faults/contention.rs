//! Several peers that need capacity in the same queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use crate::generator::{Task, run, spawn};
use crate::observed::{IDLE_MEMORY, MIB, Observed, Subject, expect_no_panic};
use crate::peer::{Peer, Target, is_close, reply, request};
use crate::runner::scaled;
use crate::support::DEADLINE;
use crate::support::process::Signal;

/// Size of a read, in bytes.
const CHUNK: usize = 256 * 1024;

/// Returns a request whose argument has so many bytes.
fn large_request(service: &str, bytes: usize, uid: &str) -> Vec<u8> {
    let request = request(service, "weigh", &json!(["x".repeat(bytes)]), uid);
    format!("{request}\r\n").into_bytes()
}

/// Sends requests without end, and counts those that the manager has accepted.
async fn flood(mut peer: Peer, bytes: usize, sent: Arc<AtomicUsize>) {
    let line = large_request("Balance", bytes, "flood");
    while peer.writer.write_all(&line).await.is_ok() {
        sent.fetch_add(1, Ordering::Relaxed);
    }
}

/// Reads at a rate of so many bytes a second. Returns the number of lines of each length, and when
/// the one of more than `large` bytes arrived.
async fn read_at_rate(
    service: &mut Peer,
    rate: usize,
    large: usize,
    enough: impl Fn(&[(usize, usize)]) -> bool,
) -> (Vec<(usize, usize)>, Option<Instant>) {
    let begun = Instant::now();
    let mut chunk = vec![0; CHUNK];
    let (mut read, mut length) = (0_usize, 0);
    let mut lines: Vec<(usize, usize)> = Vec::new();
    let mut came = None;
    loop {
        let reading = timeout(DEADLINE, service.reader.read(&mut chunk)).await;
        let count = reading.expect("requests come").expect("the connection holds");
        assert!(count > 0, "a service that reads is not disconnected");
        read += count;
        for byte in &chunk[..count] {
            length += 1;
            if *byte == b'\n' {
                match lines.iter_mut().find(|(found, _)| *found == length) {
                    Some((_, lines)) => *lines += 1,
                    None => lines.push((length, 1)),
                }
                if length > large {
                    came.get_or_insert_with(Instant::now);
                }
                length = 0;
            }
        }
        if enough(&lines) {
            return (lines, came);
        }
        let due = Duration::from_millis((read * 1_000 / rate) as u64);
        if let Some(pause) = due.checked_sub(begun.elapsed()) {
            sleep(pause).await;
        }
    }
}

/// Two senders of small requests, one of a large one, and a reader that is slower than they are.
pub(crate) fn a_large_request_is_served_in_its_turn_among_small_ones() -> String {
    let (queue, queue_bytes, small, large, rate) = scaled(
        ("2MiB", 2 * MIB, 16 * 1024, 1_500_000, 10_000_000),
        ("64MiB", 64 * MIB, 64 * 1024, 10 * 1024 * 1024, 50_000_000),
    );
    let mut subject = Subject::start(&["--disable-tls", "--queue", queue]);
    let target = subject.target.clone();
    let sent: Vec<_> = (0..2).map(|_| Arc::new(AtomicUsize::new(0))).collect();
    let counters = sent.clone();
    let queue_size = usize::try_from(queue_bytes).expect("it fits");
    let (waited, lines, floods) = run(async move {
        let mut service = Peer::service(&target, "Balance")
            .await
            .expect("the manager serves");
        let mut floods = Vec::new();
        for sent in counters {
            let peer = Peer::client(&target, "flood").await.expect("the manager serves");
            floods.push(spawn(flood(peer, small, sent)));
        }
        // The queue is full once this much was read.
        let (_, _) = read_at_rate(&mut service, rate, usize::MAX, |lines| {
            lines.iter().map(|(length, count)| length * count).sum::<usize>() > queue_size / 4
        })
        .await;
        let mut sender = Peer::client(&target, "large").await.expect("the manager serves");
        let asked = Instant::now();
        let line = large_request("Balance", large, "large");
        let sending = spawn(async move {
            sender.writer.write_all(&line).await.expect("the manager reads");
            sender
        });
        // It arrives within the time in which the reader reads a few queues.
        let (lines, came) = read_at_rate(&mut service, rate, large, |lines| {
            let all: usize = lines.iter().map(|(length, count)| length * count).sum();
            let large_came = lines.iter().any(|(length, _)| *length > large);
            assert!(
                large_came || all < 8 * (queue_size + large),
                "the large request never came"
            );
            large_came
        })
        .await;
        let waited = came.expect("it came").duration_since(asked);
        (waited, lines, (floods, sending, service))
    });
    let [first, second] = [&sent[0], &sent[1]].map(|sent| sent.load(Ordering::Relaxed));
    assert!(
        first <= 3 * second && second <= 3 * first,
        "senders of like requests got {first} and {second} of them through"
    );
    assert_eq!(subject.statistic("cut"), 0, "nobody was cut");
    let (floods, sending, service) = floods;
    drop((floods, sending));
    run(async move { drop(service) });
    let small: usize = lines.iter().map(|(_, count)| count).sum::<usize>() - 1;
    let figures = format!(
        "a request of {large} bytes came after {:.2} s and {small} small ones; two floods sent {first} and {second}",
        waited.as_secs_f64()
    );
    // The queue, each sender's line, and the bytes read ahead; memory grows by doubling.
    let most = IDLE_MEMORY + 2 * queue_bytes + 4 * large as u64;
    subject.finish(&figures, most)
}

/// Answers `large` with so many bytes, and every other request with a number.
async fn answer_large(mut service: Peer, bytes: usize) {
    let large = Value::from("x".repeat(bytes));
    while let Ok(Some(line)) = service.line_without_deadline().await {
        let asked: Value = serde_json::from_str(&line).expect("the manager writes JSON");
        let payload = if asked["attribute"] == "large" {
            &large
        } else {
            &json!(5)
        };
        if service.send(&reply(&asked, payload)).await.is_err() {
            return;
        }
    }
}

/// Calls a service sequentially for so long. Returns the number of calls, and the longest.
async fn call(mut peer: Peer, service: &str, duration: Duration) -> (usize, Duration) {
    let begun = Instant::now();
    let (mut count, mut longest) = (0, Duration::ZERO);
    while begun.elapsed() < duration {
        let asked = Instant::now();
        let answer = peer.ask(&request(service, "small", &json!([]), "call")).await;
        assert_eq!(answer.expect("it is answered")["result"], 5);
        longest = longest.max(asked.elapsed());
        count += 1;
        // At most 180 a second, as with an instrument.
        sleep(Duration::from_millis(5)).await;
    }
    (count, longest)
}

/// Requests large replies, reads none of them, and reconnects after a disconnect or after a while.
async fn ask_and_never_read(target: Target, replies: usize, ended: Arc<AtomicBool>) -> usize {
    let mut times = 0;
    while !ended.load(Ordering::Relaxed) {
        let Ok(mut peer) = Peer::client(&target, "glutton").await else {
            continue;
        };
        times += 1;
        for number in 0..replies {
            let asked = request("Library", "large", &json!([]), &number.to_string());
            if peer.send(&asked).await.is_err() {
                break;
            }
        }
        // It is disconnected after two seconds, which only a peer that sends can notice.
        let returns = Instant::now() + Duration::from_millis(2_500);
        while Instant::now() < returns && !ended.load(Ordering::Relaxed) {
            if peer.send_bytes(b"\r\n").await.is_err() {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
    times
}

/// A client repeatedly requests more than it reads; the other client of the service must not be
/// disturbed.
pub(crate) fn a_client_that_never_reads_and_returns_costs_only_its_own_replies() -> String {
    let (replies, bytes, seconds) = scaled((40, 1_000_000, 4), (40, 4 * 1024 * 1024, 20));
    let duration = Duration::from_secs(seconds);
    let subject = Subject::start(&["--disable-tls", "--queue", scaled("16MiB", "64MiB")]);
    let target = subject.target.clone();
    let ended = Arc::new(AtomicBool::new(false));
    let mut answering = Vec::new();
    let mut calling = Vec::new();
    // The second service has only the caller, as a control at the same time.
    for service in ["Library", "Archive"] {
        let target = target.clone();
        let (peer, client) = run(async move {
            let peer = Peer::service(&target, service).await.expect("the manager serves");
            let mut client = Peer::client(&target, "calm").await.expect("the manager serves");
            client.link(service).await.expect("there is room for a link");
            (peer, client)
        });
        answering.push(spawn(answer_large(peer, bytes)));
        calling.push(spawn(call(client, service, duration)));
    }
    let glutton = spawn(ask_and_never_read(target, replies, Arc::clone(&ended)));
    let mut calls = calling.into_iter().map(Task::join);
    let [Some((beside, longest)), Some((alone, _))] = [calls.next(), calls.next()] else {
        unreachable!("there are two");
    };
    ended.store(true, Ordering::Relaxed);
    let times = glutton.join();
    drop(answering);
    let share = beside * 100 / alone.max(1);
    assert!(
        share >= 90,
        "the other client had {beside} calls instead of {alone}"
    );
    let figures = format!(
        "{beside} calls beside a client that reads nothing and came {times} times, {share} % of those without; the longest \
         {:.0} ms",
        longest.as_secs_f64() * 1_000.0
    );
    let most = IDLE_MEMORY + 4 * (replies * bytes) as u64;
    subject.finish(&figures, most)
}

/// Reads at a rate of so many bytes a second to the end of the connection. Returns the number of
/// bytes, and whether the last of them ends a line.
async fn read_to_end(mut peer: Peer, rate: usize) -> (usize, bool) {
    let begun = Instant::now();
    let mut chunk = vec![0; CHUNK];
    let (mut read, mut is_whole) = (0, true);
    loop {
        match timeout(DEADLINE, peer.reader.read(&mut chunk))
            .await
            .expect("something comes or the end")
        {
            Ok(0) => return (read, is_whole),
            Err(error) if is_close(&error) => return (read, is_whole),
            Err(error) => panic!("{error}"),
            Ok(count) => {
                read += count;
                is_whole = chunk[count - 1] == b'\n';
            }
        }
        let due = Duration::from_millis((read * 1_000 / rate) as u64);
        if let Some(pause) = due.checked_sub(begun.elapsed()) {
            sleep(pause).await;
        }
    }
}

/// A client that reads 10 MB/s has megabytes queued when the manager is asked to stop.
pub(crate) fn a_manager_that_stops_delivers_what_is_queued_within_the_drain_time() -> String {
    let (frames, rate) = scaled((24, 8_000_000), (60, 10_000_000));
    let mut subject = Subject::start(&["--disable-tls"]);
    let target = subject.target.clone();
    let (heart, reader, expected) = run(async move {
        let mut heart = Peer::service(&target, "Heart").await.expect("the manager serves");
        let mut reader = Peer::client(&target, "reader").await.expect("the manager serves");
        reader.link("Heart").await.expect("there is room for a link");
        let notification = json!({
            "error": false, "result": [["x".repeat(1_000_000)], {}], "service": "Heart", "uid": "notification",
        });
        let line = format!("{notification}\r\n");
        for _ in 0..frames {
            heart
                .send_bytes(line.as_bytes())
                .await
                .expect("the manager reads");
        }
        // The answer comes once all of them are queued.
        let asked = heart.ask_manager("identity", json!([])).await;
        asked.expect("the manager answers");
        (heart, reader, frames * line.len())
    });
    let reading = spawn(read_to_end(reader, rate));
    let memory = crate::observed::memory(
        &Observed::new(&subject.manager),
        IDLE_MEMORY + 2 * expected as u64,
    );
    subject.let_bystander_work();
    let asked = Instant::now();
    subject.manager.signal(Signal::TERM);
    let status = subject.manager.wait_for_end();
    let took = asked.elapsed();
    let (read, is_whole) = reading.join();
    assert_eq!(status.code(), Some(0));
    assert_eq!(
        (read, is_whole),
        (expected, true),
        "everything that was queued arrives"
    );
    assert!(
        took < Duration::from_secs(10),
        "the manager stopped after {took:?}"
    );
    expect_no_panic(&subject.manager);
    drop(heart);
    let figures = format!(
        "{read} of {expected} bytes were delivered at {} MB/s, exit code 0 after {:.1} s of 10",
        rate / 1_000_000,
        took.as_secs_f64()
    );
    subject.finish_ended(&figures, &memory)
}
