//! The checks on random bytes, for a short time: what a fuzzer does for a long one.

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{check_connections, check_files, check_handshake, check_key_block, check_schedule};

/// Pieces of lines that mean something to a manager.
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

/// Pieces behind the bytes that say whose they are and how long.
fn conversation() -> impl Strategy<Value = Vec<u8>> {
    let said = (0..4_u8, piece()).prop_map(|(peer, piece)| {
        let chunks = piece.chunks(63).map(move |chunk| {
            let length = u8::try_from(chunk.len()).expect("a chunk is short");
            [&[length << 2 | peer], chunk].concat()
        });
        chunks.collect::<Vec<_>>().concat()
    });
    vec(said, 0..60).prop_map(|said| said.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_a_schedule_that_the_model_predicts(data in vec(any::<u8>(), 0..4_000)) {
        check_schedule(&data);
    }

    #[test]
    fn any_conversation_ends_and_leaves_nothing(data in conversation()) {
        check_connections(&data);
    }

    #[test]
    fn any_handshake_is_answered_in_frames(head in any::<u8>(), said in vec(piece(), 0..12)) {
        check_handshake(&[&[head], &said.concat()[..]].concat());
    }

    #[test]
    fn any_file_is_a_key_a_certificate_or_refused(data in vec(any::<u8>(), 0..400)) {
        check_files(&data);
        check_key_block(&data);
    }
}

type Check = fn(&[u8]);

#[test]
fn the_seeds_of_the_fuzz_targets_pass() {
    let targets = ["files", "key_block", "handshake", "connections", "schedule"];
    let checks: [Check; 5] = [
        check_files,
        check_key_block,
        check_handshake,
        check_connections,
        check_schedule,
    ];
    for (target, check) in targets.into_iter().zip(checks) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../fuzz/seeds")
            .join(target);
        let mut seeds = fs::read_dir(&folder).unwrap().peekable();
        assert!(seeds.peek().is_some(), "{target} has no seeds");
        for seed in seeds {
            check(&fs::read(seed.unwrap().path()).unwrap());
        }
    }
}
