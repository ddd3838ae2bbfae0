//! The pages of messages: each text of an error in the sources is on one of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use super::generated::expect_page;
use super::page::{Page, repository};
use super::sources;

const INTRODUCTION: &str = "\
# All messages

<!-- The tests write this page: UPDATE_EXPECT=1 cargo test --locked -p labwire --test blackbox book:: -->

This page lists the texts of errors in the sources of Labwire, with what they mean. `…` stands for names, numbers
and other parts that vary. [Troubleshooting by message](troubleshooting.md) has those that people meet most, with
more about the remedy. Errors of the operating system, and those that a service itself returns, are not listed.
";

/// Headings of the page, with the crates whose texts are below each.
const GROUPS: [(&str, &str, &[&str]); 5] = [
    (
        "What a manager answers",
        "Peers get these texts as `message` of an error.",
        &["manager"],
    ),
    (
        "What programs with the SDKs report",
        "Errors of the crates `labwire-client` and `labwire-service`, which commands print, too.",
        &["client-sdk", "device", "service-sdk", "tcp"],
    ),
    (
        "What commands print",
        "",
        &["console", "home", "instrument", "labwire", "pki", "record"],
    ),
    ("Databases, users and roles", "", &["access", "store"]),
    ("What is wrong with a line", "Parts of other messages.", &["wire"]),
];

/// What begins a text of an error.
const BEGINNINGS: [&str; 13] = [
    "#[error(",
    "bail!(",
    "anyhow!(",
    "UsageError(format!(",
    "UsageError(",
    "Failure::Failed(",
    "Failure::NoManager(",
    "Failure::Refused(",
    "Failure::Service(",
    "Failure::TimedOut(",
    "Failure::Usage(",
    "Failed(format!(",
    "Usage(format!(",
];

/// A string literal at the beginning of `code`, perhaps within `format!`.
fn literal(code: &str) -> Option<String> {
    let code = code.trim_start();
    let code = code.strip_prefix("format!(").unwrap_or(code).trim_start();
    let mut text = String::new();
    let mut letters = code.strip_prefix('"')?.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => return Some(text),
            '\\' => match letters.next()? {
                '\n' => while letters.next_if(|letter| letter.is_whitespace()).is_some() {},
                'n' => text.push(' '),
                other => text.push(other),
            },
            other => text.push(other),
        }
    }
    None
}

/// Returns the text with `…` for what varies.
fn pattern(text: &str) -> String {
    let mut pattern = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '{' | '}' if letters.next_if_eq(&letter).is_some() => pattern.push(letter),
            '{' => {
                while letters.next().is_some_and(|letter| letter != '}') {}
                if !pattern.ends_with('…') {
                    pattern.push('…');
                }
            }
            other => pattern.push(other),
        }
    }
    pattern
}

/// Returns the first paragraph of the documentation that ends at the end of `code`, without links.
fn documentation(code: &str) -> String {
    let lines = code.lines().rev().map(str::trim);
    let lines = lines.take_while(|line| line.starts_with("///"));
    let mut lines: Vec<&str> = lines.map(|line| line.trim_start_matches("///").trim()).collect();
    lines.reverse();
    let paragraph: Vec<&str> = lines.into_iter().take_while(|line| !line.is_empty()).collect();
    let mut text = String::new();
    let mut rest = paragraph.join(" ");
    while let Some((before, after)) = rest.split_once("](") {
        text.push_str(before);
        text.push(']');
        rest = after
            .split_once(')')
            .map_or(String::new(), |(_, after)| after.to_owned());
    }
    text.push_str(&rest);
    text.replace("[`", "`").replace("`]", "`")
}

/// Returns the texts of a source with their documentation.
fn texts(source: &str) -> Vec<(String, String)> {
    // Tests in a file follow its code.
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = Vec::new();
    for beginning in BEGINNINGS {
        for (position, _) in source.match_indices(beginning) {
            let line = source[..position].rsplit('\n').next().unwrap_or_default();
            if line.trim_start().starts_with("//") {
                // An example in the documentation.
                continue;
            }
            let meaning = documentation(source[..position].trim_end());
            if let Some(text) = literal(&source[position + beginning.len()..]) {
                found.push((pattern(&text), meaning));
            }
        }
    }
    found
}

