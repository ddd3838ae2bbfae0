//! Skips the inside of long strings, which make up most of a large frame.

use fearless_simd::{Level, Simd, dispatch, prelude::*};

/// The number of registers per test for a match.
const AT_ONCE: usize = 4;

/// The length in bytes from which wide registers are worthwhile: the largest step.
pub(super) const STEP: usize = AT_ONCE * 64;

/// Skips bytes other than quotes, backslashes and control characters, in steps of up to [`STEP`]
/// bytes. Returns their number, and whether all of them are ASCII.
///
/// Uses the widest SIMD registers of this processor, which are two or four times as wide as those
/// that every processor of its kind has.
pub(super) fn skip_plain_steps(bytes: &[u8]) -> (usize, bool) {
    dispatch!(Level::new(), simd => skip_with(simd, bytes))
}

#[expect(
    clippy::inline_always,
    reason = "else it is not compiled for the processor that it was chosen for"
)]
#[inline(always)]
fn skip_with<S: Simd>(simd: S, bytes: &[u8]) -> (usize, bool) {
    let splat = |byte| S::u8s::splat(simd, byte);
    let (quote, backslash, space) = (splat(b'"'), splat(b'\\'), splat(b' '));
    let mut seen = splat(0);
    let mut position = 0;
    for step in bytes.chunks_exact(AT_ONCE * S::u8s::LEN) {
        let register = |index| S::u8s::from_slice(simd, &step[index * S::u8s::LEN..][..S::u8s::LEN]);
        let [a, b, c, d]: [S::u8s; AT_ONCE] = std::array::from_fn(register);
        let ends = |bytes: S::u8s| bytes.simd_eq(quote) | bytes.simd_eq(backslash);
        // The minimum shows whether there is a control character.
        let least = a.min(b).min(c.min(d));
        let stops = ends(a) | ends(b) | ends(c) | ends(d) | least.simd_lt(space);
        if stops.any_true() {
            break;
        }
        seen = seen | a | b | c | d;
        position += step.len();
    }
    (position, seen.simd_lt(splat(0x80)).all_true())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stops_before_each_byte_that_ends_the_plain_part_and_notes_what_is_not_ascii() {
        for length in [0, 1, STEP - 1, STEP, 3 * STEP + 17] {
            for place in 0..length {
                for byte in 0..=u8::MAX {
                    let mut bytes = vec![b'x'; length];
                    bytes[place] = byte;
                    let (count, is_ascii) = skip_plain_steps(&bytes);
                    let stops = matches!(byte, b'"' | b'\\' | 0..=0x1f);
                    let plain = if stops { place } else { length };
                    assert!(
                        count <= plain && count + STEP > plain,
                        "{byte} at {place} of {length}"
                    );
                    assert_eq!(
                        is_ascii,
                        count <= place || byte.is_ascii(),
                        "{byte} at {place} of {length}"
                    );
                }
            }
        }
    }
}
