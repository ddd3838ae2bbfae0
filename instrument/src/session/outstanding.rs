//! The answers that may still come.

use std::collections::VecDeque;

use crate::answer::Answer;
use crate::encoding::Encoding;

/// What was asked.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    /// The identification query.
    Identification,
    /// A command with an answer of this form, if it has one.
    Command(Option<Answer>),
}

impl Asked {
    /// Whether a line may be its answer. `identifies` is whether it looks like an identification.
    fn may_be_answered(&self, line: &str, identifies: bool, encoding: Encoding) -> bool {
        match self {
            Self::Identification => identifies,
            // An error of the instrument, or an answer that the file describes wrongly, has another form.
            Self::Command(_) if !identifies => true,
            Self::Command(None) => false,
            Self::Command(Some(answer)) => answer.parse(line.as_bytes(), encoding).is_ok(),
        }
    }
}

/// The queries whose time was over before they were answered, in their order. Their answers may still come, or were
/// lost.
///
/// An instrument answers one query after the other. With an answer, it is therefore known that none comes any more to
/// what was asked before. Where it cannot be told which query is answered, the oldest one is assumed, so that no answer
/// that may still come is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Outstanding(VecDeque<Asked>);

/// More than this are not remembered: an instrument that was off for hours has received as many.
const MOST: usize = 100;

impl Outstanding {
    pub(super) fn ask(&mut self, asked: Asked) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(asked);
    }

    /// Notes an answer. `identifies` is whether it looks like an identification.
    pub(super) fn answer(&mut self, line: &str, identifies: bool, encoding: Encoding) {
        let mut all = self.0.iter();
        let answered = all.position(|asked| asked.may_be_answered(line, identifies, encoding));
        if let Some(answered) = answered {
            self.0.drain(..=answered);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether all of it are identification queries: each of their answers can be told from a value.
    pub(super) fn is_only_identifications(&self) -> bool {
        self.0.iter().all(|asked| matches!(asked, Asked::Identification))
    }

    /// Forgets all of it: nothing comes any more.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{Form, Item};

    #[test]
    fn an_answer_ends_what_was_asked_before_and_nothing_that_may_still_be_answered() {
        // I asks for the identification, T for a text, N for a number, and W for nothing.
        let asked = |letter: char| match letter {
            'I' => Asked::Identification,
            'T' => Asked::Command(Some(Answer::text())),
            'N' => Asked::Command(Some(Answer {
                form: Form::One(Item::Number),
                ..Answer::text()
            })),
            _ => Asked::Command(None),
        };
        for (before, lines, left) in [
            ("NI", &["ACME"][..], ""),
            ("NI", &["1"], "I"),
            ("NI", &["1", "ACME"], ""),
            // The first of two identifications came, or the answer of the first was lost: the second may still come.
            ("II", &["ACME"], "I"),
            ("II", &["ACME", "ACME"], ""),
            ("TI", &["ACME"], "I"),
            ("TI", &["ON"], "I"),
            ("WI", &["ACME"], ""),
            ("NINI", &["1"], "INI"),
            ("NINI", &["ACME"], "NI"),
            // A number that looks like an identification.
            ("NI", &["2000"], "I"),
            ("NI", &["2000", "ACME 2000"], ""),
            // Nothing had asked for it.
            ("I", &["1"], "I"),
            ("", &["ACME", "1"], ""),
        ] {
            let mut outstanding = Outstanding::default();
            for letter in before.chars() {
                outstanding.ask(asked(letter));
            }
            for line in lines {
                let identifies = line.contains("ACME") || line.contains("2000");
                outstanding.answer(line, identifies, Encoding::Ascii);
            }
            let expected: Vec<_> = left.chars().map(asked).collect();
            assert_eq!(
                format!("{:?}", outstanding.0),
                format!("{expected:?}"),
                "{before} {lines:?}"
            );
        }
    }
}