/// Returns whether a text has the parts of a heading, in their order.
fn has_parts(text: &str, heading: &str) -> bool {
    let mut rest = text;
    heading.split('…').filter(|part| !part.is_empty()).all(|part| {
        let found = rest.split_once(part).map(|(_, after)| rest = after);
        found.is_some()
    })
}

/// Returns the headings that are messages, with their anchors.
fn headings(page: &Page) -> Vec<(String, String)> {
    let headings = page.headings.iter().zip(page.anchors());
    let messages = headings.filter(|(heading, _)| heading.starts_with('`'));
    messages
        .map(|(heading, anchor)| (heading.trim_matches('`').to_owned(), anchor))
        .collect()
}

#[test]
fn the_page_of_messages_has_every_text_of_an_error() {
    let mut by_crate: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for path in sources::all() {
        let relative = path.strip_prefix(repository("")).unwrap();
        let name = relative.iter().next().expect("it is in a crate");
        let of_crate = by_crate.entry(name.to_str().unwrap().to_owned()).or_default();
        for (text, meaning) in texts(&fs::read_to_string(&path).unwrap()) {
            // What only passes on another text is found where that is made.
            if text.split('…').any(|part| part.chars().any(char::is_alphabetic)) {
                let known = of_crate.entry(text).or_default();
                if known.is_empty() {
                    *known = meaning;
                }
            }
        }
    }
    let troubleshooting = headings(&Page::read(&repository("docs/src/troubleshooting.md")));
    let mut page = INTRODUCTION.to_owned();
    for (heading, introduction, crates) in GROUPS {
        writeln!(page, "\n## {heading}\n").unwrap();
        if !introduction.is_empty() {
            writeln!(page, "{introduction}\n").unwrap();
        }
        let mut all = BTreeMap::new();
        for name in crates {
            all.extend(by_crate.remove(*name).unwrap_or_default());
        }
        for (text, meaning) in all {
            // A code span with a back-tick has blanks at its ends.
            if text.contains('`') {
                write!(page, "- `` {text} ``").unwrap();
            } else {
                write!(page, "- `{text}`").unwrap();
            }
            let remedy = troubleshooting
                .iter()
                .find(|(heading, _)| has_parts(&text, heading));
            if let Some((_, anchor)) = remedy {
                write!(page, " ([remedy](troubleshooting.md#{anchor}))").unwrap();
            }
            if !meaning.is_empty() {
                write!(page, "\\\n  {meaning}").unwrap();
            }
            page.push('\n');
        }
    }
    assert!(by_crate.is_empty(), "GROUPS lacks {:?}", by_crate.keys());
    expect_page("messages.md", &page);
}

#[test]
fn every_message_of_troubleshooting_is_in_the_source_that_it_names() {
    let path = repository("docs/src/troubleshooting.md");
    let text = fs::read_to_string(&path).unwrap();
    let mut heading = None;
    let mut checked = 0;
    for line in text.lines() {
        if let Some(message) = line.strip_prefix("### `") {
            assert_eq!(heading, None, "it has no source");
            heading = Some(message.trim_end_matches('`'));
        }
        let source = line.strip_prefix("<!-- source: ");
        if let Some(source) = source.and_then(|rest| rest.strip_suffix(" -->")) {
            let message = heading.take().expect("a heading is above it");
            let source = fs::read_to_string(repository(source)).unwrap();
            // As one line, without what continues a string.
            let parts: Vec<String> = source
                .split("\\\n")
                .map(|part| part.trim_start().to_owned())
                .collect();
            let source = parts.concat();
            let missing = message.split('…').find(|part| !source.contains(*part));
            assert_eq!(missing, None, "{message}");
            checked += 1;
        }
    }
    assert!(checked > 50, "{checked} messages were found only");
}
