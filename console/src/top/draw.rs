//! Draws the screen of `labwire top`.

use labwire_home::present;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style, Stylize};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{
    Bar, BarChart, BarGroup, Block, Cell, Paragraph, Row as TableRow, Table, TableState, Wrap,
};

use super::columns::{Shown, column, is_text, time};
use super::rates::Row;
use super::view::{Column, List, Mode, View};
use super::{Rates, bytes, rate};
use crate::counted::counted;
use crate::output::one_line;
use crate::shortened::{columns, shortened};
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
LOCKED        who holds the lock of a service; [L] behind its name if there is
              no room for this column (Enter shows who)";

/// Draws the rates. `notice` is shown at the bottom, as an error of the last request.
pub(super) fn draw(frame: &mut Frame<'_>, rates: &Rates, view: &View, notice: Option<&str>) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)])
            .areas(frame.area());
    frame.render_widget(header(rates, view, head.width), head);
    let rows = view.rows(rates.rows(view.list));
    let selected = view.selected(&rows);
    let shown = Shown::of(body.width, &rows, view.list);
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
        draw_table(frame, body, &rows, selected, view, &shown);
    }
    frame.render_widget(footer(view, notice, foot.width, &shown), foot);
}

/// Returns the line about the manager: as many of its parts as fit.
fn header(rates: &Rates, view: &View, width: u16) -> Line<'static> {
    let summary = &rates.summary;
    let total: f64 = rates.services.iter().map(|row| row.calls_per_second).sum();
    let mut line = Line::from(one_line(&rates.manager).bold());
    if view.is_paused {
        line.push_span("  ");
        line.push_span(" PAUSED ".bold().reversed());
    }
    let parts = [
        format!("up {}", readable_age(summary.uptime_seconds)),
        format!(
            "{}, {}",
            counted(summary.services, "service"),
            counted(summary.clients, "client")
        ),
        format!("{} calls/s", rate(total)),
        format!("{} in flight", summary.in_flight),
    ];
    for part in parts.into_iter().chain(summary.to_approve()) {
        if line.width() + 2 + part.len() <= width.into() {
            line.push_span(format!("  {part}"));
        }
    }
    line
}

fn footer(view: &View, notice: Option<&str>, width: u16, shown: &Shown) -> Line<'static> {
    if view.mode == Mode::Filter {
        let line = Line::from(format!("/{}_", view.filter));
        // The end of a long one, where it is typed.
        return if line.width() > width.into() {
            line.right_aligned()
        } else {
            line
        };
    }
    if let Some(notice) = notice {
        return Line::from(one_line(notice)).bold().reversed();
    }
    let keys = "? help  Tab list  \u{2190}\u{2192} order  / filter  Enter detail  p pause  q end";
    let mut spans = Vec::new();
    if !view.filter.is_empty() {
        let filter = shortened(&one_line(&view.filter), 30);
        spans.push(Span::from(format!("filter: {filter}  ")).bold());
    }
    let (heading, ..) = column(view.column, view.list);
    if view.mode == Mode::Table && !shown.columns.contains(&view.column) {
        spans.push(Span::from(format!("order: {}  ", heading.trim())).bold());
    }
    spans.push(Span::from(keys).dim());
    Line::from(spans)
}

fn draw_table(
    frame: &mut Frame<'_>,
    area: Rect,
    rows: &[&Row],
    selected: Option<usize>,
    view: &View,
    shown: &Shown,
) {
    if rows.is_empty() {
        let text = if view.filter.is_empty() {
            match view.list {
                List::Services => "no service is connected (Tab: clients)",
                List::Clients => "no client is connected (Tab: services)",
            }
        } else {
            "no name contains the filter"
        };
        return frame.render_widget(Paragraph::new(text).dim(), area);
    }
    let header = shown.columns.iter().map(|kind| {
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
    let widths = shown.columns.iter().map(|kind| match kind {
        Column::Name => Constraint::Length(shown.name_width),
        kind => Constraint::Length(column(*kind, view.list).1),
    });
    let lines = rows.iter().map(|row| {
        let cells = shown.columns.iter().map(|kind| {
            let (_, _, text) = column(*kind, view.list);
            let line = match kind {
                Column::Name => Line::from(shown.name(row)),
                _ => Line::from(text(row)),
            };
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
    if let Some(away) = row.away {
        lines.push(format!("connection   {}", away.text(present())));
    }
    lines.push(format!("linked with  {}", named(&row.links, row.link_count)));
    // Long lines are wrapped, as far as there is room beside the chart.
    let inner = usize::from(area.width.saturating_sub(2)).max(1);
    let rows = lines.iter().map(|line| columns(line).div_ceil(inner).max(1));
    let height = u16::try_from(rows.sum::<usize>() + 2).unwrap_or(u16::MAX);
    let height = height.min((area.height / 2).max(9));
    let [text, chart] = Layout::vertical([Constraint::Length(height), Constraint::Min(0)]).areas(area);
    let title = format!(" {} ", one_line(&row.name));
    let lines: Vec<_> = lines.into_iter().map(Line::from).collect();
    frame.render_widget(
        Paragraph::new(Text::from(lines))
            .wrap(Wrap { trim: false })
            .block(Block::bordered().title(title)),
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
