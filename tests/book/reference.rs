//! The reference pages: the help of each command, and the environment variables.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use super::generated::expect_page;
use super::page::{Page, repository};
use super::sources;

const INTRODUCTION: &str = "\
# Commands

<!-- The tests write this page: UPDATE_EXPECT=1 cargo test --locked -p labwire --test blackbox book:: -->

This is what `labwire COMMAND --help` prints, for each command. `labwire manual --man FOLDER` writes man pages.
The defaults of the options `--budget-…` of `labwire start` follow from the memory of the computer, and are left
out here.
";

fn printed(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_labwire"))
        .args(arguments)
        .env_clear()
        .env("HOME", "/home/ada")
        .output()
        .unwrap();
    assert!(output.status.success(), "labwire {}", arguments.join(" "));
    String::from_utf8(output.stdout).unwrap()
}

/// Leaves out the defaults that are others on another computer.
fn without_memory(help: &str) -> String {
    let mut is_budget = false;
    let mut text = String::new();
    for line in help.lines() {
        if line.trim_start().starts_with("--") {
            is_budget = line.contains("--budget-");
        }
        let shown = match line.split_once("[default: ") {
            Some((before, _)) if is_budget => format!("{before}[default: …]"),
            _ => line.to_owned(),
        };
        writeln!(text, "{}", shown.trim_end()).expect("a string can be written to");
    }
    text
}

#[test]
fn the_page_of_commands_is_the_help_of_each() {
    let manual = printed(&["manual", "--markdown"]);
    let names = manual.lines().filter_map(|line| line.strip_prefix("* [`labwire"));
    let mut page = INTRODUCTION.to_owned();
    for name in names
        .filter_map(|line| line.split_once('`'))
        .map(|(name, _)| name)
    {
        let mut arguments: Vec<&str> = name.split_whitespace().collect();
        arguments.push("--help");
        let help = without_memory(&printed(&arguments));
        write!(page, "\n## `labwire{name}`\n\n```text\n{help}```\n").expect("a string can be written to");
    }
    expect_page("commands.md", &page);
}

/// Variables in the sources that nobody sets for Labwire, with the reason.
const NOT_DOCUMENTED: [(&str, &str); 7] = [
    ("LABWIRE_COMPLETE", "the script of `labwire completions` sets it"),
    ("LABWIRE_EXAMPLE", "an example in a test"),
    (
        "LABWIRE_DISABLETLS",
        "a mistake that a test makes, to be told the right name",
    ),
    (
        "LABWIRE_MANGER",
        "a mistake that a test makes, to be told the right name",
    ),
    (
        "LABWIRE_PROT",
        "a mistake that a test makes, to be told the right name",
    ),
    ("LABWIRE_RACK", "an example in a test"),
    ("LABWIRE_SIMULATION", "for the tests of the manager"),
];

#[test]
fn every_environment_variable_is_on_its_page_and_no_other() {
    let is_part = |letter: char| letter.is_ascii_uppercase() || letter == '_';
    let names = |text: &str| {
        let words = text.split(|letter: char| !is_part(letter));
        let words = words.filter(|word| word.starts_with("LABWIRE_") || word.starts_with("MSL_NETWORK_"));
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    let mut used = BTreeSet::new();
    for path in sources::all() {
        let text = fs::read_to_string(&path).unwrap();
        // A variable is named as a string of its own.
        let strings = text.split('"');
        let strings = strings.filter(|text| text.chars().all(is_part));
        // The beginning alone is that of a name which is looked for.
        used.extend(strings.flat_map(names).filter(|name| !name.ends_with('_')));
    }
    used.retain(|name| !NOT_DOCUMENTED.iter().any(|(other, _)| name.starts_with(other)));
    let page = Page::read(&repository("docs/src/environment.md"));
    let shown: BTreeSet<String> = page.prose.iter().flat_map(|line| names(line)).collect();
    let missing: Vec<_> = used.difference(&shown).collect();
    let unknown: Vec<_> = shown.difference(&used).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "missing: {missing:?}; unknown: {unknown:?}"
    );
}
