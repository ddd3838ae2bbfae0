//! Properties of any malformed line: the names beside the malformed part are found.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::check_salvage;
use super::salvage::LOOKS_PER_BYTE;
use crate::terminal::looks;
use crate::{Salvage, Uid};

/// Values that no program can parse, and some that it can, with other names inside them.
fn broken_value() -> impl Strategy<Value = String> {
    let piece = select(vec![
        "nan",
        "-inf",
        "INF",
        "1.#IND",
        "1,5",
        "None",
        "True",
        "'text'",
        "0x1F",
        "1e",
        "..",
        "<b>",
        "\\",
        "\u{1}",
        "{\"uid\":\"2\"}",
        "[{\"requester\":\"d[h:3]\",\"uid\":3}]",
        "\"\\x\"",
        "\"a\\\"uid\\\":\\\"2\\\"\"",
        "{\"a\":nan}",
        "[1,]",
        "[1",
        "{\"x\":[1",
        "",
        "-",
    ]);
    vec(piece, 1..4).prop_map(|pieces| pieces.join(" "))
}

fn white_space() -> impl Strategy<Value = &'static str> {
    select(vec!["", "", " ", "\t", "  "])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn the_names_beside_a_broken_value_are_found_in_any_order(
        requester in "[a-zA-Z \\[\\]:é\"]{1,12}",
        (is_number, uid) in (any::<bool>(), 0..1_000_u32),
        broken in broken_value(),
        order in Just([0, 1, 2]).prop_shuffle(),
        space in white_space(),
    ) {
        let requester_json = serde_json::json!(requester).to_string();
        let uid = if is_number { uid.to_string() } else { format!("\"{uid}\"") };
        let members = [
            format!("\"requester\"{space}:{space}{requester_json}"),
            format!("\"uid\"{space}:{space}{uid}"),
            format!("\"result\":{broken}"),
        ];
        let line = format!("{{{}}}", order.map(|member| members[member].clone()).join(","));
        check_salvage(line.as_bytes());
        let salvage = Salvage::of(line.as_bytes());
        // Unclosed brackets hide only what lies between two of them.
        let is_hidden = order[1] == 2 && broken.matches(['[', '{']).count() != broken.matches([']', '}']).count();
        prop_assert_eq!(salvage.frames().len(), 1, "{}", line);
        let names = &salvage.frames()[0];
        let uid = Uid::from_json(uid.as_bytes());
        prop_assert!(is_hidden || names.requester.as_ref() == Some(&requester), "{line}");
        prop_assert!(is_hidden || names.uid == uid, "{line}");
    }

    #[test]
    fn any_text_of_telling_pieces_is_searched_in_linear_time(
        pieces in vec(select(vec![
            "{", "}", "[", "]", "\"", "\"", ":", ",", "\\", " ", "1", "-", "uid", "\"uid\":", "\"uid\" ", "\"requester\":",
            "\"requester\":\"c\"", "\"uid\":\"1\"", "\"\\u0075id\":2", "\"attribute\":", "null", "x", "é",
        ]), 0..60),
        cut in any::<Index>(),
    ) {
        let line = pieces.concat();
        check_salvage(line.as_bytes());
        check_salvage(&line.as_bytes()[..cut.index(line.len() + 1)]);
    }

    #[test]
    fn any_bytes_are_searched(bytes in vec(any::<u8>(), 0..200)) {
        check_salvage(&bytes);
    }
}

/// Inputs that could cause backtracking, repeated a million times.
#[test]
fn the_worst_lines_take_linear_time() {
    for piece in [
        "{",
        "[",
        "}",
        "]",
        "\"",
        "\\",
        "\\\"",
        "\"uid\"",
        "\"uid\":",
        "\"uid\":1",
        "\"uid\":\"",
        "\"uid\" ",
        "\"uid\":  ",
        "\"requester\":\"",
        "\"requester\":\"x",
        "\"\\u0075",
        "{\"uid\":\"1\"}",
        "{\"uid\":1}\"",
        " ",
        "1",
        "x",
    ] {
        for end in ["", "}", "\"}", "\"uid\":}"] {
            let line = piece.repeat(300_000 / piece.len()) + end;
            looks::take();
            Salvage::of(line.as_bytes());
            let looks = looks::take();
            assert!(
                looks <= LOOKS_PER_BYTE * line.len(),
                "{piece}…{end}: {looks} looks at {} bytes",
                line.len()
            );
        }
    }
}
