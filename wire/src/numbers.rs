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
    dots: u64,
    commas: u64,
    spaces: u64,
    /// Those of powers of ten, which most lists do not have: they are looked for only where something else stands
    /// that is not known.
    plus: u64,
    exponents: u64,
}

impl Kinds {
    fn of_numbers(self) -> u64 {
        self.digits | self.minus | self.dots | self.plus | self.exponents
    }

    /// How many bytes, from the first on, can stand in a list of numbers.
    fn known(self) -> u32 {
        (self.of_numbers() | self.commas | self.spaces).trailing_ones()
    }
}

/// How many bytes from the start of a block are whole numbers, each with the comma behind it. The block starts with
/// a number. Nothing when that is unclear: when there is none, or something is wrong.
pub(crate) fn whole_numbers(block: &[u8; BLOCK]) -> Option<usize> {
    let vectors = vectors(block);
    let mut kinds = common_kinds(&vectors);
    let mut known = kinds.known();
    if let Some(b'e' | b'E' | b'+') = block.get(known as usize) {
        add_powers(&mut kinds, &vectors);
        known = kinds.known();
    }
    let usable = kinds.commas & below(known);
    let end = u64::BITS - usable.leading_zeros();
    // What stands behind the end has no part in what is found out about the bytes before it: carries go upwards.
    (usable != 0 && mistakes(kinds) & below(end) == 0).then_some(end as usize)
}

/// The bits before that one.
fn below(bit: u32) -> u64 {
    u64::MAX.checked_shl(bit).map_or(u64::MAX, |others| !others)
}

/// The bytes at which it shows that they are not numbers that each have a comma behind them, with or without blanks
/// around the comma.
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
    // Behind a zero the number's integer ends at once, so that more digits leave an end where no comma is. A number
    // that lacks a digit where one must be is not followed, and then has no end before its comma.
    let mut ends = ((integers & zeros) << 1) | behind(integers & digits, digits);

    let fractions = (ends & dots) << 1;
    ends = (ends & !dots) | behind(fractions & digits, digits);

    if exponents != 0 {
        let powers = (ends & exponents) << 1;
        let signs = powers & (minus | plus);
        let powers = (powers & !signs) | (signs << 1);
        ends = (ends & !exponents) | behind(powers & digits, digits);
    }

    // Behind each number stands a comma, and behind each comma a number.
    let unlike_commas = past_blanks(ends, spaces) ^ commas;
    let unlike_starts = (past_blanks(commas << 1, spaces) | 1) ^ starts;
    unlike_commas | unlike_starts
}

/// Where the runs of `kind` end that go on from the bits of `from`, all of which are of that kind.
fn behind(from: u64, kind: u64) -> u64 {
    from.wrapping_add(kind) & !kind
}

fn past_blanks(from: u64, spaces: u64) -> u64 {
    (from & !spaces) | behind(from & spaces, spaces)
}

/// How many bytes are compared at once.
const LANES: usize = 16;

type Vectors = [u8x16; BLOCK / LANES];

fn vectors(block: &[u8; BLOCK]) -> Vectors {
    let sixteen = block.as_chunks::<LANES>().0;
    std::array::from_fn(|index| u8x16::new(sixteen[index]))
}

/// One bit for each byte: whether all bits of what `compare` gives for it are set.
fn bits(vectors: &Vectors, compare: impl Fn(u8x16) -> u8x16) -> u64 {
    let bits = vectors.map(|bytes| u64::from(compare(bytes).to_bitmask()));
    bits[0] | (bits[1] << LANES) | (bits[2] << (2 * LANES)) | (bits[3] << (3 * LANES))
}

fn equal(vectors: &Vectors, byte: u8) -> u64 {
    let byte = u8x16::splat(byte);
    bits(vectors, |bytes| bytes.simd_eq(byte))
}

fn common_kinds(vectors: &Vectors) -> Kinds {
    let (zero, nine) = (u8x16::splat(b'0'), u8x16::splat(9));
    Kinds {
        digits: bits(vectors, |bytes| {
            let values = bytes - zero;
            values.min(nine).simd_eq(values)
        }),
        zeros: equal(vectors, b'0'),
        minus: equal(vectors, b'-'),
        dots: equal(vectors, b'.'),
        commas: equal(vectors, b','),
        spaces: equal(vectors, b' '),
        ..Kinds::default()
    }
}

fn add_powers(kinds: &mut Kinds, vectors: &Vectors) {
    kinds.plus = equal(vectors, b'+');
    // E and e differ in one bit, which no other byte of a number shares with them.
    let (difference, exponent) = (u8x16::splat(0x20), u8x16::splat(b'e'));
    kinds.exponents = bits(vectors, |bytes| (bytes | difference).simd_eq(exponent));
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
