//! What the fuzz target calls: a file of an instrument, the arguments of a call, and an answer.

use crate::Definition;
use crate::command::Command;
use crate::framing::{Arrived, Framing};
use crate::parameter::Rules;
use crate::session::bytes_of;

/// The longest answer that is looked for, in bytes.
const LONGEST: usize = 1_000;

/// Checks an input: the text of a file, the JSON texts of `args` and `kwargs`, and what an instrument answers, each
/// separated from the next by a NUL character.
///
/// # Panics
/// If the problems of the file do not name places in it; if a command would be sent that holds a line end or a control
/// character; or if an answer ends elsewhere when it comes in two pieces.
pub fn check_instrument(input: &[u8]) {
    let mut parts = input.splitn(4, |byte| *byte == 0);
    let [file, args, kwargs, answer] = [(); 4].map(|()| parts.next().unwrap_or_default());
    let [Ok(file), Ok(args), Ok(kwargs)] = [file, args, kwargs].map(std::str::from_utf8) else {
        return;
    };
    match Definition::parse(file) {
        Ok(mut instrument) => {
            let address = instrument.address();
            instrument.set_address(&address).expect("it was accepted before");
            for command in &instrument.commands {
                check_command(&instrument, command, args, kwargs, answer);
            }
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "it is refused without a reason");
            for problem in problems {
                // A problem of the whole file is at its end.
                let line = file.split('\n').nth(problem.line - 1).expect("the line exists");
                assert!(problem.column <= line.chars().count() + 1, "{problem}");
            }
        }
    }
}

fn check_command(instrument: &Definition, command: &Command, args: &str, kwargs: &str, answer: &[u8]) {
    let connection = &instrument.connection;
    let rules = Rules {
        encoding: connection.encoding,
        forbidden: &connection.forbidden,
    };
    let described = format!("{}{}", command.signature(), command.documentation());
    assert!(!described.is_empty());
    if let Ok(text) = command.text(args, kwargs, rules) {
        // An argument never becomes a second command.
        assert!(!text.contains(char::is_control), "{text:?}");
        assert!(
            connection.encoding.encode(&text).is_ok(),
            "{text:?} is refused before"
        );
        if let Ok(sent) = bytes_of(&text, connection) {
            let end = &connection.write_end;
            let ends = sent.windows(end.len()).filter(|part| part == end).count();
            assert_eq!(ends, 1, "{text:?}");
        }
    }
    let Some(form) = &command.answer else {
        return;
    };
    let end = &connection.read_end;
    let whole = form.framing().look(answer, 0, end, false, LONGEST);
    for first in [answer.len() / 2, answer.len().saturating_sub(1)] {
        check_pieces(form.framing(), answer, first, end, &whole);
    }
    if let Arrived::Whole { answer: length, .. } | Arrived::AllButTheEnd(length) = whole {
        // Either a value or a text for people.
        let _ = form.parse(&answer[..length], connection.encoding);
    }
}

/// Compares an answer that comes at once with one of which the first bytes come before.
fn check_pieces(framing: Framing, answer: &[u8], first: usize, end: &[u8], whole: &Arrived) {
    let begun = framing.look(&answer[..first], 0, end, false, LONGEST);
    let then = match begun {
        Arrived::Partly | Arrived::AllButTheEnd(_) => framing.look(answer, first, end, false, LONGEST),
        decided => decided,
    };
    assert!(then == *whole, "{then:?}, at once {whole:?}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILES: [&str; 5] = [
        include_str!("../../examples/instruments/counter.toml"),
        include_str!("../../examples/instruments/multimeter.toml"),
        include_str!("../../examples/instruments/oscilloscope.toml"),
        include_str!("../../examples/instruments/power_supply.toml"),
        include_str!("../../examples/instruments/thermometer.toml"),
    ];

    /// Where a printable character ends a command, an argument may contain it, and is not sent.
    #[test]
    fn an_argument_with_the_end_of_a_command_is_no_second_command() {
        let file = "name = \"M\"\n[connection]\ntcp = \"h:1\"\nwrite_end = \"#\"\n[commands.label]\nwrite = \"LABEL {text}\"\n\
                    arguments.text = { type = \"text\" }\n";
        assert!(Definition::parse(file).is_ok());
        check_instrument(format!("{file}\0[\"a#OUTP:ON\"]\0{{}}\0").as_bytes());
    }

    proptest! {
        #[test]
        fn damaged_files_are_read_or_refused_with_places(
            file in prop::sample::select(&FILES[..]),
            edits in prop::collection::vec((any::<prop::sample::Index>(), 0..40_usize, "[ -~\n\u{e4}]{0,6}"), 0..4),
            args in "\\[(\"[ -~\n;]{0,5}\"|[0-9.]{1,4})?\\]",
            answer in "#?[0-9,.E+\n \u{e4}-]{0,40}\n?",
        ) {
            let mut characters: Vec<char> = file.chars().collect();
            for (at, removed, inserted) in edits {
                let at = at.index(characters.len() + 1);
                let to = (at + removed).min(characters.len());
                characters.splice(at..to, inserted.chars());
            }
            let file: String = characters.into_iter().collect();
            check_instrument(format!("{file}\0{args}\0{{}}\0{answer}").as_bytes());
        }
    }
}
