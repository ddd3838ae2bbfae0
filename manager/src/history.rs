//! The administrators' request for the record.

use std::time::Duration;

use bytes::Bytes;
use labwire_home::present;
use labwire_record::{
    Bound, Filter, Kind, LONGEST_PATTERN, Order, Outcome, Page, Reader, RecordError, RecordedEntry, Recorder,
    parse_time,
};
use serde_json::Value;
use tokio::task::spawn_blocking;
use tracing::warn;

use crate::record::Record;
use crate::refusal::{HistoryRefusal, Refusal, excerpt};

/// The number of entries in an answer unless the request names one.
const ENTRIES: usize = 100;

/// How long an answer waits for entries that are not written yet.
const PATIENCE: Duration = Duration::from_secs(1);

/// A request for some entries.
#[derive(Debug)]
pub(crate) struct Question {
    filter: Filter,
    order: Order,
    limit: usize,
}

/// Why arguments are refused.
pub(crate) enum Wrong {
    /// One of them has a wrong type.
    Type,
    Refused(HistoryRefusal),
}

impl From<HistoryRefusal> for Wrong {
    fn from(refusal: HistoryRefusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Question {
    /// Interprets the values of the parameters, in the order of the table of requests.
    pub(crate) fn read<'a>(value: impl Fn(usize) -> Option<&'a Value>) -> Result<Self, Wrong> {
        let text = |index| match value(index) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Wrong::Type),
        };
        let pattern = |index, name: &'static str| match text(index)? {
            Some(text) if text.len() > LONGEST_PATTERN => Err(Wrong::from(HistoryRefusal::TooLong {
                name,
                bytes: text.len(),
            })),
            text => Ok(text),
        };
        let number = |index| match value(index) {
            None => Ok(None),
            Some(value) => value.as_i64().map(Some).ok_or(Wrong::Type),
        };
        let now = present();
        let time = |index, bound| match text(index)? {
            None => Ok(None),
            Some(text) => parse_time(&text, now, bound)
                .map(Some)
                .ok_or_else(|| Wrong::from(HistoryRefusal::Time(excerpt(&text).to_owned()))),
        };
        let filter = Filter {
            service: pattern(0, "service")?,
            user: pattern(1, "user")?,
            peer: pattern(2, "peer")?,
            kinds: names(
                value(3),
                "kind",
                Kind::from_name,
                Kind::ALL.iter().map(|kind| kind.name()),
            )?,
            outcomes: names(
                value(4),
                "outcome",
                Outcome::from_name,
                Outcome::ALL.iter().map(|outcome| outcome.name()),
            )?,
            from: time(5, Bound::From)?,
            until: time(6, Bound::Until)?,
            attribute: pattern(10, "attribute")?,
        };
        if let (Some(since), Some(until)) = (filter.from, filter.until)
            && since >= until
        {
            return Err(HistoryRefusal::Reversed { since, until }.into());
        }
        let (before, after) = (number(7)?, number(8)?);
        let order = match (before, after) {
            (before, None) => Order::NewestFirst { before },
            (None, after) => Order::OldestFirst { after },
            (Some(_), Some(_)) => return Err(Wrong::Type),
        };
        let limit = match number(9)? {
            None => ENTRIES,
            Some(limit) if limit > 0 => usize::try_from(limit).map_err(|_| Wrong::Type)?,
            Some(_) => return Err(Wrong::Type),
        };
        Ok(Self { filter, order, limit })
    }

    /// Reads the entries on another thread. Returns the answer as JSON text. Includes everything
    /// recorded before the call, unless the file cannot be written at the moment. Only administrators are
    /// told why a login failed: others could find out with it whether a password or a token is right.
    pub(crate) async fn answer(self, record: &Record, is_admin: bool) -> Result<Bytes, Refusal> {
        let recorder = record.recorder().cloned().ok_or(HistoryRefusal::NoRecord)?;
        let reading = spawn_blocking(move || self.read_from(&recorder));
        let unreadable = HistoryRefusal::Unreadable;
        let mut page = reading
            .await
            .map_err(|_| unreadable("the reading has failed".to_owned()))?
            .map_err(|error| {
                warn!("cannot read the record: {error}");
                unreadable(match error {
                    RecordError::Database(error) => error.to_string(),
                    _ => "see the log of the manager".to_owned(),
                })
            })?;
        if !is_admin {
            page.entries.iter_mut().for_each(hide_reason);
        }
        let answer = serde_json::to_vec(&page);
        Ok(answer.expect("texts and numbers can be written as JSON").into())
    }

    fn read_from(&self, recorder: &Recorder) -> Result<Page, RecordError> {
        recorder.flush(PATIENCE);
        Reader::open(&recorder.path())?.page(&self.filter, self.order, self.limit)
    }
}

/// Replaces the reason of a login that failed.
fn hide_reason(entry: &mut RecordedEntry) {
    if entry.kind == Kind::Login.name() && entry.outcome == Outcome::Refused.name() {
        entry.text = Some("the reason is for administrators alone".to_owned());
    }
}

/// Returns the kinds or outcomes that a text or a list of texts names.
fn names<T>(
    value: Option<&Value>,
    what: &'static str,
    find: impl Fn(&str) -> Option<T>,
    all: impl Iterator<Item = &'static str>,
) -> Result<Vec<T>, Wrong> {
    let named = match value {
        None => return Ok(Vec::new()),
        Some(Value::Array(names)) => names.as_slice(),
        Some(name) => std::slice::from_ref(name),
    };
    let mut found = Vec::new();
    for name in named {
        let name = name.as_str().ok_or(Wrong::Type)?;
        match find(name) {
            Some(one) => found.push(one),
            None => {
                return Err(HistoryRefusal::Name {
                    what,
                    name: excerpt(name).to_owned(),
                    names: all.collect::<Vec<_>>().join(", "),
                }
                .into());
            }
        }
    }
    Ok(found)
}
