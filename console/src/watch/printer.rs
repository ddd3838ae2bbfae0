//! Prints notifications, and what happens to the connection, as text, JSON lines or CSV.

use std::io::{self, IsTerminal};
use std::sync::Arc;

use jiff::Timestamp;
use labwire_client::Notification;
use labwire_wire::frames::json_string;
use labwire_wire::visible;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use crate::csv;
use crate::failure::Failure;
use crate::feed::{Event, Heard};
use crate::key::{Key, Values, cell, named};
use crate::narrator::{Break, Gap, Interruption, Narrator, local, utc};
use crate::output::{FAINT, say, say_json, say_line};

/// The form of the output.
pub(super) enum Form {
    Text,
    Json,
    Csv {
        /// The keys of the values with a column; `None` before the first notification.
        columns: Option<Vec<String>>,
        is_begun: bool,
    },
}

impl Form {
    /// Returns the form of rows with these columns, or of the key alone.
    pub(super) fn csv(key: Option<&Key>, columns: &[Key]) -> Self {
        let names: Vec<_> = match key {
            Some(key) if columns.is_empty() => vec![key.to_string()],
            _ => columns.iter().map(Key::to_string).collect(),
        };
        Self::Csv {
            columns: Some(names).filter(|names| !names.is_empty()),
            is_begun: false,
        }
    }
}

/// Prints the events of one service.
pub(super) struct Printer {
    service: Arc<str>,
    form: Form,
    key: Option<Key>,
    /// How many notifications are still to be printed; `None` for all.
    left: Option<u64>,
    narrator: Narrator,
    is_terminal: bool,
    /// What to say once if the service is not connected.
    hint: Option<String>,
    /// Whether no notification has arrived yet. If the first one lacks the key or a column, that is
    /// reported.
    is_key_new: bool,
    /// Whether a first notification without the key is an error.
    is_key_required: bool,
}

/// A notification, as an object of JSON.
#[derive(Serialize)]
struct Notified<'a> {
    event: &'static str,
    time: &'a str,
    service: &'a str,
    args: Option<&'a RawValue>,
    kwargs: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a RawValue>,
    /// The notification as it was received, if it is not JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// A gap, as an object of JSON.
#[derive(Serialize)]
struct Gone<'a> {
    event: &'static str,
    service: &'a str,
    since: String,
    until: String,
    seconds: f64,
    reason: &'a str,
}

/// A break of the connection without a gap, or its end, as an object of JSON.
#[derive(Serialize)]
struct Broken {
    event: &'static str,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
}

/// Notifications that were dropped, as an object of JSON.
#[derive(Serialize)]
struct Lost<'a> {
    event: &'static str,
    time: String,
    service: &'a str,
    count: u64,
}

impl Printer {
    pub(super) fn new(
        service: Arc<str>,
        form: Form,
        key: Option<Key>,
        count: Option<u64>,
        is_quiet: bool,
    ) -> Self {
        Self {
            service,
            form,
            key,
            left: count,
            narrator: Narrator::new(is_quiet),
            is_terminal: io::stdout().is_terminal(),
            hint: None,
            is_key_new: true,
            is_key_required: false,
        }
    }

    /// Sets whether a first notification without the key is an error, and not only reported.
    pub(super) fn requiring_key(mut self, is_required: bool) -> Self {
        self.is_key_required = is_required;
        self
    }

    /// Sets what to say once if the service is not connected.
    pub(super) fn with_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// Prints events until the channel closes, or until `--count` notifications were printed.
    pub(super) fn run(mut self, mut heard: mpsc::Receiver<Heard>) -> Result<(), Failure> {
        while let Some(heard) = heard.blocking_recv() {
            match self.narrator.hear(&heard) {
                Some(Interruption::Gap(gap)) => self.gap(&gap)?,
                Some(Interruption::Break(change)) => self.broken(change)?,
                None => {}
            }
            if let (Event::Waiting { .. }, Some(_)) = (&heard.event, &heard.service)
                && let Some(hint) = self.hint.take()
            {
                self.narrator.tell(&hint);
            }
            if let Event::Notified { time, notification } = &heard.event {
                if notification.lost() > 0 {
                    self.lost(*time, notification.lost())?;
                }
                if self.notified(*time, notification)? {
                    self.left = self.left.map(|left| left - 1);
                }
                if self.left == Some(0) {
                    return Ok(());
                }
            }
        }
        match self.narrator.end() {
            Some(gap) => self.gap(&gap),
            None => Ok(()),
        }
    }

    /// Prints a notification, and returns whether it is wanted.
    fn notified(&mut self, time: Timestamp, notification: &Notification) -> Result<bool, Failure> {
        let values = Values::of(notification);
        let selected = self.key.as_ref().map(|key| (key, values.get(key)));
        if let Some((key, value)) = selected {
            if std::mem::take(&mut self.is_key_new) && value.is_none() {
                let missing = values.without(key);
                if self.is_key_required && !values.is_of_another(key) {
                    return Err(Failure::Failed(missing));
                }
                self.narrator.tell(&missing);
            }
            if value.is_none() {
                return Ok(false);
            }
        }
        let selected = selected.and_then(|(key, value)| Some((key.to_string(), value?)));
        match &self.form {
            Form::Text => self.text(time, &values, selected)?,
            Form::Json => self.json(time, notification, selected)?,
            Form::Csv { .. } => self.row(time, &values)?,
        }
        Ok(true)
    }

