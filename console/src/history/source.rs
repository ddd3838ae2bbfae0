//! Where entries come from: a manager, or a file.

use std::path::Path;

use jiff::Timestamp;
use labwire_client::Arguments;
use labwire_record::{Filter, Kind, MOST_ENTRIES, Order, Outcome, Page, Reader, RecordError};

use crate::connection::Connection;
use crate::failure::Failure;
use crate::in_flight::in_flight;
use crate::output::one_line;

/// Which entries to show.
pub(super) type Question = Filter;

/// A source of entries.
pub(super) enum Source {
    Manager(Connection),
    File(Reader),
}

/// Opens a record.
pub(super) fn reader(path: &Path) -> Result<Reader, Failure> {
    Reader::open(path).map_err(|error| {
        // The others name it.
        let text = match error {
            RecordError::Database(reason) => format!("cannot read {}: {reason}", path.display()),
            error => error.to_string(),
        };
        Failure::Failed(one_line(&text))
    })
}

impl Source {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        Ok(Self::File(reader(path)?))
    }

    /// Returns the connection with a manager, if it is the source.
    pub(super) fn connection(&self) -> Option<&Connection> {
        match self {
            Self::Manager(connection) => Some(connection),
            Self::File(_) => None,
        }
    }

    /// Waits until a manager that was lost is back. Returns `false` if it will not be.
    pub(super) async fn returns(&self) -> bool {
        match self {
            Self::Manager(connection) => connection.client().connected().await,
            Self::File(_) => false,
        }
    }

    /// Returns some entries, `limit` at most.
    pub(super) async fn page(
        &self,
        question: &Question,
        order: Order,
        limit: usize,
    ) -> Result<Page, Failure> {
        let limit = limit.min(MOST_ENTRIES);
        match self {
            Self::Manager(connection) => {
                let arguments = arguments(question, order, limit);
                let request = connection.client().admin_request::<Page>("history", arguments);
                Ok(in_flight(request).await?)
            }
            Self::File(reader) => reader
                .page(question, order, limit)
                .map_err(|error| Failure::Failed(one_line(&error.to_string()))),
        }
    }
}

/// Returns the arguments of the request.
fn arguments(question: &Question, order: Order, limit: usize) -> Arguments {
    let Filter {
        service,
        attribute,
        user,
        peer,
        kinds,
        outcomes,
        from,
        until,
    } = question;
    let mut arguments = Arguments::new().keyword("limit", &limit);
    for (name, text) in [
        ("service", service),
        ("attribute", attribute),
        ("user", user),
        ("peer", peer),
    ] {
        if let Some(text) = text {
            arguments = arguments.keyword(name, text);
        }
    }
    let kinds: Vec<_> = kinds.iter().copied().map(Kind::name).collect();
    let outcomes: Vec<_> = outcomes.iter().copied().map(Outcome::name).collect();
    for (name, names) in [("kind", kinds), ("outcome", outcomes)] {
        if !names.is_empty() {
            arguments = arguments.keyword(name, &names);
        }
    }
    for (name, time) in [("since", from), ("until", until)] {
        if let Some(time) = time {
            arguments = arguments.keyword(name, &Timestamp::to_string(time));
        }
    }
    let (name, number) = match order {
        Order::NewestFirst { before } => ("before", before),
        // Without a number, the answer would begin with the newest.
        Order::OldestFirst { after } => ("after", Some(after.unwrap_or(0))),
    };
    match number {
        Some(number) => arguments.keyword(name, &number),
        None => arguments,
    }
}
