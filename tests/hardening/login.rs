//! Guessing usernames and passwords reveals nothing and becomes slow.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use serde_json::json;

use super::support::{
    ADMINISTRATOR, Bystander, PASSWORD, Peer, control_failed_as_expected, expect_no_panic,
    home_with_administrator, manager_request, start, start_reference_in,
};
use crate::support::manager::Manager;

const ATTEMPTS: usize = 5;

/// Number of measurements.
const ROUNDS: usize = 3;

/// How many times longer one kind of failure may take than another. The work is the same; two busy
/// cores may add this much to the shortest of five measurements.
const FACTOR: f64 = 2.0;

/// Starts a manager with `--auth-login`, with a user of an old installation (100,000 rounds) and
/// one whose password is new (600,000 rounds).
fn manager_with_old_and_new_users() -> Manager {
    let home = home_with_administrator();
    home.prepare(&["user", "add", "new", "--password", PASSWORD]);
    Manager::start_in(home, &["--disable-tls", "--auth-login"])
}

/// Fails to log in from an address without earlier failures. Returns the reason, and how long it
/// took.
fn failed_login(manager: &Manager, number: usize, username: &str) -> (String, Duration) {
    let number = u8::try_from(number).expect("a few attempts");
    let mut peer = Peer::connect_from(manager, IpAddr::V4(Ipv4Addr::new(127, 1, 1, number + 1)));
    let asked = Instant::now();
    peer.log_in(username, "wrong");
    let message = peer.expect_rejection();
    (message, asked.elapsed())
}

/// An unknown user, a wrong password of an old user and one of a new user lead to the same text
/// after the same time.
#[test]
fn unknown_users_and_wrong_passwords_cannot_be_told_apart() {
    const USERNAMES: [&str; 3] = ["nobody", ADMINISTRATOR, "new"];
    // A difference caused by the manager occurs every time; one caused by a busy machine does not.
    let measured: Vec<_> = (0..ROUNDS).map(|_| shortest_times(USERNAMES)).collect();
    let are_alike = |times: &[Duration; 3]| {
        let (shortest, longest) = (times.iter().min().unwrap(), times.iter().max().unwrap());
        longest.as_secs_f64() < FACTOR * shortest.as_secs_f64()
    };
    assert!(measured.iter().any(are_alike), "{USERNAMES:?} took {measured:?}");
}

/// Returns the shortest time after which a wrong password of each of these users was refused, at a
/// manager of their own.
fn shortest_times(usernames: [&str; 3]) -> [Duration; 3] {
    let manager = manager_with_old_and_new_users();
    let mut times = [Duration::MAX; 3];
    let mut number = 0;
    for _ in 0..ATTEMPTS {
        for (username, shortest) in usernames.iter().zip(&mut times) {
            let (message, taken) = failed_login(&manager, number, username);
            assert_eq!(message, "ValueError: Unregistered user or Wrong login password");
            *shortest = taken.min(*shortest);
            number += 1;
        }
    }
    expect_no_panic(&manager);
    times
}

/// Only a few failures per address have no penalty. After them, the answer is the time to wait,
/// even for the right password, and it comes without hashing.
#[test]
fn guessing_from_one_address_is_slowed_down() {
    let manager = Manager::start_in(home_with_administrator(), &["--disable-tls", "--auth-login"]);
    let mut refused = false;
    for number in 0..20 {
        let mut peer = Peer::connect(&manager);
        peer.log_in(&format!("user {number}"), "guess");
        let message = peer.expect_rejection();
        refused = names_the_wait(&message);
        if refused {
            break;
        }
        assert_eq!(message, "ValueError: Unregistered user or Wrong login password");
    }
    assert!(refused, "twenty guesses in a row were checked");
    expect_no_panic(&manager);
}

/// Guessing one user's password from many addresses is slow too. The user with that name is delayed
/// for a moment but not locked out, since anyone who knows the name could do that. Other users are
/// not delayed.
#[test]
fn guessing_one_users_password_from_many_addresses_is_slowed_down() {
    let manager = manager_with_old_and_new_users();
    let times: Vec<Duration> = (0..8)
        .map(|number| failed_login(&manager, number, ADMINISTRATOR).1)
        .collect();
    let slowest = times[6..].iter().min().unwrap();
    assert!(*slowest >= Duration::from_secs(1), "{times:?}");
    for username in [ADMINISTRATOR, "new"] {
        let mut peer = Peer::connect(&manager);
        peer.log_in(username, PASSWORD);
        peer.identify(&json!({ "type": "client", "name": "client" }));
        peer.settle();
    }
}

