//! What each source of a recording has given.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::row::Row;
use super::sources::{Poll, Subscription, Topics};
use crate::failure::without_exception;
use crate::feed::{Event, Followed, Heard, Outcome};
use crate::key::{Key, Values};
use crate::output::one_line;
use crate::permission::Lacking;

/// What a source has given, as an object of JSON.
#[derive(Debug, Default, Serialize)]
pub(super) struct Counts {
    /// The source, as it is written on the command line.
    source: String,
    /// The rows with values.
    values: u64,
    /// The calls that have failed.
    failed: u64,
    /// The calls, notifications and values of topics that were left out.
    lost: u64,
    /// How often its service was not linked.
    gaps: u64,
}

/// A source.
struct Source {
    followed: Followed,
    kind: Kind,
    counts: Counts,
    /// Why it has given no value, as far as that is known.
    reason: Option<String>,
    /// Whether that is the lack of a permission.
    is_forbidden: bool,
}

enum Kind {
    Topics,
    Watch(Option<Key>),
    /// The call as it was written.
    Poll(Arc<str>),
}

/// The sources of a recording, with what they have given so far.
pub(super) struct Tally(Vec<Source>);

impl Tally {
    /// Returns the tally of a recording that begins.
    pub(super) fn new(watch: &[Subscription], topics: &[Topics], poll: &[Poll]) -> Self {
        let source = |followed, kind, name: String| Source {
            followed,
            kind,
            counts: Counts {
                source: name,
                ..Counts::default()
            },
            reason: None,
            is_forbidden: false,
        };
        let service = |name| Followed::Service(Arc::clone(name));
        let watched = watch.iter().map(|watch| {
            let kind = Kind::Watch(watch.key.clone());
            source(service(&watch.service), kind, watch.to_string())
        });
        let subscribed = topics.iter().map(|topics| {
            let followed = Followed::Topics(Arc::clone(&topics.0));
            source(followed, Kind::Topics, topics.to_string())
        });
        let polled = poll.iter().map(|poll| {
            source(
                service(&poll.service),
                Kind::Poll(Arc::clone(&poll.call)),
                poll.to_string(),
            )
        });
        Self(watched.chain(subscribed).chain(polled).collect())
    }

    /// Returns what is followed for the sources; a service with several sources occurs several times.
    pub(super) fn followed(&self) -> impl Iterator<Item = &Followed> {
        self.0.iter().map(|source| &source.followed)
    }

    /// Counts an event that has become these rows.
    pub(super) fn count(&mut self, heard: &Heard, messages: &[Vec<Row>]) {
        let rows = messages.iter().flatten().filter(|row| row.is_value()).count() as u64;
        let followed = heard.followed();
        for source in &mut self.0 {
            if followed.as_ref() == Some(&source.followed) {
                source.count(&heard.event, rows);
            }
        }
    }

    /// Counts a gap of a service, or of a pattern of topics.
    pub(super) fn gap(&mut self, followed: &Followed, reason: &str) {
        self.explain(followed, reason);
        for source in self.0.iter_mut().filter(|source| source.followed == *followed) {
            source.counts.gaps += 1;
        }
    }

    /// Sets the reason for which a service is not linked, or a topic is not subscribed.
    pub(super) fn explain(&mut self, followed: &Followed, reason: &str) {
        for source in self.0.iter_mut().filter(|source| source.followed == *followed) {
            source.explain(reason);
        }
    }

    /// Returns a text for people if the manager permits none of the sources, and none has given a value.
    pub(super) fn forbidden(&self) -> Option<String> {
        let is_useless = |source: &Source| source.is_forbidden && source.counts.values == 0;
        if !self.0.iter().all(is_useless) {
            return None;
        }
        let mut reasons: Vec<_> = self.0.iter().filter_map(Source::lacking).collect();
        reasons.dedup();
        (!reasons.is_empty()).then(|| reasons.join("\n"))
    }

    /// Returns what the sources have given.
    pub(super) fn counts(&self) -> Vec<&Counts> {
        self.0.iter().map(|source| &source.counts).collect()
    }

    /// Returns a text for people about each source that has given no value.
    pub(super) fn empty(&self) -> Vec<String> {
        let empty = self.0.iter().filter(|source| source.counts.values == 0);
        empty
            .map(|source| {
                let reason = source.reason.as_deref().unwrap_or(match source.kind {
                    Kind::Topics => "nothing was published there",
                    Kind::Watch(_) => "its service has sent no notification",
                    Kind::Poll(_) => "no call was answered before the end",
                });
                let reason = one_line(&reason.replace('\n', "; "));
                format!("{} has given no value: {reason}", one_line(&source.counts.source))
            })
            .collect()
    }
}

