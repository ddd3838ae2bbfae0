//! The connection of commands that run for days. It reconnects after a restart of the manager or of
//! a service, and reports changes and notifications as events, in order.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use clap::ArgAction;
use clap::Args;
use jiff::Timestamp;
use labwire_client::{Backoff, ConnectOptions, Link, Notification};
use labwire_home::present;
use tokio::sync::{mpsc, watch};
use tokio::time::{interval, sleep, timeout};

use crate::connection::{Connection, NAME};
use crate::failure::Failure;
use crate::near::nearest;
use crate::output::one_line;

/// The back-off between two attempts to connect, or to link.
const BACKOFF: Backoff = Backoff::new().maximum(Duration::from_secs(2));

/// How often a manager that does not report departures is asked whether a service has left.
const CHECK: Duration = Duration::from_secs(2);

/// The timeout of that request.
const CHECK_TIME: Duration = Duration::from_secs(10);

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
        hide_possible_values = true,
        hide_default_value = true,
        hide_env_values = true,
        help = "Wait for a manager or service that is not connected, or leaves [default: true]"
    )]
    pub(crate) reconnect: bool,
}

/// An event, and the service that it concerns; `None` for the manager.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) service: Option<Arc<str>>,
    pub(crate) event: Event,
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// The manager or the service is not available yet, for this reason. The client retries.
    Waiting { reason: String },
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
        event,
    };
    if events.send(heard).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Keeps a connection with the manager in `current`, and reconnects whenever it is lost.
///
/// # Errors
/// If the manager refuses the client. Unless `reconnect` is set, also if no manager is reachable or
/// the connection is lost.
pub(crate) async fn keep_connected(
    options: ConnectOptions,
    reconnect: bool,
    current: watch::Sender<Option<Connection>>,
    events: Events,
) -> Result<Infallible, Failure> {
    let mut waits = BACKOFF.waits();
    let mut is_told = false;
    loop {
        match Connection::open(NAME, options.clone()).await {
            Ok(connection) => {
                let since = tokio::time::Instant::now();
                let client = connection.client().clone();
                current.send_replace(Some(connection));
                let reason = client.closed().await;
                current.send_replace(None);
                if !reconnect {
                    return Err(Failure::NoManager(format!("the connection was lost: {reason}")));
                }
                waits.connected_for(since.elapsed());
                // The tasks with a link report the loss of the connection.
                is_told = true;
            }
            Err(error) if reconnect && error.is_transient() => {
                if !std::mem::replace(&mut is_told, true) {
                    let reason = error.to_string();
                    send(&events, None, Event::Waiting { reason }).await;
                }
            }
            Err(error) => return Err(error.into()),
        }
        sleep(waits.next_wait()).await;
    }
}

/// Keeps a link with a service in `links`, links again whenever it is lost, and sends its changes
/// and notifications as events.
///
/// # Errors
/// If the manager does something unexpected. Unless `reconnect` is set, also if the service is not
/// connected or leaves.
pub(crate) async fn follow(
    service: Arc<str>,
    reconnect: bool,
    mut connections: watch::Receiver<Option<Connection>>,
    links: watch::Sender<Option<Link>>,
    events: Events,
) -> Result<Infallible, Failure> {
    let mut told = String::new();
    let mut was_linked = false;
    let mut waits = BACKOFF.waits();
    loop {
        let connection = connected(&mut connections).await;
        let link = match connection.link(&service).await {
            Ok(link) => link,
            Err(refused @ (Failure::Refused(_) | Failure::TimedOut(_) | Failure::NoManager(_))) => {
                let (refused, is_absent) = explained(&connection, &service, refused).await;
                // The loss of the connection or the departure of the service was already reported.
                let is_told = matches!(refused, Failure::NoManager(_)) || (is_absent && was_linked);
                if !reconnect {
                    return Err(refused);
                }
                let reason = refused.to_string();
                if !is_told && told != reason {
                    told.clone_from(&reason);
                    send(&events, Some(&service), Event::Waiting { reason }).await;
                }
                sleep(waits.next_wait()).await;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        let mut notifications = link.notifications();
        let linked = Event::Linked {
            time: present(),
            manager: connection.client().manager(),
        };
        send(&events, Some(&service), linked).await;
        told.clear();
        was_linked = true;
        waits = BACKOFF.waits();
        links.send_replace(Some(link));
        let left = left(&connection, &service);
        tokio::pin!(left);
        loop {
            tokio::select! {
                notification = notifications.next() => match notification {
                    Some(notification) => {
                        let time = present();
                        send(&events, Some(&service), Event::Notified { time, notification }).await;
                    }
                    None => break,
                },
                () = &mut left => break,
            }
        }
        let time = present();
        links.send_replace(None);
        drop(notifications);
        let client = connection.client();
        let (cause, reason) = if client.is_connected() {
            (Cause::Service, "the service has disconnected".to_owned())
        } else {
            let reason = client.closed().await;
            (
                Cause::Manager,
                format!("the connection with the manager was lost: {reason}"),
            )
        };
        let away = Event::Away {
            time,
            reason: reason.clone(),
            cause,
        };
        send(&events, Some(&service), away).await;
        if !reconnect {
            let reason = format!("'{}' is away: {reason}", one_line(&service));
            return Err(match cause {
                Cause::Manager => Failure::NoManager(reason),
                Cause::Service => Failure::Failed(reason),
            });
        }
    }
}

/// Waits for a connection; for ever if the sender was dropped, since then the command is ending.
async fn connected(connections: &mut watch::Receiver<Option<Connection>>) -> Connection {
    let connected = connections.wait_for(Option::is_some).await;
    match connected.ok().and_then(|connection| connection.clone()) {
        Some(connection) => connection,
        None => std::future::pending().await,
    }
}

/// Adds the most similar name to a refusal. Also returns whether the service is not connected.
async fn explained(connection: &Connection, service: &str, refused: Failure) -> (Failure, bool) {
    if !matches!(refused, Failure::Refused(_)) {
        return (refused, false);
    }
    match connection.identities().await {
        Ok(identities) if !identities.services.contains_key(service) => {
            let known = identities.services.keys().map(String::as_str);
            let hint =
                nearest(service, known).map(|nearest| format!("did you mean '{}'?", one_line(nearest)));
            let absent = format!("no service '{}' is connected", one_line(service));
            (Failure::Refused(absent).with_hint(hint), true)
        }
        _ => (refused, false),
    }
}

/// Waits until a service has left, by polling a manager of MSL-Network, which does not report it.
/// Never returns for other managers.
async fn left(connection: &Connection, service: &str) {
    let address = async || {
        let identities = timeout(CHECK_TIME, connection.identities()).await.ok()?.ok()?;
        let is_silent = identities.language.starts_with("Python");
        let address = identities
            .services
            .get(service)
            .map(|service| service.address.clone());
        Some((is_silent, address))
    };
    let Some((true, linked)) = address().await else {
        return std::future::pending().await;
    };
    let mut pace = interval(CHECK);
    loop {
        pace.tick().await;
        if let Some((_, now)) = address().await
            && now != linked
        {
            return;
        }
    }
}
