//! The handle of a record that is written.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::calls::Call;
use crate::entry::Entry;
use crate::error::RecordError;
use crate::file::RecordFile;
use crate::pruning::RecordLimits;
use crate::worker::{Shared, Worker};

/// The options of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordOptions {
    /// The age in days up to which entries are kept. 0 means no limit. The default is 400, as for the
    /// table of connections.
    ///
    /// A clock that jumps by years removes nothing at once: ages are measured from a date that
    /// starts at the newest entry and follows the clock by one day per hour of running time.
    pub max_age_days: u64,
    /// The size of the file in bytes from which on the oldest entries are removed: calls and refusals
    /// first, while they are more than a tenth of all. 0 means no limit.
    /// The default is 256 MiB, about a million entries. Beside the file, SQLite keeps a log of up to
    /// 16 MiB.
    pub max_bytes: u64,
}

impl Default for RecordOptions {
    fn default() -> Self {
        Self {
            max_age_days: 400,
            max_bytes: 256 << 20,
        }
    }
}

/// A handle of a record that is written. Clones share one thread, which writes what is queued and
/// ends when the last of them is dropped.
#[derive(Clone, Debug)]
pub struct Recorder {
    path: Arc<Path>,
    owner: Arc<Owner>,
}

/// Ends the thread when the last handle is dropped.
#[derive(Debug)]
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.begin_closing();
    }
}

/// Writes entries to a record, also while a manager writes it, and creates its missing parts as
/// [`Recorder::open`] does. For commands: nothing is counted or left out.
///
/// Blocks for some milliseconds, or up to 5 seconds while another program has the file locked.
///
/// # Errors
/// Those of [`Recorder::open`] except [`RecordError::Thread`].
pub fn append(path: &Path, entries: &[Entry]) -> Result<(), RecordError> {
    Ok(RecordFile::open(path)?.write(entries, 0)?)
}

impl Recorder {
    /// Opens a record and starts its thread. Creates the missing parts: the folder (mode 0700), the
    /// file (mode 0600) and the tables.
    ///
    /// Blocks for some milliseconds, or up to 5 seconds while another program has the file locked.
    ///
    /// # Errors
    /// [`RecordError::Unreachable`] if the file cannot be created, [`RecordError::NoFile`] if it is a
    /// pipe or a device, [`RecordError::Other`] if it is a database of something else,
    /// [`RecordError::TooNew`], [`RecordError::Database`] if SQLite cannot use it, and
    /// [`RecordError::Thread`].
    pub fn open(path: &Path, options: &RecordOptions) -> Result<Self, RecordError> {
        let file = RecordFile::open(path)?;
        let shared = Arc::<Shared>::default();
        let limits = RecordLimits {
            bytes: options.max_bytes,
            days: options.max_age_days,
        };
        let worker = Worker::new(file, limits, Arc::clone(&shared));
        std::thread::Builder::new()
            .name("record".to_owned())
            .spawn(move || worker.run())
            .map_err(RecordError::Thread)?;
        Ok(Self {
            path: path.into(),
            owner: Arc::new(Owner(shared)),
        })
    }

    /// Returns the path of the file, as it was given.
    pub fn path(&self) -> PathBuf {
        self.path.to_path_buf()
    }

    /// Queues an entry. Never waits: if the queue is full, the entry is lost. The number of lost
    /// entries is counted, and written as an entry of its own later.
    ///
    /// Equal entries of one address that follow each other fast are counted, and written as one with
    /// their number ([`Repeats`](crate::Repeats)) up to ten minutes later, or when the record is
    /// closed; a program that is killed loses the number, but not the first entries, which say that it
    /// happened. Entries beyond the share of an address, or of all together, are left out, and an entry of
    /// the kind [`Gap`](crate::Kind::Gap) tells how many.
    ///
    /// Entries are written within about a fifth of a second, unless the file is locked or cannot be
    /// written.
    pub fn record(&self, entry: Entry) {
        self.owner.0.push(entry);
    }

    /// Queues a call that was answered, in less than a tenth of a microsecond. Never waits: if too many
    /// are queued, it is dropped. The number of dropped calls is written as an entry of its own later.
    ///
    /// Of equal calls, the first ones in a minute have an entry each, and the others one entry with their
    /// number and what they have cost ([`Cost`](crate::Cost)).
    pub fn record_call(&self, call: Call) {
        self.owner.0.push_call(call);
    }

    /// Waits until everything that was recorded before is written, or lost, at most for this time.
    /// Returns whether it is.
    pub fn flush(&self, patience: Duration) -> bool {
        self.owner.0.flush(patience)
    }

    /// Writes the queued entries, and closes the file. This closes all handles: later entries are
    /// lost.
    ///
    /// Blocks, for up to 2 seconds longer while another program has the file locked.
    pub fn close(&self) {
        self.owner.0.close();
    }

    /// Returns the number of entries that were lost since the record was opened.
    pub fn lost(&self) -> u64 {
        self.owner.0.lost()
    }

    /// Returns the number of entries that were left out since the record was opened: those of addresses
    /// that caused too many.
    pub fn left_out(&self) -> u64 {
        self.owner.0.left_out()
    }

    /// Returns the number of failed attempts to write or prune the record since it was opened.
    pub fn failures(&self) -> u64 {
        self.owner.0.failures()
    }
}
