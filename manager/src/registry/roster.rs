//! Lists of peers in the order of their names, as prepared JSON text.
//!
//! The text is kept in pieces, which answers share. Adding or removing a peer copies one piece,
//! however long the list is.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::outbox::FrameWriter;

/// The longest text of several entries in one piece, in bytes. Copying it takes a microsecond.
/// Pieces that are much shorter are copied into an answer; longer ones are shared.
const PIECE_BYTES: usize = 16 * 1024;

/// The size in bytes from which an entry has a piece of its own, so that it is never copied.
const OWN_PIECE_BYTES: usize = PIECE_BYTES / 2;

/// A shorter piece is merged with a neighbour, if both fit into one.
const SHORT_BYTES: usize = PIECE_BYTES / 4;

/// Peers in the order of their names, each with its JSON text.
#[derive(Debug, Default)]
pub(super) struct Roster {
    /// No piece is empty.
    pieces: Vec<Piece>,
}

/// Consecutive entries.
#[derive(Debug, Default)]
struct Piece {
    /// The name of each entry, and the length of its text.
    entries: Vec<(Arc<str>, u32)>,
    /// The texts of the entries, each after a comma.
    text: Bytes,
}

impl Piece {
    fn new(name: Arc<str>, text: Bytes) -> Self {
        Self {
            entries: vec![(name, length(&text))],
            text,
        }
    }

    /// Returns whether it is one entry that is never merged with others.
    fn is_own(&self) -> bool {
        self.entries.len() == 1 && self.text.len() >= OWN_PIECE_BYTES
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.entries.binary_search_by(|(entry, _)| (**entry).cmp(name))
    }

    /// Returns where the text of an entry begins.
    fn start(&self, position: usize) -> usize {
        let lengths = self.entries[..position].iter().map(|(_, length)| length);
        lengths.map(|length| *length as usize).sum()
    }

    fn insert(&mut self, position: usize, name: Arc<str>, text: &[u8]) {
        let start = self.start(position);
        self.text = [&self.text[..start], text, &self.text[start..]].concat().into();
        self.entries.insert(position, (name, length(text)));
    }

    fn remove(&mut self, position: usize) {
        let start = self.start(position);
        let (_, length) = self.entries.remove(position);
        self.text = [&self.text[..start], &self.text[start + length as usize..]]
            .concat()
            .into();
    }

    /// Splits off the entries from `position` on.
    fn split_off(&mut self, position: usize) -> Self {
        let start = self.start(position);
        // Copied, so that neither half keeps the memory of both.
        let text = Bytes::copy_from_slice(&self.text[start..]);
        self.text = Bytes::copy_from_slice(&self.text[..start]);
        Self {
            entries: self.entries.split_off(position),
            text,
        }
    }

    /// Returns the position of the entry at which the second half of the text begins.
    fn middle(&self) -> usize {
        let mut left = self.text.len() / 2;
        let is_before = |(_, length): &&(Arc<str>, u32)| {
            let is_before = left >= *length as usize;
            left = left.saturating_sub(*length as usize);
            is_before
        };
        let before = self.entries.iter().take_while(is_before).count();
        before.clamp(1, self.entries.len() - 1)
    }

    fn append(&mut self, mut other: Self) {
        self.entries.append(&mut other.entries);
        let mut text = BytesMut::with_capacity(self.text.len() + other.text.len());
        text.extend_from_slice(&self.text);
        text.extend_from_slice(&other.text);
        self.text = text.freeze();
    }
}

/// Texts come from lines, which are far below 4 GiB unless `--identity-line` allows more.
fn length(text: &[u8]) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

impl Roster {
    /// Adds a peer with its text, which begins with a comma. The name must be new.
    pub(super) fn insert(&mut self, name: Arc<str>, text: Bytes) {
        // The pieces before this index begin with a smaller name.
        let next = self.pieces.partition_point(|piece| piece.entries[0].0 < name);
        let before = next.checked_sub(1);
        if text.len() >= OWN_PIECE_BYTES {
            if let Some(before) = before {
                let piece = &mut self.pieces[before];
                let position = piece.position(&name).unwrap_or_else(|position| position);
                if position < piece.entries.len() {
                    let behind = piece.split_off(position);
                    self.pieces.insert(next, behind);
                }
            }
            self.pieces.insert(next, Piece::new(name, text));
            return;
        }
        let candidates = [before, Some(next)].into_iter().flatten();
        let has_room = |index: &usize| self.pieces.get(*index).is_some_and(|piece| !piece.is_own());
        let Some(index) = candidates.into_iter().find(has_room) else {
            self.pieces.insert(next, Piece::new(name, text));
            return;
        };
        let piece = &mut self.pieces[index];
        let position = piece.position(&name).unwrap_or_else(|position| position);
        piece.insert(position, name, &text);
        if piece.text.len() > PIECE_BYTES {
            let behind = piece.split_off(piece.middle());
            self.pieces.insert(index + 1, behind);
        }
    }

    /// Removes a peer. Does nothing if it is not in the list.
    pub(super) fn remove(&mut self, name: &str) {
        let next = self.pieces.partition_point(|piece| *piece.entries[0].0 <= *name);
        let Some(index) = next.checked_sub(1) else {
            return;
        };
        let piece = &mut self.pieces[index];
        let Ok(position) = piece.position(name) else {
            return;
        };
        if piece.entries.len() == 1 {
            self.pieces.remove(index);
            return;
        }
        piece.remove(position);
        if piece.text.len() < SHORT_BYTES {
            self.join_with_neighbour(index);
        }
    }

