//! The audit of connections: peers, times and outcomes.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use labwire_home::local_time_zone;
use rusqlite::params;

use crate::database::{Database, integer, text};
use crate::error::StoreError;
use crate::pruning::{AuditLimits, prune_excess};

/// The most rows in an answer about connections. At about 150 bytes of JSON per row this is a reply
/// of 15 MB, which a few busy days produce.
pub const CONNECTIONS_LIMIT: u32 = 100_000;

/// The format of `datetime`: local time to the second, as in the reference.
pub(crate) const DATETIME: &str = "%Y-%m-%dT%H:%M:%S";

/// The format of a day.
const DAY: &str = "%Y-%m-%d";

/// An event of a connection, for the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionEvent {
    /// The peer's address.
    pub ip: String,
    /// The peer's hostname, or its address if it has none.
    pub domain: String,
    /// The peer's port.
    pub port: u16,
    /// The event, such as `new connection request`.
    pub message: String,
}

/// A row of the audit: number, local time, address, hostname, port and message.
pub type ConnectionRow = (i64, String, String, String, i64, String);

/// An event with its time, which may be long before it is written.
pub(crate) struct TimedEvent {
    pub(crate) at: Timestamp,
    pub(crate) event: ConnectionEvent,
}

impl Database {
    /// Writes events in one transaction, and removes the oldest rows beyond the limit. Returns how
    /// many rows were removed.
    pub(crate) fn write_events(
        &mut self,
        events: &[TimedEvent],
        limits: AuditLimits,
    ) -> rusqlite::Result<usize> {
        let zone = local_time_zone();
        let change = self.change()?;
        {
            let mut insert =
                change.prepare_cached("INSERT INTO connections VALUES (NULL, ?1, ?2, ?3, ?4, ?5)")?;
            for TimedEvent { at, event } in events {
                let at = at.to_zoned(zone.clone()).strftime(DATETIME).to_string();
                insert.execute(params![at, event.ip, event.domain, event.port, event.message])?;
            }
        }
        let removed = prune_excess(&change, change.last_insert_rowid(), limits)?;
        change.commit()?;
        Ok(removed)
    }

    /// Returns the newest [`CONNECTIONS_LIMIT`] rows between two times, both included, ordered by
    /// number.
    ///
    /// A time is `yyyy-mm-dd` or `yyyy-mm-ddTHH:MM:SS`. If the end is a day, all of that day is
    /// included.
    pub(crate) fn connections(
        &self,
        start: Option<&str>,
        end: Option<&str>,
    ) -> Result<Vec<ConnectionRow>, StoreError> {
        let start = start.map(|text| time_bound(text, "T00:00:00")).transpose()?;
        let end = end.map(|text| time_bound(text, "T23:59:59")).transpose()?;
        let mut statement = self.connection.prepare_cached(
            "SELECT pid, datetime, ip_address, domain, port, message FROM connections
                WHERE (?1 IS NULL OR datetime >= ?1) AND (?2 IS NULL OR datetime <= ?2)
                ORDER BY pid DESC LIMIT ?3",
        )?;
        let rows = statement.query_map(params![start, end, CONNECTIONS_LIMIT], |row| {
            Ok((
                row.get(0)?,
                text(row, 1),
                text(row, 2),
                text(row, 3),
                integer(row, 4),
                text(row, 5),
            ))
        })?;
        let mut rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        rows.reverse();
        Ok(rows)
    }
}

