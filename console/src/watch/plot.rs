//! A live plot of one value, over the whole terminal.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use labwire_home::present;
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::axes::{Drawing, cut, labels, time_axis};
use super::canvas::Canvas;
use super::scale::{Scale, short};
use super::series::{Series, seconds};
use crate::connection::Seconds;
use crate::failure::Failure;
use crate::feed::{Event, Heard};
use crate::key::{Key, Values, number};
use crate::output::{FAINT, STRONG, one_line, tell};
use crate::screen::{Input, Screen, inputs};

/// The time between two pictures.
const FRAME: Duration = Duration::from_millis(100);

/// The time that is shown at first.
const WINDOW: f64 = 60.0;

/// The shortest and the longest time that the keys reach.
const WINDOWS: (f64, f64) = (1.0, 7.0 * 86_400.0);

/// The smallest screen with a plot.
const SMALLEST: (usize, usize) = (30, 9);

/// The lines that are not the plot: two above; below the axis, its labels and the keys.
const OTHER_LINES: usize = 5;

const CURVE: Style = AnsiColor::Cyan.on_default();
const PROBLEM: Style = AnsiColor::Red.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default();

/// The plot of one value, with its data so far.
pub(super) struct Plot {
    service: Arc<str>,
    key: Key,
    /// The value that a notification must have to count.
    filter: Option<Key>,
    left: Option<u64>,
    window: f64,
    series: Series,
    state: State,
    /// The time of the picture while it is paused.
    paused: Option<Timestamp>,
    /// A message about notifications without the value, or about dropped ones.
    problem: Option<String>,
}

/// The state of the connection.
enum State {
    Connecting,
    Waiting(String),
    Linked,
    Away(Timestamp, String),
}

impl Plot {
    pub(super) fn new(
        service: Arc<str>,
        key: Key,
        filter: Option<Key>,
        count: Option<u64>,
        window: Option<Seconds>,
    ) -> Self {
        Self {
            service,
            key,
            filter,
            left: count,
            window: window.map_or(WINDOW, f64::from).clamp(WINDOWS.0, WINDOWS.1),
            series: Series::default(),
            state: State::Connecting,
            paused: None,
            problem: None,
        }
    }

    /// Shows the plot until the channel closes, `--count` values were shown, or a key ends it.
    pub(super) fn run(mut self, mut heard: mpsc::Receiver<Heard>) -> Result<(), Failure> {
        // Before it is connected, a person may be asked for a password or about a certificate.
        let Some(first) = heard.blocking_recv() else {
            return Ok(());
        };
        self.hear(&first);
        let failed = |error: io::Error| Failure::Failed(format!("cannot plot on this terminal: {error}"));
        let runtime = Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(failed)?;
        let screen = Screen::enter().map_err(failed)?;
        // The screen is dropped, and the terminal restored, before anything else is written.
        runtime.block_on(self.show(screen, heard)).map_err(failed)?;
        let total = self.series.total;
        if total.count > 0 {
            tell(format_args!(
                "labwire: {} values of {}: last {}, from {} to {}, mean {}",
                total.count,
                one_line(&self.key.to_string()),
                short(total.last),
                short(total.low),
                short(total.high),
                short(total.mean)
            ));
        }
        Ok(())
    }

    async fn show(&mut self, mut screen: Screen, mut heard: mpsc::Receiver<Heard>) -> io::Result<()> {
        let drawing = Drawing::of_terminal();
        let mut inputs = inputs();
        let mut frames = interval(FRAME);
        frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.left != Some(0) {
            tokio::select! {
                heard = heard.recv() => match heard {
                    Some(heard) => self.hear(&heard),
                    None => return Ok(()),
                },
                input = inputs.recv() => match input {
                    None | Some(Input::Quit) => return Ok(()),
                    Some(Input::Key(key)) => self.press(key),
                    Some(Input::Resize(width, height)) => screen.resize((width, height)),
                },
                _ = frames.tick() => {
                    let now = self.paused.unwrap_or_else(present);
                    let lines = self.lines(screen.size(), now, drawing, screen.is_colored());
                    screen.draw(lines)?;
                }
            }
        }
        Ok(())
    }

    fn press(&mut self, key: char) {
        match key {
            '+' | '=' => self.window = (self.window * 2.0).min(WINDOWS.1),
            '-' => self.window = (self.window / 2.0).max(WINDOWS.0),
            ' ' | 'p' => {
                self.paused = if self.paused.is_some() {
                    None
                } else {
                    Some(present())
                }
            }
            'c' => self.series.clear(),
            _ => {}
        }
    }

    fn hear(&mut self, heard: &Heard) {
        match &heard.event {
            Event::Waiting { reason } => {
                if !matches!(self.state, State::Away(..)) {
                    self.state = State::Waiting(reason.clone());
                }
            }
            Event::Linked { .. } => self.state = State::Linked,
            Event::Away { time, reason, .. } => {
                self.series.interrupt(*time);
                self.state = State::Away(*time, reason.clone());
            }
            Event::Notified { time, notification } => {
                if notification.lost() > 0 {
                    self.series.interrupt(*time);
                    self.problem = Some(format!("{} notifications were dropped", notification.lost()));
                }
                self.take(*time, &Values::of(notification));
            }
            Event::Polled(_) => {}
        }
    }

