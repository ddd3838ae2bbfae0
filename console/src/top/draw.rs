//! Draws the screen of `labwire top`.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style, Stylize};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Bar, BarChart, BarGroup, Block, Cell, Paragraph, Row as TableRow, Table, TableState};

use super::rates::Row;
use super::view::{Column, List, Mode, View};
use super::{Rates, bytes, rate};
use crate::output::one_line;
use crate::times::{readable_age, readable_time};

/// The bytes in a peer's queue from which it is marked as a slow reader.
const SLOW_BYTES: u64 = 1024 * 1024;

const HELP: &str = "\
Tab           services or clients
Left, Right   the column that decides the order
r             the other way round
Up, Down      select a row; Enter shows it in detail, Esc goes back
/             show only names that contain what is typed; Esc shows all
p, Space      pause
q, Ctrl-C     end

CALLS/S       requests that were answered in a second
ERR/S         those of them that were answered with an error
P50, P99      how long half, and 99 %, of them took at most
IN FL.        requests in flight
OLDEST        how long the oldest of them has waited
QUEUED        bytes that the peer has not read yet; from 1 MiB on it is slow
LOCKED        who holds the lock of a service";

/// Draws the rates. `notice` is shown at the bottom, as an error of the last request.
pub(super) fn draw(frame: &mut Frame<'_>, rates: &Rates, view: &View, notice: Option<&str>) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)])
            .areas(frame.area());
    frame.render_widget(header(rates, view), head);
    let rows = view.rows(rates.rows(view.list));
    let selected = view.selected(&rows);
    if view.mode == Mode::Help {
        frame.render_widget(
            Paragraph::new(HELP).block(Block::bordered().title(" Keys and columns ")),
            body,
        );
    } else if let Some(row) = selected
        .map(|place| rows[place])
        .filter(|_| view.mode == Mode::Detail)
    {
        draw_detail(frame, body, row, view.list);
    } else {
        draw_table(frame, body, &rows, selected, view);
    }
    frame.render_widget(footer(view, notice), foot);
}

fn header(rates: &Rates, view: &View) -> Line<'static> {
    let summary = &rates.summary;
    let total: f64 = rates.services.iter().map(|row| row.calls_per_second).sum();
    let mut spans = vec![
        Span::from(one_line(&rates.manager)).bold(),
        Span::from(format!(
            "  up {}  {} services, {} clients  {} calls/s  {} in flight",
            readable_age(summary.uptime_seconds),
            summary.services,
            summary.clients,
            rate(total),
            summary.in_flight,
        )),
    ];
    if view.is_paused {
        spans.push(Span::from("  PAUSED").bold().reversed());
    }
    Line::from(spans)
}

fn footer(view: &View, notice: Option<&str>) -> Line<'static> {
    if view.mode == Mode::Filter {
        return Line::from(format!("/{}_", view.filter));
    }
    if let Some(notice) = notice {
        return Line::from(one_line(notice)).bold().reversed();
    }
    let keys = "? help  Tab list  \u{2190}\u{2192} order  / filter  Enter detail  p pause  q end";
    if view.filter.is_empty() {
        return Line::from(keys).dim();
    }
    Line::from(vec![
        Span::from(format!("filter: {}  ", view.filter)).bold(),
        Span::from(keys).dim(),
    ])
}

/// Returns the heading of a column, its width, and the text of a row in it.
fn column(column: Column, list: List) -> (&'static str, u16, fn(&Row) -> String) {
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
        Column::InFlight => ("IN FL.", 7, |row| row.in_flight.to_string()),
        Column::Oldest => ("OLDEST", 9, |row| time(row.oldest_seconds)),
        Column::Errors => ("ERR/S", 7, |row| rate(row.errors_per_second)),
        Column::Queued => ("QUEUED", 8, |row| bytes(row.queued_bytes)),
        Column::Locks => ("LOCKED", 24, |row| locked(row)),
        Column::BytesIn => ("IN B/S", 9, |row| rate(row.request_bytes_per_second)),
        Column::BytesOut => ("OUT B/S", 9, |row| rate(row.reply_bytes_per_second)),
        Column::Notifications => ("NOTIF/S", 8, |row| rate(row.notifications_per_second)),
    }
}

fn time(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "-".to_owned(), readable_time)
}

fn locked(row: &Row) -> String {
    match &row.locked_by[..] {
        [] => "-".to_owned(),
        [first, ..] if row.lock_count > 1 => format!("{} +{}", one_line(first), row.lock_count - 1),
        [first, ..] => one_line(first),
    }
}

/// Returns whether a column holds text, which begins at its left.
fn is_text(column: Column) -> bool {
    matches!(column, Column::Name | Column::Locks)
}

/// Returns whether a list has the column. Only services have locks, and hold requests.
fn is_in(column: Column, list: List) -> bool {
    list == List::Services || !matches!(column, Column::Oldest | Column::Locks | Column::Notifications)
}

