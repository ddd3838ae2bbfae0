//! Runs the checks on random bytes for a short time, as a fuzzer does for a long one.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::acts::tests::{leave, pause, read, run, say};
use super::connections::{Conversation, administer, converse};
use super::{check_handshake, check_schedule};
use crate::pace::Pace;

/// Pieces of lines that have a meaning for a manager.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known = select(vec![
        "\n",
        "\r\n",
        "\n",
        "client a",
        "client",
        "link S",
        "link T",
        "S a 1",
        "T a",
        "identity",
        "exit",
        "abc 123",
        "{",
        "}",
        ",",
        "\"result\":",
        "\"type\":\"client\",",
        "\"name\":\"n\"",
        "\"error\":false",
        "\"requester\":\"a[h:5]\"",
        "\"uid\":\"\"",
        "\"uid\":\"notification\"",
        "\"uid\":5",
        "nan",
        "{\"service\":\"S\",\"attribute\":\"a\",\"kwargs\":null,\"uid\":5}\n",
        "{\"result\":nan,\"uid\":5}\n",
        "{\"error\":true,\"message\":\"E\",\"requester\":null,\"result\":null,\"traceback\":[],\"uid\":\"\"}\n",
        "{\"service\":\"S\",\"attribute\":\"a\",\"uid\":\"\"}\n",
        "{\"service\":\"Manager\",\"attribute\":\"acquire_lock\",\"args\":[\"S\",true],\"uid\":\"1\"}\n",
        "{\"result\":[[],{}],\"service\":\"S\",\"uid\":\"notification\",\"error\":false}\n",
        "{\"service\":\"Manager\",\"attribute\":\"stats\",\"uid\":\"2\"}\n",
    ]);
    prop_oneof![
        9 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..4),
    ]
}

/// Acts of peers, now and then a long line or a long pause.
fn conversation() -> impl Strategy<Value = Vec<u8>> {
    let act = prop_oneof![
        50 => (0..4_u8, piece()).prop_map(|(peer, piece)| say(peer, &piece)),
        2 => (0..4_u8, 0..5_000_u16).prop_map(|(peer, units)| run(peer, b'x', units)),
        2 => (0..4_u8, 0..40_000_u16).prop_map(|(peer, units)| run(peer, b'[', units)),
        3 => (0..4_u8, 0..16_u8).prop_map(|(peer, exponent)| pause(peer, exponent)),
        3 => (0..4_u8, any::<u8>()).prop_map(|(peer, units)| read(peer, units)),
        1 => (0..4_u8).prop_map(leave),
    ];
    vec(act, 0..60).prop_map(|acts| acts.concat())
}

/// Pieces of requests and replies that are cut through, and what comes between them.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let known = select(vec![
        (
            1,
            "{\"service\":\"Manager\",\"attribute\":\"link\",\"args\":[\"T\"],\"uid\":\"0\"}\n",
        ),
        (
            1,
            "{\"service\":\"T\",\"attribute\":\"a\",\"uid\":\"1\",\"args\":[\"0123456789",
        ),
        (1, "{\"service\":\"T\",\"attribute\":\"a\",\"uid\":\"1\"}\n"),
        (
            3,
            "{\"error\":false,\"requester\":\"b[h:6]\",\"uid\":\"1\",\"result\":[\"0123456789",
        ),
        (
            3,
            "{\"error\":false,\"requester\":\"b[h:6]\",\"uid\":\"1\",\"result\":1}\n",
        ),
        (1, "0123456789\\u00e9"),
        (3, "0123456789\",[1.5,{\"a\":null}],\""),
        (1, "\"]}\n"),
        (3, "\"]}\n"),
        (1, "\"],\"kwargs\":{\"k\":1}}\n"),
        (1, "\"]"),
        (3, "\x01"),
        (
            3,
            "{\"result\":[[1],{}],\"service\":\"T\",\"uid\":\"notification\",\"error\":false}\n",
        ),
        (0, "T a 1\n"),
    ]);
    let act = prop_oneof![
        40 => known.prop_map(|(peer, text)| say(peer, text.as_bytes())),
        8 => (0..4_u8, 0..13_u8).prop_map(|(peer, exponent)| pause(peer, exponent)),
        2 => (0..4_u8, any::<u8>()).prop_map(|(peer, units)| read(peer, units)),
        1 => (0..4_u8).prop_map(leave),
    ];
    vec(act, 0..40).prop_map(|acts| acts.concat())
}

