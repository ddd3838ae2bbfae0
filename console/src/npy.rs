//! Files of one array in NumPy's format, `.npy`.
//!
//! Written here, since it is a short header before the bytes: crates for the format want the type of the
//! items at compile time, and a result has any.

use std::path::Path;

use bytes::Bytes;
use labwire_client::{Array, Dtype};
use labwire_wire::terminal::{self, TerminalLine};
use serde::Deserialize;

/// The first bytes of a file.
const MAGIC: &[u8] = b"\x93NUMPY";

/// The size to which a header is padded, so that the items are aligned.
const ALIGNMENT: usize = 64;

/// The longest header that is read. One of 32 dimensions is shorter than a kilobyte.
const LONGEST: usize = 64 * 1024;

/// The header of a file.
#[derive(Deserialize)]
struct Header {
    descr: serde_json::Value,
    fortran_order: bool,
    shape: Vec<usize>,
}

/// Returns whether a file is one of this format, by its name.
pub(crate) fn is_named(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("npy"))
}

/// Returns the bytes of a file before those of the array.
pub(crate) fn header(array: &Array) -> Vec<u8> {
    let counts: Vec<_> = array.shape().iter().map(usize::to_string).collect();
    // A tuple of one item has a comma behind it.
    let comma = if counts.len() == 1 { "," } else { "" };
    let mut text = format!(
        "{{'descr': '{}', 'fortran_order': False, 'shape': ({}{comma}), }}",
        array.dtype(),
        counts.join(", ")
    );
    let before = MAGIC.len() + 4;
    let end = (before + text.len() + 1).next_multiple_of(ALIGNMENT);
    text.extend(std::iter::repeat_n(' ', end - before - text.len() - 1));
    text.push('\n');
    let length = u16::try_from(text.len()).expect("a header of 32 dimensions is short");
    [MAGIC, &[1, 0], &length.to_le_bytes(), text.as_bytes()].concat()
}

/// Returns the array of a file.
///
/// # Errors
/// If it is no such file, or its items are of a type that is not sent.
pub(crate) fn read(file: Vec<u8>) -> Result<Array, String> {
    const NONE: &str = "it is no file of NumPy's format .npy";
    let wide = match file.get(MAGIC.len()) {
        Some(1) => false,
        Some(2 | 3) => true,
        Some(_) if file.starts_with(MAGIC) => {
            return Err("it has an unknown version of the format".to_owned());
        }
        _ => return Err(NONE.to_owned()),
    };
    let start = MAGIC.len() + if wide { 6 } else { 4 };
    let length = file
        .get(MAGIC.len() + 2..start)
        .filter(|_| file.starts_with(MAGIC));
    let length = length.ok_or(NONE)?.iter().rev();
    let length = length.fold(0, |length, byte| length << 8 | usize::from(*byte));
    let text = file.get(start..start + length.min(LONGEST)).unwrap_or_default();
    let header = str::from_utf8(text).ok().and_then(read_header);
    let header = header.ok_or("its header is not that of an array")?;
    let Some(Ok(dtype)) = header.descr.as_str().map(str::parse::<Dtype>) else {
        return Err(format!(
            "its items are of the type {}, which is not sent",
            header.descr
        ));
    };
    let bytes = Bytes::from(file).split_off(start + length);
    let array = Array::new(dtype, &header.shape, bytes).map_err(|error| error.to_string())?;
    if !header.fortran_order || header.shape.len() < 2 {
        return Ok(array);
    }
    let rows = in_rows(array.bytes(), dtype.item_bytes(), &header.shape);
    Array::new(dtype, &header.shape, rows.into()).map_err(|error| error.to_string())
}

/// Reads a dictionary of Python with a constant.
fn read_header(text: &str) -> Option<Header> {
    // The terminal grammar has the dictionaries and tuples of Python.
    match terminal::parse(&format!("a b {}", text.trim())).ok()? {
        TerminalLine::Request { args, .. } => {
            let (header,): (Header,) = serde_json::from_str(&args).ok()?;
            Some(header)
        }
        _ => None,
    }
}

/// Returns items in row-major order that are in column-major order.
fn in_rows(columns: &[u8], item: usize, shape: &[usize]) -> Vec<u8> {
    let mut rows = Vec::with_capacity(columns.len());
    let mut steps = Vec::with_capacity(shape.len());
    let mut step = item;
    for count in shape {
        steps.push(step);
        step *= count;
    }
    let mut index = vec![0; shape.len()];
    let mut at = 0;
    while rows.len() < columns.len() {
        rows.extend_from_slice(&columns[at..at + item]);
        for dimension in (0..shape.len()).rev() {
            index[dimension] += 1;
            at += steps[dimension];
            if index[dimension] < shape[dimension] {
                break;
            }
            at -= steps[dimension] * shape[dimension];
            index[dimension] = 0;
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, bytes: &[u8]) -> Vec<u8> {
        let length = u16::try_from(header.len()).unwrap().to_le_bytes();
        [MAGIC, &[1, 0], &length, header.as_bytes(), bytes].concat()
    }

    #[test]
    fn what_is_written_is_read_again() {
        for shape in [&[][..], &[6], &[2, 3], &[0, 5], &[1; 32]] {
            let count = shape.iter().product();
            let array = Array::from_vec(shape, vec![7_i32; count]).unwrap();
            let mut file = header(&array);
            assert_eq!(file.len() % ALIGNMENT, 0);
            file.extend_from_slice(array.bytes());
            assert_eq!(read(file).unwrap(), array);
        }
    }

    #[test]
    fn columns_become_rows() {
        let header = "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3, 2), }\n";
        let array = read(file(header, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])).unwrap();
        assert_eq!(
            array.to_vec::<u8>().unwrap(),
            [0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11]
        );
    }

    #[test]
    fn what_is_no_array_is_refused_with_the_reason() {
        let huge = "{'descr': '<u2', 'fortran_order': True, 'shape': (18446744073709551615, 2), }";
        for (file, reason) in [
            (b"".to_vec(), "no file"),
            (b"{}".to_vec(), "no file"),
            (b"\x93NUMPY".to_vec(), "no file"),
            (b"\x93NUMPY\x01\x00".to_vec(), "no file"),
            (b"\x93NUMPY\x09\x00\x00\x00".to_vec(), "version"),
            (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{".to_vec(), "header"),
            (file("{'descr': '<u2'}", b""), "header"),
            (
                file("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"x"),
                "|O",
            ),
            (
                file(
                    "{'descr': [('a', '<u2')], 'fortran_order': False, 'shape': (1,), }",
                    b"xx",
                ),
                "<u2",
            ),
            (
                file(
                    "{'descr': '<u2', 'fortran_order': False, 'shape': (2,), }",
                    b"abc",
                ),
                "3 bytes",
            ),
            (file(huge, b""), "0 bytes"),
        ] {
            let error = read(file).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
