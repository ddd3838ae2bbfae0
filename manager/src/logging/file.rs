//! The log file: opened anew on demand, and how it fares.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Between two reports that lines were lost: a disk that is full at every other line must not be reported at
/// every other line.
const REPORT_INTERVAL: Duration = Duration::from_mins(1);

/// A log file that can be opened anew while it is written to, and that loses lines rather than time when it
/// cannot be written.
#[derive(Clone, Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    state: Arc<Mutex<State>>,
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct State {
    file: File,
    /// Since when nothing can be written.
    failing: bool,
    reported: Option<Instant>,
}

#[derive(Debug, Default)]
struct Counts {
    lost: AtomicU64,
    failures: AtomicU64,
}

impl LogFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let state = State {
            file: open(path)?,
            failing: false,
            reported: None,
        };
        Ok(Self {
            path: path.to_owned(),
            state: Arc::new(Mutex::new(state)),
            counts: Arc::default(),
        })
    }

    pub(super) fn reopen(&self) -> io::Result<()> {
        let file = open(&self.path)?;
        self.state().file = file;
        Ok(())
    }

    /// Lines that were not written.
    pub(super) fn lost(&self) -> u64 {
        self.counts.lost.load(Ordering::Relaxed)
    }

    /// How often it became a file that cannot be written.
    pub(super) fn failures(&self) -> u64 {
        self.counts.failures.load(Ordering::Relaxed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a line, or counts it as lost. Gives the error if it is one to report.
    fn write_line(&self, line: &[u8]) -> Option<io::Error> {
        let mut state = self.state();
        match state.file.write_all(line) {
            Ok(()) => {
                state.failing = false;
                None
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
                    error
                })
            }
        }
    }
}

impl Write for LogFile {
    /// Takes a whole line at a time.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(error) = self.write_line(line) {
            // The file does not take it, but standard output does. Nothing is locked here, and the line that
            // this one leads to is lost without a word.
            tracing::error!(
                "the log file {} cannot be written, its lines are lost: {error}",
                self.path.display()
            );
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.state().file.flush()
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_file_that_was_moved_away_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut file = LogFile::open(&path).unwrap();
        file.write_all(b"one\n").unwrap();
        std::fs::rename(&path, folder.path().join("b.log")).unwrap();
        file.reopen().unwrap();
        file.write_all(b"two\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
    }

    #[test]
    fn lines_that_a_full_disk_does_not_take_are_counted_and_told_once() {
        let file = LogFile::open(Path::new("/dev/full")).unwrap();
        assert!(file.write_line(b"one\n").is_some());
        assert!(file.write_line(b"two\n").is_none());
        assert_eq!((file.lost(), file.failures()), (2, 1));
    }
}
