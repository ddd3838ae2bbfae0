//! Completion of words, services, attributes and names of arguments at the cursor.

use std::collections::BTreeMap;
use std::ops::Range;

use labwire_client::{ServiceIdentity, Value};
use labwire_wire::MANAGER_NAME;

use super::known::Known;
use super::of_connection::is_of_connection;
use super::signature::{Parameter, missing};
use super::split::{Word, split, split_key, typed_name};
use super::vocabulary::WORDS;
use crate::counted::counted;
use crate::output::one_line;
use crate::shortened::shortened;

/// The most columns of a hint beside a completion.
const LONGEST_HINT: usize = 60;

/// A proposal for the text at the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Completion {
    /// The text, as it is typed.
    pub(crate) text: String,
    /// What it is, for people.
    pub(crate) hint: Option<String>,
    /// The part of the line that it replaces, in bytes.
    pub(crate) replaces: Range<usize>,
    /// Whether a blank follows it.
    pub(crate) is_whole: bool,
}

/// Returns the completions at a position of a line, in alphabetical order within each kind.
pub(crate) fn completions(line: &str, position: usize, known: &Known) -> Vec<Completion> {
    let Some(before) = line.get(..position) else {
        return Vec::new();
    };
    let mut words = split(before);
    // Behind a blank a new word begins.
    let current = match words.last() {
        Some(word) if word.range.end == position => words.pop(),
        _ => None,
    };
    let (typed, replaces) = match &current {
        Some(word) => (word.typed, word.range.clone()),
        None => ("", position..position),
    };
    let mut found = Found {
        typed,
        replaces,
        completions: Vec::new(),
    };
    match words.split_first() {
        None => first_words(&mut found, known),
        Some((first, rest)) => following_words(&mut found, first, rest, known),
    }
    found.completions
}

/// The completions that were found for a word.
struct Found<'a> {
    /// The typed part of the word.
    typed: &'a str,
    replaces: Range<usize>,
    completions: Vec<Completion>,
}

impl Found<'_> {
    /// Adds a name if it begins with the typed text, regardless of case. It is quoted if it must
    /// be, or if the typed text begins with a quote.
    fn name(&mut self, name: &str, hint: Option<String>) {
        let typed = self.typed.trim_start_matches(['"', '\'']);
        if !begins_with(name, typed) {
            return;
        }
        let is_quoted = typed.len() < self.typed.len();
        let text = if is_quoted {
            labwire_wire::frames::json_string(name)
        } else {
            typed_name(name)
        };
        self.add(text, hint, true);
    }

    /// Adds a text that needs no quotes if it begins with the typed text.
    fn word(&mut self, word: &str, hint: Option<String>, is_whole: bool) {
        if begins_with(word, self.typed) {
            self.add(word.to_owned(), hint, is_whole);
        }
    }

    fn add(&mut self, text: String, hint: Option<String>, is_whole: bool) {
        self.completions.push(Completion {
            text,
            hint: hint.map(|hint| short(&hint)),
            replaces: self.replaces.clone(),
            is_whole,
        });
    }
}

fn begins_with(name: &str, typed: &str) -> bool {
    let mut characters = name.chars().flat_map(char::to_lowercase);
    typed
        .chars()
        .flat_map(char::to_lowercase)
        .all(|character| characters.next() == Some(character))
}

fn short(hint: &str) -> String {
    shortened(&one_line(hint), LONGEST_HINT)
}

/// Adds what may begin a line: attributes of the selected service, services and words.
fn first_words(found: &mut Found<'_>, known: &Known) {
    if let Some(attributes) = known.selected_attributes() {
        let selected = known.selected.as_deref().unwrap_or_default();
        add_attributes_of(found, selected, attributes);
    }
    add_services(found, known.services().iter());
    for word in &WORDS {
        // The other spellings are known, not proposed.
        if word.is_listed() {
            found.word(word.name, Some(word.meaning.to_owned()), true);
        }
    }
}

