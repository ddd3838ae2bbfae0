//! A pair that has no part in the fault: a client that sends a hundred requests a second to a
//! service.
//!
//! A second pair, the control, runs at an idle manager of its own and shows the influence of the
//! machine alone. Both pairs share one thread, so neither is measured better than the other.

use std::cell::RefCell;
use std::fmt::{self, Write};
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{MissedTickBehavior, interval};

use crate::peer::{Peer, Target, is_close, reply, request};
use crate::runner::expect_in_time;
use crate::support::DEADLINE;
use crate::support::manager::Manager;

/// A hundred requests a second.
const PAUSE: Duration = Duration::from_millis(10);

/// Minimum number of requests of a bystander, also in a very short case.
const LEAST: u32 = 100;

/// Timeout of the last replies.
const LAST_REPLIES: Duration = Duration::from_secs(5);

/// Maximum latency of a bystander beside a fault: for 99 of 100 requests, and for any.
const USUAL: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_millis(500);

/// If the control pair itself exceeds a fraction of these limits, the bystander may take so many
/// times as long as the control pair.
const SLOWER: u32 = 4;

/// The outcomes of a bystander's requests.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    sent: Vec<Instant>,
    /// The number of answers to each request.
    outcomes: Vec<u32>,
    latencies: Vec<Duration>,
    /// The slowest request: when it was sent, and its latency.
    slowest: Option<(Instant, Duration)>,
    /// Wrong answers.
    wrong: Vec<String>,
    answered: usize,
    /// Requests that the manager refused since it was stopping.
    refused: usize,
    is_closed: bool,
}

impl Seen {
    fn take(&mut self, frame: &Value) {
        let now = Instant::now();
        let number: Option<usize> = frame["uid"].as_str().and_then(|uid| uid.parse().ok());
        let Some(number) = number.filter(|number| *number < self.sent.len()) else {
            return self.wrong.push(frame.to_string());
        };
        self.outcomes[number] += 1;
        let latency = now.duration_since(self.sent[number]);
        self.latencies.push(latency);
        if self.slowest.is_none_or(|(_, slowest)| latency > slowest) {
            self.slowest = Some((self.sent[number], latency));
        }
        if frame["error"] == false && frame["result"] == payload(number) {
            self.answered += 1;
        } else if frame["message"].to_string().contains("shutting down") {
            self.refused += 1;
        } else {
            self.wrong.push(frame.to_string());
        }
    }

    fn is_complete(&self) -> bool {
        self.is_closed || self.outcomes.iter().all(|count| *count > 0)
    }

    fn is_enough(&self, least: u32) -> bool {
        self.is_closed || self.sent.len() >= least as usize
    }

    /// Adds the results of another pair, as if both were one.
    pub(crate) fn add(&mut self, other: Self) {
        self.sent.extend(other.sent);
        self.outcomes.extend(other.outcomes);
        self.latencies.extend(other.latencies);
        let slowest = [self.slowest, other.slowest].into_iter().flatten();
        self.slowest = slowest.max_by_key(|(_, latency)| *latency);
        self.wrong.extend(other.wrong);
        self.answered += other.answered;
        self.refused += other.refused;
        self.is_closed |= other.is_closed;
    }

    fn percentile(&self, percent: usize) -> Duration {
        let mut latencies = self.latencies.clone();
        latencies.sort_unstable();
        let rank = (latencies.len() * percent).div_ceil(100).max(1) - 1;
        latencies.get(rank).copied().unwrap_or_default()
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, max] = [50, 99, 100].map(|percent| self.percentile(percent).as_secs_f64() * 1_000.0);
        write!(formatter, "p50 {p50:.1} p99 {p99:.1} max {max:.1} ms")
    }
}

