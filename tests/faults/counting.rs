//! A service with the SDK that counts how often each request is executed, and the outcomes of the
//! calls to it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use labwire_client::{Backoff, CallError, Client, ConnectOptions, Executed};
use labwire_service::{Cancellation, Progress, Runner, RunningService, ServiceError, service};

use crate::generator::run;
use crate::peer::Target;
use crate::proxy::{ADDRESS, Proxy};
use crate::support::waiting::wait_until;

/// Requests that a service executes at the same time.
const CONCURRENCY: usize = 10_000;

/// Returns the number of the next call.
pub(crate) fn next_number() -> u64 {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// The options of a peer that connects to the manager itself.
pub(crate) fn direct(target: &Target) -> ConnectOptions {
    options(Ipv4Addr::LOCALHOST, target.address.port())
}

/// The options of a peer behind a proxy.
pub(crate) fn behind(proxy: &Proxy) -> ConnectOptions {
    options(ADDRESS, proxy.port)
}

fn options(address: Ipv4Addr, port: u16) -> ConnectOptions {
    let backoff = Backoff::new().maximum(Duration::from_millis(500));
    ConnectOptions::new()
        .host(IpAddr::V4(address).to_string())
        .port(port)
        .without_tls()
        .reconnect(backoff)
}

/// How often each request was executed, by its number.
#[derive(Clone, Default)]
pub(crate) struct Counter(Arc<Mutex<BTreeMap<u64, u32>>>);

impl Counter {
    fn count(&self, number: u64) {
        *self.0.lock().unwrap().entry(number).or_default() += 1;
    }

    /// How often a request was executed.
    pub(crate) fn of(&self, number: u64) -> u32 {
        self.0.lock().unwrap().get(&number).copied().unwrap_or_default()
    }

    /// How many executions have begun.
    pub(crate) fn total(&self) -> usize {
        self.0.lock().unwrap().values().map(|count| *count as usize).sum()
    }

    /// Waits until so many executions have begun.
    pub(crate) fn wait_for(&self, count: usize) {
        wait_until("the services execute all calls", || self.total() >= count);
    }

    /// Registers a service with this counter.
    pub(crate) fn serve(&self, name: &str, options: ConnectOptions) -> RunningService {
        let runner = Runner::new(Counting(self.clone()))
            .name(name)
            .options(options)
            .concurrency(CONCURRENCY)
            .queue(CONCURRENCY);
        run(async move { runner.connect().await }).expect("the manager takes the service")
    }
}

struct Counting(Counter);

#[service]
impl Counting {
    /// Takes a while, and cannot be stopped.
    pub async fn work(&self, number: u64, milliseconds: u64) -> u64 {
        self.0.count(number);
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        number
    }

    /// Takes a while, or stops when it is asked to.
    pub async fn stoppable(
        &self,
        number: u64,
        milliseconds: u64,
        cancellation: &Cancellation,
    ) -> Result<u64, ServiceError> {
        self.0.count(number);
        tokio::select! {
            () = cancellation.cancelled() => Err(cancellation.error()),
            () = tokio::time::sleep(Duration::from_millis(milliseconds)) => Ok(number),
        }
    }

    /// Sends items of a length, each with its index.
    pub async fn stream(
        &self,
        number: u64,
        count: u64,
        length: usize,
        progress: &Progress,
    ) -> Result<u64, ServiceError> {
        self.0.count(number);
        let filling = "x".repeat(length);
        for index in 0..count {
            progress.send_item((index, &filling)).await?;
        }
        Ok(number)
    }
}

/// Connects a client with the SDK.
pub(crate) async fn connect(name: &str, options: ConnectOptions) -> Client {
    let connecting = Client::connect(name, options).await;
    connecting.expect("the manager takes the client")
}

/// How a call ended.
pub(crate) type Outcome = (u64, Result<u64, CallError>);

/// The number of calls that ended in each way.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) replies: usize,
    pub(crate) not_executed: usize,
    pub(crate) maybe: usize,
    /// Those of `maybe` that were executed.
    pub(crate) of_them_executed: usize,
}

impl Tally {
    /// All calls.
    pub(crate) fn all(self) -> usize {
        self.replies + self.not_executed + self.maybe
    }
}

/// Compares outcomes with what was executed: a reply belongs to its call, which was executed once;
/// what was reported as not executed was not; and nothing was executed twice.
pub(crate) fn judge(outcomes: &[Outcome], counter: &Counter) -> Tally {
    let mut tally = Tally::default();
    for (number, outcome) in outcomes {
        let executed = counter.of(*number);
        match outcome {
            Ok(result) => {
                assert_eq!(
                    (result, executed),
                    (number, 1),
                    "the reply to {number}, how often it was executed"
                );
                tally.replies += 1;
            }
            Err(error) if error.executed() == Executed::No => {
                assert_eq!(
                    executed, 0,
                    "the call {number} was executed, and its caller got: {error}"
                );
                tally.not_executed += 1;
            }
            Err(error) => {
                assert!(executed <= 1, "the call {number} was executed twice: {error}");
                tally.maybe += 1;
                tally.of_them_executed += executed as usize;
            }
        }
    }
    tally
}
