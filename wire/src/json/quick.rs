//! What most lines are made of: short strings without escapes, few levels, few numbers.
//!
//! A [`Scanner`](super::scanner::Scanner) keeps its state in memory, which costs more than looking at a short line does.
//! What is here keeps it in registers and leaves everything unusual, and every mistake, to a scanner, which goes on from
//! the place where this has stopped.

use wide::i8x16;

use super::scanner::{Checkpoint, Inside, LANES};

/// How long a string may be that is looked at here, give or take a few bytes. The scanner compares more at once.
const LONG: usize = 128;

/// How many numbers of one value are looked at here. The scanner has a quicker way through lists of them.
const NUMBERS: usize = 4;

/// How many containers may be open: one bit of a word for each.
const LEVELS: usize = 64;

/// Up to where a value was looked at.
pub(super) enum Progress {
    /// It ends before that place.
    Whole(usize),
    /// A scanner is to go on from there.
    Left(Left),
}

/// What a scanner must know to go on.
pub(super) struct Left {
    pub(super) checkpoint: Checkpoint,
    /// One bit for each container that is open, set for an object.
    pub(super) open: u64,
}

#[inline]
pub(super) fn past_white_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(at) {
        at += 1;
    }
    at
}

/// Goes past a comma or a colon and up to one blank behind it, as nearly everybody writes them. Nothing if there is more
/// white space.
#[inline]
pub(super) fn past_mark(bytes: &[u8], at: usize, mark: u8) -> Option<usize> {
    match bytes.get(at..)?.first_chunk()? {
        [first, b' ', next] if *first == mark && *next > b' ' => Some(at + 2),
        [first, next, _] if *first == mark && *next > b' ' => Some(at + 1),
        _ => None,
    }
}

/// Where the last quote of a string stands that is short, without escapes, and ASCII; `at` is behind its first quote.
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

/// The same for the last bytes of a text, which are fewer than are compared at once.
#[inline(never)]
fn plain_end(bytes: &[u8], at: usize) -> Option<usize> {
    // The block holds some of what stands before the place.
    let start = bytes.len().checked_sub(LANES)?;
    let found = stops(*bytes.last_chunk()?) >> (at - start);
    let end = at + found.trailing_zeros() as usize;
    (bytes.get(end) == Some(&b'"')).then_some(end)
}

/// One bit for each byte that ends the plain part of a string, or is not ASCII.
#[inline]
fn stops(block: [u8; LANES]) -> u32 {
    let bytes = i8x16::new(block.map(u8::cast_signed));
    let equal = |byte: u8| bytes.simd_eq(i8x16::splat(byte.cast_signed()));
    // Among numbers with a sign, what is not ASCII is less than zero.
    let unusual = bytes.simd_lt(i8x16::splat(0x20));
    (unusual | equal(b'"') | equal(b'\\')).to_bitmask()
}

/// Where a value ends that holds no others and is nothing unusual.
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

/// Where a number ends that has few digits, behind which something else stands.
///
/// What anybody can read counts for nothing in a [`Shape`](super::Shape).
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
    // Anything else may be a part of it, as a power of ten is, and if nothing follows there may be more of it.
    matches!(bytes.get(end)?, b',' | b']' | b'}' | b' ').then_some(end)
}

/// Where the value of a key begins, its colon passed, if the key is a plain one.
fn past_key(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let colon = past_white_space(bytes, plain_string(bytes, at + 1)? + 1);
    (bytes.get(colon) == Some(&b':')).then(|| past_white_space(bytes, colon + 1))
}

/// Where the next value of a container begins, behind its key in an object.
#[inline]
fn next_value(bytes: &[u8], at: usize, in_object: bool) -> Option<usize> {
    if in_object { past_key(bytes, at) } else { Some(at) }
}

/// Goes past an array or an object that stands in an object; tells how deep it was, counted from there.
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
        // Behind a value: what ends here is closed.
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

/// What a scanner goes on with.
fn left(inside: Inside, position: usize, depth: usize, open: u64) -> Progress {
    let checkpoint = Checkpoint {
        position,
        depth,
        inside,
    };
    Progress::Left(Left { checkpoint, open })
}