    /// Merges a short piece with the one before or after it, if there is room.
    fn join_with_neighbour(&mut self, index: usize) {
        let short = self.pieces[index].text.len();
        let fits = |neighbour: Option<usize>| {
            let piece = self.pieces.get(neighbour?)?;
            // Leaves some room, so that the next peer does not split it again.
            (!piece.is_own() && piece.text.len() + short <= PIECE_BYTES - SHORT_BYTES).then_some(())
        };
        let first = if fits(index.checked_sub(1)).is_some() {
            index - 1
        } else if fits(Some(index + 1)).is_some() {
            index
        } else {
            return;
        };
        let behind = self.pieces.remove(first + 1);
        self.pieces[first].append(behind);
    }

    /// Returns the names in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.pieces
            .iter()
            .flat_map(|piece| piece.entries.iter().map(|(name, _)| name))
    }

    /// Returns the names after this one, in order.
    pub(super) fn names_after(&self, name: &str) -> impl Iterator<Item = &Arc<str>> {
        let next = self.pieces.partition_point(|piece| *piece.entries[0].0 <= *name);
        let pieces = &self.pieces[next.saturating_sub(1)..];
        let names = pieces
            .iter()
            .flat_map(|piece| piece.entries.iter().map(|(name, _)| name));
        names.skip_while(move |entry| ***entry <= *name)
    }

    /// Writes the texts of the peers for whose names `is_in` returns `true`, with commas between
    /// them. Long texts are shared.
    pub(super) fn write_some(&self, frame: &mut FrameWriter<'_>, is_in: impl Fn(&str) -> bool) {
        let mut is_first = true;
        for piece in &self.pieces {
            let mut start = 0;
            for (name, length) in &piece.entries {
                let end = start + *length as usize;
                if is_in(name) {
                    // The first one is written without its comma.
                    frame.shared(&piece.text.slice(start + usize::from(is_first)..end));
                    is_first = false;
                }
                start = end;
            }
        }
    }

    /// Writes the texts with commas between them. Long pieces are shared.
    pub(super) fn write(&self, frame: &mut FrameWriter<'_>) {
        for (index, piece) in self.pieces.iter().enumerate() {
            if index == 0 {
                frame.shared(&piece.text.slice(1..));
            } else {
                frame.shared(&piece.text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::outbox::text_of;

    fn text(roster: &Roster) -> String {
        text_of(|frame| roster.write(frame))
    }

    /// Asserts that the roster holds `entries`, and that no piece is empty or too long.
    fn expect(roster: &Roster, entries: &BTreeMap<String, String>) {
        let expected: Vec<_> = entries.values().map(|text| &text[1..]).collect();
        assert_eq!(text(roster), expected.join(","));
        assert!(roster.names().map(|name| &**name).eq(entries.keys()));
        for name in entries.keys().map(String::as_str).chain(["", "~"]) {
            let after = entries.keys().filter(|entry| entry.as_str() > name);
            assert!(roster.names_after(name).map(|name| &**name).eq(after));
        }
        for piece in &roster.pieces {
            assert!(!piece.entries.is_empty());
            assert!(piece.text.len() <= PIECE_BYTES || piece.is_own());
            let lengths = piece.entries.iter().map(|(_, length)| *length as usize);
            assert_eq!(lengths.sum::<usize>(), piece.text.len());
        }
    }

    #[test]
    fn a_roster_is_in_the_order_of_the_names_whoever_comes_and_goes() {
        let mut roster = Roster::default();
        let mut entries = BTreeMap::new();
        // Pseudo-random names, which recur.
        let mut number = 1_u64;
        for round in 0..6_000 {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let name = format!("peer {}", (number >> 33) % 700);
            let size = match number >> 60 {
                0 => 3 * PIECE_BYTES,
                1 => OWN_PIECE_BYTES - 1,
                2 => SHORT_BYTES,
                _ => 100,
            };
            if entries.remove(&name).is_some() {
                roster.remove(&name);
            } else {
                let text = format!(",{name:?}:{}", "x".repeat(size));
                roster.insert(name.as_str().into(), text.clone().into());
                entries.insert(name, text);
            }
            if round % 100 == 0 {
                expect(&roster, &entries);
            }
        }
        expect(&roster, &entries);
        roster.remove("nobody");
        for name in entries.keys() {
            roster.remove(name);
        }
        expect(&roster, &BTreeMap::new());
    }

    #[test]
    fn a_list_that_has_shrunk_has_few_pieces() {
        let mut roster = Roster::default();
        let name = |number| format!("{number:05}");
        for number in 0..10_000 {
            let text = format!(",{}", "x".repeat(200));
            roster.insert(name(number).as_str().into(), text.into());
        }
        assert!(roster.pieces.len() > 100);
        for number in (0..10_000).filter(|number| number % 100 > 0) {
            roster.remove(&name(number));
        }
        assert!(roster.pieces.len() <= 10, "{}", roster.pieces.len());
    }

    #[test]
    fn a_long_entry_is_shared_by_all_who_are_told() {
        let mut roster = Roster::default();
        for name in ["a", "c"] {
            roster.insert(name.into(), format!(",\"{name}\"").into());
        }
        let long = Bytes::from(format!(",{}", "b".repeat(100_000)));
        roster.insert("b".into(), long.clone());
        assert_eq!(roster.pieces.len(), 3);
        assert_eq!(roster.pieces[1].text.as_ptr(), long.as_ptr());
        assert_eq!(text(&roster).len(), 3 + 1 + 100_000 + 1 + 3);
    }
}
