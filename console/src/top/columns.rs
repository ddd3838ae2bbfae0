//! The columns of the lists of `labwire top`.

use super::rates::Row;
use super::view::{Column, List};
use super::{bytes, rate};
use crate::output::one_line;
use crate::shortened::{columns, shortened};
use crate::times::readable_time;

/// Returns the heading of a column, its width, and the text of a row in it.
pub(super) fn column(column: Column, list: List) -> (&'static str, u16, fn(&Row) -> String) {
    match column {
        Column::Name => (
            if list == List::Services {
                "SERVICE"
            } else {
                "CLIENT"
            },
            0,
            |row| one_line(&row.name),
        ),
        Column::Calls => ("CALLS/S", 9, |row| rate(row.calls_per_second)),
        Column::P50 => ("P50", 9, |row| time(row.p50_seconds)),
        Column::P99 => ("P99", 9, |row| time(row.p99_seconds)),
        Column::InFlight => ("IN FL.", 7, |row| count(row.in_flight)),
        Column::Oldest => ("OLDEST", 9, |row| time(row.oldest_seconds)),
        Column::Errors => ("ERR/S", 7, |row| rate(row.errors_per_second)),
        Column::Queued => ("QUEUED", 8, |row| bytes(row.queued_bytes)),
        // A blank more than between the others: the column before it ends at the right.
        Column::Locks => (" LOCKED", 25, |row| format!(" {}", locked(row))),
        Column::BytesIn => ("IN B/S", 9, |row| rate(row.request_bytes_per_second)),
        Column::BytesOut => ("OUT B/S", 9, |row| rate(row.reply_bytes_per_second)),
        Column::Notifications => ("NOTIF/S", 8, |row| rate(row.notifications_per_second)),
    }
}

/// Returns a count of at most 6 columns for a cell.
fn count(number: u64) -> String {
    if number < 1_000_000 {
        return number.to_string();
    }
    #[expect(clippy::cast_precision_loss, reason = "it is shown with three digits")]
    let number = number as f64;
    rate(number)
}

/// Returns a time for a cell.
pub(super) fn time(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "-".to_owned(), readable_time)
}

fn locked(row: &Row) -> String {
    match &row.locked_by[..] {
        [] => "-".to_owned(),
        [first, ..] if row.lock_count > 1 => format!("{} +{}", one_line(first), row.lock_count - 1),
        [first, ..] => one_line(first),
    }
}

/// The mark behind the name of a service with a lock, where there is no room for the column of locks.
const LOCK_MARK: &str = " [L]";

impl Shown {
    /// Returns the columns for these rows.
    pub(super) fn of(width: u16, rows: &[&Row], list: List) -> Self {
        let longest = |mark: &dyn Fn(&Row) -> &'static str| {
            let names = rows
                .iter()
                .map(|row| columns(&one_line(&row.name)) + mark(row).len());
            names.max().unwrap_or_default()
        };
        let shown = layout(width, longest(&|_| ""), list);
        if shown.columns.contains(&Column::Locks) || list != List::Services {
            return shown;
        }
        layout(width, longest(&lock_mark), list)
    }

    /// Returns the name of a row as it fits into its column, with a mark if there is a lock that no
    /// column shows.
    pub(super) fn name(&self, row: &Row) -> String {
        let mark = if self.columns.contains(&Column::Locks) {
            ""
        } else {
            lock_mark(row)
        };
        let room = usize::from(self.name_width).saturating_sub(mark.len());
        shortened(&one_line(&row.name), room) + mark
    }
}

fn lock_mark(row: &Row) -> &'static str {
    if row.locked_by.is_empty() { "" } else { LOCK_MARK }
}

/// Returns whether a column holds text, which begins at its left.
pub(super) fn is_text(column: Column) -> bool {
    matches!(column, Column::Name | Column::Locks)
}

/// The columns of a screen.
pub(super) struct Shown {
    /// The width of the column of names.
    pub(super) name_width: u16,
    pub(super) columns: Vec<Column>,
}

/// Returns the columns for which there is room. Names have what the other columns leave; where that
/// is little, the least important columns are left out.
fn layout(width: u16, longest_name: usize, list: List) -> Shown {
    let needed = |kinds: &[Column]| -> u16 { kinds.iter().map(|kind| column(*kind, list).1 + 1).sum() };
    let all: Vec<_> = Column::ALL.into_iter().filter(|kind| kind.is_in(list)).collect();
    let (_, others) = all.split_at(1);
    // Up to the errors.
    let important = others.iter().take_while(|kind| **kind != Column::Queued).count();
    let beside = |kinds| width.saturating_sub(needed(kinds));
    let most = beside(others).max(beside(&others[..important]).min(32)).max(16);
    let name_width = u16::try_from(longest_name).unwrap_or(most).clamp(8, most);
    let mut left = width.saturating_sub(name_width);
    let fits = |kind: &Column| {
        let width = column(*kind, list).1 + 1;
        let fits = *kind == Column::Name || width <= left;
        if fits && *kind != Column::Name {
            left -= width;
        }
        fits
    };
    Shown {
        name_width,
        columns: all.iter().copied().take_while(fits).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_wider_than_its_column() {
        for number in [0, 999_999, 1_000_000, 999_999_999, 1_000_000_000_000, u64::MAX] {
            assert!(count(number).len() <= 6, "{}", count(number));
            assert!(bytes(number).len() <= 8, "{}", bytes(number));
        }
        assert_eq!([65_536, 2_500_000].map(count), ["65536", "2.50M"]);
    }

    #[test]
    fn a_lock_is_marked_behind_the_name_where_its_column_has_no_room() {
        let row = |name: &str, holder: &str| Row {
            name: name.to_owned(),
            locked_by: Some(holder.to_owned())
                .filter(|holder| !holder.is_empty())
                .into_iter()
                .collect(),
            ..Row::default()
        };
        let long = row(&"x".repeat(40), "Ada");
        let rows = [row("Meter", ""), row("Thermometer", "Ada"), long];
        let names = |width, rows: &[&Row]| {
            let shown = Shown::of(width, rows, List::Services);
            rows.iter().map(|row| shown.name(row)).collect::<Vec<_>>()
        };
        assert_eq!(names(80, &[&rows[0], &rows[1]]), ["Meter", "Thermometer [L]"]);
        assert_eq!(names(200, &[&rows[0], &rows[1]]), ["Meter", "Thermometer"]);
        assert_eq!(names(80, &[&rows[2]]), [format!("{}… [L]", "x".repeat(19))]);
        for width in [0, 1, 7, 30] {
            names(width, &[&rows[0], &rows[2]]);
        }
    }

    #[test]
    fn long_names_leave_room_for_what_is_important() {
        let shown = |width, longest| {
            let Shown { name_width, columns } = layout(width, longest, List::Services);
            (name_width, columns.len(), columns.contains(&Column::Errors))
        };
        assert_eq!(shown(80, 8), (8, 8, true));
        assert_eq!(shown(80, 200), (24, 7, true));
        assert_eq!(shown(200, 60), (60, 12, true));
        assert_eq!(shown(40, 200), (16, 3, false));
    }
}