impl Source {
    fn explain(&mut self, reason: &str) {
        self.is_forbidden = Lacking::read(reason).is_some();
        self.reason = Some(reason.to_owned());
    }

    /// Returns the reason with the command that explains it, if it is the lack of a permission.
    fn lacking(&self) -> Option<String> {
        let reason = self.reason.as_deref()?;
        let hint = Lacking::read(reason)?.hint(None);
        let text = without_exception(reason);
        Some(if text.contains('\n') {
            // With the command already.
            text.to_owned()
        } else {
            format!("{text}\n{hint}")
        })
    }

    /// Counts an event of its service; `rows` are those with values.
    fn count(&mut self, event: &Event, rows: u64) {
        match (event, &self.kind) {
            (Event::Linked { .. }, _) => {
                self.reason = None;
                self.is_forbidden = false;
            }
            (Event::Notified { notification, .. }, Kind::Watch(key)) => {
                self.counts.lost += notification.lost();
                let values = Values::of(notification);
                match key {
                    None => self.counts.values += rows,
                    Some(key) if values.get(key).is_some() => self.counts.values += 1,
                    Some(key) => self.reason = Some(values.without(key)),
                }
            }
            (Event::Published { value, .. }, Kind::Topics) => {
                self.counts.lost += value.lost();
                self.counts.values += rows;
            }
            (Event::Polled(polled), Kind::Poll(call)) if Arc::ptr_eq(call, &polled.call) => {
                match &polled.outcome {
                    Outcome::Result { .. } => self.counts.values += rows,
                    Outcome::Error { message, .. } => {
                        self.counts.failed += 1;
                        self.explain(message);
                    }
                    Outcome::Skipped { count } => self.counts.lost += count,
                }
            }
            _ => {}
        }
    }
}

impl fmt::Display for Counts {
    /// Writes the counts for people; of those that are not values, only the ones above 0.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |count: u64, one: &str, several: &str| {
            format!("{count} {}", if count == 1 { one } else { several })
        };
        let values = number(self.values, "value", "values");
        write!(formatter, "{}: {values}", one_line(&self.source))?;
        for (count, text) in [
            (self.failed, number(self.failed, "failed call", "failed calls")),
            (self.lost, format!("{} left out", self.lost)),
            (self.gaps, number(self.gaps, "gap", "gaps")),
        ] {
            if count > 0 {
                write!(formatter, ", {text}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use labwire_home::present;

    use super::*;
    use crate::feed::Polled;

    #[test]
    fn each_source_has_its_counts_and_the_reason_for_no_value() {
        let watch = ["Meter".parse().unwrap(), "Meter.x".parse().unwrap()];
        let poll: [Poll; 2] = ["A.b(1) every 1s", "A.b(1) every 2s"].map(|text| text.parse().unwrap());
        let mut tally = Tally::new(&watch, &["lab.>".parse().unwrap()], &poll);
        let outcome = |outcome| Heard {
            service: Some(Arc::clone(&poll[1].service)),
            topics: None,
            event: Event::Polled(Polled {
                call: Arc::clone(&poll[1].call),
                time: present(),
                outcome,
            }),
        };
        let took = Duration::ZERO;
        let message = "no\nvolts".to_owned();
        tally.count(&outcome(Outcome::Error { message, took }), &[]);
        tally.count(&outcome(Outcome::Skipped { count: 3 }), &[]);
        tally.gap(
            &Followed::Service("Meter".into()),
            "no service 'Meter' is connected",
        );
        let counts: Vec<_> = tally.counts().iter().map(ToString::to_string).collect();
        assert_eq!(
            counts,
            [
                "Meter: 0 values, 1 gap",
                "Meter.x: 0 values, 1 gap",
                "lab.>: 0 values",
                "A.b(1): 0 values",
                "A.b(1): 0 values, 1 failed call, 3 left out",
            ]
        );
        let empty = tally.empty();
        assert_eq!(
            empty[1],
            "Meter.x has given no value: no service 'Meter' is connected"
        );
        assert_eq!(empty[2], "lab.> has given no value: nothing was published there");
        assert_eq!(
            empty[3],
            "A.b(1) has given no value: no call was answered before the end"
        );
        assert_eq!(empty[4], "A.b(1) has given no value: no; volts");
    }
}