/// Formats the results of a bystander, and fails if it was disturbed more than allowed. A slow
/// machine raises the limits, up to a maximum.
///
/// With `survived` its connection must have stayed open, and every request must have been answered.
/// Otherwise the requests in flight may have ended with the connection.
pub(crate) fn judge(seen: &Seen, control: &Seen, survived: bool) -> String {
    assert!(seen.wrong.is_empty(), "the bystander got: {:?}", seen.wrong);
    let twice = seen.outcomes.iter().filter(|count| **count > 1).count();
    assert_eq!(twice, 0, "requests of the bystander were answered twice");
    let missing = seen.outcomes.iter().filter(|count| **count == 0).count();
    if survived {
        assert!(!seen.is_closed, "the bystander was disconnected");
        assert_eq!(missing, 0, "requests of the bystander were never answered");
        assert_eq!(seen.refused, 0, "requests of the bystander were refused");
    }
    assert!(!seen.latencies.is_empty(), "the bystander did nothing");
    let ended = if survived {
        String::new()
    } else {
        format!(", {} refused, {missing} ended with the connection", seen.refused)
    };
    let mut text = format!(
        "bystander {} of {}{ended}, {seen} (control {control})",
        seen.answered,
        seen.sent.len()
    );
    let slowest = seen.slowest.map(|(sent, _)| sent.duration_since(seen.sent[0]));
    for (percent, bound) in [(99, USUAL), (100, LONGEST)] {
        let may = bound.max(SLOWER * control.percentile(percent));
        expect_in_time(seen.percentile(percent) <= may, || {
            format!(
                "{percent} of 100 requests of the bystander should take {may:?} at most, the slowest was sent {slowest:?} \
                 after it began: {text}"
            )
        });
        if may > bound {
            let may = may.as_millis();
            let _ = write!(text, " SLOW MACHINE: {percent} of 100 may take {may} ms");
        }
    }
    text
}

fn payload(number: usize) -> Value {
    json!([number, "23.5 °C"])
}

/// Two pairs at work, which end when this is dropped.
pub(crate) struct Bystander {
    /// The number of requests that the pair has sent.
    sent: Arc<AtomicU32>,
    stop: Option<oneshot::Sender<()>>,
    seen: mpsc::Receiver<[Seen; 2]>,
    release: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Bystander {
    /// Connects both pairs, which wait for [`Ready::begin`].
    pub(crate) fn connect(subject: &Target, control: &Manager) -> Ready {
        let targets = [subject.clone(), Target::new(control, false)];
        let (begin, has_begun) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let (release, released) = oneshot::channel();
        let (connected, is_connected) = mpsc::channel();
        let (report, seen) = mpsc::channel();
        let sent = Arc::new(AtomicU32::new(0));
        let counters = [Arc::clone(&sent), Arc::default()];
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let work = async move {
                let mut pairs = Vec::new();
                for (target, sent) in targets.iter().zip(counters) {
                    let pair = Pair::connect(target, sent).await;
                    pairs.push(pair.expect("a bystander connects"));
                }
                let _ = connected.send(());
                // The receiver is gone if the case has failed meanwhile.
                if has_begun.await.is_err() {
                    return;
                }
                pairs.iter().for_each(Pair::begin);
                let _ = stopped.await;
                let subject = pairs[0].stop(LEAST).await;
                // If the manager of the case has ended, there is nothing more to compare.
                let least = if subject.is_closed { 0 } else { LEAST };
                let _ = report.send([subject, pairs[1].stop(least).await]);
                let _ = released.await;
            };
            let runtime = runtime.expect("a thread can wait for sockets");
            LocalSet::new().block_on(&runtime, work);
        });
        is_connected.recv().expect("a bystander connects");
        Ready {
            begin,
            bystander: Self {
                sent,
                stop: Some(stop),
                seen,
                release: Some(release),
                thread: Some(thread),
            },
        }
    }

    /// Waits until it has sent enough requests to judge, for a manager that is about to end.
    pub(crate) fn wait_until_enough(&self) {
        let deadline = Instant::now() + DEADLINE;
        while self.sent.load(Ordering::Relaxed) < LEAST {
            assert!(Instant::now() < deadline, "the bystander is not at work");
            std::thread::sleep(PAUSE);
        }
    }

    /// Stops sending, waits for the last replies, and returns the results of both pairs, the
    /// control last. The pairs stay connected.
    pub(crate) fn stop(&mut self) -> [Seen; 2] {
        drop(self.stop.take());
        self.seen.recv().expect("the bystander is at work")
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        drop((self.stop.take(), self.release.take()));
        if let Some(thread) = self.thread.take() {
            // Its failure was already printed.
            let _ = thread.join();
        }
    }
}

