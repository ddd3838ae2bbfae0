//! Patterns that take long to match, and what others notice of them.

use std::thread;

use serde_json::json;

use super::{ROLES, call, client, run, service, to_manager};
use crate::support::manager::{Home, Manager};
use crate::support::waiting::wait_until;
use crate::support::wire::{RawPeer, request};

/// The requests of the peer whose patterns are slow.
const REFUSED: usize = 4_000;

/// The calls of the other.
const CALLS: usize = 20;

/// Returns how many requests were refused for lack of a permission.
fn not_permitted(root: &mut RawPeer) -> u64 {
    let stats = root.request(&to_manager("stats", json!([]), json!({})));
    stats["result"]["not_permitted"].as_u64().unwrap()
}

#[test]
fn calls_of_others_are_answered_before_requests_that_are_slow_to_refuse() {
    let home = Home::with_users(&["ada", "eve"]);
    let slow: Vec<_> = (0..256)
        .map(|number| format!("call *a*a*a*a*a*a*a{number}"))
        .collect();
    let mut words = vec!["role", "add", "slow"];
    words.extend(slow.iter().map(String::as_str));
    home.prepare(&words);
    run(&home, "grant add slow --to eve");
    run(&home, "grant add operator --to ada --on DMM");
    let manager = Manager::start_in(home, &ROLES);
    let mut root = client(&manager, "root");
    let mut dmm = service(&manager, "root", "DMM");
    let mut ada = client(&manager, "ada");
    let mut eve = client(&manager, "eve");
    let line = request(&"a".repeat(250), &"a".repeat(250)).to_string() + "\n";
    let flood = thread::spawn(move || {
        for _ in 0..8 {
            eve.send_line(line.repeat(REFUSED / 8).trim_end());
        }
        for _ in 0..REFUSED {
            assert_eq!(eve.read_json()["error"], true);
        }
    });
    wait_until("nothing was refused", || not_permitted(&mut root) > 0);
    for _ in 0..CALLS {
        call(&mut ada, &mut dmm, "DMM", "read");
    }
    let refused = not_permitted(&mut root);
    assert!(refused < REFUSED as u64, "all {refused} were refused first");
    flood.join().unwrap();
    assert_eq!(not_permitted(&mut root), REFUSED as u64);
}
