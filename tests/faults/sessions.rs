//! Clients and services of the SDKs whose connections break, and their sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use labwire_client::{Backoff, CallError, Client, Link, Lock, LockOptions, SessionState};
use labwire_service::RunningService;
use rusqlite::Connection;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::counting::{Counter, Outcome, Tally, behind, connect, direct, judge, next_number};
use crate::generator::{Task, block_on, run, spawn};
use crate::hostile::home_with_administrator;
use crate::observed::{IDLE_MEMORY, MIB, Observed, Subject, administrator, expect_no_panic, memory};
use crate::outcomes::milliseconds;
use crate::peer::{Peer, Target};
use crate::proxy::{Network, Proxy};
use crate::runner::scaled;
use crate::support::manager::Manager;
use crate::support::process::Signal;
use crate::support::waiting::wait_until;
use crate::support::{DEADLINE, POLL_INTERVAL};

/// Memory of what is kept for a peer that is away, in bytes, by default.
const KEPT: u64 = MIB;

/// Services: beside the proxies, behind one with callers that wait while it is away, and behind it
/// with callers that are told at once.
const SERVICES: [&str; 3] = ["Near", "Far", "Brief"];

/// A client, and its links with all services.
#[derive(Clone)]
struct Caller {
    client: Client,
    links: [Link; SERVICES.len()],
}

impl Caller {
    async fn connect(name: &str, options: labwire_client::ConnectOptions) -> Self {
        let client = connect(name, options).await;
        let links = SERVICES.map(|service| {
            let client = client.clone();
            async move { client.link(service).await.expect("the service is here") }
        });
        let [near, far, brief] = links;
        let links = [near.await, far.await, brief.await];
        Self { client, links }
    }

    /// Starts a call, which takes a while.
    fn call(&self, service: usize, attribute: &'static str, time: Duration) -> Task<Outcome> {
        let link = self.links[service].clone();
        spawn(async move {
            let number = next_number();
            let milliseconds = u64::try_from(time.as_millis()).expect("it is short");
            let calling = link.call::<u64>(attribute, (number, milliseconds)).send();
            let outcome = async { calling.await?.await };
            let outcome = timeout(DEADLINE, outcome).await;
            (number, outcome.expect("each call ends"))
        })
    }
}

/// A manager, callers behind a proxy, and services beside it and behind another.
struct Divided {
    subject: Subject,
    /// Whether less is kept for a peer that is away than by default.
    keeps_little: bool,
    /// Of the callers, and of the services.
    proxies: [Proxy; 2],
    counter: Counter,
    services: Vec<RunningService>,
    callers: Vec<Caller>,
}

impl Divided {
    fn start(callers: usize, options: &[&str]) -> Self {
        let subject = Subject::start(&[&["--disable-tls"], options].concat());
        let keeps_little = options.contains(&"--session-kept");
        let proxies = [(); 2].map(|()| Proxy::start(subject.target.address));
        let counter = Counter::default();
        let [callers_options, services_options] = proxies.each_ref().map(behind);
        let all_options = [
            direct(&subject.target),
            services_options.clone().keep_callers(true),
            services_options,
        ];
        let services = SERVICES.into_iter().zip(all_options);
        let services = services
            .map(|(name, options)| counter.serve(name, options))
            .collect();
        let options = callers_options;
        let callers = run(async move {
            let mut connected = Vec::new();
            for number in 0..callers {
                connected.push(Caller::connect(&format!("Caller {number}"), options.clone()).await);
            }
            connected
        });
        Self {
            subject,
            keeps_little,
            proxies,
            counter,
            services,
            callers,
        }
    }

    /// Starts calls of each caller to each service, whose durations end between the two times.
    fn call(&self, calls: u32, from: Duration, to: Duration) -> Vec<Task<Outcome>> {
        let mut started = Vec::new();
        let all = u32::try_from(self.callers.len()).expect("they are few") * calls;
        for (number, caller) in (0..).zip(&self.callers) {
            for call in 0..calls {
                let share = f64::from(number * calls + call) / f64::from(all);
                let time = from + to.saturating_sub(from).mul_f64(share);
                started.extend([0, 1].map(|service| caller.call(service, "work", time)));
            }
        }
        started
    }

    fn set(&self, network: Network) {
        self.proxies.iter().for_each(|proxy| proxy.set(network));
    }

