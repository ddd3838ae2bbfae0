//! The fast path for most lines: short strings without escapes, few levels, few numbers.
//!
//! A [`Scanner`](super::scanner::Scanner) keeps its state in memory, which costs more than scanning
//! a short line. The functions here keep it in registers. They leave everything unusual, and every
//! error, to a scanner, which continues where they stopped.

use wide::i8x16;

use super::scanner::{Checkpoint, Inside, LANES};

/// The approximate length up to which strings are scanned here. The scanner compares more bytes at
/// once.
const LONG: usize = 128;

/// The number of numbers per value that are scanned here. The scanner is faster for lists of them.
const NUMBERS: usize = 4;

/// The most open containers: one bit of a word each.
const LEVELS: usize = 64;

/// The progress in a value.
pub(super) enum Progress {
    /// The value ends before this position.
    Whole(usize),
    /// A scanner has to continue from there.
    Left(Left),
}

/// The state with which a scanner continues.
pub(super) struct Left {
    pub(super) checkpoint: Checkpoint,
    /// One bit for each open container, set for an object.
    pub(super) open: u64,
}

#[inline]
pub(super) fn past_white_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(at) {
        at += 1;
    }
    at
}

/// Skips a comma or a colon and at most one space after it, the usual spelling. Returns `None` if
/// there is more white space.
#[inline]
pub(super) fn past_mark(bytes: &[u8], at: usize, mark: u8) -> Option<usize> {
    match bytes.get(at..)?.first_chunk()? {
        [first, b' ', next] if *first == mark && *next > b' ' => Some(at + 2),
        [first, next, _] if *first == mark && *next > b' ' => Some(at + 1),
        _ => None,
    }
}

/// Returns the position of the closing quote of a short ASCII string without escapes; `at` is after
/// its opening quote.
#[inline]
pub(super) fn plain_string(bytes: &[u8], mut at: usize) -> Option<usize> {
    let limit = at + LONG;
    while at < limit {
        let Some(block) = bytes.get(at..)?.first_chunk() else {
            return plain_end(bytes, at);
        };
        let found = stops(*block);
        if found != 0 {
            let place = found.trailing_zeros() as usize;
            return (block.get(place) == Some(&b'"')).then_some(at + place);
        }
        at += LANES;
    }
    None
}

/// Does the same for the last bytes of a text, which are fewer than one block.
#[inline(never)]
fn plain_end(bytes: &[u8], at: usize) -> Option<usize> {
    // The block begins before `at`.
    let start = bytes.len().checked_sub(LANES)?;
    let found = stops(*bytes.last_chunk()?) >> (at - start);
    let end = at + found.trailing_zeros() as usize;
    (bytes.get(end) == Some(&b'"')).then_some(end)
}

/// Returns one bit for each byte that ends the plain part of a string, or is not ASCII.
#[inline]
fn stops(block: [u8; LANES]) -> u32 {
    let bytes = i8x16::new(block.map(u8::cast_signed));
    let equal = |byte: u8| bytes.simd_eq(i8x16::splat(byte.cast_signed()));
    // As signed numbers, bytes that are not ASCII are negative.
    let unusual = bytes.simd_lt(i8x16::splat(0x20));
    (unusual | equal(b'"') | equal(b'\\')).to_bitmask()
}

/// Returns the end of a simple scalar value.
#[inline]
pub(super) fn plain_value(bytes: &[u8], at: usize) -> Option<usize> {
    let word = |word: &[u8]| bytes[at..].starts_with(word).then_some(at + word.len());
    match bytes.get(at)? {
        b'"' => Some(plain_string(bytes, at + 1)? + 1),
        b'f' => word(b"false"),
        b't' => word(b"true"),
        b'n' => word(b"null"),
        b'0'..=b'9' | b'-' => plain_number(bytes, at),
        _ => None,
    }
}

/// Returns the end of a number with few digits that is followed by another byte.
///
/// Numbers that any reader supports do not count in a [`Shape`](super::Shape).
fn plain_number(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = |at: usize| {
        let count = bytes
            .get(at..)?
            .iter()
            .take(LANES)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        (count > 0).then_some(at + count)
    };
    let start = at + usize::from(bytes[at] == b'-');
    let mut end = digits(start)?;
    if end > start + 1 && bytes[start] == b'0' {
        return None;
    }
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1)?;
    }
    // Anything else, such as an exponent, may be part of the number, and at the end of the text
    // more may follow.
    matches!(bytes.get(end)?, b',' | b']' | b'}' | b' ').then_some(end)
}

/// Returns the start of a key's value, after the colon, if the key is a simple one.
fn past_key(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let colon = past_white_space(bytes, plain_string(bytes, at + 1)? + 1);
    (bytes.get(colon) == Some(&b':')).then(|| past_white_space(bytes, colon + 1))
}

/// Returns the start of a container's next value, after its key in an object.
#[inline]
fn next_value(bytes: &[u8], at: usize, in_object: bool) -> Option<usize> {
    if in_object { past_key(bytes, at) } else { Some(at) }
}

/// Skips an array or an object inside an object. Updates `deepest`, the deepest nesting.
pub(super) fn container(bytes: &[u8], mut at: usize, deepest: &mut usize) -> Progress {
    let outside = 1;
    let (mut depth, mut open) = (outside, 1_u64);
    let mut numbers = 0;
    loop {
        match bytes.get(at) {
            Some(bracket @ (b'[' | b'{')) if depth < LEVELS => {
                let is_object = *bracket == b'{';
                let inner = past_white_space(bytes, at + 1);
                let is_empty = bytes.get(inner) == Some(&if is_object { b'}' } else { b']' });
                *deepest = (*deepest).max(depth + 1);
                if is_empty {
                    at = inner + 1;
                } else {
                    let Some(value) = next_value(bytes, inner, is_object) else {
                        return left(Inside::Before, at, depth, open);
                    };
                    open = open & !(1 << depth) | u64::from(is_object) << depth;
                    depth += 1;
                    at = value;
                    continue;
                }
            }
            other => {
                numbers += usize::from(matches!(other, Some(b'0'..=b'9' | b'-')));
                match plain_value(bytes, at) {
                    Some(end) if numbers <= NUMBERS => at = end,
                    _ => return left(Inside::Before, at, depth, open),
                }
            }
        }
        // Close the containers that end after this value.
        loop {
            if depth == outside {
                return Progress::Whole(at);
            }
            let in_object = open >> (depth - 1) & 1 == 1;
            let end = past_white_space(bytes, at);
            match (bytes.get(end), in_object) {
                (Some(b']'), false) | (Some(b'}'), true) => {
                    depth -= 1;
                    at = end + 1;
                }
                (Some(b','), _) => {
                    let next = past_white_space(bytes, end + 1);
                    let Some(value) = next_value(bytes, next, in_object) else {
                        return left(Inside::Behind, at, depth, open);
                    };
                    at = value;
                    break;
                }
                _ => return left(Inside::Behind, at, depth, open),
            }
        }
    }
}

/// Returns the state with which a scanner continues.
fn left(inside: Inside, position: usize, depth: usize, open: u64) -> Progress {
    let checkpoint = Checkpoint {
        position,
        depth,
        inside,
    };
    Progress::Left(Left { checkpoint, open })
}
