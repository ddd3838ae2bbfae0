//! Random texts for the check that payloads are decoded correctly.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::check_payload;

/// The text of any value, including Python's tokens.
fn value() -> impl Strategy<Value = String> {
    let plain = select(vec![
        "null",
        "true",
        "false",
        "NaN",
        "Infinity",
        "-Infinity",
        "0",
        "-0",
        "-0.0",
        "3.000",
        "3e0",
        "255.0",
        "1e400",
        "1e-400",
        "\"\"",
        "\"Off\"",
        "\"\\ud83d\\ude00\"",
        "\"\\ud800\"",
        "\"a\\n\\u00e9\\\"\"",
        "9007199254740993.0",
        "1e38",
        "-1e38",
    ]);
    let number = "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?";
    let leaf = prop_oneof![3 => plain.prop_map(str::to_owned), 2 => number];
    let name = select(vec![
        "inner",
        "list",
        "mode",
        "by_number",
        "by_name",
        "pair",
        "Value",
        "Pair",
        "Named",
        "low",
        "high",
        "1",
        "2.0",
        "x",
    ]);
    leaf.prop_recursive(6, 40, 5, move |inner| {
        let member = (name.clone(), inner.clone()).prop_map(|(name, value)| format!("{name:?}: {value}"));
        prop_oneof![
            vec(inner, 0..5).prop_map(|values| format!("[{}]", values.join(", "))),
            vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_payload_is_read_as_what_it_is(text in value()) {
        check_payload(&text);
    }

    #[test]
    fn any_payload_with_a_mistake_is_read_as_what_it_is(
        text in value(), at in any::<prop::sample::Index>(), length in 0..3_usize, other in "[\\[\\]{},:\" .eE0-9+\\\\nNI-]{0,3}",
    ) {
        let mut text: Vec<char> = text.chars().collect();
        let start = at.index(text.len() + 1);
        let end = (start + length).min(text.len());
        text.splice(start..end, other.chars());
        check_payload(&text.into_iter().collect::<String>());
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".*") {
        check_payload(&text);
    }

    #[test]
    fn a_payload_of_any_depth_is_read_or_refused(depth in 0..1_024_usize, open in select(vec!["[", "{\"inner\":", "{\"list\":["])) {
        let close = open.replace('[', "]").replace('{', "}").chars().filter(|byte| "]}".contains(*byte)).rev().collect::<String>();
        check_payload(&format!("{}NaN{}", open.repeat(depth), close.repeat(depth)));
    }
}