/// The requests of an administrator, and of others who try to be one.
fn administration() -> impl Strategy<Value = Vec<u8>> {
    let known = select(vec![
        "Manager users_table.users\n",
        "Manager users_table.is_admin n.bohr\n",
        "Manager users_table.delete n.bohr\n",
        "Manager users_table.update n.bohr is_admin=true\n",
        "Manager hostnames_table.insert lab-pc\n",
        "Manager hostnames_table.hostnames\n",
        "Manager connections_table.connections start=2026-01-01\n",
        "Manager service_locks\n",
        "Manager stats\n",
        "Manager set_logging_level DEBUG\n",
        "Manager shutdown_manager\n",
        "Manager port 1 2\n",
        "identity\n",
        "m.curie\n",
        "n.bohr\n",
        "{\"result\":\"m.curie\"}\n",
        "\n",
    ]);
    let act = prop_oneof![
        6 => (0..2_u8, known).prop_map(|(peer, text)| say(peer, text.as_bytes())),
        1 => (0..4_u8, piece()).prop_map(|(peer, piece)| say(peer, &piece)),
    ];
    vec(act, 0..30).prop_map(|acts| acts.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_a_schedule_that_the_model_predicts(data in vec(any::<u8>(), 0..4_000)) {
        check_schedule(&data);
    }

    #[test]
    fn any_conversation_ends_and_leaves_nothing(data in conversation()) {
        converse(&data, Pace::default());
    }

    #[test]
    fn any_conversation_with_lines_in_pieces_ends_and_leaves_nothing(data in pieces()) {
        converse(&data, Pace::in_bytes());
    }

    #[test]
    fn any_conversation_with_an_administrator_ends_and_leaves_nothing(data in administration()) {
        administer(&data);
    }

    #[test]
    fn any_handshake_is_answered_in_frames(head in any::<u8>(), said in vec(piece(), 0..12)) {
        check_handshake(&[&[head], &said.concat()[..]].concat());
    }
}

type Check = fn(&[u8]);

fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/seeds")
        .join(target);
    let files = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let read = |file: fs::DirEntry| {
        let name = file.file_name().into_string().unwrap();
        (name, fs::read(file.path()).unwrap())
    };
    files.map(read).collect()
}

#[test]
fn the_seeds_of_the_fuzz_targets_pass() {
    let targets: [(&str, Check); 2] = [("handshake", check_handshake), ("schedule", check_schedule)];
    for (target, check) in targets {
        let seeds = seeds(target);
        assert!(!seeds.is_empty(), "{target} has no seeds");
        for (_, seed) in seeds {
            check(&seed);
        }
    }
}

