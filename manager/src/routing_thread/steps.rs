//! Measures the steps of the routing thread.
//!
//! A step is the work of a task between two awaits that suspend it. No other task runs meanwhile,
//! so no step may take long. The clock is read once for each step, at its end, and when the thread
//! wakes up.
//!
//! The time that the thread waits for a processor, because other programs are busy, is left out
//! where the system reports it, as Linux does.

use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;
use tracing::warn;

/// A longer step is counted and logged.
const LONG: Duration = Duration::from_millis(5);

/// The shortest time between two reads of how long the thread ran and waited for a processor. A
/// read takes about a microsecond.
const LOOK: Duration = Duration::from_millis(1);

/// The shortest time between two log lines about long steps.
const LOG_PAUSE: Duration = Duration::from_secs(10);

/// Measurements of the steps of one routing thread.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    long: AtomicU64,
    longest_microseconds: AtomicU64,
    logged: Mutex<Logged>,
}

/// The last log line about a long step.
#[derive(Debug, Default)]
struct Logged {
    at: Option<Instant>,
    /// The number of long steps at that time.
    long: u64,
    /// The longest one that was logged.
    longest: Duration,
}

impl Steps {
    /// Returns the number of steps that took longer than 5 ms.
    pub(crate) fn long(&self) -> u64 {
        self.long.load(Ordering::Relaxed)
    }

    /// Returns the duration of the longest step, in microseconds.
    pub(crate) fn longest_microseconds(&self) -> u64 {
        self.longest_microseconds.load(Ordering::Relaxed)
    }

    /// Counts a long step. `ran` is how long the thread ran in it.
    fn note_long(&self, step: Duration, ran: Duration, task: Task, now: Instant) {
        let long = self.long.fetch_add(1, Ordering::Relaxed) + 1;
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        // A step that is much longer than any before is always logged.
        let is_soon = logged.at.is_some_and(|at| now.duration_since(at) < LOG_PAUSE);
        if is_soon && step < 2 * logged.longest {
            return;
        }
        let others = long - logged.long - 1;
        *logged = Logged {
            at: Some(now),
            long,
            longest: logged.longest.max(step),
        };
        drop(logged);
        let [step, ran] = [step, ran].map(|time| time.as_secs_f64() * 1_000.0);
        warn!(
            "{task} kept all other peers waiting for {step:.1} ms, {ran:.1} ms of them on a processor; more than 5 ms are \
             too long ({others} more such step(s) since the last message like this)"
        );
    }
}

/// The work of a task of the routing thread, for the log.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Task {
    /// Accepts connections.
    Accept,
    /// Has logins checked.
    Logins,
    /// Serves the peer at that address.
    Serve(SocketAddr),
    /// Notifies clients that a service has left.
    TellDeparture,
    /// Handles deadlines.
    Expire,
    /// Follows changes of the rules about who may do what.
    FollowRules,
    /// Ends the connections of peers whose logins have ended.
    FollowAccounts,
    /// Shows that the thread takes turns.
    TakeTurn,
}

impl fmt::Display for Task {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => formatter.write_str("accepting connections"),
            Self::Logins => formatter.write_str("having logins checked"),
            Self::Serve(peer) => write!(formatter, "serving {peer}"),
            Self::Expire => formatter.write_str("ending what is not kept for longer"),
            Self::FollowAccounts => formatter.write_str("ending logins that are not valid any more"),
            Self::FollowRules => formatter.write_str("following changes of the rules"),
            Self::TakeTurn => formatter.write_str("taking a turn for the watchdog"),
            Self::TellDeparture => formatter.write_str("telling clients that a service has left"),
        }
    }
}

pin_project! {
    /// A task of the routing thread whose steps are measured. On another thread it is an ordinary
    /// task.
    pub(crate) struct Measured<F> {
        #[pin]
        future: F,
        task: Task,
    }
}

impl<F> Measured<F> {
    pub(crate) fn new(task: Task, future: F) -> Self {
        Self { future, task }
    }
}

impl<F: Future> Future for Measured<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let polled = this.future.poll(context);
        WATCH.with_borrow_mut(|watch| {
            if let Some(watch) = watch {
                watch.end_step(*this.task);
            }
        });
        polled
    }
}

thread_local! {
    /// Set on the routing thread only.
    static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };
}

/// Measures the steps of this thread from now on.
pub(super) fn watch(steps: Arc<Steps>) {
    let mut watch = Watch {
        steps,
        since: Instant::now(),
        longest: Duration::ZERO,
        looked: Instant::now(),
        usage: Usage::default(),
        source: File::open("/proc/thread-self/schedstat").ok(),
    };
    watch.read_usage();
    WATCH.set(Some(watch));
}

