//! Removes rows of the audit that are too old or too many.
//!
//! The clock alone does not decide. A computer with an empty battery or a mistyped year may have a
//! clock at 2031 for a while, and rows removed then would be lost for good. So ages are measured
//! from a *date of reference*. It starts at the newest row, follows the clock, and advances by at
//! most one day per hour of the manager's running time.

use std::time::Duration;

use jiff::civil::{DateTime, date};
use jiff::{SignedDuration, Span, Timestamp};
use labwire_home::local_time_zone;
use rusqlite::{OptionalExtension, Transaction, params};

use crate::audit::DATETIME;
use crate::database::Database;

/// A table of Labwire beside those of the reference: one row with the date of reference.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS labwire_pruning (
    id INTEGER PRIMARY KEY CHECK (id = 1), reference TEXT NOT NULL)";

/// The rows per step of pruning: more than are written at once, so that the limit is kept. The
/// write lock is then held for about ten milliseconds, and the rollback journal stays small, even
/// when the database of an old installation is pruned for the first time.
const PRUNING_STEP: i64 = 5_000;

/// How many times faster than the manager's running time the date of reference follows the clock:
/// one day per hour. A manager that runs for an hour a day keeps up.
const CATCHING_UP: i32 = 24;

/// A clock before this date is not set: Labwire did not exist then.
const FIRST_DATE: DateTime = date(2026, 1, 1).at(0, 0, 0, 0);

/// The number of newest rows to search for one with a readable date.
const ROWS_WITH_A_DATE: u32 = 100;

/// The limits of the audit. Zero means no limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AuditLimits {
    pub(crate) rows: u64,
    pub(crate) days: u64,
}

impl AuditLimits {
    /// Returns the number of the newest row beyond the limit when `newest` is the newest of all.
    /// Rows are numbered without gaps, so no count is needed, which would take seconds for a
    /// million rows.
    fn excess(self, newest: i64) -> i64 {
        match i64::try_from(self.rows) {
            Ok(0) | Err(_) => i64::MIN,
            Ok(rows) => newest.saturating_sub(rows),
        }
    }

    /// Returns the local time before which rows are too old.
    fn cutoff(self, reference: DateTime) -> Option<String> {
        let days = i64::try_from(self.days).ok().filter(|days| *days > 0)?;
        // If the span exceeds the calendar, no row is too old.
        let span = Span::new().try_days(days).ok()?;
        Some(reference.checked_sub(span).ok()?.strftime(DATETIME).to_string())
    }
}

/// The date from which the ages of rows are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reference(DateTime);

impl Reference {
    /// Returns the date for a database without one: that of its newest row, or of the clock if this
    /// is earlier.
    fn first(newest: Option<DateTime>, now: DateTime) -> Self {
        Self(newest.map_or(now, |newest| newest.min(now)))
    }

    /// Returns the date after the manager has run for this additional time. A clock that is not set
    /// changes nothing.
    fn advanced(self, now: DateTime, running: Duration) -> Self {
        if now < FIRST_DATE {
            return self;
        }
        let step = SignedDuration::try_from(running)
            .unwrap_or(SignedDuration::MAX)
            .saturating_mul(CATCHING_UP);
        Self(self.0.saturating_add(step).min(now))
    }

    /// Returns how far the clock is ahead of the date.
    fn behind(self, now: DateTime) -> SignedDuration {
        now.duration_since(self.0)
    }
}

/// The progress of a search for rows that are too old or too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Search {
    /// The number of the row from which to continue.
    from: i64,
    reference: Reference,
    removed: usize,
}

/// The result of one step of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// There may be more rows to remove.
    GoOn(Search),
    /// All of these rows were removed; contains their number.
    Done(usize),
}

impl Database {
    /// Returns the local time of the newest row with a readable one.
    pub(crate) fn newest_time(&self) -> rusqlite::Result<Option<DateTime>> {
        let mut statement = self.connection.prepare(
            "SELECT datetime FROM connections WHERE typeof(datetime) = 'text' ORDER BY pid DESC LIMIT ?1",
        )?;
        let mut rows = statement.query([ROWS_WITH_A_DATE])?;
        while let Some(row) = rows.next()? {
            let text: String = row.get(0).unwrap_or_default();
            if let Ok(time) = DateTime::strptime(DATETIME, text) {
                return Ok(Some(time));
            }
        }
        Ok(None)
    }