/// Validates a time from a peer. Appends the given time of day to a day.
fn time_bound(text: &str, time_of_day: &str) -> Result<String, StoreError> {
    // The table compares texts, so a time must have exactly the table's format.
    let day = Date::strptime(DAY, text).is_ok_and(|day| day.strftime(DAY).to_string() == text);
    if day {
        Ok(format!("{text}{time_of_day}"))
    } else if DateTime::strptime(DATETIME, text)
        .is_ok_and(|moment| moment.strftime(DATETIME).to_string() == text)
    {
        Ok(text.to_owned())
    } else {
        Err(StoreError::TimeMalformed {
            value: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::database::tests::{empty_database, python_database};

    const UNLIMITED: AuditLimits = AuditLimits { rows: 0, days: 0 };

    fn events(count: usize) -> Vec<TimedEvent> {
        let event = ConnectionEvent {
            ip: "192.0.2.1".to_owned(),
            domain: "bench".to_owned(),
            port: 65_535,
            message: "disconnected".to_owned(),
        };
        (0..count)
            .map(|_| TimedEvent {
                at: Timestamp::now(),
                event: event.clone(),
            })
            .collect()
    }

    fn numbers(database: &Database) -> Vec<i64> {
        database
            .connections(None, None)
            .unwrap()
            .into_iter()
            .map(|row| row.0)
            .collect()
    }

    fn between(database: &Database, start: Option<&str>, end: Option<&str>) -> Vec<i64> {
        database
            .connections(start, end)
            .unwrap()
            .into_iter()
            .map(|row| row.0)
            .collect()
    }

    #[test]
    fn a_written_event_is_read_back_with_its_local_time() {
        let (_folder, path) = empty_database();
        let mut database = Database::open(&path).unwrap();
        let written = events(1);
        database.write_events(&written, UNLIMITED).unwrap();
        let (number, at, ip, domain, port, message) =
            database.connections(None, None).unwrap().pop().unwrap();
        let expected = written[0]
            .at
            .to_zoned(TimeZone::system())
            .strftime(DATETIME)
            .to_string();
        assert_eq!((number, at.as_str(), port), (1, expected.as_str(), 65_535));
        assert_eq!([ip, domain, message], ["192.0.2.1", "bench", "disconnected"]);
        assert_eq!(at.len(), "2024-02-29T08:30:00".len());
    }

    #[test]
    fn both_ends_are_included_and_a_day_as_the_end_is_all_of_that_day() {
        let (_folder, path) = python_database();
        let database = Database::open(&path).unwrap();
        // The time of row 1 is 2024-02-29T08:30:00, that of row 2 is 2024-03-01T00:00:00.
        assert_eq!(between(&database, None, Some("2024-02-29")), [1]);
        assert_eq!(between(&database, Some("2024-02-29"), Some("2024-02-29")), [1]);
        assert_eq!(between(&database, Some("2024-03-01"), None), [2]);
        assert_eq!(between(&database, Some("2024-03-01"), Some("2024-03-01")), [2]);
        assert_eq!(
            between(
                &database,
                Some("2024-02-29T08:30:00"),
                Some("2024-03-01T00:00:00")
            ),
            [1, 2]
        );
        assert_eq!(
            between(
                &database,
                Some("2024-02-29T08:30:01"),
                Some("2024-02-29T23:59:59")
            ),
            [0; 0]
        );
        assert_eq!(between(&database, None, Some("2024-02-29T08:30:00")), [1]);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let (_folder, path) = python_database();
        let database = Database::open(&path).unwrap();
        let malformed = [
            "",
            "2024",
            "2024-13-01",
            "2023-02-29",
            "2024-2-9",
            "24-02-29",
            "2024-02-29 08:30:00",
            "2024-02-29T08:30",
            "2024-02-29T25:00:00",
            "2024-02-29T08:30:00.5",
            " 2024-02-1",
            "+024-02-01",
            "2024-02-29T 8:30:00",
            "2024-02- 1",
            "' OR 1=1 --",
            "2024-02-29\0",
        ];
        for text in malformed {
            for error in [
                database.connections(Some(text), None),
                database.connections(None, Some(text)),
            ] {
                assert!(matches!(error, Err(StoreError::TimeMalformed { .. })), "{text:?}");
            }
        }
    }

    #[test]
    fn the_oldest_rows_go_when_there_are_too_many() {
        let (_folder, path) = empty_database();
        let mut database = Database::open(&path).unwrap();
        let limits = AuditLimits { rows: 10, days: 0 };
        database.write_events(&events(8), limits).unwrap();
        assert_eq!(numbers(&database).len(), 8);
        database.write_events(&events(5), limits).unwrap();
        assert_eq!(numbers(&database), (4..=13).collect::<Vec<_>>());
    }

    #[test]
    fn one_question_is_answered_with_the_newest_rows_up_to_the_limit() {
        let (_folder, path) = empty_database();
        let mut database = Database::open(&path).unwrap();
        let limit = usize::try_from(CONNECTIONS_LIMIT).unwrap();
        database.write_events(&events(limit + 2), UNLIMITED).unwrap();
        let numbers = numbers(&database);
        assert_eq!((numbers.len(), numbers[0]), (limit, 3));
    }
}
