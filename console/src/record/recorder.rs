//! Writes events to a store, at least every half second.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use jiff::Timestamp;
use labwire_home::present;
use serde::Serialize;
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::narration::Narration;
use super::opened::Opened;
use super::row::{Row, messages};
use super::sources::Subscription;
use super::store::Store;
use super::tally::{Counts, Tally};
use crate::breaks::SESSION_KEPT;
use crate::counted::counted;
use crate::failure::Failure;
use crate::feed::{Event, Followed, Heard};
use crate::moment::moment;
use crate::output::say_json;

/// The longest time until a row is written.
const COMMIT: Duration = Duration::from_millis(500);

/// The note about a broken connection.
const AWAY: &str =
    "the connection broke; values that come meanwhile have the time of their arrival afterwards";

/// The summary of a recording, as an object of JSON.
#[derive(Serialize)]
struct Summary<'a> {
    file: &'a str,
    rows: u64,
    continued: bool,
    sources: Vec<&'a Counts>,
}

/// The state of a service, or of the subscription of topics.
enum State {
    Connecting,
    Linked,
    Away {
        since: Timestamp,
        /// The reason that was recorded last.
        reason: String,
        was_linked: bool,
    },
}

/// A recording in progress.
pub(super) struct Recorder {
    store: Store,
    /// The sources as a text, for the first row of each file.
    sources: String,
    wanted: Vec<Subscription>,
    narration: Narration,
    tally: Tally,
    followed: BTreeMap<Followed, State>,
    /// Since when the connection is broken whose session the manager keeps.
    broken: Option<Timestamp>,
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
        tally: Tally,
        is_quiet: bool,
    ) -> Result<Self, Failure> {
        let followed = tally
            .followed()
            .map(|followed| (followed.clone(), State::Connecting));
        let mut recorder = Self {
            store,
            sources,
            narration: Narration::new(&wanted, is_quiet),
            wanted,
            followed: followed.collect(),
            broken: None,
            tally,
            rows: 0,
            is_continued: opened.last.is_some(),
            is_json: false,
            pending: 0,
            written: None,
            newest: None,
        };
        let path = recorder.store.path().display().to_string();
        if opened.removed > 0 {
            recorder.narration.tell(&format!(
                "{path} ended with half a row of {} bytes, which was removed: the recording before did not end \
                 orderly",
                opened.removed
            ));
        }
        let now = present();
        if let Some(last) = opened.last {
            recorder.narration.tell(&format!(
                "{path} is continued; its last row is of {}",
                moment(last)
            ));
            let length = now.duration_since(last).as_secs_f64().max(0.0);
            let gap = Row::new(last, "gap").seconds(length).note("nothing was recorded");
            recorder.add(&[gap])?;
        }
        recorder.start(now)?;
        recorder.commit()?;
        let sources = &recorder.sources;
        recorder
            .narration
            .tell(&format!("recording in {path} (Ctrl-C ends it): {sources}"));
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

    /// Records events until the channel closes, and then writes the last row. Returns a text about
    /// each source that has given no value.
    ///
    /// # Errors
    /// If the file cannot be written, or the manager permits none of the sources.
    pub(super) fn run(mut self, heard: mpsc::Receiver<Heard>) -> Result<Vec<String>, Failure> {
        let runtime = Builder::new_current_thread().enable_time().build();
        let runtime =
            runtime.map_err(|error: io::Error| Failure::Failed(format!("cannot start: {error}")))?;
        let done = runtime.block_on(self.record(heard));
        done.map_err(|failure| failure.with_hint(Some(self.losses())))?;
        self.narration.tell(&format!(
            "{} recorded; the last in {}",
            counted(self.rows, "row"),
            self.store.path().display()
        ));
        for counts in self.tally.counts() {
            self.narration.tell(&counts.to_string());
        }
        if self.is_json {
            say_json(&Summary {
                file: &self.store.path().to_string_lossy(),
                rows: self.rows,
                continued: self.is_continued,
                sources: self.tally.counts(),
            })?;
        }
        match self.tally.forbidden() {
            Some(reasons) => Err(Failure::Refused(reasons)),
            None => Ok(self.tally.empty()),
        }
    }

    async fn record(&mut self, mut heard: mpsc::Receiver<Heard>) -> Result<(), Failure> {
        let begun = present();
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
                    if self.tally.forbidden().is_some() {
                        break;
                    }
                }
            }
        }
        let is_unheard = |(followed, state): (&Followed, &State)| {
            matches!(state, State::Connecting).then(|| followed.clone())
        };
        let unheard: Vec<_> = self.followed.iter().filter_map(is_unheard).collect();
        for followed in unheard {
            let reason = match followed {
                Followed::Service(_) => "it was not linked before the end of the recording",
                Followed::Topics(_) => "it was not subscribed before the end of the recording",
            };
            self.gap(&followed, begun, reason)?;
        }
        let counts = self.tally.counts();
        let counts: Vec<_> = counts.iter().map(ToString::to_string).collect();
        self.add(&[Row::new(present(), "end").note(counts.join("; "))])?;
        self.commit()
    }

    fn hear(&mut self, heard: &Heard) -> Result<(), Failure> {
        let followed = heard.followed();
        let state = followed.as_ref().and_then(|followed| self.followed.get(followed));
        let since = match state {
            Some(State::Away {
                since, was_linked, ..
            }) => Some((*since, *was_linked)),
            _ => None,
        };
        let was_linked = since.filter(|(_, was_linked)| *was_linked);
        let is_away = |state: &State| matches!(state, State::Away { was_linked: true, .. });
        let is_any_away = self.followed.values().any(is_away);
        self.narration
            .hear(heard, was_linked.map(|(since, _)| since), is_any_away);
        if let Event::Waiting { time, reason } = &heard.event {
            return self.waiting(followed.as_ref(), *time, reason);
        }
        match &heard.event {
            Event::Broken { time } => {
                self.broken = Some(*time);
                return self.add(&[Row::new(*time, "away").note(AWAY)]);
            }
            Event::Back { time } => {
                let since = self.broken.take().unwrap_or(*time);
                let seconds = time.duration_since(since).as_secs_f64().max(0.0);
                return self.add(&[Row::new(*time, "back").seconds(seconds).note(SESSION_KEPT)]);
            }
            _ => {}
        }
        let mut length = None;
        if let Some(followed) = followed {
            match &heard.event {
                Event::Linked { time, .. } => {
                    length = since.map(|(since, _)| time.duration_since(since).as_secs_f64().max(0.0));
                    self.followed.insert(followed, State::Linked);
                }
                Event::Away { time, reason, .. } => {
                    self.tally.gap(&followed, reason);
                    let away = State::Away {
                        since: *time,
                        reason: reason.clone(),
                        was_linked: true,
                    };
                    self.followed.insert(followed, away);
                }
                _ => {}
            }
        }
        let messages = messages(heard, &self.wanted, length);
        self.tally.count(heard, &messages);
        for rows in messages.iter().filter(|rows| !rows.is_empty()) {
            self.add(rows)?;
        }
        Ok(())
    }

    /// Records that a service, or everything that is not linked or subscribed, cannot be yet.
    fn waiting(&mut self, followed: Option<&Followed>, time: Timestamp, reason: &str) -> Result<(), Failure> {
        let all: Vec<_> = match followed {
            Some(followed) => vec![followed.clone()],
            None => self.followed.keys().cloned().collect(),
        };
        for followed in all {
            match self.followed.get_mut(&followed) {
                Some(State::Connecting) => self.gap(&followed, time, reason)?,
                // The gap goes on, for another reason.
                Some(State::Away { reason: before, .. }) if *before != reason => {
                    reason.clone_into(before);
                    self.tally.explain(&followed, reason);
                    self.add(&[Row::new(time, "gap").about(&followed).note(in_one_line(reason))])?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Records the gap of what was never linked or subscribed.
    fn gap(&mut self, followed: &Followed, since: Timestamp, reason: &str) -> Result<(), Failure> {
        self.tally.gap(followed, reason);
        let away = State::Away {
            since,
            reason: reason.to_owned(),
            was_linked: false,
        };
        self.followed.insert(followed.clone(), away);
        self.add(&[Row::new(since, "gap").about(followed).note(in_one_line(reason))])
    }

    /// Adds rows that belong together, to the next file if it is time for that.
    fn add(&mut self, rows: &[Row]) -> Result<(), Failure> {
        let Some(time) = rows.last().map(|row| row.time) else {
            return Ok(());
        };
        let count = rows.len() as u64;
        let part = self.store.next_part(present());
        if part.is_some() {
            self.commit()?;
        }
        self.pending += count;
        if let Some(part) = part {
            self.store.begin(part)?;
            self.narration
                .tell(&format!("recording in {}", self.store.path().display()));
            self.store.add(&[Row::new(time, "start").note(&*self.sources)])?;
        }
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
                "the recording is complete until {}; {} after that could not be written",
                moment(written),
                counted(self.pending, "row")
            ),
            None => format!(
                "nothing was recorded; {} could not be written",
                counted(self.pending, "row")
            ),
        }
    }
}

/// Returns a reason of several lines as the note of a row.
fn in_one_line(reason: &str) -> String {
    reason.replace('\n', "; ")
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::store::Rotation;
    use super::*;

    #[test]
    fn rows_that_were_written_before_a_rotation_failed_are_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let rotation = Some(Rotation::Day);
        let (store, opened) = Store::open(&inner.join("lab.csv"), Format::Csv, rotation, present()).unwrap();
        let tally = Tally::new(&[], &[], &[]);
        let mut recorder = Recorder::begin(store, &opened, String::new(), Vec::new(), tally, true).unwrap();
        recorder.add(&[Row::new(present(), "gap")]).unwrap();
        recorder.store.age();
        // The next file cannot be created.
        std::fs::remove_dir_all(&inner).unwrap();
        recorder.add(&[Row::new(present(), "gap")]).unwrap_err();
        let losses = recorder.losses();
        assert!(
            losses.ends_with("; 1 row after that could not be written"),
            "{losses}"
        );
    }
}
