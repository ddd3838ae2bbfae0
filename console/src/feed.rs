//! What happens to a connection that is watched for days, as events in order.

use std::sync::Arc;
use std::time::Duration;

use clap::ArgAction;
use clap::Args;
use jiff::Timestamp;
use labwire_client::{Notification, TopicValue};
use tokio::sync::mpsc;

use crate::settings::flag;

/// Whether to connect again.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ReconnectArgs {
    #[arg(
        long,
        value_name = "true|false",
        env = "LABWIRE_RECONNECT",
        default_value = "true",
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = ArgAction::Set,
        value_parser = flag,
        hide_default_value = true,
        hide_env_values = true,
        help = "Wait for a manager or service that is not connected, or leaves [default: true]"
    )]
    pub(crate) reconnect: bool,
}

/// An event, and what it concerns: a service, a pattern of topics, or with neither the manager.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) service: Option<Arc<str>>,
    pub(crate) topics: Option<Arc<str>>,
    pub(crate) event: Event,
}

/// What is followed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Followed {
    Service(Arc<str>),
    /// The topics of a pattern.
    Topics(Arc<str>),
}

impl Followed {
    /// Returns the service, or the pattern.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Service(name) | Self::Topics(name) => name,
        }
    }
}

impl Heard {
    /// Returns what the event concerns; `None` for the manager.
    pub(crate) fn followed(&self) -> Option<Followed> {
        let service = self.service.clone().map(Followed::Service);
        service.or_else(|| self.topics.clone().map(Followed::Topics))
    }
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// The manager or the service is not available yet, for this reason. The client retries.
    Waiting { time: Timestamp, reason: String },
    /// The connection is broken; the manager keeps the session, and the client is returning to it.
    Broken { time: Timestamp },
    /// The client has returned to its session: links, locks and calls in flight were kept.
    Back { time: Timestamp },
    /// The client is linked with the service of this manager.
    Linked { time: Timestamp, manager: String },
    /// The service has left, or the connection with the manager was lost.
    Away {
        time: Timestamp,
        reason: String,
        cause: Cause,
    },
    /// The service has sent a notification.
    Notified {
        time: Timestamp,
        notification: Notification,
    },
    /// A value was published.
    Published { time: Timestamp, value: TopicValue },
    /// The service was called, or should have been.
    Polled(Polled),
}

/// Why a service is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Manager,
    Service,
}

/// The outcome of a repeated call.
#[derive(Debug)]
pub(crate) struct Polled {
    /// The call as it was written.
    pub(crate) call: Arc<str>,
    /// The time of the request.
    pub(crate) time: Timestamp,
    pub(crate) outcome: Outcome,
}

/// The outcome of a repeated call.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The result, as JSON text, and the time until it came.
    Result { result: String, took: Duration },
    /// The call has failed, or has no reply yet, after this time.
    Error { message: String, took: Duration },
    /// This number of calls was left out, because the one before them took too long.
    Skipped { count: u64 },
}

/// Where events go. A full channel makes the sender wait.
pub(crate) type Events = mpsc::Sender<Heard>;

/// Sends an event. Waits for ever if the receiver was dropped: then the command is ending.
pub(crate) async fn send(events: &Events, service: Option<&Arc<str>>, event: Event) {
    let heard = Heard {
        service: service.cloned(),
        topics: None,
        event,
    };
    pass_on(events, heard).await;
}

/// As [`send`], for an event of a pattern of topics.
pub(crate) async fn send_of_topics(events: &Events, pattern: &Arc<str>, event: Event) {
    let heard = Heard {
        service: None,
        topics: Some(Arc::clone(pattern)),
        event,
    };
    pass_on(events, heard).await;
}

async fn pass_on(events: &Events, heard: Heard) {
    if events.send(heard).await.is_err() {
        std::future::pending::<()>().await;
    }
}
