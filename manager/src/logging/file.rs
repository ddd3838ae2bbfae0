//! The log file: rotation, reopening, and counts of its failures.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use labwire_home::{for_owner, open_to_write};

/// The time between two reports of lost lines, and between two attempts to move a file aside: a
/// failure at every other line must not be reported at every other line.
const REPORT_INTERVAL: Duration = Duration::from_mins(1);

/// The size of a log file, and the number of old ones that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRotation {
    /// Bytes after which the file is moved aside and a new one is begun. 0 is no limit, for a file
    /// that another program rotates. Default: 16 MiB.
    pub max_size: u64,
    /// Old files that are kept: for `manager.log` these are `manager.log.1`, which is the newest,
    /// `manager.log.2` and so on. With 0 the file is emptied instead. Default: 4.
    pub old_files: u32,
}

impl Default for LogRotation {
    fn default() -> Self {
        Self {
            max_size: 16 * 1024 * 1024,
            old_files: 4,
        }
    }
}

/// The beginnings of a log's first line; the digit 0 stands for any digit.
const BEGINNINGS: [&[u8]; 2] = [b"0000-00-00 00:00:00", b"{\"timestamp\":\"0000-00-00T00:00:00"];

/// The number of bytes that are examined to recognise a log.
const LOOK: u64 = 4096;

/// Returns whether a file may be appended to as a log: it is one already (of Labwire or
/// MSL-Network), it is empty, or it does not exist. Returns `true` also for anything but a regular
/// file, such as a pipe, and for a file that cannot be opened.
///
/// # Errors
/// If the file can be opened but not read.
pub fn may_be_log(path: &Path) -> io::Result<bool> {
    if !path.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Ok(true);
    }
    let Ok(file) = File::open(path) else {
        return Ok(true);
    };
    let mut text = Vec::new();
    file.take(LOOK).read_to_end(&mut text)?;
    // After a power failure there may be zeros where lines were not on the disk yet.
    let zeros = text.iter().take_while(|byte| **byte == 0).count();
    let is_like = |(byte, form): (&u8, &u8)| match form {
        b'0' => byte.is_ascii_digit(),
        form => byte == form,
    };
    // The disk may have been full after a part of the first line.
    Ok(BEGINNINGS
        .iter()
        .any(|form| text[zeros..].iter().zip(*form).all(is_like)))
}

/// A log file that can be reopened while it is in use, and that loses lines instead of blocking
/// when it cannot be written.
#[derive(Clone, Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    rotation: LogRotation,
    state: Arc<Mutex<State>>,
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct State {
    file: File,
    /// The size of the file in bytes, as far as this program knows.
    size: u64,
    /// Whether the last line could not be written.
    failing: bool,
    reported: Option<Instant>,
    /// When moving the file aside last failed.
    stuck: Option<Instant>,
}

#[derive(Debug, Default)]
struct Counts {
    lost: AtomicU64,
    failures: AtomicU64,
}

/// A failure to be reported.
#[derive(Debug)]
enum Trouble {
    Lost(io::Error),
    /// The line was written, to a file that exceeds its size.
    TooLarge(io::Error),
}

impl LogFile {
    pub(super) fn open(path: &Path, rotation: LogRotation) -> io::Result<Self> {
        let file = open(path)?;
        let state = State {
            size: size(&file),
            file,
            failing: false,
            reported: None,
            stuck: None,
        };
        Ok(Self {
            path: path.to_owned(),
            rotation,
            state: Arc::new(Mutex::new(state)),
            counts: Arc::default(),
        })
    }

    pub(super) fn reopen(&self) -> io::Result<()> {
        let file = open(&self.path)?;
        let mut state = self.state();
        state.size = size(&file);
        state.file = file;
        state.stuck = None;
        Ok(())
    }

    /// Returns the number of lines that were not written.
    pub(super) fn lost(&self) -> u64 {
        self.counts.lost.load(Ordering::Relaxed)
    }

