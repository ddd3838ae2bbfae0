//! A correct login beside any number of wrong ones.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use super::support::{ADMINISTRATOR, Inspected, PASSWORD, Peer, expect_no_panic, home_with_administrator};
use crate::support::manager::Manager;
use crate::support::{DEADLINE, POLL_INTERVAL};

/// Number of guesses that wait to be checked at the same time.
const GUESSES: usize = 100;

/// Maximum duration of a correct login, unless it takes long even without guesses.
const SHORT: Duration = Duration::from_secs(1);

/// Otherwise, how many times longer than without guesses it may take.
const FACTOR: u32 = 10;

/// Starts a manager with `--auth-login`, with passwords of as many rounds as new ones have.
fn start() -> Manager {
    let home = home_with_administrator();
    home.prepare(&["user", "add", "new", "--password", PASSWORD]);
    Manager::start_in(home, &["--disable-tls", "--auth-login"])
}

fn address(group: u8, number: usize) -> IpAddr {
    let number = u8::try_from(number + 2).expect("a loopback network has as many");
    IpAddr::V4(Ipv4Addr::new(127, 0, group, number))
}

/// Logs in as the user with the new password, and returns how long that took.
fn log_in(manager: &Manager, from: IpAddr) -> Duration {
    let begun = Instant::now();
    let mut peer = Peer::connect_from(manager, from);
    peer.log_in("new", PASSWORD);
    peer.expect_request("identity");
    begun.elapsed()
}

/// Connects so many peers, whose wrong passwords were all sent and are not answered yet.
fn guess(manager: &Manager, count: usize, username: &str, from: impl Fn(usize) -> IpAddr) -> Vec<Peer> {
    let guess = |number: usize| format!("guess {number}");
    let mut peers: Vec<_> = (0..count)
        .map(|number| Peer::connect_from(manager, from(number)))
        .collect();
    for peer in &mut peers {
        peer.expect_request("username");
        peer.send_line(username);
        peer.expect_request("password");
    }
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.send_line(guess(number));
    }
    peers
}

/// Expects that guesses from other addresses hardly delay a login from one address, with and
/// without an earlier login from it.
fn expect_short_logins_beside(username: &str, from: impl Fn(usize) -> IpAddr) {
    let manager = start();
    let known = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let alone = log_in(&manager, known);
    let limit = SHORT.max(FACTOR * alone);
    let guesses = guess(&manager, GUESSES, username, from);
    for from in [known, address(250, 1)] {
        let took = log_in(&manager, from);
        assert!(
            took < limit,
            "a login from {from} took {took:?}, and {alone:?} alone"
        );
    }
    drop(guesses);
    expect_no_panic(&manager);
}

#[test]
fn a_correct_login_hardly_waits_for_guesses_from_one_other_address() {
    expect_short_logins_beside(ADMINISTRATOR, |_| address(1, 0));
}

#[test]
fn a_correct_login_hardly_waits_for_guesses_from_many_addresses() {
    expect_short_logins_beside(ADMINISTRATOR, |number| address(1, number));
}

/// Guesses at the password of the user who logs in neither reject nor delay that login either.
#[test]
fn a_correct_login_hardly_waits_for_guesses_in_the_same_users_name() {
    expect_short_logins_beside("new", |number| address(1, number));
}

/// A program on a computer still uses an old password: it is refused, and logins of others on that
/// computer succeed. They need a permit among the unidentified connections of that address.
#[test]
fn guesses_in_one_name_keep_nobody_else_out_who_is_on_the_same_computer() {
    const GUESSES: usize = 90;
    let manager = start();
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let alone = log_in(&manager, here);
    let guesses = guess(&manager, GUESSES, ADMINISTRATOR, |_| here);
    let took = log_in(&manager, here);
    let limit = SHORT.max(FACTOR * alone);
    assert!(took < limit, "a login took {took:?}, and {alone:?} alone");
    let messages = guesses.into_iter().map(|mut peer| peer.expect_rejection());
    let checked = messages
        .filter(|message| message.contains("Wrong login password"))
        .count();
    assert!((1..10).contains(&checked), "{checked} guesses were checked");
    expect_no_panic(&manager);
}

/// A peer that disconnects while its login waits takes no turn, and leaves no connection behind.
#[test]
fn a_guess_whose_peer_is_gone_is_forgotten() {
    let home = home_with_administrator();
    home.prepare(&[
        "user",
        "add",
        "slow",
        "--password",
        PASSWORD,
        "--rounds",
        "10000000",
    ]);
    let manager = Manager::start_in(home, &["--disable-tls", "--auth-login", "--handshake", "10min"]);
    let process = Inspected::new(&manager);
    let before = process.descriptors();
    drop(guess(&manager, 50, ADMINISTRATOR, |number| address(1, number)));
    // Fifty of these hashes take longer than that.
    let deadline = Instant::now() + DEADLINE;
    while process.descriptors() > before {
        let left = process.descriptors() - before;
        assert!(Instant::now() < deadline, "{left} connections are left");
        std::thread::sleep(POLL_INTERVAL);
    }
    expect_no_panic(&manager);
}

/// Netcat closes its sending side at the end of its input.
#[test]
fn a_peer_that_has_sent_all_is_answered_once_its_password_was_checked() {
    let manager = start();
    let mut peer = Peer::connect_from(&manager, IpAddr::V4(Ipv4Addr::LOCALHOST));
    peer.expect_request("username");
    peer.send_line(format!("new\n{PASSWORD}\nclient Ada\nidentity"));
    peer.end_of_input();
    peer.expect_request("password");
    peer.expect_request("identity");
    assert!(peer.frame()["result"]["hostname"].is_string());
    expect_no_panic(&manager);
}