/// Notes that the thread has woken up.
pub(super) fn wake() {
    WATCH.with_borrow_mut(|watch| {
        if let Some(watch) = watch {
            watch.since = Instant::now();
        }
    });
}

/// Measures the steps of its thread.
struct Watch {
    steps: Arc<Steps>,
    /// When the last step ended, or the thread woke up: whichever came later.
    since: Instant,
    longest: Duration,
    /// When the usage was last read.
    looked: Instant,
    usage: Usage,
    /// The file in which Linux reports the thread's use of processors.
    source: Option<File>,
}

impl Watch {
    fn end_step(&mut self, task: Task) {
        let now = Instant::now();
        let took = now.duration_since(self.since);
        self.since = now;
        if took > self.longest || now.duration_since(self.looked) >= LOOK {
            self.look(task, took, now);
        }
    }

    /// Reads the usage, and records the step if it was long.
    #[cold]
    fn look(&mut self, task: Task, took: Duration, now: Instant) {
        let used = self.read_usage();
        self.looked = now;
        let own = used.of_step(took);
        if own > self.longest {
            self.longest = own;
            let microseconds = u64::try_from(own.as_micros()).unwrap_or(u64::MAX);
            self.steps
                .longest_microseconds
                .store(microseconds, Ordering::Relaxed);
        }
        if own > LONG {
            self.steps.note_long(own, used.running.min(took), task, now);
        }
    }

    /// Reads the usage. Returns the difference from the last read.
    fn read_usage(&mut self) -> Usage {
        let now = self.source.as_ref().and_then(Usage::read).unwrap_or_default();
        let before = std::mem::replace(&mut self.usage, now);
        Usage {
            running: now.running.saturating_sub(before.running),
            waiting: now.waiting.saturating_sub(before.waiting),
        }
    }
}

/// A thread's use of processors.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    /// How long it ran.
    running: Duration,
    /// How long it was ready to run while other threads ran.
    waiting: Duration,
}

impl Usage {
    fn read(mut source: &File) -> Option<Self> {
        let mut text = [0; 64];
        source.seek(SeekFrom::Start(0)).ok()?;
        let length = source.read(&mut text).ok()?;
        let mut numbers = std::str::from_utf8(&text[..length])
            .ok()?
            .split_ascii_whitespace();
        let mut next = || numbers.next()?.parse().ok().map(Duration::from_nanos);
        Some(Self {
            running: next()?,
            waiting: next()?,
        })
    }

    /// Returns the duration of a step that ended now, without the time that its thread waited for a
    /// processor. `self` is the usage since at most [`LOOK`] before the step began, without idle
    /// time.
    fn of_step(self, took: Duration) -> Duration {
        // It may have waited before the step, when it woke up. A step takes at least as long as it
        // ran.
        let ran = self.running.min(took).saturating_sub(LOOK);
        took.saturating_sub(self.waiting).max(ran)
    }
}

#[cfg(test)]
mod tests {
    use super::super::RoutingThread;
    use super::*;

    #[tokio::test]
    async fn a_step_in_which_the_thread_does_nothing_else_is_counted() {
        let steps = Arc::new(Steps::default());
        let routing = RoutingThread::start(Arc::clone(&steps)).unwrap();
        let task = Task::Serve("192.0.2.1:7".parse().unwrap());
        let blocking = Measured::new(task, async {
            tokio::task::yield_now().await;
            std::thread::sleep(Duration::from_millis(30));
            tokio::task::yield_now().await;
        });
        routing.handle().spawn(blocking).await.unwrap();
        assert_eq!(steps.long(), 1);
        assert!(steps.longest_microseconds() >= 29_000);
        routing.end().await;
    }

    #[test]
    fn the_time_in_which_other_programs_ran_does_not_count() {
        let of_step = |took, running, waiting| {
            let [took, running, waiting] = [took, running, waiting].map(Duration::from_millis);
            Usage { running, waiting }.of_step(took)
        };
        for (took, running, waiting, expected) in [
            (20, 20, 0, 20),
            (20, 3, 17, 3),
            // Blocked, for example by a lock.
            (20, 0, 0, 20),
            // It waited before the step, when it woke up.
            (6, 6, 4, 5),
            // No usage is known.
            (20, 0, 0, 20),
        ] {
            assert_eq!(of_step(took, running, waiting), Duration::from_millis(expected));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_says_how_long_a_thread_ran() {
        let source = File::open("/proc/thread-self/schedstat").unwrap();
        let before = Usage::read(&source).unwrap();
        let begun = Instant::now();
        while Usage::read(&source).unwrap().running == before.running {
            assert!(begun.elapsed() < Duration::from_secs(30), "it never runs");
        }
    }
}
