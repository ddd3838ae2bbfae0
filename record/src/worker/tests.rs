use std::path::Path;

use rusqlite::Connection;

use super::*;
use crate::calls::{CallSeries, Caller};
use crate::entry::Outcome;
use crate::file::tests::{empty, locks};
use crate::reader::{Filter, Order, Reader};
use crate::recorder::{RecordOptions, Recorder};

const DEADLINE: Duration = Duration::from_secs(30);

fn open(path: &Path) -> Recorder {
    Recorder::open(path, &RecordOptions::default()).unwrap()
}

fn lock() -> Entry {
    locks(1).remove(0)
}

fn texts(path: &Path) -> Vec<Option<String>> {
    let reader = Reader::open(path).unwrap();
    reader.verify().unwrap();
    let order = Order::OldestFirst { after: None };
    let page = reader.page(&Filter::default(), order, 1_000).unwrap();
    page.entries.into_iter().map(|entry| entry.text).collect()
}

/// Returns an entry that is always written.
fn numbered(number: usize) -> Entry {
    Entry {
        text: Some(number.to_string().into()),
        ..Entry::new(Kind::Start)
    }
}

#[test]
fn what_was_recorded_is_read_after_a_flush_and_after_the_end() {
    let (_folder, path) = empty();
    let recorder = open(&path);
    for number in 0..100 {
        recorder.record(numbered(number));
    }
    assert!(recorder.flush(DEADLINE));
    assert_eq!(texts(&path).len(), 100);
    recorder.record(numbered(100));
    recorder.close();
    let expected: Vec<_> = (0..=100).map(|number| Some(number.to_string())).collect();
    assert_eq!(texts(&path), expected);
    recorder.record(lock());
    assert_eq!((recorder.lost(), recorder.failures()), (1, 0));
    assert!(recorder.flush(Duration::ZERO));
    recorder.close();
}

