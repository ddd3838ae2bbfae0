//! The answers that may still come.

use std::collections::VecDeque;

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The identification query.
    Identification,
    /// A query whose answer may look like an identification.
    LooksLikeIt,
    /// A query whose answer cannot.
    Other,
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
    pub(super) fn answer(&mut self, identifies: bool) {
        let answered = self.0.iter().position(|asked| match asked {
            Asked::Identification => identifies,
            Asked::LooksLikeIt => true,
            Asked::Other => !identifies,
        });
        if let Some(answered) = answered {
            self.0.drain(..=answered);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether all of it are identification queries: each of their answers can be told from a value.
    pub(super) fn is_only_identifications(&self) -> bool {
        self.0.iter().all(|asked| *asked == Asked::Identification)
    }

    /// Forgets all but the identification queries: each of their answers can be told if it comes all the same.
    pub(super) fn keep_identifications(&mut self) {
        self.0.retain(|asked| *asked == Asked::Identification);
    }

    /// Forgets all of it: nothing comes any more.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::Asked::{Identification, LooksLikeIt, Other};
    use super::*;

    #[test]
    fn an_answer_ends_what_was_asked_before_and_nothing_that_may_still_be_answered() {
        for (asked, answers, left) in [
            (&[Other, Identification][..], &[true][..], &[][..]),
            (&[Other, Identification], &[false], &[Identification]),
            (&[Other, Identification], &[false, true], &[]),
            // The first of two identifications came, or the answer of the first was lost: the second may still come.
            (&[Identification, Identification], &[true], &[Identification]),
            (&[Identification, Identification], &[true, true], &[]),
            (&[LooksLikeIt, Identification], &[true], &[Identification]),
            (&[LooksLikeIt, Identification], &[false], &[Identification]),
            (
                &[Other, Identification, Other, Identification],
                &[false],
                &[Identification, Other, Identification],
            ),
            (
                &[Other, Identification, Other, Identification],
                &[true],
                &[Other, Identification],
            ),
            // Nothing had asked for it.
            (&[Identification], &[false], &[Identification]),
            (&[], &[true, false], &[]),
        ] {
            let mut outstanding = Outstanding::default();
            for one in asked {
                outstanding.ask(*one);
            }
            for identifies in answers {
                outstanding.answer(*identifies);
            }
            assert_eq!(outstanding.0, left, "{asked:?} {answers:?}");
        }
    }
}
