//! Payloads: JSON values of a given size, each with the mark of its request.

use anyhow::bail;

/// Number of digits of a mark.
pub(crate) const MARK: usize = 16;

/// The positions of the slot and of the sequence number among the digits; the client comes first.
const SLOT_AT: usize = 5;
const SEQUENCE_AT: usize = 10;

/// Identifies the request of a client that a message belongs to. The digits are at the beginning of
/// each payload, so that a payload at a wrong receiver is detected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) client: usize,
    pub(crate) slot: usize,
    pub(crate) sequence: u64,
}

impl Mark {
    /// The number of distinct clients, requests in flight and sequence numbers. The first digit is
    /// never 0, so that the digits are also a JSON number.
    const CLIENTS: u64 = 90_000;
    const SLOTS: u64 = 100_000;
    const SEQUENCES: u64 = 1_000_000;

    pub(crate) fn digits(self) -> [u8; MARK] {
        let client = 10_000 + self.client as u64 % Self::CLIENTS;
        let mut value =
            (client * Self::SLOTS + self.slot as u64) * Self::SEQUENCES + self.sequence % Self::SEQUENCES;
        let mut digits = [b'0'; MARK];
        for digit in digits.iter_mut().rev() {
            *digit += u8::try_from(value % 10).unwrap_or_default();
            value /= 10;
        }
        digits
    }

    /// Reads the digits; `None` if they are not digits.
    pub(crate) fn read(digits: &[u8]) -> Option<Self> {
        let mut value: u64 = 0;
        for digit in digits.get(..MARK)? {
            value = value * 10 + u64::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
        }
        let sequence = value % Self::SEQUENCES;
        let value = value / Self::SEQUENCES;
        Some(Self {
            client: usize::try_from((value / Self::SLOTS).checked_sub(10_000)?).ok()?,
            slot: usize::try_from(value % Self::SLOTS).ok()?,
            sequence,
        })
    }

    /// Replaces the digits of a mark with those of the next sequence number.
    pub(crate) fn advance(digits: &mut [u8; MARK]) {
        for digit in digits[SEQUENCE_AT..].iter_mut().rev() {
            if *digit != b'9' {
                *digit += 1;
                return;
            }
            *digit = b'0';
        }
    }

    /// Returns the slot in the digits.
    pub(crate) fn slot_of(digits: &[u8; MARK]) -> usize {
        let slot = &digits[SLOT_AT..SEQUENCE_AT];
        slot.iter()
            .fold(0, |slot, digit| slot * 10 + usize::from(digit.wrapping_sub(b'0')))
    }

    /// Whether the mark has that sequence number.
    pub(crate) fn has_sequence(self, sequence: u64) -> bool {
        self.sequence == sequence % Self::SEQUENCES
    }
}

/// What a payload consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Content {
    /// A string of ASCII letters.
    Text,
    /// An array of decimal fractions, like the readings of a detector.
    Numbers,
}

/// A payload without its mark.
#[derive(Clone, Debug)]
pub(crate) struct Payload {
    template: Vec<u8>,
}

/// The position of the mark: after the quote or the bracket.
const MARK_AT: usize = 1;

impl Payload {
    /// Returns a JSON value of exactly `size` bytes.
    pub(crate) fn new(content: Content, size: usize) -> anyhow::Result<Self> {
        if size < 24 {
            bail!("a payload must have 24 bytes at least, since it carries a mark");
        }
        let mut template = Vec::with_capacity(size);
        match content {
            Content::Text => {
                template.push(b'"');
                template.resize(MARK_AT + MARK, b'0');
                let letters = (b'a'..=b'z').cycle();
                template.extend(letters.take(size - 1 - template.len()));
                template.push(b'"');
            }
            Content::Numbers => {
                template.push(b'[');
                template.resize(MARK_AT + MARK, b'0');
                let mut reading = 1.0_f64;
                while template.len() + 24 < size {
                    reading = (reading * 1.618_033_988 + 0.271_828_18) % 9.0 + 1.0;
                    template.extend_from_slice(format!(", {reading:.6}").as_bytes());
                }
                // The last one has as many digits as the size needs, and ends in a 1: some peers
                // would omit a zero at the end.
                if size - 1 - template.len() > 5 {
                    template.extend_from_slice(b", 1.");
                    template.resize(size - 2, b'2');
                    template.push(b'1');
                }
                template.resize(size - 1, b' ');
                template.push(b']');
            }
        }
        Ok(Self { template })
    }

    pub(crate) fn len(&self) -> usize {
        self.template.len()
    }

    /// Appends the payload with this mark.
    pub(crate) fn put(&self, output: &mut Vec<u8>, mark: [u8; MARK]) {
        let start = output.len() + MARK_AT;
        output.extend_from_slice(&self.template);
        output[start..start + MARK].copy_from_slice(&mark);
    }

    /// Returns the mark of a received payload; `None` if it is not this payload.
    pub(crate) fn check(&self, received: &[u8]) -> Option<Mark> {
        Mark::read(self.digits(received)?)
    }

    /// Returns the digits of a received payload's mark; `None` if it is not this payload, or they
    /// are not digits.
    pub(crate) fn digits<'a>(&self, received: &'a [u8]) -> Option<&'a [u8; MARK]> {
        let (before, received) = received.split_at_checked(MARK_AT)?;
        let (digits, rest) = received.split_first_chunk::<MARK>()?;
        let is_same = before == &self.template[..MARK_AT] && rest == &self.template[MARK_AT + MARK..];
        // Without an early exit, so that all digits are checked in one vectorised step.
        let are_digits = digits
            .iter()
            .fold(true, |are_digits, digit| are_digits & digit.is_ascii_digit());
        (is_same && are_digits).then_some(digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_has_its_size_and_gives_its_mark_back() {
        let mark = Mark {
            client: 15,
            slot: 63,
            sequence: 1_234_567,
        };
        for content in [Content::Text, Content::Numbers] {
            for size in [24, 25, 30, 64, 65, 66, 67, 68, 69, 70, 71, 256, 4_096] {
                let payload = Payload::new(content, size).unwrap();
                let mut output = b"before".to_vec();
                payload.put(&mut output, mark.digits());
                let bytes = &output[6..];
                assert_eq!(bytes.len(), size);
                let found = payload.check(bytes).expect("the same payload");
                assert!(found.client == 15 && found.slot == 63 && found.has_sequence(1_234_567));
                assert_eq!(payload.digits(bytes), Some(&mark.digits()));
                let mut other = bytes.to_vec();
                other[size - 2] ^= 1;
                assert_eq!(payload.check(&other), None);
                assert_eq!(payload.check(&bytes[1..]), None);
            }
        }
    }

    #[test]
    fn the_digits_of_a_mark_go_from_one_request_to_the_next() {
        for sequence in [0, 1, 9, 99, 123_459, 999_998, 999_999, 1_234_567] {
            let mark = |sequence| Mark {
                client: 15,
                slot: 1_063,
                sequence,
            };
            let mut digits = mark(sequence).digits();
            assert_eq!(Mark::slot_of(&digits), 1_063);
            Mark::advance(&mut digits);
            assert_eq!(digits, mark(sequence + 1).digits(), "{sequence}");
        }
    }
}