    /// Waits until all peers are connected again.
    fn wait_until_back(&mut self) {
        for caller in &self.callers {
            let client = caller.client.clone();
            let connected = run(async move { timeout(DEADLINE, client.connected()).await });
            assert_eq!(connected, Ok(true), "a client returns");
        }
        self.subject.wait_for_statistic("away", |away| away == 0);
    }

    /// Ends all peers, and checks what they leave behind. Returns the tallies of these outcomes.
    fn finish<const N: usize>(
        self,
        outcomes: [Vec<Outcome>; N],
        figures: impl FnOnce([Tally; N]) -> String,
    ) -> String {
        let Self {
            mut subject,
            keeps_little,
            proxies,
            counter,
            services,
            callers,
        } = self;
        let peers = callers.len() as u64 + 2;
        for caller in callers {
            block_on(caller.client.disconnect());
        }
        for service in services {
            let ended = block_on(service.shut_down());
            ended.expect("the service leaves");
        }
        subject.wait_for_statistic("sessions", |sessions| sessions == 0);
        for name in ["away", "session_bytes", "sessions_expired", "away_refused"] {
            assert_eq!(subject.statistic(name), 0, "{name}");
        }
        // A service for which more was queued at a break than is kept has lost its session, and
        // learns that when it returns.
        let not_kept = subject.statistic("sessions_not_kept");
        assert!(keeps_little || not_kept == 0, "{not_kept} sessions were not kept");
        let unknown = subject.statistic("unknown_sessions");
        assert!(unknown == 0 || not_kept > 0, "{unknown} sessions were unknown");
        drop(proxies);
        let resumed = subject.statistic("resumed");
        // Only now nothing can be executed any more.
        let figures = figures(outcomes.map(|outcomes| judge(&outcomes, &counter)));
        subject.finish(
            &format!("{figures}; {resumed} returns, {not_kept} sessions not kept"),
            IDLE_MEMORY + peers * KEPT,
        )
    }
}

fn join(calls: Vec<Task<Outcome>>) -> Vec<Outcome> {
    calls.into_iter().map(Task::join).collect()
}

/// Expects the reply to each call.
fn expect_replies(outcomes: &[Outcome]) {
    for (number, outcome) in outcomes {
        assert!(outcome.is_ok(), "the call {number} lost its reply: {outcome:?}");
    }
}

pub(crate) fn calls_in_flight_over_a_network_that_is_cut_end_once_with_their_replies() -> String {
    let cut = Duration::from_secs(scaled(2, 10));
    let (clients, calls) = (100, 3);
    let mut divided = Divided::start(clients, &[]);
    let in_flight = divided.call(calls, cut / 2, cut + Duration::from_secs(1));
    divided.counter.wait_for(in_flight.len());
    let at_the_cut = divided.call(1, Duration::ZERO, Duration::from_millis(100));
    // Some of them have begun, and others are on their way.
    while divided.counter.total() <= in_flight.len() {
        std::thread::yield_now();
    }
    divided.set(Network::Cut);
    sleep_for(cut / 2);
    let during = divided.call(1, Duration::ZERO, Duration::from_millis(100));
    sleep_for(cut / 2);
    divided.set(Network::Up);
    let restored = Instant::now();
    divided.wait_until_back();
    let back = restored.elapsed();
    let in_flight = join(in_flight);
    let ended = restored.elapsed();
    expect_replies(&in_flight);
    let outcomes = [in_flight, join(at_the_cut), join(during)];
    divided.finish(outcomes, |[in_flight, at_the_cut, during]| {
        format!(
            "{clients} clients and two services were cut off for {} s: all {} calls in flight had their replies; of {} calls \
             at the cut {} had, {} were not executed, {} perhaps ({} were); of {} during it {} were not executed; back \
             after {}, all replies after {}",
            cut.as_secs(),
            in_flight.replies,
            at_the_cut.all(),
            at_the_cut.replies,
            at_the_cut.not_executed,
            at_the_cut.maybe,
            at_the_cut.of_them_executed,
            during.all(),
            during.not_executed,
            milliseconds(back),
            milliseconds(ended)
        )
    })
}

