//! The record of a manager: its file, and what is written to it.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;
use labwire_manager::Recording;
use labwire_record::{RecordOptions, Recorder};
use labwire_store::Database;

use super::options::Options;
use super::values::{RecordWhat, Size};
use crate::cli::{UsageError, set_variable};

/// Smallest size of a record. A smaller one would hold some minutes of a laboratory's day.
const SMALLEST: Size = Size(1 << 20);

/// The record of a start.
pub(super) struct Prepared {
    pub(super) recording: Recording,
    /// Its file, also if that cannot be used; `None` if nothing is to be recorded.
    pub(super) file: Option<PathBuf>,
    /// A line of the log about it.
    pub(super) told: Result<String, String>,
}

/// Returns the file of the record of a manager with this database: `manager.record.sqlite3` beside
/// `manager.sqlite3`.
pub(crate) fn record_beside(database: &Path) -> PathBuf {
    let stem = database.file_stem().unwrap_or_default();
    let mut name = stem.to_owned();
    name.push(".record.");
    name.push(database.extension().unwrap_or("sqlite3".as_ref()));
    database.with_file_name(name)
}

/// Returns the file that the options name, or else the one beside this database.
pub(super) fn path(options: &Options, database: &Path) -> PathBuf {
    let named = options.record_file.clone();
    named.unwrap_or_else(|| record_beside(database))
}

/// Where a manager records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RecordPlace {
    /// It records nothing.
    Nothing,
    /// In the file that an option or a variable names.
    Named(PathBuf),
    /// Where the manager that was started last with the database does, or else beside the database.
    Usual,
}

/// Returns where a manager records that is started in this environment, with these options in its
/// configuration.
pub(crate) fn record_in(options: &Options) -> RecordPlace {
    let what = set_variable("LABWIRE_RECORD").and_then(|text| {
        let text = text.to_str()?;
        RecordWhat::from_str(text, false).ok()
    });
    if what.or(options.record) == Some(RecordWhat::Nothing) {
        return RecordPlace::Nothing;
    }
    let named = set_variable("LABWIRE_RECORD_FILE").map(PathBuf::from);
    named
        .or_else(|| options.record_file.clone())
        .map_or(RecordPlace::Usual, RecordPlace::Named)
}

/// Notes in the database where its manager records, for commands that change the database.
pub(super) fn note(record: &Prepared, database: &mut Database) -> anyhow::Result<()> {
    let file = record.file.as_deref().map(std::path::absolute).transpose()?;
    Ok(database.note_record(file.as_deref())?)
}

/// Returns the warning that [`note`] failed.
pub(super) fn not_noted(error: &dyn Display) -> String {
    format!("commands do not learn where this manager records: {error}")
}

/// Returns the limits of the record.
pub(super) fn options(options: &Options) -> Result<RecordOptions, UsageError> {
    let usual = RecordOptions::default();
    let max_bytes = match options.record_max_size {
        None => usual.max_bytes,
        Some(Size(0)) => 0,
        Some(size) if size < SMALLEST => {
            return Err(UsageError(format!(
                "--record-max-size can be {SMALLEST} or more, or 0 for any size, it cannot be {size}"
            )));
        }
        Some(Size(bytes)) => bytes as u64,
    };
    Ok(RecordOptions {
        max_age_days: options.record_max_days.unwrap_or(usual.max_age_days),
        max_bytes,
    })
}

/// Opens the record.
///
/// # Errors
/// If it cannot be opened, and an option asks for it. Without such an option, a manager starts all the
/// same, and the log says that nothing is recorded.
pub(super) fn prepare(options: &Options, database: &Path) -> anyhow::Result<Prepared> {
    let what = options.record.unwrap_or_default();
    if what == RecordWhat::Nothing {
        return Ok(Prepared {
            recording: Recording::Nothing,
            file: None,
            told: Ok("nothing is recorded (--record nothing)".to_owned()),
        });
    }
    let path = path(options, database);
    let remedy = "choose another file with --record-file or LABWIRE_RECORD_FILE, or record nothing with --record nothing";
    match Recorder::open(&path, &self::options(options)?) {
        Ok(recorder) => Ok(Prepared {
            recording: match what {
                RecordWhat::Calls => Recording::Calls(recorder),
                RecordWhat::ExceptCalls | RecordWhat::Nothing => Recording::ExceptCalls(recorder),
            },
            file: Some(path.clone()),
            told: Ok(format!("the record is {}", path.display())),
        }),
        Err(error) if options.record.is_none() && options.record_file.is_none() => Ok(Prepared {
            recording: Recording::Nothing,
            file: Some(path.clone()),
            told: Err(format!(
                "nothing is recorded, since the record {} cannot be used: {error} ({remedy})",
                path.display()
            )),
        }),
        Err(error) => {
            Err(error).with_context(|| format!("cannot use the record {} ({remedy})", path.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_has_the_name_of_its_database() {
        for (database, record) in [
            ("/lab/manager.sqlite3", "/lab/manager.record.sqlite3"),
            ("lab.db", "lab.record.db"),
            ("lab", "lab.record.sqlite3"),
        ] {
            assert_eq!(record_beside(Path::new(database)), Path::new(record));
        }
    }

    #[test]
    fn a_size_that_holds_nothing_is_refused_by_name() {
        let with = |size| Options {
            record_max_size: Some(Size(size)),
            ..Options::default()
        };
        assert_eq!(options(&Options::default()).unwrap(), RecordOptions::default());
        assert_eq!(options(&with(0)).unwrap().max_bytes, 0);
        assert_eq!(options(&with(1 << 20)).unwrap().max_bytes, 1 << 20);
        let error = options(&with(1 << 19)).unwrap_err().to_string();
        assert!(
            error.starts_with("--record-max-size can be 1MiB or more"),
            "{error}"
        );
    }
}
