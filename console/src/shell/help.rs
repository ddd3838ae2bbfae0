//! `help`: the words of the shell, and the documentation of services and attributes.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::grammar::Topic;
use super::known::Known;
use super::vocabulary::WORDS;
use crate::output::{FAINT, STRONG, one_line};

/// The subject of a help topic.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A word of the shell.
    Word(&'static str),
    Service(String),
    Attribute {
        service: String,
        attribute: String,
    },
    /// Nothing that is known.
    Unknown(String),
}

/// Returns the subject of a topic: a word of the shell, an attribute of the selected service, a
/// service, or `SERVICE.ATTRIBUTE`. A name of a service may contain dots.
pub(crate) fn subject(topic: &Topic, known: &Known) -> Subject {
    let name = match topic {
        Topic::Attribute(service, attribute) => {
            return Subject::Attribute {
                service: service.clone(),
                attribute: attribute.clone(),
            };
        }
        Topic::One(name) => name,
    };
    if known.is_service(name) {
        return Subject::Service(name.clone());
    }
    if let Some(selected) = known
        .selected
        .as_ref()
        .filter(|_| known.is_selected_attribute(name))
    {
        return Subject::Attribute {
            service: selected.clone(),
            attribute: name.clone(),
        };
    }
    if let Some(word) = WORDS.iter().find(|word| name.eq_ignore_ascii_case(word.name)) {
        return Subject::Word(word.name);
    }
    for (dot, _) in name.match_indices('.') {
        let (service, attribute) = (&name[..dot], &name[dot + 1..]);
        if known.is_service(service) {
            return Subject::Attribute {
                service: service.to_owned(),
                attribute: attribute.to_owned(),
            };
        }
    }
    Subject::Unknown(name.clone())
}

/// Returns the words that help lists, with their meanings.
pub(crate) fn words() -> BTreeMap<String, &'static str> {
    let listed = WORDS.iter().filter(|word| word.is_listed());
    listed.map(|word| (word.usage(), word.meaning)).collect()
}

/// Returns the meaning of a word.
pub(crate) fn of_word(name: &str) -> String {
    let word = WORDS.iter().find(|word| word.name == name);
    word.map(|word| {
        let usage = word.usage();
        format!("{STRONG}{usage}{STRONG:#}\n    {}", word.meaning)
    })
    .unwrap_or_default()
}

/// Returns the help for all words, in 80 columns.
pub(crate) fn overview() -> String {
    let mut text = format!("{STRONG}SERVICE ATTRIBUTE [VALUE ...] [KEY=VALUE ...]{STRONG:#}\n");
    text.push_str("    call a method of a service, or read a value\n");
    let _ = writeln!(text, "{STRONG}ATTRIBUTE [VALUE ...] [KEY=VALUE ...]{STRONG:#}");
    text.push_str("    the same for the selected service\n");
    let _ = writeln!(text, "{STRONG}Manager REQUEST [VALUE ...]{STRONG:#}");
    text.push_str("    an administrator's request to the manager itself\n\n");
    for word in WORDS.iter().filter(|word| word.is_listed()) {
        let usage = word.usage();
        let _ = writeln!(text, "{STRONG}{usage:<28}{STRONG:#}{}", word.meaning);
    }
    let _ = write!(
        text,
        "\n{FAINT}Values: 3, -1.5e-6, 0x1F; true, null; [1, 2], {{\"a\": 1}}; volt, \"two words\";\n\
         \"5\" as a text; @wave.json and @image.npy for the value in a file. A call that\n\
         ends with > FILE.npy or > FILE.json saves its result. A # begins a comment.\n\
         Tab completes. Ctrl-C stops a call or clears a line. Ctrl-R finds earlier lines.\n\
         A line that begins with a blank, or may hold a password, is not in the history.{FAINT:#}"
    );
    text
}

/// Returns the documentation of an attribute.
pub(crate) fn of_attribute(service: &str, attribute: &crate::describe::Attribute) -> String {
    let name = format!("{} {}", one_line(service), one_line(&attribute.name));
    let rest = match (&attribute.signature, &attribute.value) {
        (Some(signature), _) => one_line(signature),
        (None, Some(value)) => format!(" = {}", one_line(value)),
        (None, None) => String::new(),
    };
    let mut text = format!("{STRONG}{name}{STRONG:#}{rest}");
    let description = attribute.description.as_deref().unwrap_or_default();
    for line in crate::output::printable(description.trim()).lines() {
        let _ = write!(text, "\n{}", format!("    {line}").trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::known::tests::network;
    use super::*;

    #[test]
    fn a_topic_is_a_word_a_service_or_an_attribute() {
        let mut known = network();
        let attribute = |service: &str, attribute: &str| Subject::Attribute {
            service: service.to_owned(),
            attribute: attribute.to_owned(),
        };
        let one = |name: &str| Topic::One(name.to_owned());
        assert_eq!(subject(&one("lock"), &known), Subject::Word("lock"));
        assert_eq!(subject(&one("Echo"), &known), Subject::Service("Echo".to_owned()));
        assert_eq!(subject(&one("DMM.read"), &known), attribute("DMM", "read"));
        assert_eq!(
            subject(&one("Basic Math.add"), &known),
            attribute("Basic Math", "add")
        );
        assert_eq!(subject(&one("read"), &known), Subject::Unknown("read".to_owned()));
        known.selected = Some("DMM".to_owned());
        assert_eq!(subject(&one("read"), &known), attribute("DMM", "read"));
    }

    #[test]
    fn the_help_fits_in_80_columns() {
        let text = anstream::adapter::strip_str(&overview()).to_string();
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