    fn text(
        &self,
        time: Timestamp,
        values: &Values,
        selected: Option<(String, &str)>,
    ) -> Result<(), Failure> {
        let line = match selected {
            Some((key, value)) => named(&key, value),
            None => values.line(),
        };
        let text = self.shown(line);
        say(format_args!("{FAINT}{}{FAINT:#}  {text}", local(time)))
    }

    fn json(
        &self,
        time: Timestamp,
        notification: &Notification,
        selected: Option<(String, &str)>,
    ) -> Result<(), Failure> {
        let (args, kwargs) = (notification.positional_json(), notification.keywords_json());
        let raw = |text| serde_json::from_str::<&RawValue>(text).ok();
        let (key, value) = selected.map_or((None, None), |(key, value)| {
            (Some(key), Some(raw(value).unwrap_or(RawValue::NULL)))
        });
        let is_json = raw(args).is_some() && raw(kwargs).is_some();
        say_json(&Notified {
            event: "notification",
            time: &utc(time),
            service: &self.service,
            args: raw(args).filter(|_| is_json),
            kwargs: raw(kwargs).filter(|_| is_json),
            key,
            value,
            text: (!is_json).then(|| format!("[{args}, {kwargs}]")),
        })
    }

    fn row(&mut self, time: Timestamp, values: &Values) -> Result<(), Failure> {
        let Form::Csv { columns, .. } = &mut self.form else {
            return Ok(());
        };
        if self.key.is_none() && std::mem::take(&mut self.is_key_new) {
            for column in columns.iter().flatten() {
                let key = column.parse().ok();
                if let Some(key) = key.filter(|key| values.get(key).is_none()) {
                    self.narrator.tell(&values.without(&key));
                }
            }
        }
        let columns = columns.get_or_insert_with(|| values.all().map(|(key, _)| key).collect());
        // A name need not have the form of a key.
        let named = |column: &String| values.all().find(|(key, _)| key == column);
        let value = |column: &String| match named(column) {
            Some((_, value)) => Some(value),
            None => values.get(&column.parse().ok()?),
        };
        let cells: Vec<_> = columns
            .iter()
            .map(|column| value(column).map_or_else(String::new, cell))
            .collect();
        let others = values.all().filter(|(key, _)| !columns.contains(key));
        let others: Vec<_> = others
            .map(|(key, value)| format!("{}: {value}", json_string(&key)))
            .collect();
        let more = if others.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", others.join(", "))
        };
        self.cells(&utc(time), "notification", &cells, &more)
    }

    /// Prints a row, below the header.
    fn cells(&mut self, time: &str, event: &str, values: &[String], more: &str) -> Result<(), Failure> {
        let Form::Csv { columns, is_begun } = &mut self.form else {
            return Ok(());
        };
        let columns: Vec<&str> = columns.iter().flatten().map(String::as_str).collect();
        if !std::mem::replace(is_begun, true) {
            let header = [&["time", "event"][..], &columns, &["more"]].concat();
            let header = csv::row(header);
            say_line(&if self.is_terminal {
                visible(&header)
            } else {
                header
            })?;
        }
        let mut cells = vec![time, event];
        cells.extend((0..columns.len()).map(|index| values.get(index).map_or("", String::as_str)));
        cells.push(more);
        let row = csv::row(cells);
        say_line(&self.shown(row))
    }

    fn gap(&mut self, gap: &Gap) -> Result<(), Failure> {
        let service = Arc::clone(&self.service);
        let gone = Gone {
            event: "gap",
            service: &service,
            since: utc(gap.since),
            until: utc(gap.until),
            seconds: gap.seconds(),
            reason: &gap.reason,
        };
        match &self.form {
            // As text it was reported on standard error; without columns no row was printed yet.
            Form::Text | Form::Csv { columns: None, .. } => Ok(()),
            Form::Json => say_json(&gone),
            Form::Csv { .. } => {
                let more = format!(
                    "{{\"until\": \"{}\", \"seconds\": {}, \"reason\": {}}}",
                    gone.until,
                    gone.seconds,
                    json_string(&gap.reason)
                );
                self.cells(&utc(gap.since), gone.event, &[], &more)
            }
        }
    }

    /// Prints that the connection is broken, or that the client has returned to its session.
    fn broken(&mut self, change: Break) -> Result<(), Failure> {
        let (event, time, seconds) = (change.event(), utc(change.time()), change.seconds());
        match &self.form {
            Form::Text | Form::Csv { columns: None, .. } => Ok(()),
            Form::Json => say_json(&Broken { event, time, seconds }),
            Form::Csv { .. } => {
                let more = seconds.map(|seconds| format!("{{\"seconds\": {seconds}}}"));
                self.cells(&time, event, &[], &more.unwrap_or_default())
            }
        }
    }

    fn lost(&mut self, time: Timestamp, count: u64) -> Result<(), Failure> {
        let service = Arc::clone(&self.service);
        let lost = Lost {
            event: "lost",
            time: utc(time),
            service: &service,
            count,
        };
        match &self.form {
            Form::Text | Form::Csv { columns: None, .. } => Ok(()),
            Form::Json => say_json(&lost),
            Form::Csv { .. } => {
                let more = format!("{{\"count\": {count}}}");
                self.cells(&lost.time, lost.event, &[], &more)
            }
        }
    }

    /// Returns a line, for a terminal without control characters.
    fn shown(&self, line: String) -> String {
        if self.is_terminal { visible(&line) } else { line }
    }
}
