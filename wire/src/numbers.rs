//! Scans arrays of numbers, 64 bytes at a time.
//!
//! The data of a detector or a digitiser is mostly numbers. Read digit by digit, each number costs
//! some mispredicted branches, because its length is unpredictable. Here 64 bytes are converted to
//! bit masks with one bit per byte (one mask for digits, one for commas, ...). Shifting and adding
//! these masks checks the grammar of all numbers in the block at once, without branches.
//! [`crate::scan_object`] handles whatever this does not recognise.

use fearless_simd::{Level, Simd, dispatch, prelude::*, u8x64};

/// The number of bytes per block.
pub(crate) const BLOCK: usize = 64;

/// Bit masks of a block: for each byte, the first in the lowest bit, whether it is of a kind.
#[derive(Clone, Copy, Debug, Default)]
struct Kinds {
    digits: u64,
    zeros: u64,
    minus: u64,
    dots: u64,
    commas: u64,
    spaces: u64,
    /// The masks for exponents, which most lists do not contain. They are computed only when an
    /// unknown byte occurs.
    plus: u64,
    exponents: u64,
}

impl Kinds {
    fn of_numbers(self) -> u64 {
        self.digits | self.minus | self.dots | self.plus | self.exponents
    }

    /// Returns the number of bytes from the start that can occur in a list of numbers.
    fn known(self) -> u32 {
        (self.of_numbers() | self.commas | self.spaces).trailing_ones()
    }
}

/// Returns how many bytes from the start of a text are complete numbers, each followed by a comma.
/// The text starts with a number.
///
/// Uses the widest SIMD registers of this processor, which are two or four times as wide as those
/// that every processor of its kind has.
pub(crate) fn skip_whole_numbers(text: &[u8]) -> usize {
    dispatch!(Level::new(), simd => skip_with(simd, text))
}

#[expect(
    clippy::inline_always,
    reason = "else it is not compiled for the processor that it was chosen for"
)]
#[inline(always)]
fn skip_with<S: Simd>(simd: S, text: &[u8]) -> usize {
    let (mut end, mut next) = (0, 0);
    while let Some(block) = text[next..].first_chunk()
        && let Some(length) = whole_numbers(simd, block)
    {
        end = next + length;
        next = end;
        // A predictable branch is faster than a sum, which would delay the start of the next block.
        while text.get(next) == Some(&b' ') {
            next += 1;
        }
        if !starts_number(text, next) {
            return end;
        }
    }
    if end > 0 && text.len() - next < BLOCK {
        // The rest is padded with zero bytes, which occur in no list.
        let mut block = [0; BLOCK];
        block[..text.len() - next].copy_from_slice(&text[next..]);
        if let Some(length) = whole_numbers(simd, &block) {
            end = next + length;
        }
    }
    end
}

#[expect(clippy::inline_always, reason = "as above")]
#[inline(always)]
fn starts_number(text: &[u8], position: usize) -> bool {
    matches!(text.get(position), Some(b'0'..=b'9' | b'-'))
}

/// Returns how many bytes from the start of a block are complete numbers, each followed by a comma.
/// The block starts with a number. Returns `None` if there is no such number, or if the block is
/// malformed.
#[expect(clippy::inline_always, reason = "as above")]
#[inline(always)]
fn whole_numbers<S: Simd>(simd: S, block: &[u8; BLOCK]) -> Option<usize> {
    let bytes = u8x64::from_slice(simd, block);
    let mut kinds = common_kinds(bytes);
    let mut known = kinds.known();
    if let Some(b'e' | b'E' | b'+') = block.get(known as usize) {
        add_powers(&mut kinds, bytes);
        known = kinds.known();
    }
    let usable = kinds.commas & below(known);
    let end = u64::BITS - usable.leading_zeros();
    // Bytes after the end do not affect the result for those before it: carries only move upwards.
    (usable != 0 && mistakes(kinds) & below(end) == 0).then_some(end as usize)
}

/// Returns the bits below this one.
fn below(bit: u32) -> u64 {
    u64::MAX.checked_shl(bit).map_or(u64::MAX, |others| !others)
}

