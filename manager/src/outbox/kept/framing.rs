//! Where frames begin in the bytes for one peer, which pass in order.

use bytes::BytesMut;
use labwire_wire::buffers::{BEGINNING, Buffers, MAX_DESCRIPTION_BYTES};
use memchr::memchr;

/// The most bytes at the beginning of a line that announces buffers.
const MAX_ANNOUNCEMENT: usize = BEGINNING.len() + MAX_DESCRIPTION_BYTES;

/// The place in the current frame.
#[derive(Clone, Debug)]
pub(super) enum Framing {
    /// Of a peer that receives lines only: whether a line begins here.
    Lines { begins: bool },
    /// Of a peer with the feature `binary`.
    Frames(Place),
}

#[derive(Clone, Debug)]
pub(super) enum Place {
    /// In a line that may announce buffers. What has passed of its beginning; nothing where a frame
    /// begins.
    Line(BytesMut),
    /// In another line, or behind the last buffer: the frame ends with the next line end.
    Rest,
    /// That many bytes before the end of the last buffer.
    Buffers(usize),
}

impl Framing {
    pub(super) fn new(takes_buffers: bool) -> Self {
        if takes_buffers {
            Self::Frames(Place::Line(BytesMut::new()))
        } else {
            Self::Lines { begins: true }
        }
    }

    /// Returns whether a frame begins here.
    pub(super) fn begins(&self) -> bool {
        match self {
            Self::Lines { begins } => *begins,
            Self::Frames(Place::Line(beginning)) => beginning.is_empty(),
            Self::Frames(_) => false,
        }
    }

    /// Lets bytes pass.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        match self {
            Self::Lines { begins } => {
                if let Some(last) = bytes.last() {
                    *begins = *last == b'\n';
                }
            }
            Self::Frames(place) => {
                while !bytes.is_empty() {
                    let (passed, rest) = bytes.split_at(place.count_in(bytes));
                    place.pass(passed);
                    bytes = rest;
                }
            }
        }
    }

    /// Returns how many of the next bytes are certainly in the same frame.
    pub(super) fn count_in(&self, bytes: &[u8]) -> usize {
        match self {
            Self::Lines { .. } => through_line_end(bytes),
            Self::Frames(place) => place.count_in(bytes),
        }
    }

    /// Notes that the rest of the frame does not exist.
    pub(super) fn end_frame(&mut self) {
        match self {
            Self::Lines { begins } => *begins = true,
            Self::Frames(place) => *place = Place::Line(BytesMut::new()),
        }
    }
}

impl Place {
    fn count_in(&self, bytes: &[u8]) -> usize {
        match self {
            Self::Line(_) | Self::Rest => through_line_end(bytes),
            Self::Buffers(left) => (*left).min(bytes.len()),
        }
    }

    /// Lets bytes pass of which [`count_in`](Self::count_in) are all.
    fn pass(&mut self, bytes: &[u8]) {
        let ends = bytes.ends_with(b"\n");
        match self {
            Self::Line(beginning) => {
                let room = MAX_ANNOUNCEMENT - beginning.len();
                let compared = BEGINNING.len().min(beginning.len() + bytes.len());
                beginning.extend_from_slice(&bytes[..bytes.len().min(room)]);
                if beginning[..compared] != BEGINNING[..compared] {
                    *self = if ends {
                        Self::Line(BytesMut::new())
                    } else {
                        Self::Rest
                    };
                } else if ends {
                    // The manager sends no other lines that begin so.
                    let announced = Buffers::read(beginning).map_or(0, |buffers| buffers.bytes());
                    *self = Self::Buffers(announced).or_behind();
                }
            }
            Self::Rest if ends => *self = Self::Line(BytesMut::new()),
            Self::Rest => {}
            Self::Buffers(left) => *self = Self::Buffers(*left - bytes.len()).or_behind(),
        }
    }

    fn or_behind(self) -> Self {
        match self {
            Self::Buffers(0) => Self::Rest,
            place => place,
        }
    }
}

/// Returns the number of bytes up to the first line end, with it; all if there is none.
fn through_line_end(bytes: &[u8]) -> usize {
    memchr(b'\n', bytes).map_or(bytes.len(), |offset| offset + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The frames of a stream.
    const FRAMES: [&[u8]; 7] = [
        b"{\"result\":1}\r\n",
        b"\n",
        b"{\"buffers\":[{\"dtype\":\"|u1\",\"shape\":[4],\"bytes\":4}],\"result\":{\"$buffer\":0}}\r\n\n{\n}\n",
        b"{\"buffers\":[],\"result\":1}\r\n\n",
        b"{\"buffers\":[{\"dtype\":\"|u1\",\"shape\":[2],\"bytes\":2}],\"result\":1}\r\n\0\0\x18\r\n",
        b"{\"buffer\":2}\r\n",
        b"{\"result\":\x18\r\n",
    ];

    #[test]
    fn frames_begin_behind_buffers_whatever_bytes_they_have_and_however_they_pass() {
        let stream = FRAMES.concat();
        for size in 1..stream.len() {
            let mut framing = Framing::new(true);
            let (mut passed, mut begin, mut frames) = (0, 0, FRAMES.iter());
            for bytes in stream.chunks(size) {
                framing.pass(bytes);
                passed += bytes.len();
                while begin < passed {
                    begin += frames.next().unwrap().len();
                }
                assert_eq!(framing.begins(), begin == passed, "{size}: {passed}");
            }
            assert!(framing.begins());
        }
    }

    #[test]
    fn the_rest_of_a_frame_is_found_from_anywhere_in_it() {
        let stream = FRAMES.concat();
        let mut ends = vec![0];
        for frame in FRAMES {
            ends.push(ends.last().unwrap() + frame.len());
        }
        for start in 0..stream.len() {
            let mut framing = Framing::new(true);
            framing.pass(&stream[..start]);
            let mut at = start;
            while !framing.begins() {
                let count = framing.count_in(&stream[at..]);
                framing.pass(&stream[at..at + count]);
                at += count;
            }
            assert_eq!(Some(&at), ends.iter().find(|end| **end >= start), "{start}");
        }
    }

    #[test]
    fn a_peer_without_the_feature_receives_lines_only() {
        let mut framing = Framing::new(false);
        assert!(framing.begins());
        framing.pass(FRAMES[2]);
        assert!(framing.begins());
        framing.pass(b"{\"buffers\":[");
        assert!(!framing.begins());
        assert_eq!(framing.count_in(b"]}\nx"), 3);
        framing.end_frame();
        assert!(framing.begins());
    }
}