/// Concurrent guesses count like sequential ones.
#[test]
fn parallel_guesses_are_slowed_down() {
    let manager = Manager::start_in(home_with_administrator(), &["--disable-tls", "--auth-login"]);
    let messages: Vec<String> = std::thread::scope(|scope| {
        let guesses: Vec<_> = (0..40)
            .map(|_| {
                scope.spawn(|| {
                    let mut peer = Peer::connect(&manager);
                    peer.log_in(ADMINISTRATOR, "guess");
                    peer.expect_rejection()
                })
            })
            .collect();
        guesses
            .into_iter()
            .map(|guess| guess.join().expect("a guess is answered"))
            .collect()
    });
    let checked = messages.iter().filter(|message| !names_the_wait(message)).count();
    assert!(checked <= 10, "{checked} of 40 guesses were checked");
}

/// The manager's own password is protected in the same way.
#[test]
fn guessing_the_managers_password_is_slowed_down() {
    let manager = Manager::start(&["--disable-tls", "--auth-password", "open sesame"]);
    let mut refused = false;
    for _ in 0..20 {
        let mut peer = Peer::connect(&manager);
        peer.expect_request("password");
        peer.send_line("open barley");
        let message = peer.expect_rejection();
        refused = names_the_wait(&message);
        if refused {
            break;
        }
        assert_eq!(message, "ValueError: Wrong Manager password");
    }
    assert!(refused, "twenty guesses in a row were checked");
}

/// Guessing an administrator's login on an established connection is slowed down, too.
#[test]
fn guessing_behind_an_administrators_request_is_slowed_down() {
    let manager = start();
    let mut refused = false;
    for _ in 0..20 {
        let mut peer = Peer::client(&manager, "guesser");
        peer.send_line(manager_request("port", json!([])).to_string());
        peer.log_in(ADMINISTRATOR, "guess");
        let frame = peer.frame();
        assert_eq!(frame["error"], true, "{frame}");
        peer.expect_closed();
        refused = names_the_wait(frame["message"].as_str().unwrap());
        if refused {
            break;
        }
    }
    assert!(refused, "twenty guesses in a row were checked");
}

/// Sixty concurrent logins all succeed, and a bystander is not delayed.
#[test]
fn sixty_logins_at_once_keep_nobody_waiting() {
    // On two cores the last ones wait longer than usual for their turn.
    let options = ["--disable-tls", "--auth-login", "--handshake", "60s"];
    let manager = Manager::start_in(home_with_administrator(), &options);
    let mut bystander = Peer::connect(&manager);
    bystander.log_in(ADMINISTRATOR, PASSWORD);
    bystander.identify(&json!({ "type": "client", "name": "bystander" }));
    bystander.settle();
    let bystander = Bystander::asking(bystander);
    let began = Instant::now();
    for mut peer in send_passwords(&manager, 60) {
        peer.expect_request("identity");
    }
    let (all, waited) = (began.elapsed(), bystander.stop());
    // A peer that had to wait for all of the work would wait for most of that time.
    assert!(waited < all / 2, "a bystander waited for {waited:?} of {all:?}");
    expect_no_panic(&manager);
}

/// Sends the passwords of so many peers at once.
fn send_passwords(manager: &Manager, count: usize) -> Vec<Peer> {
    let mut peers: Vec<_> = (0..count).map(|_| Peer::connect(manager)).collect();
    for peer in &mut peers {
        peer.expect_request("username");
        peer.send_line(ADMINISTRATOR);
        peer.expect_request("password");
    }
    for peer in &mut peers {
        peer.send_line(PASSWORD);
    }
    peers
}

#[test]
fn the_reference_stands_still_for_logins() {
    let home = home_with_administrator();
    let manager = start_reference_in(home, &["--auth-login"]);
    let mut bystander = send_passwords(&manager, 1).remove(0);
    bystander.identify(&json!({ "type": "client", "name": "bystander" }));
    bystander.settle();
    let bystander = Bystander::asking(bystander);
    let began = Instant::now();
    for mut peer in send_passwords(&manager, 60) {
        peer.expect_request("identity");
    }
    let (all, waited) = (began.elapsed(), bystander.stop());
    assert!(waited > all / 2, "a bystander waited for {waited:?} of {all:?}");
    let waited = waited.as_secs_f64();
    control_failed_as_expected(&format!(
        "60 logins at once kept everybody waiting for {waited:.1} s"
    ));
}

fn names_the_wait(message: &str) -> bool {
    message
        .strip_prefix("PermissionError: too many failed logins, try again in ")
        .and_then(|rest| rest.strip_suffix(" s"))
        .is_some_and(|seconds| seconds.parse::<u64>().is_ok_and(|seconds| seconds > 0))
}
