//! The view of `labwire top`, and its keys.

use std::cmp::Ordering;

use super::rates::Row;
use crate::screen::Key;

/// The peers of one list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Services,
    Clients,
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Name,
    Calls,
    P50,
    P99,
    InFlight,
    Oldest,
    Errors,
    BytesIn,
    BytesOut,
    Notifications,
    Queued,
    Locks,
}

impl Column {
    /// All columns, the most important ones first: a narrow terminal shows only these.
    pub(super) const ALL: [Self; 12] = [
        Self::Name,
        Self::Calls,
        Self::P50,
        Self::P99,
        Self::InFlight,
        Self::Oldest,
        Self::Errors,
        Self::Queued,
        Self::Locks,
        Self::BytesIn,
        Self::BytesOut,
        Self::Notifications,
    ];

    /// Returns whether a list has the column. Only services have locks, hold requests, and notify.
    pub(super) fn is_in(self, list: List) -> bool {
        list == List::Services || !matches!(self, Self::Oldest | Self::Locks | Self::Notifications)
    }

    /// Compares two rows: the row that comes first is less.
    fn compare(self, left: &Row, right: &Row) -> Ordering {
        let number = |row: &Row| match self {
            Self::Name => 0.0,
            Self::Calls => row.calls_per_second,
            Self::P50 => row.p50_seconds.unwrap_or(-1.0),
            Self::P99 => row.p99_seconds.unwrap_or(-1.0),
            Self::InFlight => lossy(row.in_flight),
            Self::Oldest => row.oldest_seconds.unwrap_or(-1.0),
            Self::Errors => row.errors_per_second,
            Self::BytesIn => row.request_bytes_per_second,
            Self::BytesOut => row.reply_bytes_per_second,
            Self::Notifications => row.notifications_per_second,
            Self::Queued => lossy(row.queued_bytes),
            Self::Locks => lossy(row.lock_count),
        };
        // The largest number comes first.
        number(right)
            .total_cmp(&number(left))
            .then_with(|| left.name.cmp(&right.name))
    }
}

#[expect(clippy::cast_precision_loss, reason = "only the order matters")]
fn lossy(number: u64) -> f64 {
    number as f64
}

/// The part of the view that is on the screen and handles the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Table,
    /// The table; keys are typed into the filter.
    Filter,
    /// The selected row alone, in detail.
    Detail,
    Help,
}

/// The state of the screen.
#[derive(Debug)]
pub(super) struct View {
    pub(super) list: List,
    pub(super) column: Column,
    pub(super) is_reversed: bool,
    pub(super) is_paused: bool,
    pub(super) mode: Mode,
    /// Only rows whose names contain this are shown; the case of letters does not count.
    pub(super) filter: String,
    /// The name of the selected row.
    pub(super) selected: Option<String>,
}

impl Default for View {
    fn default() -> Self {
        Self {
            list: List::Services,
            column: Column::Calls,
            is_reversed: false,
            is_paused: false,
            mode: Mode::Table,
            filter: String::new(),
            selected: None,
        }
    }
}