pub(crate) fn calls_in_flight_over_a_network_that_falls_silent_end_once_with_their_replies() -> String {
    let silence = Duration::from_secs(scaled(1, 10));
    let (clients, calls) = (100, 2);
    let mut divided = Divided::start(clients, &[]);
    let (mut outcomes, mut times) = (Vec::new(), Vec::new());
    // First the connections go on, then others replace them.
    for replaces in [false, true] {
        let begun = divided.counter.total();
        let in_flight = divided.call(calls, silence / 2, silence + Duration::from_secs(1));
        divided.counter.wait_for(begun + in_flight.len());
        divided.set(Network::Silent);
        sleep_for(silence / 2);
        let during = divided.call(1, Duration::ZERO, Duration::from_millis(100));
        sleep_for(silence / 2);
        if replaces {
            divided.proxies.iter().for_each(Proxy::close_all);
        }
        divided.set(Network::Up);
        let restored = Instant::now();
        divided.wait_until_back();
        let in_flight = join(in_flight);
        expect_replies(&in_flight);
        let during = join(during);
        if !replaces {
            expect_replies(&during);
        }
        times.push(milliseconds(restored.elapsed()));
        outcomes.extend([in_flight, during]);
    }
    let outcomes: [_; 4] = outcomes.try_into().expect("there are two of each");
    divided.finish(outcomes, |[first, first_during, second, second_during]| {
        format!(
            "{clients} clients and two services heard nothing for {} s twice: {} and {} calls in flight had their replies, also \
             {} during the first time; of {} during the second {} had, {} were not executed, {} perhaps; all ended {} \
             after it went on, {} after new connections were possible",
            silence.as_secs(),
            first.replies,
            second.replies,
            first_during.replies,
            second_during.all(),
            second_during.replies,
            second_during.not_executed,
            second_during.maybe,
            times[0],
            times[1]
        )
    })
}

fn sleep_for(time: Duration) {
    std::thread::sleep(time);
}

/// Numbers that look random, the same ones each time.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn time(&mut self, milliseconds: u64) -> Duration {
        Duration::from_millis(self.below(milliseconds))
    }
}

/// Makes one call of a random kind. Returns its outcome.
async fn call_somehow(caller: &Caller, chance: &mut Chance) -> Outcome {
    let number = next_number();
    let service = usize::try_from(chance.below(SERVICES.len() as u64)).expect("it is small");
    let link = &caller.links[service];
    let time = chance.time(300);
    let arguments = (number, u64::try_from(time.as_millis()).expect("it is short"));
    let limit = chance.time(300) + Duration::from_millis(1);
    let outcome = match chance.below(4) {
        0 => link.call::<u64>("work", arguments).await,
        1 => link.call::<u64>("work", arguments).deadline(limit).await,
        2 => cancel_after(link, arguments, limit).await,
        _ => read_slowly(link, number, chance).await,
    };
    (number, outcome)
}

async fn cancel_after(link: &Link, arguments: (u64, u64), time: Duration) -> Result<u64, CallError> {
    let call = link.call::<u64>("stoppable", arguments).send().await?;
    let canceller = call.canceller();
    let cancelling = async {
        sleep(time).await;
        // It may be over, or the manager may be out of reach.
        let _ = canceller.cancel(Some("by chance")).await;
    };
    let (outcome, ()) = tokio::join!(call, cancelling);
    outcome
}

/// Reads items, and expects all of them in order if the call succeeds.
async fn read_slowly(link: &Link, number: u64, chance: &mut Chance) -> Result<u64, CallError> {
    const ITEMS: u64 = 50;
    // Sometimes more than is kept for a peer that is away.
    let length = chance.below(1_000) * (1 + chance.below(40));
    let mut call = link
        .call::<u64>("stream", (number, ITEMS, length))
        .follow()
        .await?;
    let mut items = call.items::<(u64, String)>();
    let mut expected = 0;
    let mut lost = None;
    while let Some(item) = items.next().await {
        match item {
            Ok((index, _)) => {
                assert_eq!(index, expected, "an item is missing or came twice");
                expected += 1;
            }
            Err(error) => lost = Some(error),
        }
        if expected.is_multiple_of(10) {
            sleep(chance.time(20)).await;
        }
    }
    let outcome = call.await;
    if outcome.is_ok() && lost.is_none() {
        assert_eq!(expected, ITEMS, "items are missing, and nobody said so");
    }
    outcome
}

/// Calls that each caller has in flight.
const CALLS: usize = 3;

