//! Removes the oldest entries when they are too old, or the file too large.
//!
//! The clock alone does not decide. A computer with an empty battery or a mistyped year may have a
//! clock at 2031 for a while, and entries removed then would be lost for good. So ages are measured
//! from a *date of reference*. It starts at the newest entry, follows the clock, and advances by at
//! most one day per hour of the manager's running time. The table of connections is pruned in the
//! same way.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::date;
use jiff::tz::TimeZone;
use rusqlite::{OptionalExtension, Transaction, params};

use crate::entry::Class;
use crate::file::{RecordFile, hash};

/// The entries per step: more than are written at once, so that the limit on the size is kept. The
/// write lock is then held for some ten milliseconds.
const STEP: i64 = 20_000;

/// How many times faster than the manager's running time the date of reference follows the clock:
/// one day per hour. A manager that runs for an hour a day keeps up.
const CATCHING_UP: i64 = 24;

/// The microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// Calls, and refusals, are removed before other entries while they are more than the whole divided by
/// this.
const MOST_OF_CLASS: i64 = 10;

/// The most pages that are returned to the system in one step.
const RETURNED_PAGES: i64 = 2_000;

/// The limits of a record. Zero means no limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordLimits {
    pub(crate) bytes: u64,
    pub(crate) days: u64,
}

/// Returns a clock before which it is not set: Labwire did not exist then.
fn first_date() -> i64 {
    date(2026, 1, 1)
        .to_zoned(TimeZone::UTC)
        .map_or(0, |zoned| zoned.timestamp().as_microsecond())
}

/// Returns the date of reference after the manager has run for this additional time. A clock that is
/// not set changes nothing. All in microseconds.
fn advanced(reference: i64, now: i64, running: Duration) -> i64 {
    if now < first_date() {
        return reference;
    }
    let running = i64::try_from(running.as_micros()).unwrap_or(i64::MAX);
    reference
        .saturating_add(running.saturating_mul(CATCHING_UP))
        .min(now)
}

impl RecordFile {
    /// Returns the time of the newest entry, in microseconds.
    pub(crate) fn newest_time(&self) -> rusqlite::Result<Option<i64>> {
        self.connection
            .query_row("SELECT time FROM entries ORDER BY id DESC LIMIT 1", [], |row| {
                row.get(0)
            })
            .optional()
    }

    /// Advances the date of reference, `running` after it was advanced before, and returns it in
    /// microseconds. `newest` is the time of the newest entry from before the manager's start, since
    /// later ones may have a wrong date.
    pub(crate) fn reference(
        &mut self,
        newest: Option<i64>,
        now: Timestamp,
        running: Duration,
    ) -> rusqlite::Result<i64> {
        let now = now.as_microsecond();
        let change = self.change()?;
        let stored: Option<i64> = change.query_row("SELECT reference FROM ages", [], |row| row.get(0))?;
        let reference = match stored {
            Some(stored) => advanced(stored, now, running),
            None => newest.map_or(now, |newest| newest.min(now)),
        };
        change.execute("UPDATE ages SET reference = ?1", [reference])?;
        change.commit()?;
        // An earlier clock takes precedence over the stored date.
        Ok(reference.min(now))
    }

