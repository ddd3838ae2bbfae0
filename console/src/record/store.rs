//! The files of a recording: one, or with rotation one after another, of the same format.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ValueEnum;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::csv_file::CsvFile;
use super::database::Database;
use super::opened::{OpenError, Opened};
use super::row::Row;
use crate::failure::Failure;

/// The format of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Rows of comma-separated values
    Csv,
    /// A table of an SQLite database
    Sqlite,
}

/// When the next file is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rotation {
    /// At midnight in UTC.
    Day,
    /// When the file has this number of bytes.
    Size(u64),
}

impl FromStr for Rotation {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "day was expected, or a size of at least 4KiB such as 500KiB, 64MiB or 1GiB";
        const UNITS: [(&str, u64); 6] = [
            ("KiB", 1 << 10),
            ("MiB", 1 << 20),
            ("GiB", 1 << 30),
            ("KB", 1_000),
            ("MB", 1_000_000),
            ("GB", 1_000_000_000),
        ];
        if text == "day" {
            return Ok(Self::Day);
        }
        let with_unit = UNITS
            .iter()
            .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)));
        let (number, unit) = with_unit.unwrap_or((text, 1));
        let size = number
            .trim()
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(unit));
        size.filter(|size| *size >= 4_096).map(Self::Size).ok_or(WRONG)
    }
}

enum File {
    Csv(CsvFile),
    Sqlite(Database),
}

/// The files of a recording, of which the last is open.
pub(super) struct Store {
    /// The path as it was given; the files have a day or a number before its extension.
    path: PathBuf,
    format: Format,
    rotation: Option<Rotation>,
    /// The day or the number of the open file.
    part: String,
    file: File,
}

impl Store {
    /// Opens the file for a time, and continues the recording in it.
    ///
    /// # Errors
    /// If it cannot be written, or contains something else.
    pub(super) fn open(
        path: &Path,
        format: Format,
        rotation: Option<Rotation>,
        now: Timestamp,
    ) -> Result<(Self, Opened), Failure> {
        let mut part = match rotation {
            None => String::new(),
            Some(Rotation::Day) => day(now),
            Some(Rotation::Size(_)) => number(last_number(path).max(1)),
        };
        let (mut file, mut opened) = open(&part_path(path, &part), format)?;
        if let Some(Rotation::Size(limit)) = rotation
            && file.size() >= limit
        {
            part = number(last_number(path) + 1);
            let last = opened.last;
            (file, opened) = open(&part_path(path, &part), format)?;
            opened.last = opened.last.or(last);
        }
        if let (Some(Rotation::Day), None) = (rotation, opened.last) {
            opened.last = last_day(path, &part).and_then(|path| open(&path, format).ok()?.1.last);
        }
        let path = path.to_owned();
        Ok((
            Self {
                path,
                format,
                rotation,
                part,
                file,
            },
            opened,
        ))
    }

    /// Returns the part that the next row begins, if it is time for another file.
    pub(super) fn next_part(&self, now: Timestamp) -> Option<String> {
        let part = match self.rotation {
            // A clock that was set back does not reopen the file of an earlier day.
            Some(Rotation::Day) => day(now).max(self.part.clone()),
            Some(Rotation::Size(limit)) if self.file.size() >= limit => number(last_number(&self.path) + 1),
            None | Some(Rotation::Size(_)) => return None,
        };
        (part != self.part).then_some(part)
    }

    /// Begins the file of a part. All rows must be written before.
    pub(super) fn begin(&mut self, part: String) -> Result<(), Failure> {
        (self.file, _) = open(&part_path(&self.path, &part), self.format)?;
        self.part = part;
        Ok(())
    }

    /// Makes the open file one of an earlier day.
    #[cfg(test)]
    pub(super) fn age(&mut self) {
        "2000-01-01".clone_into(&mut self.part);
    }

    /// Adds rows that belong together.
    pub(super) fn add(&mut self, rows: &[Row]) -> Result<(), Failure> {
        let added = match &mut self.file {
            File::Csv(file) => file.add(rows),
            File::Sqlite(file) => file.add(rows),
        };
        added.map_err(|error| self.failed(&error))
    }

    /// Writes all rows that were added.
    pub(super) fn commit(&mut self) -> Result<(), Failure> {
        let written = match &mut self.file {
            File::Csv(file) => file.commit(),
            File::Sqlite(file) => file.commit(),
        };
        written.map_err(|error| self.failed(&error))
    }

