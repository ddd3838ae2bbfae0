//! Arrays of numbers, 64 bytes at a time.
//!
//! What a detector or a digitiser sends is mostly numbers. Taken digit by digit, each number costs the processor
//! some wrong guesses about how long it is. Here 64 bytes become a bit for each byte in several words (which ones
//! are digits, which ones commas), and the grammar of all numbers among them is followed at once by shifting and
//! adding those words, without a guess. [`crate::scan_object`] looks at what this does not understand.

use wide::u8x16;

/// How many bytes are looked at together.
pub(crate) const BLOCK: usize = 64;

/// For each byte of a block, the first in the lowest bit, whether it is of a kind.
#[derive(Clone, Copy, Debug, Default)]
struct Kinds {
    digits: u64,
    zeros: u64,
    minus: u64,
    plus: u64,
    dots: u64,
    exponents: u64,
    commas: u64,
    spaces: u64,
}

impl Kinds {
    /// Forgets all but those bytes.
    fn only(self, bytes: u64) -> Self {
        Self {
            digits: self.digits & bytes,
            zeros: self.zeros & bytes,
            minus: self.minus & bytes,
            plus: self.plus & bytes,
            dots: self.dots & bytes,
            exponents: self.exponents & bytes,
            commas: self.commas & bytes,
            spaces: self.spaces & bytes,
        }
    }

    fn of_numbers(self) -> u64 {
        self.digits | self.minus | self.plus | self.dots | self.exponents
    }
}

/// How many bytes from the start of a block are whole numbers, each with the comma behind it. The block starts with
/// a number. Nothing when that is unclear: when there is none, or something is wrong.
pub(crate) fn whole_numbers(block: &[u8; BLOCK]) -> Option<usize> {
    let kinds = kinds(block);
    let known = kinds.of_numbers() | kinds.commas | kinds.spaces;
    let usable = kinds.commas & !upwards(known.trailing_ones());
    let last = BLOCK - 1 - usize::try_from(usable.leading_zeros()).ok()?.min(BLOCK - 1);
    if usable == 0 {
        return None;
    }
    let end = last + 1;
    is_list(kinds.only(!upwards(u32::try_from(end).ok()?))).then_some(end)
}

/// The bits from that one on.
fn upwards(bit: u32) -> u64 {
    u64::MAX.checked_shl(bit).unwrap_or(0)
}

/// Whether the bytes are numbers that each have a comma behind them, with or without blanks around the comma. The
/// last byte is a comma, so that no run of anything goes to the end.
fn is_list(kinds: Kinds) -> bool {
    let Kinds {
        digits,
        zeros,
        minus,
        plus,
        dots,
        exponents,
        commas,
        spaces,
    } = kinds;
    let numbers = kinds.of_numbers();
    let starts = numbers & !(numbers << 1);

    let integers = (starts & !minus) | ((starts & minus) << 1);
    let mut wrong = integers & !digits;
    // A zero stands alone; other digits are followed to their end.
    let mut ends = ((integers & zeros) << 1) | behind(integers & digits & !zeros, digits);

    let fractions = (ends & dots) << 1;
    wrong |= fractions & !digits;
    ends = (ends & !dots) | behind(fractions & digits, digits);

    let powers = (ends & exponents) << 1;
    let signs = powers & (minus | plus);
    let powers = (powers & !signs) | (signs << 1);
    wrong |= powers & !digits;
    ends = (ends & !exponents) | behind(powers & digits, digits);

    wrong |= ends & numbers;
    // Behind each number stands a comma, and behind each comma but the last a number.
    wrong |= past_blanks(ends, spaces) ^ commas;
    let last = 1_u64 << commas.ilog2();
    wrong |= (past_blanks((commas & !last) << 1, spaces) | 1) ^ starts;
    wrong == 0
}

/// Where the runs of `kind` end that go on from the bits of `from`, all of which are of that kind.
fn behind(from: u64, kind: u64) -> u64 {
    from.wrapping_add(kind) & !kind
}

fn past_blanks(from: u64, spaces: u64) -> u64 {
    (from & !spaces) | behind(from & spaces, spaces)
}

fn kinds(block: &[u8; BLOCK]) -> Kinds {
    let mut kinds = Kinds::default();
    for (index, sixteen) in block.as_chunks::<16>().0.iter().enumerate() {
        let bytes = u8x16::new(*sixteen);
        let place = |found: u8x16| u64::from(found.to_bitmask()) << (16 * index);
        let equal = |byte: u8| place(bytes.simd_eq(u8x16::splat(byte)));
        let values = bytes - u8x16::splat(b'0');
        kinds.digits |= place(values.min(u8x16::splat(9)).simd_eq(values));
        kinds.zeros |= equal(b'0');
        kinds.minus |= equal(b'-');
        kinds.plus |= equal(b'+');
        kinds.dots |= equal(b'.');
        // E and e differ in one bit, which no other byte of a number shares with them.
        kinds.exponents |= place((bytes | u8x16::splat(0x20)).simd_eq(u8x16::splat(b'e')));
        kinds.commas |= equal(b',');
        kinds.spaces |= equal(b' ');
    }
    kinds
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    /// What a list of numbers, right or wrong, is made of.
    fn pieces() -> impl Strategy<Value = Vec<&'static str>> {
        let pieces = [
            "0",
            "1",
            "-",
            "+",
            ".",
            "e",
            "E",
            ",",
            ", ",
            " ",
            " ,",
            "12",
            "90",
            "007",
            "1.5",
            "-0.25e-3",
            "1e+10",
            "3,",
            "4, ",
            "]",
            "\"a\"",
            "NaN",
            "-Infinity",
        ];
        vec(select(pieces.to_vec()), 1..60)
    }

    fn block(text: &str) -> [u8; BLOCK] {
        let mut block = [b']'; BLOCK];
        let length = text.len().min(BLOCK);
        block[..length].copy_from_slice(&text.as_bytes()[..length]);
        block
    }

    fn is_array(list: &[u8]) -> bool {
        let text = [b"[", list, b"0]"].concat();
        serde_json::from_slice::<Vec<serde::de::IgnoredAny>>(&text).is_ok()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn what_is_passed_is_whole_numbers_and_what_is_right_is_passed(pieces in pieces()) {
            let text = format!("1{}", pieces.concat());
            let block = block(&text);
            let plain = block.iter().position(|byte| !b"0123456789+-.eE, ".contains(byte)).unwrap_or(BLOCK);
            let end = block[..plain].iter().rposition(|byte| *byte == b',').map(|comma| comma + 1);
            let expected = end.filter(|end| is_array(&block[..*end]));
            prop_assert_eq!(whole_numbers(&block), expected, "{}", text);
        }
    }

    #[test]
    fn a_block_without_an_end_is_left() {
        assert_eq!(whole_numbers(&block(&"1".repeat(64))), None);
        assert_eq!(whole_numbers(&block(&format!("{},", "1".repeat(63)))), Some(64));
        assert_eq!(whole_numbers(&block("1, 2]")), Some(2));
    }
}