    /// Begins a search for rows that are too old or too many, `running` after the last search
    /// began. `newest` is the time of the newest row from before the manager's start, since later
    /// rows may have a wrong date.
    pub(crate) fn begin_pruning(
        &mut self,
        newest: Option<DateTime>,
        now: Timestamp,
        running: Duration,
    ) -> rusqlite::Result<Search> {
        let now = now.to_zoned(local_time_zone()).datetime();
        let change = self.change()?;
        change.execute_batch(TABLE)?;
        let stored: Option<String> = change
            .query_row("SELECT reference FROM labwire_pruning", [], |row| row.get(0))
            .optional()?;
        let reference = match stored.and_then(|text| DateTime::strptime(DATETIME, text).ok()) {
            Some(stored) => Reference(stored).advanced(now, running),
            None => Reference::first(newest, now),
        };
        change.execute(
            "INSERT OR REPLACE INTO labwire_pruning VALUES (1, ?1)",
            [reference.0.strftime(DATETIME).to_string()],
        )?;
        change.commit()?;
        Ok(Search {
            from: i64::MIN,
            // An earlier clock takes precedence over the stored date.
            reference: Reference(reference.0.min(now)),
            removed: 0,
        })
    }

    /// Removes rows that are too old or too many among the next [`PRUNING_STEP`] rows. The oldest
    /// rows come first, so a step that finds none is the last.
    pub(crate) fn prune_step(&mut self, search: Search, limits: AuditLimits) -> rusqlite::Result<Step> {
        let change = self.change()?;
        let newest: Option<i64> =
            change.query_row("SELECT max(pid) FROM connections", [], |row| row.get(0))?;
        let excess = newest.map_or(i64::MIN, |newest| limits.excess(newest));
        let cutoff = limits.cutoff(search.reference.0);
        let (removed, next) = prune(&change, search.from, excess, cutoff.as_deref())?;
        change.commit()?;
        let removed = search.removed + removed;
        Ok(match next {
            Some(from) => Step::GoOn(Search {
                from,
                removed,
                ..search
            }),
            None => Step::Done(removed),
        })
    }
}

impl Search {
    /// Returns the local time before which this search removes rows, in the table's format.
    pub(crate) fn cutoff(&self, limits: AuditLimits) -> Option<String> {
        limits.cutoff(self.reference.0)
    }

    /// Returns the date of reference, and how many days the clock is ahead of it.
    pub(crate) fn days_behind(&self, now: Timestamp) -> (String, i64) {
        let now = now.to_zoned(local_time_zone()).datetime();
        let days = self.reference.behind(now).as_hours() / 24;
        (self.reference.0.date().to_string(), days)
    }
}

/// Removes the oldest rows beyond the limit, given the number of the newest row. Returns how many
/// were removed.
pub(crate) fn prune_excess(
    change: &Transaction<'_>,
    newest: i64,
    limits: AuditLimits,
) -> rusqlite::Result<usize> {
    let (removed, _) = prune(change, i64::MIN, limits.excess(newest), None)?;
    Ok(removed)
}