/// Connected pairs that send nothing yet.
pub(crate) struct Ready {
    begin: oneshot::Sender<()>,
    bystander: Bystander,
}

impl Ready {
    /// Starts to send.
    pub(crate) fn begin(self) -> Bystander {
        self.begin.send(()).expect("the bystander is connected");
        self.bystander
    }
}

/// A client and its service.
struct Pair {
    service: String,
    client: RefCell<Option<Peer>>,
    sent: Arc<AtomicU32>,
    seen: Rc<RefCell<Seen>>,
    is_stopped: Rc<RefCell<bool>>,
}

impl Pair {
    async fn connect(target: &Target, sent: Arc<AtomicU32>) -> io::Result<Self> {
        // A unique name: the last pair may still be connected.
        static NUMBER: AtomicUsize = AtomicUsize::new(1);
        let name = format!("Bystander {}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let service = Peer::service(target, &name).await?;
        let mut client = Peer::client(target, "bystander").await?;
        client.link(&name).await?;
        spawn_local(answer(service));
        Ok(Self {
            service: name,
            client: RefCell::new(Some(client)),
            sent,
            seen: Rc::default(),
            is_stopped: Rc::default(),
        })
    }

    fn begin(&self) {
        let Peer { reader, mut writer } = self.client.take().expect("it begins once");
        let (seen, is_stopped) = (Rc::clone(&self.seen), Rc::clone(&self.is_stopped));
        let (service, sent) = (self.service.clone(), Arc::clone(&self.sent));
        spawn_local(async move {
            let mut interval = interval(PAUSE);
            // Requests that this thread was too late for are not sent in a burst.
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while !*is_stopped.borrow() {
                interval.tick().await;
                let number = {
                    let mut seen = seen.borrow_mut();
                    seen.sent.push(Instant::now());
                    seen.outcomes.push(0);
                    seen.sent.len() - 1
                };
                let line = format!(
                    "{}\r\n",
                    request(&service, "echo", &payload(number), &number.to_string())
                );
                if writer.write_all(line.as_bytes()).await.is_err() || writer.flush().await.is_err() {
                    return;
                }
                sent.fetch_add(1, Ordering::Relaxed);
            }
            if !seen.borrow().is_closed {
                // The connection stays open: the writing half is kept as long as the thread lives.
                std::future::pending::<()>().await;
            }
        });
        let (seen, is_stopped) = (Rc::clone(&self.seen), Rc::clone(&self.is_stopped));
        spawn_local(async move {
            let mut lines = reader.lines();
            loop {
                match lines.next_line().await {
                    Ok(Some(line)) => {
                        let frame = serde_json::from_str(&line).unwrap_or(Value::String(line));
                        seen.borrow_mut().take(&frame);
                    }
                    Err(error) if !is_close(&error) => {
                        return seen.borrow_mut().wrong.push(error.to_string());
                    }
                    Ok(None) | Err(_) => {
                        // Stops the other side too, so that it need not wait for the end of the
                        // connection.
                        *is_stopped.borrow_mut() = true;
                        return seen.borrow_mut().is_closed = true;
                    }
                }
            }
        });
    }

    async fn stop(&self, least: u32) -> Seen {
        while !self.seen.borrow().is_enough(least) {
            tokio::time::sleep(PAUSE).await;
        }
        *self.is_stopped.borrow_mut() = true;
        let deadline = Instant::now() + LAST_REPLIES;
        while !self.seen.borrow().is_complete() && Instant::now() < deadline {
            tokio::time::sleep(PAUSE).await;
        }
        self.seen.borrow().clone()
    }
}

/// The service of a pair, which returns its argument.
async fn answer(mut service: Peer) {
    while let Ok(Some(line)) = service.line_without_deadline().await {
        let Ok(asked) = serde_json::from_str::<Value>(&line) else {
            return;
        };
        if service.send(&reply(&asked, &asked["args"])).await.is_err() {
            return;
        }
    }
}