#[test]
fn the_last_handle_writes_what_is_queued() {
    let (_folder, path) = empty();
    let recorder = open(&path);
    let other = recorder.clone();
    recorder.record(lock());
    drop(recorder);
    other.record(lock());
    drop(other);
    let deadline = Instant::now() + DEADLINE;
    while texts(&path).len() < 2 {
        assert!(Instant::now() < deadline, "it is not written");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn entries_are_written_in_a_second_without_being_asked_for() {
    let (_folder, path) = empty();
    let recorder = open(&path);
    for _ in 0..2 {
        let before = texts(&path).len();
        let begun = Instant::now();
        recorder.record(lock());
        while texts(&path).len() == before {
            assert!(begun.elapsed() < DEADLINE, "it is not written");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn a_lock_of_another_program_delays_entries_and_loses_none() {
    let (_folder, path) = empty();
    let recorder = open(&path);
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begun = Instant::now();
    recorder.record(lock());
    assert!(begun.elapsed() < Duration::from_millis(500), "recording waits");
    let deadline = Instant::now() + DEADLINE;
    while recorder.failures() == 0 {
        assert!(Instant::now() < deadline, "it does not notice the lock");
        assert!(!recorder.flush(Duration::from_millis(10)));
    }
    recorder.record(lock());
    other.execute_batch("COMMIT").unwrap();
    assert!(recorder.flush(DEADLINE));
    assert_eq!(texts(&path).len(), 2);
    assert_eq!(recorder.lost(), 0);
}

#[test]
fn what_does_not_fit_is_counted_and_told_by_an_entry() {
    let (_folder, path) = empty();
    let recorder = open(&path);
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // The first batch waits for the lock, and the queue behind it fills.
    let count = 2 * QUEUE + 10;
    for number in 0..count {
        recorder.record(numbered(number));
    }
    assert!(recorder.lost() >= 10);
    other.execute_batch("COMMIT").unwrap();
    recorder.record(numbered(count));
    recorder.close();
    let verified = Reader::open(&path).unwrap().verify().unwrap();
    let page = Reader::open(&path).unwrap().page(
        &Filter {
            kinds: vec![Kind::Gap],
            ..Filter::default()
        },
        Order::NewestFirst { before: None },
        10,
    );
    let gaps = page.unwrap().entries;
    assert!(!gaps.is_empty(), "nothing says that entries are missing");
    let written = verified.entries - gaps.len() as u64;
    assert_eq!(written + recorder.lost(), count as u64 + 1);
}

#[test]
fn what_is_counted_is_written_at_the_end() {
    let (_folder, path) = empty();
    let recorder = open(&path);
    for _ in 0..1_000 {
        recorder.record(Entry {
            outcome: Outcome::Refused,
            ..lock()
        });
    }
    assert!(recorder.flush(DEADLINE));
    recorder.close();
    let reader = Reader::open(&path).unwrap();
    reader.verify().unwrap();
    let order = Order::OldestFirst { after: None };
    let entries = reader.page(&Filter::default(), order, 100).unwrap().entries;
    let counts: Vec<_> = entries.iter().map(|entry| entry.count.unwrap_or(1)).collect();
    assert_eq!(counts, [1, 1, 1, 1, 1, 995]);
    assert!(entries[5].since.unwrap() <= entries[5].time);
    assert_eq!((recorder.lost(), recorder.left_out()), (0, 0));
}

#[test]
fn calls_are_summed_and_written_with_what_they_have_cost() {
    let (_folder, path) = empty();
    let recorder = open(&path);
    let caller = Arc::new(Caller {
        peer: "Ada[pc:1]".into(),
        user: None,
        address: Some([127, 0, 0, 1].into()),
    });
    let series = Arc::new(CallSeries::new(caller, "DMM".into(), "read".into()));
    let call = |begun| Call {
        series: Arc::clone(&series),
        begun,
        ended: begun + 100,
        bytes: 64,
        is_error: false,
        arguments: None,
    };
    recorder.record_call(call(0));
    assert!(recorder.flush(DEADLINE));
    assert_eq!(texts(&path).len(), 1);
    for begun in 1..100_000 {
        recorder.record_call(call(begun));
        while begun % 10_000 == 0 && !recorder.flush(DEADLINE) {}
    }
    recorder.close();
    let reader = Reader::open(&path).unwrap();
    reader.verify().unwrap();
    let order = Order::OldestFirst { after: None };
    let entries = reader.page(&Filter::default(), order, 100).unwrap().entries;
    assert!(entries.len() < 15, "{} entries", entries.len());
    let sum = |of: fn(&crate::RecordedEntry) -> Option<u64>| -> u64 {
        entries.iter().map(|entry| of(entry).unwrap_or(1)).sum()
    };
    assert_eq!(sum(|entry| entry.count), 100_000);
    assert_eq!(sum(|entry| entry.microseconds), 10_000_000);
    assert_eq!(sum(|entry| entry.bytes), 6_400_000);
    assert_eq!(entries[0].longest, Some(100));
    assert_eq!(recorder.lost(), 0);
}

#[test]
fn an_end_while_another_program_has_the_lock_takes_seconds_and_counts_what_is_lost() {
    let (_folder, path) = empty();
    let recorder = open(&path);
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    recorder.record(lock());
    let begun = Instant::now();
    recorder.close();
    assert!(begun.elapsed() < 10 * CLOSING_PATIENCE, "the end waits");
    assert_eq!(recorder.lost(), 1);
    drop(other);
    assert_eq!(texts(&path).len(), 0);
}

#[test]
fn old_entries_are_removed_when_the_record_is_opened() {
    let (_folder, path) = empty();
    let mut file = RecordFile::open(&path).unwrap();
    let old = present() - jiff::SignedDuration::from_hours(100 * 24);
    file.write(&[Entry::at(old, Kind::Link), lock()], 0).unwrap();
    drop(file);
    let recorder = Recorder::open(
        &path,
        &RecordOptions {
            max_age_days: 30,
            ..RecordOptions::default()
        },
    )
    .unwrap();
    let deadline = Instant::now() + DEADLINE;
    while texts(&path).len() > 1 {
        assert!(Instant::now() < deadline, "it is not pruned");
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(recorder);
}
