//! Decodes a fuzzer's bytes as acts of peers.

use std::borrow::Cow;
use std::time::Duration;

/// An act of one peer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Act<'a> {
    /// Sends these bytes.
    Say(Cow<'a, [u8]>),
    /// Reads up to this number of bytes.
    Read(usize),
    /// Does nothing for this time.
    Pause(Duration),
    /// Closes its sending side, and goes on reading.
    Shut,
    /// Closes the connection.
    Leave,
}

/// The unit for the length of a run: two bytes count up to a mebibyte.
const RUN_UNIT: usize = 16;

/// The unit for the length of a read.
const READ_UNIT: usize = 256;

/// The kinds of acts other than sending a few bytes, whose number is smaller.
mod kind {
    pub(super) const RUN: u8 = 58;
    pub(super) const READ: u8 = 59;
    pub(super) const PAUSE: u8 = 60;
    pub(super) const LONG: u8 = 61;
    pub(super) const SHUT: u8 = 62;
}

/// Takes the next act off the bytes, and the number of its peer. Both are in one byte, the peer in
/// its lowest two bits.
pub(super) fn next_act<'a>(bytes: &mut &'a [u8]) -> Option<(usize, Act<'a>)> {
    let head = take(bytes, 1).first().copied()?;
    let act = match head >> 2 {
        kind::RUN => {
            let byte = number(bytes, 1);
            let length = number(bytes, 2) * RUN_UNIT;
            Act::Say(vec![byte.to_le_bytes()[0]; length].into())
        }
        kind::READ => Act::Read((number(bytes, 1) + 1) * READ_UNIT),
        kind::PAUSE => Act::Pause(Duration::from_millis(1 << (number(bytes, 1) % 16))),
        kind::LONG => {
            let length = number(bytes, 2);
            Act::Say(take(bytes, length).into())
        }
        kind::SHUT => Act::Shut,
        length if length < kind::RUN => Act::Say(take(bytes, length.into()).into()),
        _ => Act::Leave,
    };
    Some((usize::from(head & 3), act))
}

/// Takes a number from the next bytes, of which there may be fewer.
fn number(bytes: &mut &[u8], length: usize) -> usize {
    let digits = take(bytes, length).iter();
    digits.fold(0, |number, digit| number << 8 | usize::from(*digit))
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(length.min(bytes.len()));
    *bytes = rest;
    taken
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Encodes sending these bytes.
    pub(in crate::fuzzing) fn say(peer: u8, bytes: &[u8]) -> Vec<u8> {
        let length = u16::try_from(bytes.len()).expect("it is short");
        [&[kind::LONG << 2 | peer], &length.to_be_bytes()[..], bytes].concat()
    }

    /// Encodes sending a byte again and again.
    pub(in crate::fuzzing) fn run(peer: u8, byte: u8, units: u16) -> Vec<u8> {
        [&[kind::RUN << 2 | peer, byte][..], &units.to_be_bytes()].concat()
    }

    /// Encodes a pause of this power of two, in milliseconds.
    pub(in crate::fuzzing) fn pause(peer: u8, exponent: u8) -> Vec<u8> {
        vec![kind::PAUSE << 2 | peer, exponent]
    }

    /// Encodes reading this number of units.
    pub(in crate::fuzzing) fn read(peer: u8, units: u8) -> Vec<u8> {
        vec![kind::READ << 2 | peer, units]
    }

    /// Encodes closing the connection.
    pub(in crate::fuzzing) fn leave(peer: u8) -> Vec<u8> {
        vec![(u8::MAX - 3) | peer]
    }

    #[test]
    fn bytes_are_acts_whatever_they_are_and_the_last_one_may_be_cut_off() {
        let bytes = [
            &[3 << 2 | 1][..],
            b"abc",
            &run(2, b'x', 2),
            &pause(3, 5),
            &[62 << 2],
            &leave(2),
            &say(0, b"ab")[..3],
        ];
        let bytes = bytes.concat();
        let mut rest = &bytes[..];
        let acts: Vec<_> = std::iter::from_fn(|| next_act(&mut rest)).collect();
        assert_eq!(
            acts,
            [
                (1, Act::Say(b"abc".into())),
                (2, Act::Say(vec![b'x'; 32].into())),
                (3, Act::Pause(Duration::from_millis(32))),
                (0, Act::Shut),
                (2, Act::Leave),
                (0, Act::Say(b"".into())),
            ]
        );
    }
}
