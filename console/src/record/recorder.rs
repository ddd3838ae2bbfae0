//! Writes events to a store, at least every half second.

use std::collections::{HashMap, HashSet};
use std::io;
use std::time::Duration;

use jiff::Timestamp;
use labwire_client::Notification;
use labwire_home::present;
use serde::Serialize;
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::opened::Opened;
use super::row::{Row, messages};
use super::sources::Subscription;
use super::store::Store;
use crate::failure::Failure;
use crate::feed::{Cause, Event, Heard, Outcome, Polled};
use crate::key::Values;
use crate::narrator::{Narrator, local};
use crate::output::{one_line, say_json};

/// The longest time until a row is written.
const COMMIT: Duration = Duration::from_millis(500);

/// The summary of a recording, as an object of JSON.
#[derive(Serialize)]
struct Summary<'a> {
    file: &'a str,
    rows: u64,
    continued: bool,
}

/// A recording in progress.
pub(super) struct Recorder {
    store: Store,
    /// The sources as a text, for the first row of each file.
    sources: String,
    wanted: Vec<Subscription>,
    narrator: Narrator,
    /// Since when each service is away.
    away: HashMap<String, Timestamp>,
    /// The subscriptions to a key whose service has sent no notification yet.
    untold: Vec<Subscription>,
    /// The calls whose failure was reported.
    failing: HashSet<(String, String)>,
    rows: u64,
    is_continued: bool,
    /// Whether to print the summary as JSON.
    is_json: bool,
    /// The rows that are not written yet.
    pending: u64,
    /// The time of the last row that was written.
    written: Option<Timestamp>,
    newest: Option<Timestamp>,
}

impl Recorder {
    /// Creates a recorder, and writes the first rows.
    pub(super) fn begin(
        store: Store,
        opened: &Opened,
        sources: String,
        wanted: Vec<Subscription>,
        is_quiet: bool,
    ) -> Result<Self, Failure> {
        let mut recorder = Self {
            store,
            sources,
            untold: wanted
                .iter()
                .filter(|wanted| wanted.key.is_some())
                .cloned()
                .collect(),
            wanted,
            narrator: Narrator::new(is_quiet),
            away: HashMap::new(),
            failing: HashSet::new(),
            rows: 0,
            is_continued: opened.last.is_some(),
            is_json: false,
            pending: 0,
            written: None,
            newest: None,
        };
        let path = recorder.store.path().display().to_string();
        if opened.removed > 0 {
            recorder.narrator.tell(&format!(
                "{path} ended with half a row of {} bytes, which was removed: the recording before did not end \
                 orderly",
                opened.removed
            ));
        }
        let now = present();
        if let Some(last) = opened.last {
            recorder.narrator.tell(&format!(
                "{path} is continued; its last row is of {}",
                local(last)
            ));
            let length = now.duration_since(last).as_secs_f64().max(0.0);
            let gap = Row::new(last, "gap").seconds(length).note("nothing was recorded");
            recorder.add(&[gap])?;
        }
        recorder.start(now)?;
        recorder.commit()?;
        Ok(recorder)
    }

    /// Sets whether to print an object of JSON at the end.
    pub(super) fn with_summary(mut self, is_json: bool) -> Self {
        self.is_json = is_json;
        self
    }

    fn start(&mut self, now: Timestamp) -> Result<(), Failure> {
        self.add(&[Row::new(now, "start").note(&*self.sources)])
    }

    /// Records events until the channel closes, and then writes the last row.
    pub(super) fn run(mut self, heard: mpsc::Receiver<Heard>) -> Result<(), Failure> {
        let runtime = Builder::new_current_thread().enable_time().build();
        let runtime =
            runtime.map_err(|error: io::Error| Failure::Failed(format!("cannot start: {error}")))?;
        let done = runtime.block_on(self.record(heard));
        done.map_err(|failure| failure.with_hint(Some(self.losses())))?;
        self.narrator.tell(&format!(
            "{} rows were recorded; the last ones in {}",
            self.rows,
            self.store.path().display()
        ));
        if self.is_json {
            return say_json(&Summary {
                file: &self.store.path().to_string_lossy(),
                rows: self.rows,
                continued: self.is_continued,
            });
        }
        Ok(())
    }