/// The manager's counters after each seed of a conversation. A seed that no longer has these
/// effects (because a name has changed, say) is useless.
const HAPPENS: [(&str, &[(&str, u64)]); 13] = [
    (
        "call_and_reply",
        &[("requests", 1), ("replies", 1), ("unsolicited", 1)],
    ),
    ("deep", &[("requests", 0), ("nested_too_deep", 1)]),
    ("half_closed", &[("requests", 1), ("replies", 1)]),
    ("limit", &[("requests", 0), ("refused", 1), ("malformed", 1)]),
    (
        "lock_and_notify",
        &[("refused", 1), ("notifications", 1), ("deliveries", 1)],
    ),
    (
        "long_reply",
        &[
            ("requests", 1),
            ("replies", 1),
            ("cut_through", 1),
            ("broken_off", 0),
        ],
    ),
    (
        "long_reply_of_who_leaves",
        &[("abandoned", 1), ("cut_through", 1), ("broken_off", 1)],
    ),
    (
        "long_request",
        &[
            ("requests", 1),
            ("replies", 1),
            ("cut_through", 1),
            ("broken_off", 0),
        ],
    ),
    (
        "long_request_broken",
        &[("malformed", 1), ("cut_through", 1), ("broken_off", 1)],
    ),
    (
        "long_request_stalled",
        &[("requests", 1), ("cut_through", 1), ("broken_off", 1)],
    ),
    ("many_digits", &[("requests", 0), ("refused", 1)]),
    ("stuck_reader", &[("held_back", 1), ("cut", 1)]),
    ("too_long_for_a_terminal", &[("lines_too_long", 1)]),
];

#[test]
fn in_the_seeds_of_administrators_happens_what_they_are_called_after() {
    let held = seeds("administrator")
        .into_iter()
        .map(|(name, seed)| (name, administer(&seed)));
    let mut held: HashMap<_, _> = held.collect();
    let mut held = |name| {
        held.remove(name)
            .unwrap_or_else(|| panic!("there is no seed {name}"))
    };
    let tables = held("tables");
    let [administrator, ..] = tables.heard;
    assert_eq!(
        administrator.matches(r#""error":true"#).count(),
        0,
        "{administrator}"
    );
    assert_eq!(
        administrator.matches(r#""result":"#).count(),
        14,
        "{administrator}"
    );

    let [_, client, ..] = held("login").heard;
    assert!(client.contains(r#""result":1875,"uid":"1""#), "{client}");
    // The services may have left by then.
    let links = r#"{"error":false,"requester":"b[h:6]","result":{"#;
    assert!(client.contains(links), "{client}");

    let wrong = held("wrong_login");
    assert_eq!(wrong.counters["failed_logins"], 1);
    assert!(!wrong.heard[1].contains(r#""result":1875"#), "{}", wrong.heard[1]);

    let [_, client, ..] = held("shutdown").heard;
    assert!(client.contains("shutting down"), "{client}");
}

/// The same for lines that are cut through from some dozens of bytes on.
const HAPPENS_IN_PIECES: [(&str, &[(&str, u64)]); 6] = [
    ("reply", &[("replies", 1), ("cut_through", 1), ("broken_off", 0)]),
    (
        "reply_broken",
        &[("malformed", 1), ("cut_through", 1), ("broken_off", 1)],
    ),
    (
        "request",
        &[("replies", 1), ("cut_through", 1), ("broken_off", 0)],
    ),
    ("request_of_who_leaves", &[("cut_through", 1), ("broken_off", 1)]),
    ("request_stalled", &[("cut_through", 1), ("broken_off", 1)]),
    (
        "request_to_who_leaves",
        &[("abandoned", 1), ("cut_through", 1), ("broken_off", 1)],
    ),
];

#[test]
fn in_the_seeds_of_conversations_happens_what_they_are_called_after() {
    happens("connections", &HAPPENS, |seed| converse(seed, Pace::default()));
    happens("cut_through", &HAPPENS_IN_PIECES, |seed| {
        converse(seed, Pace::in_bytes())
    });
}

fn happens(target: &str, all: &[(&str, &[(&str, u64)])], converse: impl Fn(&[u8]) -> Conversation) {
    let mut left: HashMap<_, _> = all.iter().copied().collect();
    for (name, seed) in seeds(target) {
        let counters = converse(&seed).counters;
        let happens = left.remove(&*name);
        let happens = happens.unwrap_or_else(|| panic!("it is not said what happens in the seed {name}"));
        for &(counter, expected) in happens {
            assert_eq!(counters[counter], expected, "{counter} in {name}: {counters:?}");
        }
    }
    assert!(left.is_empty(), "these seeds are not there: {left:?}");
}
