//! Peers that guess passwords without end, beside a user with the right one.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use crate::generator::{Task, block_on, spawn};
use crate::hostile::{ADMINISTRATOR, home_with_administrator};
use crate::observed::{IDLE_MEMORY, Subject};
use crate::outcomes::milliseconds;
use crate::peer::{Peer, Target, address, client};
use crate::runner::scaled;

/// A user whose password has the rounds of a new one.
const USER: &str = "l.meitner";
const PASSWORD: &str = "protactinium";

/// Maximum duration of a successful login, unless it takes long even without guesses.
const LOGIN: Duration = Duration::from_secs(1);

/// Otherwise, how many times longer than without guesses it may take.
const FACTOR: u32 = 10;

/// Logs in, and returns how long that took, from the first packet on.
async fn log_in(target: &Target, from: Ipv4Addr) -> io::Result<Duration> {
    let begun = Instant::now();
    let mut peer = Peer::connect(target, from).await?;
    peer.log_in(USER, PASSWORD).await?;
    peer.expect_asked("identity").await?;
    let took = begun.elapsed();
    peer.send(&json!({ "result": client("Lise") })).await?;
    peer.ask_manager("identity", json!([])).await?;
    Ok(took)
}

/// The outcomes of the guesses.
#[derive(Default)]
struct Guesses {
    made: AtomicUsize,
    checked: AtomicUsize,
}

/// Guesses repeatedly, half of the time with the username of the user who logs in.
async fn guess(target: Target, number: usize, from: Ipv4Addr, guesses: Arc<Guesses>) {
    let username = [USER, ADMINISTRATOR][number % 2];
    loop {
        let made = guesses.made.fetch_add(1, Ordering::Relaxed);
        let told = async {
            let mut peer = Peer::connect(&target, from).await?;
            peer.log_in(username, &format!("guess {made}")).await?;
            peer.frame().await
        };
        match told.await {
            Ok(told)
                if told["message"]
                    .as_str()
                    .is_some_and(|text| text.contains("Wrong login password")) =>
            {
                guesses.checked.fetch_add(1, Ordering::Relaxed);
            }
            // It was refused without a check, or could not even connect.
            _ => sleep(Duration::from_millis(scaled(20, 200))).await,
        }
    }
}

/// Measures logins beside so many concurrent guesses from so many addresses.
fn beside_guesses(crowd: usize, addresses: usize) -> String {
    let time = Duration::from_secs(scaled(3, 20));
    let home = home_with_administrator();
    home.prepare(&["user", "add", USER, "--password", PASSWORD]);
    let mut subject = Subject::start_in(home, &["--disable-tls", "--auth-login"]);
    let target = subject.target.clone();
    let known = Ipv4Addr::LOCALHOST;
    let alone = (0..3).map(|_| block_on(log_in(&target, known)).expect("a good login succeeds"));
    let alone = alone.min().expect("there were some");
    let limit = LOGIN.max(FACTOR * alone);
    let guesses = Arc::new(Guesses::default());
    let guessing: Vec<_> = (0..crowd)
        .map(|number| {
            let from = address(3, number % addresses);
            spawn(guess(target.clone(), number, from, Arc::clone(&guesses)))
        })
        .collect();
    // Once from an address with an earlier successful login, and once from an address without one.
    let (mut logins, mut longest) = (0, [Duration::ZERO; 2]);
    let begun = Instant::now();
    while begun.elapsed() < time {
        for (from, longest) in [known, address(4, logins)].into_iter().zip(&mut longest) {
            let took = block_on(log_in(&target, from)).expect("a good login succeeds meanwhile");
            *longest = took.max(*longest);
        }
        logins += 1;
        std::thread::sleep(Duration::from_millis(100));
    }
    drop::<Vec<Task<()>>>(guessing);
    for took in longest {
        assert!(took < limit, "a good login took {took:?}, and {alone:?} alone");
    }
    let [made, checked] = [&guesses.made, &guesses.checked].map(|count| count.load(Ordering::Relaxed));
    assert!(made >= crowd && checked > 0, "{made} guesses, {checked} checked");
    let figures = format!(
        "{made} guesses by {crowd} at a time from {addresses} addresses, {checked} checked; {logins} logins from a known \
         address, the slowest in {}, and as many from new ones, the slowest in {}; {} alone",
        milliseconds(longest[0]),
        milliseconds(longest[1]),
        milliseconds(alone)
    );
    subject.wait_for_statistic("failed_logins", |failed| failed > 0);
    subject.finish(&figures, 2 * IDLE_MEMORY)
}

pub(crate) fn guesses_from_one_address_do_not_delay_a_login() -> String {
    beside_guesses(100, 1)
}

pub(crate) fn guesses_from_many_addresses_do_not_delay_a_login() -> String {
    // In the long form they exceed the limit of unidentified connections.
    let (guessers, addresses) = scaled((100, 100), (1_500, 250));
    beside_guesses(guessers, addresses)
}