    /// Removes the oldest entries if they are too old, at most [`STEP`]. Returns how many.
    pub(crate) fn prune_old(
        &mut self,
        limits: RecordLimits,
        reference: i64,
        now: Timestamp,
    ) -> rusqlite::Result<usize> {
        let days = i64::try_from(limits.days).unwrap_or(i64::MAX);
        let (true, Some(cutoff)) = (
            days > 0,
            days.checked_mul(DAY).and_then(|age| reference.checked_sub(age)),
        ) else {
            return Ok(0);
        };
        let change = self.change()?;
        // An entry with a time to come, from a clock that was wrong, keeps no older ones from being
        // removed.
        let recent: Option<i64> = change
            .query_row(
                "SELECT id FROM entries WHERE time BETWEEN ?1 AND ?2 ORDER BY id LIMIT 1",
                params![cutoff, now.as_microsecond()],
                |row| row.get(0),
            )
            .optional()?;
        let first: Option<i64> = change.query_row("SELECT min(id) FROM entries", [], |row| row.get(0))?;
        let Some(first) = first else { return Ok(0) };
        let end = recent.unwrap_or(i64::MAX).min(first.saturating_add(STEP));
        let last: Option<i64> = change.query_row(
            "SELECT max(id) FROM entries WHERE id < ?1 AND time < ?2",
            params![end, cutoff],
            |row| row.get(0),
        )?;
        let removed = match last {
            Some(last) => remove_up_to(&change, last)?,
            None => 0,
        };
        change.commit()?;
        Ok(removed)
    }

    /// Removes entries if the file is too large, at most [`STEP`]. Returns how many.
    ///
    /// The oldest calls go first, and then the oldest refusals, until those that are left are a
    /// [tenth](MOST_OF_CLASS) of all entries. So what anybody can cause removes nothing else, and there
    /// are always some that are new.
    pub(crate) fn prune_excess(&mut self, limits: RecordLimits) -> rusqlite::Result<usize> {
        if limits.bytes == 0 || self.size()? <= limits.bytes {
            return Ok(0);
        }
        let change = self.change()?;
        let mut counts = [0; Class::ALL.len()];
        for (class, count) in Class::ALL.into_iter().zip(&mut counts) {
            *count = change.query_row(
                "SELECT count(*) FROM entries WHERE class = ?1",
                [class.number()],
                |row| row.get::<_, i64>(0),
            )?;
        }
        let most = counts.iter().sum::<i64>() / MOST_OF_CLASS;
        let is_first = |class: &Class| counts[class.index()] > most;
        let class = [Class::Call, Class::Refusal].into_iter().find(is_first);
        let class = class.unwrap_or(Class::Change);
        // A tenth, so that there is room for a while, and never the newest one.
        let count = counts[class.index()];
        let tenth = (count / 10).clamp(1, STEP).min(count - 1);
        if tenth <= 0 {
            return Ok(0);
        }
        let last = change.query_row(
            "SELECT id FROM entries WHERE class = ?1 ORDER BY id LIMIT 1 OFFSET ?2",
            params![class.number(), tenth - 1],
            |row| row.get(0),
        )?;
        let removed = remove_class_up_to(&change, class, last)?;
        change.commit()?;
        Ok(removed)
    }

    /// Returns some free pages of a file that was larger to the system. Returns whether there may be
    /// more.
    pub(crate) fn shrink(&self, limits: RecordLimits) -> rusqlite::Result<bool> {
        if limits.bytes == 0 {
            return Ok(false);
        }
        let [pages, free, size] = self.pages()?;
        let excess = (pages * size).saturating_sub(i64::try_from(limits.bytes).unwrap_or(i64::MAX));
        let wanted = (excess / size).min(free);
        if wanted <= 0 {
            return Ok(false);
        }
        let step = wanted.min(RETURNED_PAGES);
        let mut vacuum = self
            .connection
            .prepare(&format!("PRAGMA incremental_vacuum({step})"))?;
        // Each step returns a page.
        let mut pages = vacuum.query([])?;
        while pages.next()?.is_some() {}
        Ok(wanted > step)
    }

    /// Returns the bytes that are used, without free pages.
    fn size(&self) -> rusqlite::Result<u64> {
        let [pages, free, size] = self.pages()?;
        Ok(u64::try_from((pages - free) * size).unwrap_or(0))
    }

    /// Returns the number of pages, of free ones, and the size of one.
    fn pages(&self) -> rusqlite::Result<[i64; 3]> {
        let pragma = |name: &str| {
            self.connection
                .query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0))
        };
        Ok([
            pragma("page_count")?,
            pragma("freelist_count")?,
            pragma("page_size")?,
        ])
    }
}