    /// Takes the value out of a notification.
    fn take(&mut self, time: Timestamp, values: &Values) {
        if self.filter.as_ref().is_some_and(|key| values.get(key).is_none()) {
            return;
        }
        let Some(value) = values.get(&self.key) else {
            if self.series.total.count == 0 {
                self.problem = Some(values.without(&self.key));
            }
            return;
        };
        match number(value) {
            Some(number) => {
                self.series.push(time, number);
                self.left = self.left.map(|left| left - 1);
                self.problem = None;
            }
            None => self.problem = Some(format!("not a number: {}", one_line(value))),
        }
    }

    /// Returns the picture.
    fn lines(
        &self,
        (width, height): (usize, usize),
        now: Timestamp,
        drawing: Drawing,
        is_colored: bool,
    ) -> Vec<String> {
        if width < SMALLEST.0 || height < SMALLEST.1 {
            let mut lines = vec![String::new(); height];
            if let Some(line) = lines.first_mut() {
                *line = cut("the terminal is too small for a plot", width);
            }
            return lines;
        }
        let styled = |style: Style, text: &str| {
            if is_colored {
                format!("{style}{text}{style:#}")
            } else {
                text.to_owned()
            }
        };
        let end = seconds(now);
        let begin = end - self.window;
        let summary = self.series.summary(begin);
        let mut lines = vec![self.title(width, now, &styled)];
        let values = if summary.count == 0 {
            "no values yet".to_owned()
        } else {
            format!(
                "last {}   min {}   max {}   mean {}   n {}",
                short(summary.last),
                short(summary.low),
                short(summary.high),
                short(summary.mean),
                summary.count
            )
        };
        lines.push(cut(&values, width));
        let rows = height - OTHER_LINES;
        let scale = Scale::new(summary.low, summary.high, (rows / 4).clamp(2, 8));
        let marks = if summary.count == 0 {
            Vec::new()
        } else {
            scale.marks()
        };
        let widest = marks
            .iter()
            .map(|(_, label)| label.chars().count())
            .max()
            .unwrap_or(0);
        let margin = widest.clamp(6, width / 3);
        let columns = width - margin - 2;
        let mut canvas = Canvas::new(columns, rows, drawing.is_braille);
        self.draw(&mut canvas, &scale, end);
        let labels = labels(&marks, &scale, rows);
        let [axis, mark, corner, floor, tick] = drawing.axes;
        for row in 0..rows {
            let label = labels.get(row).cloned().flatten();
            let line = if label.is_some() { mark } else { axis };
            let label = cut(&label.unwrap_or_default(), margin);
            let left = styled(FAINT, &format!("{label:>margin$} {line}"));
            lines.push(format!("{left}{}", styled(CURVE, canvas.row(row).trim_end())));
        }
        let (floor, labels) = time_axis(begin, end, columns, floor, tick);
        let blank = " ".repeat(margin + 1);
        lines.push(styled(FAINT, &format!("{blank}{corner}{floor}")));
        lines.push(styled(FAINT, &format!("{blank} {labels}")));
        lines.push(self.footer(width, &styled));
        lines
    }

    /// Returns the title: the service and the key, and the state of the connection at the right.
    fn title(&self, width: usize, now: Timestamp, styled: &impl Fn(Style, &str) -> String) -> String {
        let name = format!("{} {}", one_line(&self.service), one_line(&self.key.to_string()));
        let (style, state) = match &self.state {
            State::Connecting => (FAINT, "connecting".to_owned()),
            State::Waiting(reason) => (PROBLEM, format!("waiting: {reason}")),
            State::Linked if self.paused.is_some() => (STRONG, "paused".to_owned()),
            State::Linked => (GOOD, "linked".to_owned()),
            State::Away(since, reason) => {
                let length = now.duration_since(*since).as_secs().max(0);
                (PROBLEM, format!("away for {length} s: {reason}"))
            }
        };
        let name = cut(&name, width / 2);
        let room = width.saturating_sub(name.chars().count() + 2);
        let state = cut(&one_line(&state), room);
        format!(
            "{}  {}",
            styled(STRONG, &name),
            styled(style, &format!("{state:>room$}"))
        )
    }

    fn footer(&self, width: usize, styled: &impl Fn(Style, &str) -> String) -> String {
        if let Some(problem) = &self.problem {
            return styled(PROBLEM, &cut(problem, width));
        }
        let window = if self.window < 120.0 {
            format!("{} s", short(self.window))
        } else if self.window < 7_200.0 {
            format!("{} min", short(self.window / 60.0))
        } else {
            format!("{} h", short(self.window / 3_600.0))
        };
        let keys = format!("q quit   space pause   c clear   + - time ({window})");
        styled(FAINT, &cut(&keys, width))
    }

    /// Draws the values of the window that ends at a time.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "dots of a screen are few, and positions outside of it are left out before"
    )]
    fn draw(&self, canvas: &mut Canvas, scale: &Scale, end: f64) {
        let (width, height) = (canvas.width(), canvas.height());
        let pitch = self.window / width as f64;
        // Times are rounded to dots before they are subtracted, so that the picture moves by whole
        // dots.
        let last = (end / pitch).floor();
        let column = |time: f64| width as f64 - 1.0 - (last - (time / pitch).floor());
        let row = |value: f64| (1.0 - scale.position(value)) * (height as f64 - 1.0);
        let mut before: Option<(f64, f64)> = None;
        for (time, value) in self.series.since(end - self.window) {
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
}
