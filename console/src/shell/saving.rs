//! Results that are saved in a file: `SERVICE attribute values > FILE`.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use labwire_client::{Array, from_json};
use serde::Serialize;

use super::split::Word;
use crate::array;
use crate::counted::counted;
use crate::failure::Failure;
use crate::npy;
use crate::output::one_line;
use crate::result_file::{self, ResultFile};

/// The word before the file.
const ARROW: &str = ">";

/// A call whose result was saved, as an object of JSON.
#[derive(Serialize)]
pub(super) struct SavedCall<'a> {
    pub(super) service: &'a str,
    pub(super) attribute: &'a str,
    pub(super) time: Timestamp,
    pub(super) seconds: f64,
    pub(super) file: &'a Path,
}

/// Returns whether the name of a file says how a result is written there.
fn is_named(name: &str) -> bool {
    let path = Path::new(name);
    npy::is_named(path)
        || path
            .extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("json"))
}

fn wrong_file() -> Failure {
    Failure::Usage(
        "a result is saved with > FILE.npy (an array) or > FILE.json at the end of the line; a text that begins with > \
         stands in quotes: \">\""
            .to_owned(),
    )
}

/// Splits the file for the result from a line and its words. The text `>5` is an argument, as it names
/// no file.
///
/// # Errors
/// If `>` is not followed by the name of such a file at the end of the line.
pub(super) fn split_file<'a, 'w>(
    line: &'a str,
    words: &'w [Word<'a>],
) -> Result<(&'a str, &'w [Word<'a>], Option<PathBuf>), Failure> {
    let arrow = words.iter().skip(1).position(|word| word.typed == ARROW);
    let (place, name) = if let Some(before) = arrow {
        match &words[before + 2..] {
            [name] if is_named(&name.name()) => (before + 1, name.name().into_owned()),
            _ => return Err(wrong_file()),
        }
    } else {
        let last = words.len().saturating_sub(1);
        let name = words.get(last).and_then(|word| word.typed.strip_prefix(ARROW));
        match name.filter(|name| last > 0 && is_named(name)) {
            Some(name) => (last, name.to_owned()),
            None => return Ok((line, words, None)),
        }
    };
    let end = words[place].range.start;
    Ok((line[..end].trim_end(), &words[..place], Some(name.into())))
}

/// The file for the result of a call. A new one is removed if there is no result.
pub(super) struct Saving<'a> {
    path: &'a Path,
    file: ResultFile,
}

impl<'a> Saving<'a> {
    /// Opens the file, so that a call is not made whose result cannot be saved.
    pub(super) fn open(path: &'a Path) -> Result<Self, Failure> {
        let file = ResultFile::open(path)?;
        Ok(Self { path, file })
    }

    /// Writes a result, which is JSON text, and returns what was saved.
    ///
    /// # Errors
    /// If it is no array and the file is for one. Then the result is in the text.
    pub(super) fn save(mut self, result: &str) -> Result<String, Failure> {
        let shown = self.path.display();
        if !npy::is_named(self.path) {
            self.file.write(result)?;
            return Ok(format!("saved in {shown}: {}", counted(result.len(), "byte")));
        }
        let array: Array = from_json(result).map_err(|_| {
            Failure::Failed(format!(
                "the result is no array, so it is not in {shown}; save it with > FILE.json: {}",
                one_line(&array::line(result))
            ))
        })?;
        self.file.write_bytes([&npy::header(&array), array.bytes()])?;
        Ok(format!("saved in {shown}: {}", array::line(result)))
    }
}

impl Drop for Saving<'_> {
    fn drop(&mut self) {
        result_file::remove_unwritten();
    }
}

/// Returns how a result is saved that is shown with short arrays; `None` if it has none.
pub(super) fn hint(result: &str) -> Option<&'static str> {
    if array::is_array(result) {
        Some("the array is not shown; to save it, end the call with: > FILE.npy")
    } else {
        array::has_array(result)
            .then_some("arrays are not shown; to save the result, end the call with: > FILE.json")
    }
}

#[cfg(test)]
mod tests {
    use super::super::split::split;
    use super::*;

    #[test]
    fn a_file_is_the_end_of_a_line() {
        for (line, before, file) in [
            ("Camera image > a.npy", "Camera image", Some("a.npy")),
            ("Camera image 1 x=2 >b.JSON", "Camera image 1 x=2", Some("b.JSON")),
            ("image > \"my image.npy\"", "image", Some("my image.npy")),
            ("Echo echo \">\" a.npy", "Echo echo \">\" a.npy", None),
            ("Echo echo >5", "Echo echo >5", None),
            ("Echo echo", "Echo echo", None),
            (">a.npy", ">a.npy", None),
        ] {
            let words = split(line);
            let (rest, left, found) = split_file(line, &words).unwrap();
            assert_eq!(rest, before);
            assert_eq!(left, split(before), "{line}");
            assert_eq!(found.as_deref(), file.map(Path::new), "{line}");
        }
        for line in [
            "Camera image >",
            "Camera image > a.tif",
            "Camera image > a.npy 5",
            "Echo echo a > b",
        ] {
            assert!(split_file(line, &split(line)).is_err(), "{line}");
        }
    }
}