/// Among the first rows numbered `from` or more, removes those up to `excess` and those before
/// `cutoff`. Returns how many were removed, and the number to continue from if there may be more.
fn prune(
    change: &Transaction<'_>,
    from: i64,
    excess: i64,
    cutoff: Option<&str>,
) -> rusqlite::Result<(usize, Option<i64>)> {
    let first: Option<i64> = change
        .prepare_cached("SELECT min(pid) FROM connections WHERE pid >= ?1")?
        .query_row([from], |row| row.get(0))?;
    let Some(first) = first else { return Ok((0, None)) };
    let end = first.saturating_add(PRUNING_STEP);
    let removed = change
        .prepare_cached(
            "DELETE FROM connections WHERE pid >= ?1 AND pid < ?2
                AND (pid <= ?3 OR (typeof(datetime) = 'text' AND datetime < ?4))",
        )?
        .execute(params![first, end, excess, cutoff])?;
    Ok((removed, (removed > 0).then_some(end)))
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use rusqlite::Connection;

    use super::*;
    use crate::database::tests::{empty_database, python_database};

    const HOUR: Duration = Duration::from_hours(1);
    const UNLIMITED: AuditLimits = AuditLimits { rows: 0, days: 0 };

    fn insert_at(path: &std::path::Path, times: &[&str]) {
        let mut connection = Connection::open(path).unwrap();
        let change = connection.transaction().unwrap();
        for time in times {
            let row = "INSERT INTO connections VALUES(NULL, ?, 'ip', 'domain', 1, 'x');";
            change.execute(row, [time]).unwrap();
        }
        change.commit().unwrap();
    }

    fn timestamp(local: &str) -> Timestamp {
        local
            .parse::<DateTime>()
            .unwrap()
            .to_zoned(TimeZone::system())
            .unwrap()
            .timestamp()
    }

    /// Runs a complete search at this time of the clock, `running` after the last one. Returns the
    /// number of steps.
    fn prune_all(database: &mut Database, limits: AuditLimits, now: &str, running: Duration) -> usize {
        let newest = database.newest_time().unwrap();
        let mut search = database.begin_pruning(newest, timestamp(now), running).unwrap();
        let mut steps = 1;
        while let Step::GoOn(next) = database.prune_step(search, limits).unwrap() {
            search = next;
            steps += 1;
        }
        steps
    }

    fn numbers(database: &Database) -> Vec<i64> {
        let rows = database.connections(None, None).unwrap();
        rows.into_iter().map(|row| row.0).collect()
    }

    #[test]
    fn a_database_that_grew_without_limits_is_pruned_in_steps() {
        let (_folder, path) = empty_database();
        let mut database = Database::open(&path).unwrap();
        insert_at(&path, &vec!["2026-06-01T00:00:00"; 12_000]);
        let limits = AuditLimits { rows: 3, days: 0 };
        let steps = prune_all(&mut database, limits, "2026-06-01T00:00:00", HOUR);
        assert_eq!(numbers(&database), [11_998, 11_999, 12_000]);
        assert_eq!(steps, 4);
    }

    #[test]
    fn rows_go_when_they_are_too_old_and_nothing_goes_without_limits() {
        let (_folder, path) = empty_database();
        let mut database = Database::open(&path).unwrap();
        let times = [
            "2026-05-21T11:59:59",
            "2099-01-01T00:00:00",
            "2026-05-22T11:59:59",
            "2026-05-22T12:00:00",
            "2026-06-01T12:00:00",
        ];
        insert_at(&path, &times);
        assert_eq!(
            prune_all(&mut database, UNLIMITED, "2026-06-01T12:00:00", HOUR),
            1
        );
        assert_eq!(numbers(&database).len(), 5);
        let limits = AuditLimits { rows: 0, days: 10 };
        prune_all(&mut database, limits, "2026-06-01T12:00:00", HOUR);
        assert_eq!(numbers(&database), [2, 4, 5]);
    }

    #[test]
    fn limits_beyond_every_calendar_keep_everything() {
        let (_folder, path) = python_database();
        let mut database = Database::open(&path).unwrap();
        for days in [u64::MAX, 5_000_000] {
            let limits = AuditLimits { rows: u64::MAX, days };
            prune_all(&mut database, limits, "2026-06-01T12:00:00", HOUR);
        }
        assert_eq!(numbers(&database), [1, 2]);
    }

    #[test]
    fn a_clock_that_is_years_ahead_removes_nothing_at_first_and_little_later() {
        let (_folder, path) = empty_database();
        let mut database = Database::open(&path).unwrap();
        let times = [
            "2025-11-01T12:00:00",
            "2025-11-03T12:00:00",
            "2026-11-28T12:00:00",
        ];
        insert_at(&path, &times);
        let limits = AuditLimits { rows: 0, days: 400 };
        // The manager starts often, and writes rows with the wrong date.
        for _ in 0..100 {
            prune_all(&mut database, limits, "2031-03-01T00:00:00", Duration::ZERO);
            insert_at(&path, &["2031-03-01T00:00:00"]);
        }
        assert_eq!(numbers(&database).len(), 103);
        // After ten hours of running, the date of reference is 2026-12-08; rows older than 400 days
        // are removed.
        for _ in 0..10 {
            prune_all(&mut database, limits, "2031-03-01T00:00:00", HOUR);
        }
        assert_eq!(numbers(&database)[0], 2);
        // The clock is set correctly: ages are measured by it again.
        prune_all(&mut database, limits, "2026-11-28T13:00:00", HOUR);
        prune_all(&mut database, limits, "2031-03-01T00:00:00", Duration::ZERO);
        assert_eq!(numbers(&database)[0], 2);
    }

    #[test]
    fn a_clock_that_is_not_set_removes_nothing_and_is_forgotten() {
        let (_folder, path) = empty_database();
        let mut database = Database::open(&path).unwrap();
        insert_at(&path, &["2026-01-02T12:00:00", "2027-03-01T12:00:00"]);
        let limits = AuditLimits { rows: 0, days: 400 };
        let next = "2027-03-01T13:00:00";
        prune_all(&mut database, UNLIMITED, next, HOUR);
        for _ in 0..3 {
            prune_all(&mut database, limits, "1970-01-01T00:00:30", HOUR);
            insert_at(&path, &["1970-01-01T00:00:30"]);
        }
        assert_eq!(numbers(&database).len(), 5);
        prune_all(&mut database, limits, next, HOUR);
        assert_eq!(numbers(&database), [2], "the others are older than 400 days");
    }
}
