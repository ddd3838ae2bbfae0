//! The picture of a plot, as lines of a screen.

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;

use super::axes::{Drawing, labels, time_axis};
use super::canvas::Canvas;
use super::plot::{Plot, State};
use super::scale::{Scale, short};
use super::series::{Summary, seconds};
use crate::output::{FAINT, STRONG, one_line};
use crate::shortened::{columns, shortened};

/// The smallest screen with a plot.
const SMALLEST: (usize, usize) = (30, 9);

/// The lines that are not the plot: two above; below the axis, its labels and the keys.
const OTHER_LINES: usize = 5;

const CURVE: Style = AnsiColor::Cyan.on_default();
const PROBLEM: Style = AnsiColor::Red.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default();

/// The screen on which a plot is drawn.
pub(super) struct Picture {
    width: usize,
    height: usize,
    is_colored: bool,
    drawing: Drawing,
}

impl Picture {
    /// Returns a picture of this width and height in characters.
    pub(super) fn new((width, height): (usize, usize), is_colored: bool, drawing: Drawing) -> Self {
        Self {
            width,
            height,
            is_colored,
            drawing,
        }
    }

    /// Returns the lines of a plot at a time.
    pub(super) fn lines(&self, plot: &Plot, now: Timestamp) -> Vec<String> {
        if self.width < SMALLEST.0 || self.height < SMALLEST.1 {
            let mut lines = vec![String::new(); self.height];
            if let Some(line) = lines.first_mut() {
                *line = shortened("the terminal is too small for a plot", self.width);
            }
            return lines;
        }
        let end = seconds(now);
        let begin = end - plot.window;
        let summary = plot.series.summary(begin);
        let mut lines = vec![self.title(plot, now), shortened(&values(&summary), self.width)];
        self.add_curve(&mut lines, plot, &summary, (begin, end));
        lines.push(self.footer(plot));
        lines
    }

    fn styled(&self, style: Style, text: &str) -> String {
        if self.is_colored {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }

    /// Adds the curve and its axes.
    fn add_curve(&self, lines: &mut Vec<String>, plot: &Plot, summary: &Summary, (begin, end): (f64, f64)) {
        let rows = self.height - OTHER_LINES;
        let scale = Scale::new(summary.low, summary.high, (rows / 4).clamp(2, 8));
        let marks = if summary.count == 0 {
            Vec::new()
        } else {
            scale.marks()
        };
        let widest = marks.iter().map(|(_, label)| label.chars().count()).max();
        let margin = widest.unwrap_or(0).clamp(6, self.width / 3);
        let columns = self.width - margin - 2;
        let mut canvas = Canvas::new(columns, rows, self.drawing.is_braille);
        draw(plot, &mut canvas, &scale, end);
        let labels = labels(&marks, &scale, rows);
        let [axis, mark, corner, floor, tick] = self.drawing.axes;
        for row in 0..rows {
            let label = labels.get(row).cloned().flatten();
            let line = if label.is_some() { mark } else { axis };
            let label = shortened(&label.unwrap_or_default(), margin);
            let left = self.styled(FAINT, &format!("{label:>margin$} {line}"));
            let curve = self.styled(CURVE, canvas.row(row).trim_end());
            lines.push(format!("{left}{curve}"));
        }
        let (floor, labels) = time_axis(begin, end, columns, floor, tick);
        let blank = " ".repeat(margin + 1);
        lines.push(self.styled(FAINT, &format!("{blank}{corner}{floor}")));
        lines.push(self.styled(FAINT, &format!("{blank} {labels}")));
    }

    /// Returns the title: the service and the key, and the state of the connection at the right.
    fn title(&self, plot: &Plot, now: Timestamp) -> String {
        let name = format!("{} {}", one_line(&plot.service), one_line(&plot.key.to_string()));
        let (style, state) = match &plot.state {
            State::Connecting => (FAINT, "connecting".to_owned()),
            State::Waiting(reason) => (PROBLEM, format!("waiting: {reason}")),
            State::Linked if plot.paused.is_some() => (STRONG, "paused".to_owned()),
            State::Linked => (GOOD, "linked".to_owned()),
            State::Away(since, reason) => {
                let length = now.duration_since(*since).as_secs().max(0);
                (PROBLEM, format!("away for {length} s: {reason}"))
            }
        };
        let name = shortened(&name, self.width / 2);
        let room = self.width.saturating_sub(columns(&name) + 2);
        let state = shortened(&one_line(&state.replace('\n', "; ")), room);
        let blank = " ".repeat(2 + room - columns(&state));
        format!(
            "{}{blank}{}",
            self.styled(STRONG, &name),
            self.styled(style, &state)
        )
    }

    fn footer(&self, plot: &Plot) -> String {
        if let Some(problem) = &plot.problem {
            return self.styled(PROBLEM, &shortened(problem, self.width));
        }
        let window = if plot.window < 120.0 {
            format!("{} s", short(plot.window))
        } else if plot.window < 7_200.0 {
            format!("{} min", short(plot.window / 60.0))
        } else {
            format!("{} h", short(plot.window / 3_600.0))
        };
        let keys = format!("q quit   space pause   c clear   + - time ({window})");
        self.styled(FAINT, &shortened(&keys, self.width))
    }
}

/// Returns the text about the values of the window.
fn values(summary: &Summary) -> String {
    if summary.count == 0 {
        return "no values yet".to_owned();
    }
    format!(
        "last {}   min {}   max {}   mean {}   n {}",
        short(summary.last),
        short(summary.low),
        short(summary.high),
        short(summary.readable_mean()),
        summary.count
    )
}

/// Draws the values of the window that ends at a time.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "dots of a screen are few, and positions outside of it are left out before"
)]
fn draw(plot: &Plot, canvas: &mut Canvas, scale: &Scale, end: f64) {
    let (width, height) = (canvas.width(), canvas.height());
    let pitch = plot.window / width as f64;
    // Times are rounded to dots before they are subtracted, so that the picture moves by whole
    // dots.
    let last = (end / pitch).floor();
    let column = |time: f64| width as f64 - 1.0 - (last - (time / pitch).floor());
    let row = |value: f64| (1.0 - scale.position(value)) * (height as f64 - 1.0);
    let mut before: Option<(f64, f64)> = None;
    for (time, value) in plot.series.since(end - plot.window) {
        if value.is_nan() {
            before = None;
            continue;
        }
        let (x, y) = (column(time), row(value));
        let (from_x, from_y) = before.unwrap_or((x, y));
        before = Some((x, y));
        if x < 0.0 || x >= width as f64 {
            continue;
        }
        // The line enters at the left edge. After a clock was set back there is none.
        let (from_x, from_y) = if from_x < 0.0 {
            (0.0, from_y - (y - from_y) * from_x / (x - from_x))
        } else if from_x >= width as f64 {
            (x, y)
        } else {
            (from_x, from_y)
        };
        let inside = |y: f64| y.clamp(0.0, height as f64 - 1.0).round();
        let (from_y, y) = (inside(from_y), inside(y));
        canvas.line((from_x as usize, from_y as usize), (x as usize, y as usize));
    }
}
