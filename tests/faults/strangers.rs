//! Unidentified peers that waste the manager's time.

use std::io::{self, Cursor};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::generator::{Task, block_on, run, spawn};
use crate::hostile::home_with_administrator;
use crate::observed::{IDLE_MEMORY, Subject};
use crate::outcomes::milliseconds;
use crate::peer::{Peer, Target, address, client, client_config};
use crate::runner::scaled;
use crate::support::DEADLINE;

/// A user whose password has the rounds of a new one.
const USER: &str = "l.meitner";
const PASSWORD: &str = "protactinium";

/// Maximum duration of a successful login.
const LOGIN: Duration = Duration::from_secs(1);

/// The kinds of slow peers.
#[derive(Clone, Copy)]
enum Slow {
    /// Sends nothing.
    Silent,
    /// Sends the expected bytes one by one.
    Dribbling,
    /// Like that, after the TLS handshake, if there is one.
    DribblingInside,
}

/// Numbers of unidentified peers: connected now, the most so far, and all connections.
#[derive(Default)]
struct Crowd {
    now: AtomicUsize,
    most: AtomicUsize,
    came: AtomicUsize,
}

impl Crowd {
    fn come(&self) {
        self.came.fetch_add(1, Ordering::Relaxed);
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
    }

    fn go(&self) {
        self.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Connects again and again for as long as the manager accepts it.
async fn waste_time(target: Target, number: usize, from: Ipv4Addr, hello: Arc<[u8]>, crowd: Arc<Crowd>) {
    let slow = [Slow::Silent, Slow::Dribbling, Slow::DribblingInside][number % 3];
    loop {
        crowd.come();
        // Whatever the result: the peer is refused, or its time is up.
        let _ = be_slow(&target, from, slow, &hello).await;
        crowd.go();
        sleep(Duration::from_millis(1_000 + number as u64 % 1_000)).await;
    }
}

async fn be_slow(target: &Target, from: Ipv4Addr, slow: Slow, hello: &[u8]) -> io::Result<()> {
    const PAUSE: Duration = Duration::from_millis(200);
    let stream = match slow {
        Slow::DribblingInside => target.open(from).await?,
        Slow::Silent | Slow::Dribbling => Box::new(target.dial(from).await?),
    };
    let (mut reader, mut writer) = tokio::io::split(stream);
    let bytes = match slow {
        Slow::Silent => &[],
        Slow::Dribbling if target.has_tls() => hello,
        Slow::Dribbling | Slow::DribblingInside => &br#"{"result":"a name without an end "#[..],
    };
    let dribble = async {
        for byte in bytes.iter().cycle() {
            sleep(PAUSE).await;
            writer.write_all(&[*byte]).await?;
            writer.flush().await?;
        }
        std::future::pending().await
    };
    let mut chunk = [0; 512];
    let closed = async {
        while reader.read(&mut chunk).await? > 0 {}
        io::Result::Ok(())
    };
    tokio::select! {
        ended = dribble => ended,
        ended = closed => ended,
    }
}

/// Returns the first message of a TLS handshake.
fn hello(config: &Arc<ClientConfig>) -> Vec<u8> {
    let name = ServerName::try_from("localhost").expect("a host name is one");
    let mut connection = ClientConnection::new(Arc::clone(config), name).expect("the configuration is whole");
    let mut hello = Cursor::new(Vec::new());
    connection.write_tls(&mut hello).expect("memory takes it");
    hello.into_inner()
}

/// Logs in, and returns how long that took, from the first packet on.
async fn log_in(target: &Target) -> io::Result<Duration> {
    let begun = Instant::now();
    let mut peer = Peer::connect(target, Ipv4Addr::LOCALHOST).await?;
    peer.log_in(USER, PASSWORD).await?;
    peer.expect_asked("identity").await?;
    peer.send(&serde_json::json!({ "result": client("Lise") }))
        .await?;
    peer.ask_manager("identity", serde_json::json!([])).await?;
    Ok(begun.elapsed())
}

fn slow_strangers(options: &[&str]) -> String {
    // They use all permits of their addresses, and leave some for other addresses.
    let (strangers, addresses) = scaled((200, 1), (5_000, 9));
    let time = Duration::from_secs(scaled(3, 15));
    let home = home_with_administrator();
    home.prepare(&["user", "add", USER, "--password", PASSWORD]);
    let options = [&["--auth-login", "--handshake", scaled("2s", "10s")], options].concat();
    let mut subject = Subject::start_in(home, &options);
    let target = subject.target.clone();
    let first: Arc<[u8]> = if target.has_tls() {
        hello(&client_config(&subject.manager.certificate())).into()
    } else {
        Arc::default()
    };
    let crowd = Arc::new(Crowd::default());
    let crowding: Vec<_> = (0..strangers)
        .map(|number| {
            let from = address(1, number % addresses);
            let (first, crowd) = (Arc::clone(&first), Arc::clone(&crowd));
            spawn(waste_time(target.clone(), number, from, first, crowd))
        })
        .collect();
    let (mut logins, mut longest) = (0, Duration::ZERO);
    let begun = Instant::now();
    while begun.elapsed() < time {
        let took = block_on(log_in(&target)).expect("a good login succeeds meanwhile");
        logins += 1;
        longest = longest.max(took);
        std::thread::sleep(Duration::from_millis(200));
    }
    drop::<Vec<Task<()>>>(crowding);
    assert!(longest < LOGIN, "a good login took {longest:?}");
    let timed_out = subject.statistic("handshake_timeouts");
    assert!(timed_out > 0, "no stranger was there until its time was up");
    let refused = subject.statistic("too_many_unidentified_per_address");
    let figures = format!(
        "{strangers} strangers, {} at once, came {} times, {timed_out} timed out, {refused} refused; {logins} logins, \
         the slowest in {}",
        crowd.most.load(Ordering::Relaxed),
        crowd.came.load(Ordering::Relaxed),
        milliseconds(longest)
    );
    subject.finish(&figures, 2 * IDLE_MEMORY)
}

pub(crate) fn slow_strangers_do_not_delay_a_login() -> String {
    slow_strangers(&["--disable-tls"])
}

pub(crate) fn slow_strangers_do_not_delay_a_login_over_tls() -> String {
    slow_strangers(&[])
}

/// Returns pseudo-random bytes, which depend only on the numbers.
fn noise(number: u64, place: u64) -> [u8; 8] {
    // The final mixing of SplitMix64.
    let mixed = (number << 32 | place)
        .wrapping_add(1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27))
        .wrapping_mul(0x94d0_49bb_1331_11eb)
        .to_le_bytes()
}

/// Sends something other than a complete TLS handshake, and ends the connection.
async fn break_handshake(target: &Target, number: usize, hello: &[u8]) -> io::Result<()> {
    let mut stream = target.dial(address(2, number)).await?;
    let half = &hello[..hello.len() / 2];
    let noise: Vec<u8> = (0..40_u64)
        .flat_map(|place| noise(number as u64, place))
        .collect();
    let (bytes, is_reset) = match number % 5 {
        0 => (&noise[..], false),
        1 => (half, false),
        2 => (
            &b"{\"result\":{\"type\":\"client\",\"name\":\"Ada\"}}\r\n"[..],
            false,
        ),
        3 => (half, true),
        _ => (hello, true),
    };
    stream.write_all(bytes).await?;
    if is_reset {
        if bytes.len() == hello.len() {
            // In the middle of the handshake: the manager has answered.
            timeout(DEADLINE, stream.read(&mut [0; 16])).await??;
        }
        return SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    }
    stream.shutdown().await?;
    let mut rest = Vec::new();
    // A manager that closes before it has read all bytes causes a reset.
    let _ = timeout(DEADLINE, stream.read_to_end(&mut rest)).await?;
    Ok(())
}

pub(crate) fn broken_tls_handshakes_leave_nothing_behind() -> String {
    const AT_ONCE: usize = 64;
    let handshakes = scaled(500, 10_000);
    let mut subject = Subject::start(&[]);
    let hello: Arc<[u8]> = hello(&client_config(&subject.manager.certificate())).into();
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let rejected = subject.statistic("rejected");
    let begun = Instant::now();
    let breaking: Vec<_> = (0..handshakes)
        .map(|number| {
            let (target, hello, turns) = (subject.target.clone(), Arc::clone(&hello), Arc::clone(&turns));
            spawn(async move {
                let _turn = turns.acquire().await;
                break_handshake(&target, number, &hello)
                    .await
                    .expect("the manager accepts");
            })
        })
        .collect();
    breaking.into_iter().for_each(Task::join);
    let took = begun.elapsed();
    subject.wait_for_statistic("rejected", |now| now - rejected >= handshakes as u64);
    let failures = subject.statistic("tls_failures");
    let target = subject.target.clone();
    let served = run(async move { Peer::client(&target, "Ada").await.map(drop) });
    served.expect("the manager serves on");
    let figures = format!(
        "{handshakes} broken handshakes in {:.1} s, {failures} of them counted as failures of TLS",
        took.as_secs_f64()
    );
    subject.finish(&figures, 2 * IDLE_MEMORY)
}
