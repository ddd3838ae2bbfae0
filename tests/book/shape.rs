//! Whether an output is the one that a page shows, as far as it is the same each time.

/// Stands for anything: a line of its own for any number of lines, or a part of a line.
const ANYTHING: char = '…';

/// Returns whether `printed` has the shape of `shown`: the same but for numbers, units of time and the widths of gaps.
pub(super) fn is_shape(shown: &[String], printed: &[String]) -> bool {
    match (shown.split_first(), printed.split_first()) {
        (None, first) => first.is_none(),
        (Some((line, shown_rest)), first) if line.trim() == ANYTHING.to_string() => {
            is_shape(shown_rest, printed) || first.is_some_and(|(_, rest)| is_shape(shown, rest))
        }
        (Some((line, shown_rest)), Some((printed_line, rest))) => {
            is_line(&steady(line), &steady(printed_line)) && is_shape(shown_rest, rest)
        }
        (Some(_), None) => false,
    }
}

/// Like [`is_shape`], for the beginning of the output.
pub(super) fn begins_with_shape(shown: &[String], printed: &[String]) -> bool {
    (0..=printed.len()).any(|count| is_shape(shown, &printed[..count]))
}

const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// Returns the line with `0` for each number, version, date and time, one word for each day of the week, `s` for each
/// unit of time, and one space for each gap.
fn steady(line: &str) -> String {
    let mut text = String::new();
    let mut in_number = false;
    let mut letters = line.trim_end().chars().peekable();
    while let Some(letter) = letters.next() {
        let digit_follows = letters.peek().is_some_and(char::is_ascii_digit);
        if letter.is_ascii_digit() {
            if !in_number {
                text.push('0');
            }
            in_number = true;
        } else if !(in_number && letter == '.' && digit_follows) {
            in_number = false;
            if !letter.is_whitespace() {
                text.push(letter);
            } else if !text.ends_with(' ') {
                text.push(' ');
            }
        }
    }
    for day in DAYS {
        text = text.replace(day, "day");
    }
    // How long something takes is not always in the same unit.
    text.push(' ');
    for unit in ["ms", "µs", "min", "h"] {
        for end in [' ', ',', ')', ';'] {
            text = text.replace(&format!("0 {unit}{end}"), &format!("0 s{end}"));
        }
    }
    text.replace("0 s 0 s", "0 s")
}

fn is_line(shown: &str, printed: &str) -> bool {
    match shown.split_once(ANYTHING) {
        None => shown == printed,
        Some((before, after)) => {
            let Some(rest) = printed.strip_prefix(before) else {
                return false;
            };
            let ends = rest.char_indices().map(|(start, _)| start).chain([rest.len()]);
            ends.into_iter().any(|start| is_line(after, &rest[start..]))
        }
    }
}

#[test]
fn numbers_and_gaps_may_differ_and_words_may_not() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let fits = |shown: &str, printed: &str| is_shape(&lines(shown), &lines(printed));
    assert!(fits(
        "Echo  lab-pc:41922  Python 3.11.7",
        "Echo  lab-pc:812    Python 3.9"
    ));
    assert!(fits("up 8 s, 0.704 ms.", "up 12 s, 1 ms."));
    assert!(fits("Sunday 2026-11-29", "Monday 2027-01-04"));
    assert!(fits("up 8 s, 0.704 ms  12 s", "up 1 min 12 s, 1.2 s  1 s"));
    assert!(fits("after 0.4 ms", "after 2 s"));
    assert!(fits("a …\n…\nlast", "a b c\nd\ne\nlast"));
    assert!(fits("sum … (SHA-256)", "sum AB:12 (SHA-256)"));
    assert!(!fits("Echo", "Oven"));
    assert!(!fits("one", "one\ntwo"));
    assert!(!fits("one\n…\nthree", "one\ntwo"));
    assert!(begins_with_shape(&lines("one"), &lines("one\ntwo")));
    assert!(!begins_with_shape(&lines("two"), &lines("one\ntwo")));
}