/// Adds what may follow the words of a line.
fn following_words(found: &mut Found<'_>, first: &Word<'_>, rest: &[Word<'_>], known: &Known) {
    let name = first.name();
    let lower = name.to_ascii_lowercase();
    if !first.is_quoted() && WORDS.iter().any(|word| word.name == lower) {
        return after_word(found, &lower, rest, known);
    }
    if known.is_selected_attribute(&name) {
        let service = known.selected.as_deref().unwrap_or_default();
        return add_keywords(found, known.parameters(service, &name), rest);
    }
    match rest.split_first() {
        None => {
            if let Some(attributes) = known.attributes(&name) {
                add_attributes_of(found, &name, attributes);
            }
        }
        Some((attribute, values)) => {
            add_keywords(found, known.parameters(&name, &attribute.name()), values);
        }
    }
}

/// Adds what may follow a word of the shell.
fn after_word(found: &mut Found<'_>, word: &str, rest: &[Word<'_>], known: &Known) {
    match (word, rest) {
        ("help" | "?", []) => help_topics(found, known),
        ("help" | "?", [service]) => {
            if let Some(attributes) = known.attributes(&service.name()) {
                add_attributes(found, attributes.iter());
            }
        }
        ("services" | "describe" | "use" | "link" | "lock", []) => {
            add_services(found, known.services().iter());
        }
        ("unlink" | "unlock", []) => {
            let linked = known.services().iter();
            add_services(found, linked.filter(|(name, _)| known.linked.contains(name)));
        }
        ("lock", [_, ..]) => {
            for (term, what) in [
                ("ttl=", "it ends if it cannot be renewed for this time: 30, 10m"),
                ("wait=", "how long to wait for it: 30, 10m"),
                ("reason=", "why you hold it, for others"),
            ] {
                found.word(term, Some(what.to_owned()), false);
            }
            found.word(
                "shared",
                Some("together with all linked clients".to_owned()),
                true,
            );
            found.word("exclusive", Some("nobody else may be linked".to_owned()), true);
        }
        ("notifications", []) => {
            found.word("on", None, true);
            found.word("off", None, true);
        }
        ("timeout", []) => found.word("off", Some("no timeout".to_owned()), true),
        _ => {}
    }
}

/// Adds the topics of help: words, services and, behind a dot, attributes.
fn help_topics(found: &mut Found<'_>, known: &Known) {
    if let Some((service, _)) = found.typed.split_once('.')
        && let Some(attributes) = known.attributes(service)
    {
        for (name, value) in attributes {
            found.word(&format!("{service}.{name}"), Some(value.to_string()), true);
        }
        return;
    }
    first_words(found, known);
}

fn add_services<'a>(
    found: &mut Found<'_>,
    services: impl Iterator<Item = (&'a String, &'a ServiceIdentity)>,
) {
    for (name, service) in services {
        let attributes = counted(service.attributes.len(), "attribute");
        let hint = format!("service, {}, {attributes}", service.language);
        found.name(name, Some(hint));
    }
    // The manager can be called like a service. It is proposed only after its first letter, since
    // few need it.
    if found.typed.starts_with('M') {
        found.name(MANAGER_NAME, Some("the manager's own requests".to_owned()));
    }
}

/// Adds the attributes of a service that can be requested.
fn add_attributes_of(found: &mut Found<'_>, service: &str, attributes: &BTreeMap<String, Value>) {
    let requested = |(name, _): &(&String, &Value)| !is_of_connection(service, name);
    add_attributes(found, attributes.iter().filter(requested));
}

fn add_attributes<'a>(found: &mut Found<'_>, attributes: impl Iterator<Item = (&'a String, &'a Value)>) {
    for (name, value) in attributes {
        let hint = match value.as_signature() {
            Some(signature) => signature.to_owned(),
            None => format!("= {value}"),
        };
        found.name(name, Some(hint));
    }
}