    /// Returns the path of the open file.
    pub(super) fn path(&self) -> &Path {
        match &self.file {
            File::Csv(file) => file.path(),
            File::Sqlite(file) => file.path(),
        }
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure::Failed(format!("cannot write {}: {error}", self.path().display()))
    }
}

impl File {
    fn size(&self) -> u64 {
        match self {
            Self::Csv(file) => file.size(),
            Self::Sqlite(file) => file.size(),
        }
    }
}

fn open(path: &Path, format: Format) -> Result<(File, Opened), Failure> {
    let opened = match format {
        Format::Csv => CsvFile::open(path).map(|(file, opened)| (File::Csv(file), opened)),
        Format::Sqlite => Database::open(path).map(|(file, opened)| (File::Sqlite(file), opened)),
    };
    opened.map_err(|error| {
        let failure = Failure::Failed(format!("cannot record in {}: {error}", path.display()));
        let hint = match error {
            OpenError::Other(_) => Some("it is left as it is; choose another file"),
            OpenError::InUse => Some("end the other one, or choose another file"),
            OpenError::Io(_) | OpenError::Sqlite(_) => None,
        };
        failure.with_hint(hint.map(str::to_owned))
    })
}

/// Returns the path of a part: with its name before the extension.
fn part_path(path: &Path, part: &str) -> PathBuf {
    if part.is_empty() {
        return path.to_owned();
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path
        .extension()
        .map(|extension| format!(".{}", extension.to_string_lossy()));
    path.with_file_name(format!("{stem}.{part}{}", extension.unwrap_or_default()))
}

fn day(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d").to_string()
}

fn number(number: u64) -> String {
    format!("{number:04}")
}

/// Returns the parts that exist.
fn parts(path: &Path) -> impl Iterator<Item = String> {
    let whole = part_path(path, "*")
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let files = fs::read_dir(folder.unwrap_or(Path::new(".")))
        .into_iter()
        .flatten()
        .flatten();
    files.filter_map(move |file| {
        let (before, after) = whole.split_once(".*")?;
        let name = file.file_name().to_string_lossy().into_owned();
        let part = name
            .strip_prefix(before)?
            .strip_prefix('.')?
            .strip_suffix(after)?;
        Some(part.to_owned())
    })
}

/// Returns the highest number of a part, 0 if there is none.
fn last_number(path: &Path) -> u64 {
    let is_number = |part: &String| part.len() >= 4 && part.bytes().all(|byte| byte.is_ascii_digit());
    parts(path)
        .filter(is_number)
        .filter_map(|part| part.parse().ok())
        .max()
        .unwrap_or(0)
}

/// Returns the path of the last part before this day.
fn last_day(path: &Path, day: &str) -> Option<PathBuf> {
    let is_day =
        |part: &String| part.len() == 10 && part.as_str() < day && part.parse::<jiff::civil::Date>().is_ok();
    parts(path)
        .filter(is_day)
        .max()
        .map(|part| part_path(path, &part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_begun_each_day_or_at_a_size() {
        assert_eq!("day".parse(), Ok(Rotation::Day));
        assert_eq!("64MiB".parse(), Ok(Rotation::Size(64 << 20)));
        assert_eq!("5MB".parse(), Ok(Rotation::Size(5_000_000)));
        assert_eq!("4096".parse(), Ok(Rotation::Size(4_096)));
        for text in ["", "1KiB", "week", "1.5GiB", "-1", "99999999999GiB"] {
            assert!(text.parse::<Rotation>().is_err(), "{text}");
        }
    }

    #[test]
    fn parts_are_found_by_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lab.x.csv");
        for name in [
            "lab.x.0001.csv",
            "lab.x.0012.csv",
            "lab.x.csv",
            "lab.x.2026-11-27.csv",
            "lab.x.2026-11-28.csv",
            "lab.x.9999.sqlite",
            "lab.9999.csv",
            "lab.x.12345x.csv",
        ] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(part_path(&path, "0001"), folder.path().join("lab.x.0001.csv"));
        assert_eq!(last_number(&path), 12);
        assert_eq!(
            last_day(&path, "2026-11-28"),
            Some(folder.path().join("lab.x.2026-11-27.csv"))
        );
        assert_eq!(last_day(&path, "2026-11-27"), None);
        assert_eq!(last_number(Path::new("no-such-folder/lab.csv")), 0);
    }
}
