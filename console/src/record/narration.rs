//! Reports on standard error what happens to a recording.

use std::collections::HashSet;

use jiff::Timestamp;
use labwire_client::Notification;

use super::sources::Subscription;
use crate::counted::counted;
use crate::feed::{Cause, Event, Heard, Outcome, Polled};
use crate::key::Values;
use crate::moment::moment;
use crate::narrator::Narrator;
use crate::output::one_line;

/// Reports the changes of the connection, the first failure of each call, and wanted values that
/// notifications do not contain.
pub(super) struct Narration {
    narrator: Narrator,
    /// The subscriptions to a key whose service has sent no notification yet.
    untold: Vec<Subscription>,
    /// The calls whose failure was reported.
    failing: HashSet<(String, String)>,
}

impl Narration {
    /// Creates the narration of a recording of these notifications. With `is_quiet`, it writes
    /// nothing.
    pub(super) fn new(wanted: &[Subscription], is_quiet: bool) -> Self {
        let with_key = wanted.iter().filter(|wanted| wanted.key.is_some());
        Self {
            narrator: Narrator::new(is_quiet),
            untold: with_key.cloned().collect(),
            failing: HashSet::new(),
        }
    }

    /// Writes a line, unless it is quiet.
    pub(super) fn tell(&self, line: &str) {
        self.narrator.tell(line);
    }

    /// Reports an event. `since` is when the service has left, if it was linked before;
    /// `is_any_away` is whether any service has.
    pub(super) fn hear(&mut self, heard: &Heard, since: Option<Timestamp>, is_any_away: bool) {
        let followed = heard.followed();
        let name = followed.as_ref().map(|followed| one_line(followed.name()));
        let name = name.unwrap_or_default();
        match &heard.event {
            Event::Linked { time, .. } if let Some(since) = since => {
                let (since, time) = (moment(since), moment(*time));
                self.tell(&format!("'{name}' is back: gap since {since} until {time}"));
            }
            Event::Waiting { reason, .. } if heard.topics.is_some() => {
                self.tell(&format!("waiting for '{name}': {reason}"));
            }
            Event::Linked { .. } if heard.topics.is_some() => self.tell(&format!("subscribed to '{name}'")),
            Event::Away {
                time,
                reason,
                cause: Cause::Service,
            } => {
                let since = moment(*time);
                self.tell(&format!(
                    "'{name}' is away since {since}: {reason}; waiting for it"
                ));
            }
            // With the connection, all services are away; one line is enough.
            Event::Away { .. } if is_any_away => {}
            Event::Away { time, reason, .. } => {
                self.tell(&format!("{reason} at {}; waiting for it", moment(*time)));
            }
            Event::Polled(polled) => self.polled(&name, polled),
            _ => {
                self.narrator.hear(heard);
            }
        }
        match &heard.event {
            Event::Notified { notification, .. } => self.keys(notification),
            Event::Published { value, .. } if value.lost() > 0 => self.tell(&format!(
                "'{name}': {} dropped, because they are written too slowly",
                counted(value.lost(), "value")
            )),
            _ => {}
        }
    }

    fn polled(&mut self, name: &str, Polled { call, outcome, .. }: &Polled) {
        let (key, call) = ((name.to_owned(), call.to_string()), one_line(call));
        match outcome {
            Outcome::Result { .. } => {
                if self.failing.remove(&key) {
                    self.tell(&format!("{name}.{call} works again"));
                }
            }
            Outcome::Error { message, .. } => {
                if self.failing.insert(key) {
                    let message = one_line(message);
                    self.tell(&format!(
                        "{name}.{call}: {message}; further errors are only recorded"
                    ));
                }
            }
            Outcome::Skipped { .. } => {}
        }
    }

    /// Reports at the first notification of a service which wanted values it does not contain.
    fn keys(&mut self, notification: &Notification) {
        let is_here = |wanted: &mut Subscription| *wanted.service == *notification.service();
        for wanted in self.untold.extract_if(.., is_here) {
            let values = Values::of(notification);
            if let Some(key) = wanted.key.filter(|key| values.get(key).is_none()) {
                let name = one_line(notification.service());
                self.narrator.tell(&format!("'{name}': {}", values.without(&key)));
            }
        }
    }
}