/// Pause after a call that failed: while its caller is cut off, all do.
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) fn breaks_returns_cancels_deadlines_and_slow_readers_leave_each_call_one_outcome() -> String {
    break_by_chance(&[])
}

pub(crate) fn breaks_of_peers_for_whom_little_is_kept_leave_each_call_one_outcome() -> String {
    break_by_chance(&["--session-kept", "16KiB"])
}

/// Breaks connections of callers and services by chance, while they work.
fn break_by_chance(options: &[&str]) -> String {
    let (clients, time) = scaled((20, Duration::from_secs(4)), (100, Duration::from_mins(3)));
    let mut divided = Divided::start(clients, options);
    let ends = Instant::now() + time;
    let is_last = Arc::new(AtomicBool::new(false));
    let callers = divided.callers.iter().cycle().take(clients * CALLS).cloned();
    let calling: Vec<_> = (1..)
        .zip(callers.collect::<Vec<_>>())
        .map(|(number, caller)| {
            let is_last = Arc::clone(&is_last);
            spawn(async move {
                let mut chance = Chance(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(number));
                let mut outcomes = Vec::new();
                while !is_last.load(Ordering::Relaxed) {
                    let outcome = timeout(DEADLINE, call_somehow(&caller, &mut chance)).await;
                    let outcome = outcome.expect("each call ends");
                    if outcome.1.is_err() {
                        sleep(PAUSE).await;
                    }
                    outcomes.push(outcome);
                }
                outcomes
            })
        })
        .collect();
    let mut chance = Chance(0x2545_F491_4F6C_DD1D);
    let (mut closed, mut others) = (0, 0);
    while Instant::now() < ends {
        sleep_for(chance.time(100));
        if chance.below(20) > 0 {
            let proxy = &divided.proxies[usize::from(chance.below(4) == 0)];
            proxy.close_one(usize::try_from(chance.below(1_000)).expect("it is small"));
            closed += 1;
            continue;
        }
        let state = if chance.below(2) == 0 {
            Network::Cut
        } else {
            Network::Silent
        };
        divided.set(state);
        sleep_for(chance.time(1_000));
        divided.set(Network::Up);
        others += 1;
    }
    is_last.store(true, Ordering::Relaxed);
    let ended = Instant::now();
    let outcomes: Vec<_> = calling.into_iter().flat_map(Task::join).collect();
    let ended = ended.elapsed();
    divided.wait_until_back();
    let (mut cancelled, mut late) = (0, 0);
    for (_, outcome) in &outcomes {
        match outcome {
            Err(CallError::DeadlinePassed { .. }) => late += 1,
            Err(error) if error.is_cancelled() => cancelled += 1,
            _ => {}
        }
    }
    let dropped = divided.subject.statistic("session_bytes_dropped");
    divided.finish([outcomes], |[tally]| {
        format!(
            "{} calls of {clients} clients in {} s, {closed} closed connections and {others} cuts: {} replies, {} not \
             executed, {} perhaps ({} were; {late} deadlines, {cancelled} cancelled); {dropped} bytes were not kept; the last ended {} after it was quiet",
            tally.all(),
            time.as_secs(),
            tally.replies,
            tally.not_executed,
            tally.maybe,
            tally.of_them_executed,
            milliseconds(ended)
        )
    })
}

const REASON: &str = "calibration of the reference";

/// Waits until a lock is in the database.
fn wait_until_written(manager: &Manager, holder: &str) {
    let database = manager.home().path("manager.sqlite3");
    let begun = Instant::now();
    loop {
        let database = Connection::open(&database).expect("the database is there");
        let count = database.query_row("SELECT count(*) FROM labwire_leases", [], |row| row.get(0));
        if count == Ok(1_i64) {
            return;
        }
        assert!(
            begun.elapsed() < DEADLINE,
            "the lock of {holder} is not written: {count:?}"
        );
        sleep_for(POLL_INTERVAL);
    }
}

/// A rival that tries to link all the time.
struct Rival {
    refusals: Arc<AtomicUsize>,
    absences: Arc<AtomicUsize>,
    is_released: Arc<AtomicBool>,
    trying: Task<Instant>,
}

