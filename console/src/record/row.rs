//! The rows of a recording.

use jiff::Timestamp;
use labwire_client::{Notification, TopicValue};

use super::sources::Subscription;
use crate::array::is_array;
use crate::feed::{Event, Followed, Heard, Outcome, Polled};
use crate::key::{Values, members};

/// The names of the columns.
pub(super) const COLUMNS: [&str; 9] = [
    "time", "event", "service", "source", "key", "value", "seconds", "note", "message",
];

/// A row, without the number of its message.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) time: Timestamp,
    pub(super) event: &'static str,
    pub(super) service: String,
    /// The call whose result it is, or the topic whose value.
    pub(super) source: String,
    /// Which value of the message it is.
    pub(super) key: String,
    /// The value as JSON text.
    pub(super) value: Option<String>,
    pub(super) seconds: Option<f64>,
    pub(super) note: String,
}

impl Row {
    /// Returns a row about the recording itself.
    pub(super) fn new(time: Timestamp, event: &'static str) -> Self {
        Self {
            time,
            event,
            service: String::new(),
            source: String::new(),
            key: String::new(),
            value: None,
            seconds: None,
            note: String::new(),
        }
    }

    /// Adds a note.
    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// Adds a duration.
    pub(super) fn seconds(mut self, seconds: f64) -> Self {
        self.seconds = Some(seconds);
        self
    }

    /// Adds the service.
    pub(super) fn of(mut self, service: &str) -> Self {
        service.clone_into(&mut self.service);
        self
    }

    /// Adds the service, or the pattern of topics.
    pub(super) fn about(self, followed: &Followed) -> Self {
        match followed {
            Followed::Service(service) => self.of(service),
            Followed::Topics(pattern) => Self {
                source: pattern.to_string(),
                ..self
            },
        }
    }

    /// Returns whether it has a value that a service gave, or that was published.
    pub(super) fn is_value(&self) -> bool {
        matches!(self.event, "notification" | "result" | "published")
    }

    fn value(&self, key: String, value: &str) -> Self {
        Self {
            key,
            value: Some(value.to_owned()),
            ..self.clone()
        }
    }
}

/// Returns the messages of an event, each with its rows. `away` is the time in seconds for which
/// a service that is linked again, or a topic that is subscribed again, was away.
pub(super) fn messages(heard: &Heard, wanted: &[Subscription], away: Option<f64>) -> Vec<Vec<Row>> {
    let Some(followed) = heard.followed() else {
        return Vec::new();
    };
    let service = followed.name();
    match &heard.event {
        // They concern one source or all of them, which the recorder knows.
        Event::Waiting { .. } | Event::Broken { .. } | Event::Back { .. } => Vec::new(),
        Event::Linked { time, manager } => {
            let mut row = Row::new(*time, "linked").about(&followed).note(manager);
            row.seconds = away;
            vec![vec![row]]
        }
        Event::Away { time, reason, .. } => vec![vec![Row::new(*time, "gap").about(&followed).note(reason)]],
        Event::Notified { time, notification } => {
            let mut messages = Vec::new();
            let wanted: Vec<_> = wanted
                .iter()
                .filter(|wanted| *wanted.service == *service)
                .collect();
            if notification.lost() > 0 && !wanted.is_empty() {
                let mut lost = Row::new(*time, "lost").of(service);
                lost.value = Some(notification.lost().to_string());
                messages.push(vec![
                    lost.note("notifications, because they were written too slowly"),
                ]);
            }
            messages.push(values(*time, notification, &wanted));
            messages
        }
        Event::Published { time, value } => {
            let mut messages = Vec::new();
            if value.lost() > 0 {
                let mut lost = Row::new(*time, "lost").about(&followed);
                lost.value = Some(value.lost().to_string());
                messages.push(vec![lost.note("values, because they were written too slowly")]);
            }
            messages.push(published(*time, value));
            messages
        }
        Event::Polled(polled) => vec![result(service, polled)],
    }
}

/// Returns the rows of a value that was published.
fn published(time: Timestamp, value: &TopicValue) -> Vec<Row> {
    let kept = if value.is_retained() { "retained, " } else { "" };
    let row = Row {
        source: value.topic().to_owned(),
        ..Row::new(time, "published").note(format!("{kept}from {}", value.sender()))
    };
    by_members(&row, value.json())
}

/// Returns a row for each member of an object, or one for any other value.
fn by_members(row: &Row, value: &str) -> Vec<Row> {
    match members(value) {
        Ok(members) if !members.is_empty() && !is_array(value) => members
            .into_iter()
            .map(|(key, value)| row.value(key, value))
            .collect(),
        _ => vec![row.value(String::new(), value)],
    }
}

/// Returns the rows of a notification.
fn values(time: Timestamp, notification: &Notification, wanted: &[&Subscription]) -> Vec<Row> {
    let row = Row::new(time, "notification").of(notification.service());
    let values = Values::of(notification);
    if wanted.iter().all(|wanted| wanted.key.is_some()) {
        let keys = wanted.iter().filter_map(|wanted| wanted.key.as_ref());
        let found = keys.filter_map(|key| Some((key, values.get(key)?)));
        return found
            .map(|(key, value)| row.value(key.to_string(), value))
            .collect();
    }
    let rows: Vec<_> = values.all().map(|(key, value)| row.value(key, value)).collect();
    if rows.is_empty() { vec![row] } else { rows }
}

/// Returns the rows of a repeated call.
fn result(service: &str, polled: &Polled) -> Vec<Row> {
    let row = |event| Row {
        source: polled.call.to_string(),
        ..Row::new(polled.time, event).of(service)
    };
    match &polled.outcome {
        Outcome::Result { result, took } => by_members(&row("result").seconds(took.as_secs_f64()), result),
        Outcome::Error { message, took } => vec![row("error").seconds(took.as_secs_f64()).note(message)],
        Outcome::Skipped { count } => vec![Row {
            value: Some(count.to_string()),
            ..row("lost").note("calls, because the one before took too long")
        }],
    }
}