    async fn record(&mut self, mut heard: mpsc::Receiver<Heard>) -> Result<(), Failure> {
        let mut due = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = sleep_until(due), if self.pending > 0 => self.commit()?,
                event = heard.recv() => {
                    let Some(event) = event else { break };
                    if self.pending == 0 {
                        due = Instant::now() + COMMIT;
                    }
                    self.hear(&event)?;
                }
            }
        }
        self.add(&[Row::new(present(), "end")])?;
        self.commit()
    }

    fn hear(&mut self, heard: &Heard) -> Result<(), Failure> {
        self.narrate(heard);
        let service = heard.service.as_deref().unwrap_or_default();
        let mut length = None;
        match &heard.event {
            Event::Linked { time, .. } => {
                let since = self.away.remove(service);
                length = since.map(|since| time.duration_since(since).as_secs_f64().max(0.0));
            }
            Event::Away { time, .. } => {
                self.away.insert(service.to_owned(), *time);
            }
            _ => {}
        }
        let messages = messages(heard, &self.wanted, length);
        for rows in messages.iter().filter(|rows| !rows.is_empty()) {
            self.add(rows)?;
        }
        Ok(())
    }

    /// Reports on standard error the changes of the connection, and the first failure of each call.
    fn narrate(&mut self, heard: &Heard) {
        let service = heard.service.as_deref().unwrap_or_default();
        let (name, since) = (one_line(service), self.away.get(service));
        match &heard.event {
            Event::Linked { time, .. } if since.is_some() => {
                let since = since.copied().map(local).unwrap_or_default();
                self.narrator.tell(&format!(
                    "'{name}' is back: gap since {since} until {}",
                    local(*time)
                ));
            }
            Event::Away { time, reason, cause } => {
                // With the connection, all services are away; one line is enough.
                if *cause == Cause::Service || self.away.is_empty() {
                    self.narrator.tell(&format!(
                        "'{name}' is away since {}: {reason}; waiting for it",
                        local(*time)
                    ));
                }
            }
            Event::Polled(Polled { call, outcome, .. }) => {
                let key = (name.clone(), call.to_string());
                match outcome {
                    Outcome::Result { .. } => {
                        if self.failing.remove(&key) {
                            self.narrator
                                .tell(&format!("{name}.{} works again", one_line(call)));
                        }
                    }
                    Outcome::Error { message, .. } => {
                        if self.failing.insert(key) {
                            self.narrator.tell(&format!(
                                "{name}.{}: {}; further errors are only recorded",
                                one_line(call),
                                one_line(message)
                            ));
                        }
                    }
                    Outcome::Skipped { .. } => {}
                }
            }
            _ => {
                self.narrator.hear(heard);
            }
        }
        if let Event::Notified { notification, .. } = &heard.event {
            self.narrate_keys(notification);
        }
    }

    /// Reports at the first notification of a service which wanted values it does not contain.
    fn narrate_keys(&mut self, notification: &Notification) {
        let is_here = |wanted: &mut Subscription| *wanted.service == *notification.service();
        for wanted in self.untold.extract_if(.., is_here) {
            let values = Values::of(notification);
            if let Some(key) = wanted.key.filter(|key| values.get(key).is_none()) {
                let name = one_line(notification.service());
                self.narrator.tell(&format!("'{name}': {}", values.without(&key)));
            }
        }
    }

    /// Adds rows that belong together, to the next file if it is time for that.
    fn add(&mut self, rows: &[Row]) -> Result<(), Failure> {
        let Some(time) = rows.last().map(|row| row.time) else {
            return Ok(());
        };
        if self.store.rotate(present())? {
            self.written = self.newest;
            self.pending = 0;
            self.narrator
                .tell(&format!("recording in {}", self.store.path().display()));
            self.store.add(&[Row::new(time, "start").note(&*self.sources)])?;
        }
        let count = rows.len() as u64;
        self.pending += count;
        self.store.add(rows)?;
        self.rows += count;
        self.newest = Some(time);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Failure> {
        self.store.commit()?;
        self.pending = 0;
        self.written = self.newest;
        Ok(())
    }

    /// Returns a text about the rows that are missing after an error.
    fn losses(&self) -> String {
        match self.written {
            Some(written) => format!(
                "the recording is complete until {}; {} rows after that could not be written",
                local(written),
                self.pending
            ),
            None => format!("nothing was recorded; {} rows could not be written", self.pending),
        }
    }
}
