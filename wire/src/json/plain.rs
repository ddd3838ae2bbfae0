//! The inside of long strings: most of a large frame.

use fearless_simd::{Level, Simd, dispatch, prelude::*};

/// How many registers are looked at between two questions whether there is something in them.
const AT_ONCE: usize = 4;

/// From how many bytes on it is worth asking how many the processor compares at once: the largest step.
pub(super) const STEP: usize = AT_ONCE * 64;

/// Goes past bytes that are no quote, backslash or control character, as far as it gets in steps of up to [`STEP`]
/// bytes; gives their number, and whether all of them are ASCII.
///
/// It compares as many bytes at once as this processor can, which is twice or four times what each of its kind can.
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
        // The least of them tells whether there is a control character among them.
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