/// Removes the entries up to this number. Returns how many there were.
fn remove_up_to(change: &Transaction<'_>, last: i64) -> rusqlite::Result<usize> {
    let mut removed = 0;
    for class in Class::ALL {
        removed += remove_class_up_to(change, class, last)?;
    }
    Ok(removed)
}

/// Removes the entries of a class up to this number. Returns how many there were.
fn remove_class_up_to(change: &Transaction<'_>, class: Class, last: i64) -> rusqlite::Result<usize> {
    let class = class.number();
    let kept = change
        .query_row(
            "SELECT id, hash FROM entries WHERE class = ?1 AND id <= ?2 ORDER BY id DESC LIMIT 1",
            params![class, last],
            |row| Ok((row.get::<_, i64>(0)?, hash(row, 1)?)),
        )
        .optional()?;
    let Some((id, hash)) = kept else { return Ok(0) };
    change.execute(
        "UPDATE begins SET id = ?1, hash = ?2 WHERE class = ?3",
        params![id, hash, class],
    )?;
    change.execute(
        "DELETE FROM entries WHERE class = ?1 AND id <= ?2",
        params![class, id],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Entry, Kind, Outcome};
    use crate::file::tests::{empty, locks};
    use crate::reader::{Filter, Order, Reader};

    const HOUR: Duration = Duration::from_hours(1);

    fn days(days: u64) -> RecordLimits {
        RecordLimits { bytes: 0, days }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn write_at(file: &mut RecordFile, times: &[&str]) {
        let entries: Vec<_> = times.iter().map(|time| Entry::at(at(time), Kind::Lock)).collect();
        file.write(&entries, 0).unwrap();
    }

    fn ids(path: &std::path::Path) -> Vec<i64> {
        let reader = Reader::open(path).unwrap();
        reader.verify().unwrap();
        let order = Order::OldestFirst { after: None };
        let page = reader.page(&Filter::default(), order, 100).unwrap();
        page.entries.iter().map(|entry| entry.id).collect()
    }

    fn prune(file: &mut RecordFile, limits: RecordLimits, newest: Option<i64>, now: &str) -> usize {
        let reference = file.reference(newest, at(now), HOUR).unwrap();
        file.prune_old(limits, reference, at(now)).unwrap()
    }

    #[test]
    fn old_entries_go_and_the_chain_still_holds() {
        let (_folder, path) = empty();
        let mut file = RecordFile::open(&path).unwrap();
        write_at(
            &mut file,
            &[
                "2026-01-01T00:00:00Z",
                "2026-02-01T00:00:00Z",
                "2026-11-01T00:00:00Z",
                "2026-11-28T00:00:00Z",
            ],
        );
        let newest = file.newest_time().unwrap();
        assert_eq!(prune(&mut file, days(30), newest, "2026-11-29T00:00:00Z"), 2);
        assert_eq!(ids(&path), [3, 4]);
        assert_eq!(prune(&mut file, days(0), newest, "2026-11-29T00:00:00Z"), 0);
        file.write(&locks(1), 0).unwrap();
        assert_eq!(ids(&path), [3, 4, 5]);
    }

    #[test]
    fn a_clock_that_jumps_ahead_removes_nothing_at_once() {
        let (_folder, path) = empty();
        let mut file = RecordFile::open(&path).unwrap();
        write_at(&mut file, &["2026-10-31T00:00:00Z", "2026-11-28T00:00:00Z"]);
        let newest = file.newest_time().unwrap();
        for _ in 0..3 {
            assert_eq!(prune(&mut file, days(30), newest, "2031-01-01T00:00:00Z"), 0);
            write_at(&mut file, &["2031-01-01T00:00:00Z"]);
        }
        // The clock is right again: the entries from the time to come are no reason to keep others.
        assert_eq!(prune(&mut file, days(30), newest, "2026-12-20T00:00:00Z"), 1);
        write_at(&mut file, &["2026-12-20T00:00:00Z", "2026-12-20T00:00:01Z"]);
        assert_eq!(ids(&path), [2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn a_clock_that_is_not_set_removes_nothing() {
        let (_folder, path) = empty();
        let mut file = RecordFile::open(&path).unwrap();
        write_at(&mut file, &["2026-11-01T00:00:00Z"]);
        let newest = file.newest_time().unwrap();
        prune(&mut file, days(30), newest, "2026-11-02T00:00:00Z");
        assert_eq!(prune(&mut file, days(30), newest, "1970-01-01T00:00:30Z"), 0);
        assert_eq!(ids(&path), [1]);
    }

    #[test]
    fn a_file_keeps_its_size_and_the_newest_entries() {
        const LIMIT: u64 = 256 * 1024;
        let limits = RecordLimits {
            bytes: LIMIT,
            days: 0,
        };
        let (_folder, path) = empty();
        let mut file = RecordFile::open(&path).unwrap();
        for _ in 0..50 {
            file.write(&locks(200), 0).unwrap();
            while file.prune_excess(limits).unwrap() > 0 {}
            assert!(file.size().unwrap() <= LIMIT);
        }
        let verified = Reader::open(&path).unwrap().verify().unwrap();
        assert_eq!(verified.last.unwrap().0, 10_000);
        assert!(verified.entries > 500, "{} entries", verified.entries);
    }

    #[test]
    fn refusals_and_calls_are_removed_before_what_was_done_and_the_newest_of_them_stay() {
        let limits = RecordLimits {
            bytes: 256 * 1024,
            days: 0,
        };
        let (_folder, path) = empty();
        let mut file = RecordFile::open(&path).unwrap();
        file.write(&locks(500), 0).unwrap();
        let refused = Entry {
            outcome: Outcome::Refused,
            ..locks(1).remove(0)
        };
        let called = Entry {
            kind: Kind::Call,
            ..locks(1).remove(0)
        };
        let count = |path: &std::path::Path, kind, outcome| {
            let reader = Reader::open(path).unwrap();
            reader.verify().unwrap();
            let filter = Filter {
                kinds: vec![kind],
                outcomes: vec![outcome],
                ..Filter::default()
            };
            let order = Order::NewestFirst { before: None };
            reader.page(&filter, order, 1_000).unwrap().entries.len()
        };
        for _ in 0..50 {
            file.write(&vec![refused.clone(); 100], 0).unwrap();
            file.write(&vec![called.clone(); 100], 0).unwrap();
            while file.prune_excess(limits).unwrap() > 0 {}
        }
        assert!(file.size().unwrap() <= limits.bytes);
        assert_eq!(count(&path, Kind::Lock, Outcome::Ok), 500);
        assert!(count(&path, Kind::Lock, Outcome::Refused) > 100);
        assert!(count(&path, Kind::Call, Outcome::Ok) > 20);
        // What was done removes older things that were done only when the others are few.
        for _ in 0..50 {
            file.write(&locks(100), 0).unwrap();
            while file.prune_excess(limits).unwrap() > 0 {}
        }
        let [done, refused] =
            [Outcome::Ok, Outcome::Refused].map(|outcome| count(&path, Kind::Lock, outcome));
        assert!(refused >= 50 && done > 500, "{refused} refused, {done} done");
        assert!(file.size().unwrap() <= limits.bytes);
    }

    #[test]
    fn a_file_becomes_smaller_with_a_smaller_limit() {
        let (_folder, path) = empty();
        let mut file = RecordFile::open(&path).unwrap();
        file.write(&locks(20_000), 0).unwrap();
        let limits = RecordLimits {
            bytes: 128 * 1024,
            days: 0,
        };
        while file.prune_excess(limits).unwrap() > 0 {}
        while file.shrink(limits).unwrap() {}
        let [pages, _, size] = file.pages().unwrap();
        assert!(pages * size <= 256 * 1024, "{} bytes", pages * size);
    }
}