    /// Returns how often the file could no longer be written, or not be moved aside.
    pub(super) fn failures(&self) -> u64 {
        self.counts.failures.load(Ordering::Relaxed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a line, or counts it as lost. Returns a failure to be reported.
    fn write_line(&self, line: &[u8]) -> Option<Trouble> {
        let mut state = self.state();
        let too_large = self.make_room(&mut state, line.len() as u64).err();
        match state.file.write_all(line) {
            Ok(()) => {
                state.failing = false;
                state.size += line.len() as u64;
                too_large.map(Trouble::TooLarge)
            }
            Err(error) => {
                self.counts.lost.fetch_add(1, Ordering::Relaxed);
                if state.failing {
                    return None;
                }
                state.failing = true;
                self.counts.failures.fetch_add(1, Ordering::Relaxed);
                let is_news = state
                    .reported
                    .is_none_or(|reported| reported.elapsed() >= REPORT_INTERVAL);
                is_news.then(|| {
                    state.reported = Some(Instant::now());
                    Trouble::Lost(error)
                })
            }
        }
    }

    /// Begins a new file if a line of this length does not fit. After an error, which is to be
    /// reported, the old file stays in use.
    fn make_room(&self, state: &mut State, length: u64) -> io::Result<()> {
        let limit = self.rotation.max_size;
        let is_full = |size: u64| limit > 0 && size > 0 && size.saturating_add(length) > limit;
        if !is_full(state.size) || state.stuck.is_some_and(|stuck| stuck.elapsed() < REPORT_INTERVAL) {
            return Ok(());
        }
        // Another program may have emptied it meanwhile.
        state.size = size(&state.file);
        if !is_full(state.size) {
            return Ok(());
        }
        match self.begin_new_file() {
            Ok(file) => {
                state.size = size(&file);
                state.file = file;
                state.stuck = None;
                Ok(())
            }
            Err(error) => {
                state.stuck = Some(Instant::now());
                self.counts.failures.fetch_add(1, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    /// Moves the file and the old ones aside, in place of the oldest.
    fn begin_new_file(&self) -> io::Result<File> {
        // Follows a symbolic link, so that the file stays where the link leads.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let old = |number: u32| {
            let mut name = OsString::from(&path);
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        let last = self.rotation.old_files;
        if last == 0 {
            let file = open(&self.path)?;
            file.set_len(0)?;
            return Ok(file);
        }
        for number in (1..last).rev() {
            rename_if_there(&old(number), &old(number + 1))?;
        }
        rename_if_there(&path, &old(1))?;
        open(&self.path)
    }
}

impl Write for LogFile {
    /// Writes one whole line per call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // The file may not take this report, but standard output does. No lock is held here, and
        // the line that the report itself leads to is lost without a report.
        match self.write_line(line) {
            None => {}
            Some(Trouble::Lost(error)) => tracing::error!(
                "the log file {} cannot be written, its lines are lost: {error}",
                self.path.display()
            ),
            Some(Trouble::TooLarge(error)) => tracing::error!(
                "the log file {} has reached its size (--log-max-size) and cannot be moved aside, it grows on: {error}",
                self.path.display()
            ),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.state().file.flush()
    }
}

fn open(path: &Path) -> io::Result<File> {
    open_to_write(for_owner(OpenOptions::new().create(true).append(true)), path)
}

/// Returns the size of a file in bytes. Anything but a regular file, such as a terminal, has the
/// size 0, and so never becomes too large.
fn size(file: &File) -> u64 {
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        _ => 0,
    }
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const UNLIMITED: LogRotation = LogRotation {
        max_size: 0,
        old_files: 4,
    };

    fn log(folder: &tempfile::TempDir, rotation: LogRotation) -> (PathBuf, LogFile) {
        let path = folder.path().join("a.log");
        let file = LogFile::open(&path, rotation).unwrap();
        (path, file)
    }

    fn write(file: &LogFile, numbers: impl IntoIterator<Item = u32>) {
        for number in numbers {
            assert!(file.write_line(format!("{number:09}\n").as_bytes()).is_none());
        }
    }

    /// Returns the numbers of the lines in a file, and whether only its owner can read it.
    fn numbers(path: &Path) -> Vec<u32> {
        let mode = path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", path.display());
        let text = fs::read_to_string(path).unwrap();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }

    fn names(folder: &tempfile::TempDir) -> Vec<String> {
        let entries = fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_log_file_that_was_moved_away_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (path, mut file) = log(&folder, UNLIMITED);
        file.write_all(b"one\n").unwrap();
        fs::rename(&path, folder.path().join("b.log")).unwrap();
        file.reopen().unwrap();
        file.write_all(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
    }

    #[test]
    fn lines_that_a_full_disk_does_not_take_are_counted_and_told_once() {
        let file = LogFile::open(Path::new("/dev/full"), LogRotation::default()).unwrap();
        assert!(matches!(file.write_line(b"one\n"), Some(Trouble::Lost(_))));
        assert!(file.write_line(b"two\n").is_none());
        assert_eq!((file.lost(), file.failures()), (2, 1));
    }

    #[test]
    fn a_file_never_becomes_larger_than_it_may_and_the_newest_old_ones_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let rotation = LogRotation {
            max_size: 30,
            old_files: 2,
        };
        let (path, file) = log(&folder, rotation);
        write(&file, 0..11);
        assert_eq!(names(&folder), ["a.log", "a.log.1", "a.log.2"]);
        assert_eq!(numbers(&path), [9, 10]);
        assert_eq!(numbers(&folder.path().join("a.log.1")), [6, 7, 8]);
        assert_eq!(numbers(&folder.path().join("a.log.2")), [3, 4, 5]);
        assert_eq!((file.lost(), file.failures()), (0, 0));
        // A line that is longer than the limit has a file of its own.
        assert!(file.write_line(&[b'x'; 100]).is_none());
        write(&file, [11]);
        assert_eq!(numbers(&path), [11]);
    }

    #[test]
    fn without_old_files_the_file_is_emptied_and_without_a_limit_it_grows() {
        let folder = tempfile::tempdir().unwrap();
        let rotation = LogRotation {
            max_size: 30,
            old_files: 0,
        };
        let (path, file) = log(&folder, rotation);
        write(&file, 0..10);
        assert_eq!(numbers(&path), [9]);
        let file = LogFile::open(&path, UNLIMITED).unwrap();
        write(&file, 10..100);
        assert_eq!((numbers(&path).len(), names(&folder).len()), (91, 1));
    }

    #[test]
    fn what_was_in_the_file_counts_and_what_another_program_has_emptied_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let rotation = LogRotation {
            max_size: 30,
            old_files: 1,
        };
        let (path, file) = log(&folder, rotation);
        write(&file, 0..2);
        let file = LogFile::open(&path, rotation).unwrap();
        write(&file, 2..4);
        assert_eq!(numbers(&path), [3]);
        // As logrotate's `copytruncate` does.
        write(&file, 4..6);
        OpenOptions::new().write(true).truncate(true).open(&path).unwrap();
        write(&file, 6..8);
        assert_eq!(numbers(&path), [6, 7]);
        // Another program has moved it away, and has not asked for a new one yet.
        write(&file, [8]);
        fs::rename(&path, folder.path().join("moved")).unwrap();
        write(&file, [9]);
        assert_eq!(numbers(&path), [9]);
        assert_eq!(numbers(&folder.path().join("moved")), [6, 7, 8]);
    }

    #[test]
    fn a_link_goes_on_leading_to_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let (link, target) = (folder.path().join("a.log"), elsewhere.path().join("real.log"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let rotation = LogRotation {
            max_size: 30,
            old_files: 1,
        };
        let file = LogFile::open(&link, rotation).unwrap();
        write(&file, 0..4);
        assert_eq!(numbers(&target), [3]);
        assert_eq!(numbers(&elsewhere.path().join("real.log.1")), [0, 1, 2]);
        assert_eq!(names(&folder), ["a.log"]);
    }

    #[test]
    fn a_file_that_cannot_be_moved_aside_is_written_on_and_that_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let rotation = LogRotation {
            max_size: 30,
            old_files: 1,
        };
        let (path, file) = log(&folder, rotation);
        // Nothing can take the place of a folder.
        fs::create_dir(folder.path().join("a.log.1")).unwrap();
        write(&file, 0..3);
        assert!(matches!(
            file.write_line(b"000000003\n"),
            Some(Trouble::TooLarge(_))
        ));
        write(&file, 4..6);
        assert_eq!(numbers(&path), [0, 1, 2, 3, 4, 5]);
        assert_eq!((file.lost(), file.failures()), (0, 1));
        // Once it can be, asking for it is enough.
        fs::remove_dir(folder.path().join("a.log.1")).unwrap();
        file.reopen().unwrap();
        write(&file, [6]);
        assert_eq!(numbers(&path), [6]);
    }
}
