//! The audit: who connected, when, and what came of it.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use labwire_home::local_time_zone;
use rusqlite::params;

use crate::database::{Database, integer, text};
use crate::error::StoreError;
use crate::pruning::{AuditLimits, prune_excess};

/// The most rows that one question about connections is answered with. At some 150 bytes of JSON for a row
/// that is a reply of 15 MB, the size of what a few busy days leave behind.
pub const CONNECTIONS_LIMIT: u32 = 100_000;

/// How `datetime` is written: local time, to the second, as the reference writes it.
pub(crate) const DATETIME: &str = "%Y-%m-%dT%H:%M:%S";

/// How a day is written.
const DAY: &str = "%Y-%m-%d";

/// Something that happened to a connection, for the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionEvent {
    /// The peer's address.
    pub ip: String,
    /// The peer's hostname, or its address again where it has none.
    pub domain: String,
    /// The peer's port.
    pub port: u16,
    /// What happened, such as `new connection request`.
    pub message: String,
}

/// A row of the audit: number, local time, address, hostname, port and message.
pub type ConnectionRow = (i64, String, String, String, i64, String);

/// An event with the moment at which it happened, which may be long before it is written.
pub(crate) struct TimedEvent {
    pub(crate) at: Timestamp,
    pub(crate) event: ConnectionEvent,
}

impl Database {
    /// Writes events in one transaction, and removes as many of the oldest rows as are too many then. Gives how many
    /// these were.
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

    /// The newest [`CONNECTIONS_LIMIT`] rows between two times, both included, in the order of their numbers.
    ///
    /// A time is `yyyy-mm-dd` or `yyyy-mm-ddTHH:MM:SS`. A day as the end means all of that day.
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

/// Checks a time that a peer asked with; to a day the given time of day is added.
fn time_bound(text: &str, time_of_day: &str) -> Result<String, StoreError> {
    // The table compares texts, so only a time that is written as the table writes it is one.
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
        // Row 1 is of 2024-02-29T08:30:00, row 2 of 2024-03-01T00:00:00.
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