/// Returns the bytes at which a block is not a list of numbers, each followed by a comma, with or
/// without spaces around the comma.
fn mistakes(kinds: Kinds) -> u64 {
    let Kinds {
        digits,
        zeros,
        minus,
        dots,
        commas,
        spaces,
        plus,
        exponents,
    } = kinds;
    let numbers = kinds.of_numbers();
    let starts = numbers & !(numbers << 1);

    let integers = (starts & !minus) | ((starts & minus) << 1);
    // An integer that begins with 0 ends after it, so further digits leave an end without a comma.
    // A number that lacks a required digit is not followed further, so no end precedes its comma.
    let mut ends = ((integers & zeros) << 1) | behind(integers & digits, digits);

    let fractions = (ends & dots) << 1;
    ends = (ends & !dots) | behind(fractions & digits, digits);

    if exponents != 0 {
        let powers = (ends & exponents) << 1;
        let signs = powers & (minus | plus);
        let powers = (powers & !signs) | (signs << 1);
        ends = (ends & !exponents) | behind(powers & digits, digits);
    }

    // Each number is followed by a comma, and each comma by a number.
    let unlike_commas = past_blanks(ends, spaces) ^ commas;
    let unlike_starts = (past_blanks(commas << 1, spaces) | 1) ^ starts;
    unlike_commas | unlike_starts
}

/// Returns the ends of the runs of `kind` that start at the bits of `from`, all of which are of
/// that kind.
fn behind(from: u64, kind: u64) -> u64 {
    from.wrapping_add(kind) & !kind
}

fn past_blanks(from: u64, spaces: u64) -> u64 {
    (from & !spaces) | behind(from & spaces, spaces)
}

#[expect(clippy::inline_always, reason = "as above")]
#[inline(always)]
fn common_kinds<S: Simd>(bytes: u8x64<S>) -> Kinds {
    // The subtraction wraps, so bytes below `0` become larger than 9.
    let values = bytes - b'0';
    Kinds {
        digits: values.simd_le(9).to_bitmask(),
        zeros: bytes.simd_eq(b'0').to_bitmask(),
        minus: bytes.simd_eq(b'-').to_bitmask(),
        dots: bytes.simd_eq(b'.').to_bitmask(),
        commas: bytes.simd_eq(b',').to_bitmask(),
        spaces: bytes.simd_eq(b' ').to_bitmask(),
        ..Kinds::default()
    }
}

#[expect(clippy::inline_always, reason = "as above")]
#[inline(always)]
fn add_powers<S: Simd>(kinds: &mut Kinds, bytes: u8x64<S>) {
    kinds.plus = bytes.simd_eq(b'+').to_bitmask();
    // With this bit set, only `e` and `E` become `e`.
    kinds.exponents = (bytes | 0x20).simd_eq(b'e').to_bitmask();
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    /// The pieces of a list of numbers, valid or not.
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

    fn whole_numbers(block: &[u8; BLOCK]) -> Option<usize> {
        dispatch!(Level::new(), simd => super::whole_numbers(simd, block))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// Valid lists of any length: the result does not depend on block boundaries.
        #[test]
        fn long_lists_are_passed_to_their_last_comma(
            numbers in vec(select(vec!["0", "-0", "7", "-12", "0.5", "-3.25", "1e5", "-1.5E-07", "6.02e+23", "123456789"]), 30..200),
            separator in select(vec![",", ", ", " , ", " ,"]),
        ) {
            let text = numbers.join(separator) + "]";
            let last = text.rfind(',').expect("there are several numbers") + 1;
            prop_assert_eq!(skip_whole_numbers(text.as_bytes()), last, "{}", text);
        }

        /// In any list, the part that is skipped is valid.
        #[test]
        fn what_is_passed_of_a_long_list_is_right(pieces in pieces()) {
            let text = format!("1{}", pieces.concat());
            let passed = skip_whole_numbers(text.as_bytes());
            prop_assert!(passed == 0 || is_array(&text.as_bytes()[..passed]), "{} of {}", passed, text);
        }

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