fn draw_table(frame: &mut Frame<'_>, area: Rect, rows: &[&Row], selected: Option<usize>, view: &View) {
    if rows.is_empty() {
        let text = if view.filter.is_empty() {
            "nobody is connected"
        } else {
            "no name contains the filter"
        };
        return frame.render_widget(Paragraph::new(text).dim(), area);
    }
    let names = rows.iter().map(|row| one_line(&row.name).chars().count());
    let name_width = u16::try_from(names.max().unwrap_or_default().clamp(8, 32)).unwrap_or(32);
    let mut left = area.width.saturating_sub(name_width);
    let columns: Vec<_> = Column::ALL
        .into_iter()
        .filter(|kind| is_in(*kind, view.list))
        .take_while(|kind| {
            // The columns at the end are left out where there is no room.
            let (_, width, _) = column(*kind, view.list);
            let fits = *kind == Column::Name || width < left;
            if fits && *kind != Column::Name {
                left -= width + 1;
            }
            fits
        })
        .collect();
    let header = columns.iter().map(|kind| {
        let (heading, ..) = column(*kind, view.list);
        let heading = Line::from(heading);
        let heading = if is_text(*kind) {
            heading
        } else {
            heading.right_aligned()
        };
        if *kind == view.column {
            Cell::from(heading.reversed())
        } else {
            Cell::from(heading)
        }
    });
    let widths = columns.iter().map(|kind| match kind {
        Column::Name => Constraint::Length(name_width),
        kind => Constraint::Length(column(*kind, view.list).1),
    });
    let lines = rows.iter().map(|row| {
        let cells = columns.iter().map(|kind| {
            let (_, _, text) = column(*kind, view.list);
            let line = Line::from(text(row));
            Cell::from(if is_text(*kind) {
                line
            } else {
                line.right_aligned()
            })
        });
        TableRow::new(cells).style(style(row))
    });
    let table = Table::new(lines, widths)
        .header(TableRow::new(header).bold())
        .column_spacing(1)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::default().with_selected(selected);
    frame.render_stateful_widget(table, area, &mut state);
}

/// Returns the style of a row, which marks errors, slow readers and locks. The bright colours of a
/// terminal's palette are readable on light and on dark backgrounds.
fn style(row: &Row) -> Style {
    if row.queued_bytes >= SLOW_BYTES {
        Style::new().light_magenta().bold()
    } else if row.errors_per_second > 0.0 {
        Style::new().light_red()
    } else if row.locked_by.is_empty() {
        Style::new()
    } else {
        Style::new().light_blue()
    }
}

fn draw_detail(frame: &mut Frame<'_>, area: Rect, row: &Row, list: List) {
    let mut lines = vec![
        format!(
            "calls        {}/s, {} errors/s",
            rate(row.calls_per_second),
            rate(row.errors_per_second)
        ),
        format!(
            "latency      p50 {}, p99 {}",
            time(row.p50_seconds),
            time(row.p99_seconds)
        ),
        format!(
            "in flight    {}, the oldest for {}",
            row.in_flight,
            time(row.oldest_seconds)
        ),
        format!(
            "bytes        {}/s in requests, {}/s in replies, {} queued",
            rate(row.request_bytes_per_second),
            rate(row.reply_bytes_per_second),
            bytes(row.queued_bytes)
        ),
    ];
    if list == List::Services {
        lines.push(format!("notified     {}/s", rate(row.notifications_per_second)));
        lines.push(format!("locked by    {}", named(&row.locked_by, row.lock_count)));
    }
    lines.push(format!("linked with  {}", named(&row.links, row.link_count)));
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX);
    let [text, chart] = Layout::vertical([Constraint::Length(height), Constraint::Min(0)]).areas(area);
    let title = format!(" {} ", one_line(&row.name));
    let lines: Vec<_> = lines.into_iter().map(Line::from).collect();
    frame.render_widget(
        Paragraph::new(Text::from(lines)).block(Block::bordered().title(title)),
        text,
    );
    let bars: Vec<_> = merged(&row.latencies, usize::from(chart.width.saturating_sub(2) / 9))
        .iter()
        .map(|&(least, count)| {
            #[expect(clippy::cast_precision_loss, reason = "a latency is shown with three digits")]
            let label = readable_time(least as f64 / 1e6);
            Bar::default().value(count).label(Line::from(label))
        })
        .collect();
    let chart_block = Block::bordered().title(" Latencies in the last interval ");
    let bars = BarChart::default()
        .block(chart_block)
        .bar_width(8)
        .bar_gap(1)
        .data(BarGroup::default().bars(&bars));
    frame.render_widget(bars, chart);
}

/// Merges neighbouring buckets, so that there are at most `most` of them.
fn merged(latencies: &[(u64, u64)], most: usize) -> Vec<(u64, u64)> {
    let width = latencies.len().div_ceil(most.max(1)).max(1);
    let counts = |buckets: &[(u64, u64)]| {
        let counts = buckets.iter().map(|(_, count)| *count);
        counts.fold(0, u64::saturating_add)
    };
    latencies
        .chunks(width)
        .map(|buckets| (buckets[0].0, counts(buckets)))
        .collect()
}

/// Returns the listed names, and how many of `count` are not listed.
fn named(names: &[String], count: u64) -> String {
    let shown: Vec<_> = names.iter().map(|name| one_line(name)).collect();
    let unlisted = count.saturating_sub(names.len() as u64);
    match (shown.is_empty(), unlisted) {
        (true, _) => "-".to_owned(),
        (false, 0) => shown.join(", "),
        (false, unlisted) => format!("{} and {unlisted} more", shown.join(", ")),
    }
}
