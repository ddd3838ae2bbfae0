//! A live plot of one value, over the whole terminal.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use labwire_home::present;
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::axes::Drawing;
use super::picture::Picture;
use super::scale::short;
use super::series::Series;
use crate::counted::counted;
use crate::failure::Failure;
use crate::feed::{Event, Heard};
use crate::key::{self, Values, number};
use crate::output::{one_line, tell};
use crate::screen::{Input, Key, Screen, inputs};
use crate::seconds::Seconds;
use crate::stop::EndSignal;

/// The time between two pictures.
const FRAME: Duration = Duration::from_millis(100);

/// The time that is shown at first.
const WINDOW: f64 = 60.0;

/// The shortest and the longest time that the keys reach.
const WINDOWS: (f64, f64) = (1.0, 7.0 * 86_400.0);

/// The plot of one value, with its data so far.
pub(super) struct Plot {
    pub(super) service: Arc<str>,
    pub(super) key: key::Key,
    /// The value that a notification must have to count.
    filter: Option<key::Key>,
    left: Option<u64>,
    pub(super) window: f64,
    pub(super) series: Series,
    pub(super) state: State,
    /// The time of the picture while it is paused.
    pub(super) paused: Option<Timestamp>,
    /// A message about notifications without the value, or about dropped ones.
    pub(super) problem: Option<String>,
}

/// The state of the connection.
pub(super) enum State {
    Connecting,
    Waiting(String),
    Linked,
    Away(Timestamp, String),
}

impl Plot {
    pub(super) fn new(
        service: Arc<str>,
        key: key::Key,
        filter: Option<key::Key>,
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

    /// Shows the plot until the channel closes, `--count` values were shown, or a key ends it. Fails
    /// if that is Ctrl-C, and `--count` is not reached.
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
        let is_interrupted = runtime.block_on(self.show(screen, heard)).map_err(failed)?;
        let total = self.series.total;
        if total.count > 0 {
            tell(format_args!(
                "labwire: {} of {}: last {}, from {} to {}, mean {}",
                counted(total.count, "value"),
                one_line(&self.key.to_string()),
                short(total.last),
                short(total.low),
                short(total.high),
                short(total.readable_mean())
            ));
        }
        if is_interrupted {
            return EndSignal::Interrupt.outcome(self.left);
        }
        Ok(())
    }

    /// Shows the plot. Returns whether Ctrl-C has ended it.
    async fn show(&mut self, mut screen: Screen, mut heard: mpsc::Receiver<Heard>) -> io::Result<bool> {
        let drawing = Drawing::of_terminal();
        let mut inputs = inputs();
        let mut frames = interval(FRAME);
        frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.left != Some(0) {
            tokio::select! {
                heard = heard.recv() => match heard {
                    Some(heard) => self.hear(&heard),
                    None => return Ok(false),
                },
                input = inputs.recv() => match input {
                    Some(Input::Resize(width, height)) => screen.resize((width, height)),
                    Some(Input::Key(Key::Character(key))) if key != 'q' => self.press(key),
                    Some(input) if !input.ends() => {}
                    input => return Ok(input == Some(Input::End)),
                },
                _ = frames.tick() => {
                    let now = self.paused.unwrap_or_else(present);
                    let picture = Picture::new(screen.size(), screen.is_colored(), drawing);
                    screen.draw(picture.lines(self, now))?;
                }
            }
        }
        Ok(false)
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
            Event::Waiting { reason, .. } => {
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
                    self.problem = Some(format!(
                        "{} dropped",
                        counted(notification.lost(), "notification")
                    ));
                }
                self.take(*time, &Values::of(notification));
            }
            Event::Published { .. } | Event::Polled(_) | Event::Broken { .. } | Event::Back { .. } => {}
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
}