impl Rival {
    fn start(target: Target) -> Self {
        let (refusals, absences) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let is_released = Arc::<AtomicBool>::default();
        let counters = (Arc::clone(&refusals), Arc::clone(&absences));
        let may = Arc::clone(&is_released);
        let trying = spawn(async move {
            let mut peer = None;
            loop {
                let Some(connected) = &mut peer else {
                    peer = Peer::client(&target, "Rival").await.ok();
                    sleep(Duration::from_millis(1)).await;
                    continue;
                };
                let Ok(answer) = connected.ask_manager("link", json!(["Oven"])).await else {
                    peer = None;
                    continue;
                };
                let message = answer["message"].as_str().unwrap_or_default();
                if answer["error"] == false {
                    assert!(may.load(Ordering::SeqCst), "the rival got in: {answer}");
                    return Instant::now();
                } else if message.contains("is locked by") {
                    counters.0.fetch_add(1, Ordering::Relaxed);
                } else {
                    assert!(message.starts_with("KeyError: "), "{answer}");
                    counters.1.fetch_add(1, Ordering::Relaxed);
                }
                sleep(Duration::from_millis(1)).await;
            }
        });
        Self {
            refusals,
            absences,
            is_released,
            trying,
        }
    }
}

pub(crate) fn a_lock_is_its_holders_again_after_kills_of_the_manager_and_a_rival_never_gets_in() -> String {
    let kills = scaled(3, 20);
    let home = home_with_administrator();
    let mut command = home.command(&["start", "--port", "0", "--disable-tls"]);
    let mut manager = Manager::start_command(home, &mut command);
    let port = manager.port().to_string();
    let target = Target::new(&manager, false);
    let options = direct(&target).reconnect(Backoff::new().maximum(Duration::from_millis(200)));
    let counter = Counter::default();
    let service = counter.serve("Oven", options.clone());
    let (holder, guard) = run(async move {
        let holder = connect("Holder", options).await;
        let terms = LockOptions::new(Lock::Exclusive)
            .reason(REASON)
            .ttl(Duration::from_mins(10));
        let guard = holder.lock("Oven", terms).await.expect("nobody else is there");
        (holder, guard)
    });
    wait_until_written(&manager, "Holder");
    let rival = Rival::start(target.clone());
    let mut times = Vec::new();
    let mut peak = String::new();
    for _ in 0..kills {
        let before = holder.network_name();
        manager.signal(Signal::KILL);
        manager.wait_for_end();
        expect_no_panic(&manager);
        let home = manager.take_home();
        let mut command = home.command(&["start", "--port", &port, "--disable-tls"]);
        manager = Manager::start_command(home, &mut command);
        let started = Instant::now();
        let mut peer = block_on(administrator(&target));
        loop {
            let locks = block_on(peer.ask_manager("service_locks", json!([]))).expect("the manager serves");
            let (name, number, link) = (holder.network_name(), next_number(), guard.link().clone());
            let result = run(async move { link.call::<u64>("work", (number, 0)).await });
            let is_back = name != before && locks["result"].to_string().contains(&name);
            if result.is_ok() && is_back {
                break;
            }
            assert_eq!(counter.of(number), u32::from(result.is_ok()), "{result:?}");
            assert!(
                started.elapsed() < DEADLINE,
                "{name} does not hold its lock: {locks}"
            );
            sleep_for(Duration::from_millis(1));
        }
        times.push(started.elapsed());
        assert_eq!(holder.session(), SessionState::Lost);
        assert!(guard.is_held());
        wait_until_written(&manager, "Holder");
        peak = memory(&Observed::new(&manager), IDLE_MEMORY);
    }
    let (refusals, absences) = (&rival.refusals, &rival.absences);
    let [refusals, absences] = [refusals, absences].map(|count| count.load(Ordering::Relaxed));
    assert!(refusals >= kills, "the rival did not try");
    rival.is_released.store(true, Ordering::SeqCst);
    let released = Instant::now();
    run(async move { guard.release().await }).expect("the holder may");
    wait_until("the rival gets in", || rival.trying.is_finished());
    let got_in = rival.trying.join().duration_since(released);
    run(async move {
        holder.disconnect().await;
        service.shut_down().await
    })
    .expect("the service leaves");
    expect_no_panic(&manager);
    times.sort_unstable();
    format!(
        "{kills} kills; the holder has its lock again {} after the start (median), {} (worst); a rival was refused \
         {refusals} times, {absences} times without the service, and got in {} after the release; {peak}",
        milliseconds(times[times.len() / 2]),
        milliseconds(times[times.len() - 1]),
        milliseconds(got_in)
    )
}