impl View {
    /// Returns the rows to show, in order.
    pub(super) fn rows<'a>(&self, rows: &'a [Row]) -> Vec<&'a Row> {
        let filter = self.filter.to_lowercase();
        let mut rows: Vec<_> = rows
            .iter()
            .filter(|row| row.name.to_lowercase().contains(&filter))
            .collect();
        rows.sort_by(|left, right| {
            let order = self.column.compare(left, right);
            if self.is_reversed { order.reverse() } else { order }
        });
        rows
    }

    /// Returns the place of the selected row among these.
    pub(super) fn selected(&self, rows: &[&Row]) -> Option<usize> {
        let selected = self.selected.as_deref()?;
        rows.iter().position(|row| row.name == selected)
    }

    /// Handles a key; `rows` are those that are shown. Returns `true` if the program is to end.
    pub(super) fn handle(&mut self, key: Key, rows: &[&Row]) -> bool {
        if self.mode == Mode::Filter {
            self.type_filter(key);
            return false;
        }
        match key {
            Key::Character('q') => return true,
            Key::Escape if self.mode != Mode::Table => self.mode = Mode::Table,
            Key::Escape if !self.filter.is_empty() => self.filter.clear(),
            Key::Escape => self.selected = None,
            Key::Character('?' | 'h') => {
                self.mode = if self.mode == Mode::Help {
                    Mode::Table
                } else {
                    Mode::Help
                };
            }
            Key::Character('p' | ' ') => self.is_paused = !self.is_paused,
            Key::Character('r') => self.is_reversed = !self.is_reversed,
            Key::Character('/') => self.mode = Mode::Filter,
            Key::Tab => {
                self.list = match self.list {
                    List::Services => List::Clients,
                    List::Clients => List::Services,
                };
                self.selected = None;
                self.mode = Mode::Table;
                if !self.column.is_in(self.list) {
                    self.column = Column::Calls;
                }
            }
            Key::Left | Key::Character('<') => self.turn_column(-1),
            Key::Right | Key::Character('>') => self.turn_column(1),
            Key::Up | Key::Character('k') => self.select(rows, -1),
            Key::Down | Key::Character('j') => self.select(rows, 1),
            Key::Enter => {
                if self.selected(rows).is_none() {
                    self.select(rows, 1);
                }
                if self.selected.is_some() {
                    self.mode = Mode::Detail;
                }
            }
            Key::Backspace | Key::Character(_) => {}
        }
        false
    }

    fn type_filter(&mut self, key: Key) {
        match key {
            Key::Character(character) => self.filter.push(character),
            Key::Backspace => {
                self.filter.pop();
            }
            Key::Enter => self.mode = Mode::Table,
            Key::Escape => {
                self.mode = Mode::Table;
                self.filter.clear();
            }
            _ => {}
        }
    }

    /// Selects the column at a distance to the right, among those of the list.
    fn turn_column(&mut self, by: isize) {
        let is_in = |column: &Column| column.is_in(self.list);
        let columns: Vec<_> = Column::ALL.into_iter().filter(is_in).collect();
        let place = columns.iter().position(|column| *column == self.column);
        let next = match place.unwrap_or_default().checked_add_signed(by) {
            Some(next) => next % columns.len(),
            None => columns.len() - 1,
        };
        self.column = columns[next];
    }

    /// Selects the row at the distance `by` from the selected one, or the first row if none is.
    fn select(&mut self, rows: &[&Row], by: isize) {
        let place = match self.selected(rows) {
            Some(place) => place.saturating_add_signed(by).min(rows.len() - 1),
            None => 0,
        };
        self.selected = rows.get(place).map(|row| row.name.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        [("A", 1.0, 9), ("B", 3.0, 5), ("C", 2.0, 7)]
            .map(|(name, calls_per_second, in_flight)| Row {
                name: name.to_owned(),
                calls_per_second,
                in_flight,
                ..Row::default()
            })
            .to_vec()
    }

    fn names(view: &View, rows: &[Row]) -> String {
        view.rows(rows).iter().map(|row| &*row.name).collect()
    }

    #[test]
    fn rows_are_sorted_reversed_and_filtered_by_keys() {
        let (mut view, rows) = (View::default(), rows());
        let mut press = |keys: &[Key]| {
            for key in keys {
                let shown = view.rows(&rows);
                assert!(!view.handle(*key, &shown));
            }
            names(&view, &rows)
        };
        assert_eq!(press(&[]), "BCA");
        assert_eq!(press(&[Key::Character('r')]), "ACB");
        assert_eq!(
            press(&[Key::Right, Key::Right, Key::Right, Key::Character('r')]),
            "ACB"
        );
        assert_eq!(press(&[Key::Left, Key::Left, Key::Left, Key::Left]), "ABC");
        assert_eq!(
            press(&[
                Key::Character('/'),
                Key::Character('q'),
                Key::Backspace,
                Key::Character('b')
            ]),
            "B"
        );
        assert_eq!(press(&[Key::Enter, Key::Escape]), "ABC");
        let shown = view.rows(&rows);
        assert!(view.handle(Key::Character('q'), &shown));
    }

    #[test]
    fn the_order_is_by_a_column_of_the_list() {
        let mut view = View::default();
        let mut press = |keys: &[Key]| {
            for key in keys {
                view.handle(*key, &[]);
            }
            view.column
        };
        assert_eq!(press(&[Key::Left, Key::Left]), Column::Notifications);
        assert_eq!(press(&[Key::Tab]), Column::Calls);
        for _ in 0..Column::ALL.len() {
            assert!(press(&[Key::Right]).is_in(List::Clients));
        }
    }

    #[test]
    fn the_selection_follows_its_row() {
        let (mut view, mut rows) = (View::default(), rows());
        for key in [Key::Down, Key::Down, Key::Down, Key::Down, Key::Up] {
            let shown = view.rows(&rows);
            view.handle(key, &shown);
        }
        assert_eq!(view.selected.as_deref(), Some("C"));
        rows[2].calls_per_second = 100.0;
        let shown = view.rows(&rows);
        assert_eq!(view.selected(&shown), Some(0));
        view.handle(Key::Enter, &shown);
        assert_eq!(view.mode, Mode::Detail);
        // It has left: nothing is selected, and the next key selects the first row.
        rows.remove(2);
        let shown = view.rows(&rows);
        assert_eq!(view.selected(&shown), None);
        view.handle(Key::Down, &shown);
        assert_eq!(view.selected.as_deref(), Some("B"));
    }
}
