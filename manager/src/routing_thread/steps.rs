//! How long the steps of the routing thread take.
//!
//! A step is what a task does from one await that has to wait to the next. Nobody else is served meanwhile, so none may
//! take long. The clock is read once for each step, at its end, and when the thread wakes up.
//!
//! The time that the thread waits for a processor, because other programs are busy, is left out where the system says how
//! long that is, as Linux does.

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

/// A step that takes longer is counted and logged.
const LONG: Duration = Duration::from_millis(5);

/// How often it is read how long the thread ran and waited for a processor, at most. It takes about a microsecond.
const LOOK: Duration = Duration::from_millis(1);

/// The time between two log lines about long steps, at least.
const LOG_PAUSE: Duration = Duration::from_secs(10);

/// What is known of the steps of one routing thread.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    long: AtomicU64,
    longest_microseconds: AtomicU64,
    logged: Mutex<Logged>,
}

/// What the log says of long steps.
#[derive(Debug, Default)]
struct Logged {
    at: Option<Instant>,
    /// How many long steps there were at that time.
    long: u64,
    /// The longest one that was logged.
    longest: Duration,
}

impl Steps {
    /// How many steps took longer than 5 ms.
    pub(crate) fn long(&self) -> u64 {
        self.long.load(Ordering::Relaxed)
    }

    /// How long the longest step took, in microseconds.
    pub(crate) fn longest_microseconds(&self) -> u64 {
        self.longest_microseconds.load(Ordering::Relaxed)
    }

    /// Counts a step that was too long, of which the thread ran for some time.
    fn note_long(&self, step: Duration, ran: Duration, task: Task, now: Instant) {
        let long = self.long.fetch_add(1, Ordering::Relaxed) + 1;
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is much longer than any before is always worth a line.
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

/// What a task of the routing thread does: for the log.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Task {
    /// It accepts connections.
    Accept,
    /// It has logins checked.
    Logins,
    /// It serves the peer at that address.
    Serve(SocketAddr),
    /// It tells clients that a service has left.
    TellDeparture,
    /// It ends what ends by itself at a certain time.
    Expire,
}

impl fmt::Display for Task {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => formatter.write_str("accepting connections"),
            Self::Logins => formatter.write_str("having logins checked"),
            Self::Serve(peer) => write!(formatter, "serving {peer}"),
            Self::Expire => formatter.write_str("ending what is not kept for longer"),
            Self::TellDeparture => formatter.write_str("telling clients that a service has left"),
        }
    }
}

pin_project! {
    /// A task of the routing thread whose steps are measured. On another thread it is like any other task.
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
    /// Only the routing thread has one.
    static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };
}

/// Has the steps of this thread measured from now on.
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

/// Notes that the thread has something to do again.
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
    /// When the usage was read.
    looked: Instant,
    usage: Usage,
    /// Where Linux says what the thread has used of processors.
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

    /// Reads what the thread has used, and notes the step if it was long.
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

    /// Reads what the thread has used; returns what it has used since the last time.
    fn read_usage(&mut self) -> Usage {
        let now = self.source.as_ref().and_then(Usage::read).unwrap_or_default();
        let before = std::mem::replace(&mut self.usage, now);
        Usage {
            running: now.running.saturating_sub(before.running),
            waiting: now.waiting.saturating_sub(before.waiting),
        }
    }
}

/// What a thread has used of processors.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    /// How long it ran.
    running: Duration,
    /// How long it could have run, but other threads did.
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

    /// How long a step took that ended now, without the time that its thread waited for a processor. This is what was used
    /// since up to [`LOOK`] before the step's beginning, not counting the time that the thread had nothing to do.
    fn of_step(self, took: Duration) -> Duration {
        // It may have waited before the step, when it woke up; and it cannot have taken less than it ran.
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
            // Blocked, as by a lock.
            (20, 0, 0, 20),
            // It waited when it woke up, before the step.
            (6, 6, 4, 5),
            // Nothing is known.
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
