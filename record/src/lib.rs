//! The record of a manager: who did what, when, and with what outcome.
//!
//! It is one SQLite file, apart from the database of users: it grows and is pruned, and who reads it
//! needs no access to hashes of passwords. There are three ways to use it:
//!
//! - A [`Recorder`] is a handle for a server. [`Recorder::record`] only queues an [`Entry`] and
//!   never waits. Equal entries are counted in one, and each computer has a share. A thread writes
//!   many entries at once, and removes the oldest according to [`RecordOptions`], refusals first.
//!   Handles are cheap to clone.
//! - [`append`] writes the entries of a command, also while a manager writes the record.
//! - A [`Reader`] reads the file, also while a manager writes it. Its methods block.
//!
//! Entries are numbered without gaps. Each carries a SHA-256 hash over its contents and the hash of
//! the entry of its class before it (changes, refusals, calls), so that [`Reader::verify`] finds an entry that was changed or removed
//! afterwards. This reveals changes by a program that does not compute the hashes anew; it does not
//! stop a program with write access to the file from doing that.
//!
//! ```
//! use labwire_record::{Entry, Filter, Kind, Order, Reader, RecordOptions, Recorder};
//!
//! # let scratch = tempfile::tempdir()?;
//! # let path = scratch.path().join("manager.record.sqlite3");
//! let recorder = Recorder::open(&path, &RecordOptions::default())?;
//! recorder.record(Entry {
//!     peer: Some("Ada[lab-pc:50001]".into()),
//!     service: Some("DMM".into()),
//!     ..Entry::new(Kind::Lock)
//! });
//! recorder.close();
//!
//! let reader = Reader::open(&path)?;
//! let filter = Filter { service: Some("DMM".to_owned()), ..Filter::default() };
//! let page = reader.page(&filter, Order::OldestFirst { after: None }, 10)?;
//! assert_eq!(page.entries[0].kind, "lock");
//! assert_eq!(page.next, None);
//! assert_eq!(reader.verify()?.entries, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod calls;
mod chain;
mod entry;
mod error;
mod file;
mod pruning;
mod reader;
mod recorder;
mod shares;
mod time;
mod verify;
mod worker;

pub use calls::{Call, CallSeries, Caller};
pub use entry::{Cost, Entry, Kind, Outcome, RecordedEntry, Repeats};
pub use error::RecordError;
pub use reader::{Filter, LONGEST_PATTERN, MOST_ENTRIES, Order, Page, Reader, copy_record, inspect_record};
pub use recorder::{RecordOptions, Recorder, append};
pub use time::{Bound, parse_time};
pub use verify::{Fault, Verified};