/// Adds the names of keyword arguments that are not given yet, by name or by position.
fn add_keywords(found: &mut Found<'_>, parameters: Vec<Parameter>, values: &[Word<'_>]) {
    if let Some((key, typed)) = split_key(found.typed) {
        let parameter = parameters.iter().find(|parameter| parameter.name == key);
        if parameter.and_then(|parameter| parameter.kind.as_deref()) == Some("bool") {
            let start = found.replaces.end - typed.len();
            found.replaces.start = start;
            found.typed = typed;
            found.word("true", None, true);
            found.word("false", None, true);
        }
        return;
    }
    let given: Vec<_> = values.iter().map(|value| value.typed).collect();
    for parameter in missing(parameters, &given) {
        let hint = parameter.hint();
        found.word(&format!("{}=", parameter.name), hint, false);
    }
}

#[cfg(test)]
mod tests {
    use super::super::known::tests::network;
    use super::*;

    /// Returns the completions at the end of a line, as the lines that they make.
    fn lines(line: &str, known: &Known) -> Vec<String> {
        completions(line, line.len(), known)
            .into_iter()
            .map(|found| format!("{}{}", &line[..found.replaces.start], found.text))
            .collect()
    }

    #[test]
    fn services_attributes_and_names_of_arguments_are_completed() {
        let known = network();
        for (line, expected) in [
            ("E", &["Echo", "exit"][..]),
            ("ech", &["Echo"]),
            ("Basi", &["\"Basic Math\""]),
            ("\"basi", &["\"Basic Math\""]),
            ("Echo ", &["Echo echo"]),
            ("\"Basic Math\" a", &["\"Basic Math\" add"]),
            (
                "\"Basic Math\" add ",
                &["\"Basic Math\" add x=", "\"Basic Math\" add y="],
            ),
            ("\"Basic Math\" add 1 ", &["\"Basic Math\" add 1 y="]),
            ("\"Basic Math\" add y=1 ", &["\"Basic Math\" add y=1 x="]),
            (
                "DMM read ",
                &["DMM read channel=", "DMM read unit=", "DMM read filtered="],
            ),
            ("DMM read [1, 2] f", &["DMM read [1, 2] filtered="]),
            ("DMM read filtered=t", &["DMM read filtered=true"]),
            ("DMM read channel=", &[]),
            ("Nobody ", &[]),
            ("Manager ", &["Manager identity"]),
        ] {
            assert_eq!(lines(line, &known), expected, "{line}");
        }
        let hint = |line: &str| completions(line, line.len(), &known)[0].hint.clone().unwrap();
        assert_eq!(hint("ech"), "service, Python 3.11, 1 attribute");
        assert_eq!(hint("DMM res"), "() -> None");
        assert_eq!(hint("DMM read u"), "str = 'V'");
    }

    #[test]
    fn words_are_completed_with_what_may_follow_them() {
        let mut known = network();
        known.linked = vec!["DMM".to_owned()];
        for (line, expected) in [
            ("not", &["notifications"][..]),
            ("notifications o", &["notifications on", "notifications off"]),
            ("unl", &["unlink", "unlock"]),
            ("unlink ", &["unlink DMM"]),
            ("lock ", &["lock \"Basic Math\"", "lock DMM", "lock Echo"]),
            ("lock DMM s", &["lock DMM shared"]),
            ("help DMM.re", &["help DMM.read", "help DMM.reset"]),
            ("help DMM re", &["help DMM read", "help DMM reset"]),
            ("help serv", &["help services"]),
            ("timeout ", &["timeout off"]),
            ("status ", &[]),
        ] {
            assert_eq!(lines(line, &known), expected, "{line}");
        }
        assert!(
            !lines("", &known)
                .iter()
                .any(|word| word.contains("__") || word == "client" || word == "quit")
        );
    }

    #[test]
    fn the_selected_service_is_completed_without_its_name() {
        let mut known = network();
        known.selected = Some("DMM".to_owned());
        assert_eq!(lines("re", &known), ["read", "reset"]);
        assert_eq!(lines("read 1 ", &known), ["read 1 unit=", "read 1 filtered="]);
        assert_eq!(lines("Echo e", &known), ["Echo echo"]);
    }

    #[test]
    fn what_follows_the_cursor_stays() {
        let known = network();
        let found = completions("Ec echo", 2, &known);
        assert_eq!(
            (found[0].text.as_str(), found[0].replaces.clone()),
            ("Echo", 0..2)
        );
        assert!(completions("é", 1, &known).is_empty());
    }
}
