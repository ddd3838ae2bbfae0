//! Properties of every line: it is refused or becomes well-formed JSON, printed JSON is parsed to
//! itself, and the work is linear in the line's length.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

use super::tests::{args, kwargs, request};
use super::*;
use crate::fuzzing::{LOOKS_PER_BYTE, check_terminal};

/// Repeated units of slow lines, separated by bars: each once made a parser of words or literals
/// start over.
const SLOW_UNITS: &str = concat!(
    r#"w|w |=|x = |x=|_ |9|0x|1_|1_0|nan |é|'|\|x"y" |a"b|"x" |"\x\u12\U1" |) |"#,
    r#"[ |( [1, |[1, |[1, 2 |[1, 2]x |[[1, 2], 3 |[[[[1, 2]x |{'a': 1, |{1: [ (|"#,
    r#"[' |[" [' |["a [", |['a", [|1,|1, |(1),|[1],[2] |[ 1],"#,
);

/// Lines that could be slow, each about `size` bytes long.
fn slow_lines(size: usize) -> Vec<String> {
    let request = |start: &str, unit: &str| format!("S a {start}{}", unit.repeat(size / unit.len()));
    let mut lines: Vec<String> = SLOW_UNITS.split('|').map(|unit| request("", unit)).collect();
    for (start, unit) in [("x", " "), ("[", "[1, 2], "), ("[", "(1), ")] {
        lines.push(request(start, unit) + "y");
    }
    lines.push(request(&"[1, ".repeat(60), "2, "));
    lines.push(request(&"[ ".repeat(60), "2, [1], "));
    lines.push("w".repeat(size));
    lines.push(format!("S {}", "w".repeat(size)));
    lines.push(format!("\"{}", "\\\"".repeat(size / 2)));
    let keys: Vec<String> = (0..size / 10).map(|key| format!("k{key}=1")).collect();
    lines.push(request(&keys.join(" "), " "));
    lines
}

fn looks(line: &str) -> usize {
    looks::take();
    let _ = parse(line);
    looks::take()
}

#[test]
fn the_work_grows_with_the_length_of_the_line_and_no_faster() {
    for line in [slow_lines(40_000), slow_lines(4_000_000)].concat() {
        let start: String = line.chars().take(20).collect();
        let looks = looks(&line);
        assert!(
            looks <= LOOKS_PER_BYTE * line.len(),
            "{start}: {looks} looks at {} bytes",
            line.len()
        );
    }
}

/// Pieces of lines with a meaning in the grammar.
fn typed_line() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => proptest::sample::select(vec![
            " ", " ", " ", ",", ",", ", ", ":", ": ", "=", " = ", "[", "]", "(", ")", "{", "}", "\"", "'", "\\", "\\\"",
            "\\u00e9", "\\ud83d", "\\ude00", "\\x4", "\\U0001F600", "1", "-0", "0x1f", "_", ".5", "1e400", "NaN",
            "-Infinity", "true", "None", "x", "k=", "é", "\u{a0}", "\0", "\u{1c}", "link ", "client ", "identity",
            "lock ", "unlink ", " shared", "help",
        ])
        .prop_map(str::to_owned),
        1 => "\\PC{0,3}",
        1 => any::<char>().prop_map(String::from),
    ];
    (proptest::bool::weighted(0.8), vec(piece, 0..40))
        .prop_map(|(request, pieces)| format!("{}{}", if request { "S a " } else { "" }, pieces.concat()))
}

fn json_value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("JSON has finite numbers only", |number| number.is_finite())
            .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    scalar.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((any::<String>(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_is_refused_or_becomes_json(line in any::<String>()) {
        check_terminal(&line);
    }

    #[test]
    fn any_line_of_meaningful_pieces_is_refused_or_becomes_json(line in typed_line()) {
        check_terminal(&line);
    }
}

proptest! {
    #[test]
    fn values_printed_as_json_come_back_byte_for_byte(values in vec(json_value(), 0..6)) {
        let words: Vec<String> = values.iter().map(Value::to_string).collect();
        prop_assert_eq!(args(&words.join(" ")), format!("[{}]", words.join(",")));
        let members: Vec<String> = words.iter().enumerate().map(|(key, word)| format!("k{key}={word}")).collect();
        let expected: Vec<String> = words.iter().enumerate().map(|(key, word)| format!("\"k{key}\":{word}")).collect();
        prop_assert_eq!(kwargs(&members.join(" ")), format!("{{{}}}", expected.join(",")));
    }

    #[test]
    fn white_space_within_brackets_does_not_matter(value in json_value()) {
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(args(&pretty), format!("[{value}]"));
    }

    #[test]
    fn a_name_in_quotes_comes_back_as_it_was(name in "[^\\\\\"]{1,20}") {
        let (service, attribute, ..) = request(&format!("\"{name}\" \"{name}\""));
        prop_assert_eq!(&service, &name);
        prop_assert_eq!(&attribute, &name);
    }
}
