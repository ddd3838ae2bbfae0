//! The connection of commands that run for days. It reconnects after a restart of the manager or of
//! a service, and reports changes and notifications as events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use labwire_client::{Backoff, ConnectOptions, Link, SessionState};
use labwire_home::present;
use tokio::sync::{mpsc, watch};
use tokio::time::{interval, sleep, timeout};

use crate::breaks;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::feed::{Cause, Event, Events, send};
use crate::linking::explained_lasting;
use crate::near::{did_you_mean, not_connected};
use crate::output::one_line;
use crate::permission::is_lacking;
use crate::report::is_reported;

/// The back-off between two attempts to connect, or to link.
pub(crate) const BACKOFF: Backoff = Backoff::new().maximum(Duration::from_secs(2));

/// How often a manager that does not report departures is asked whether a service has left.
const CHECK: Duration = Duration::from_secs(2);

/// The timeout of that request.
const CHECK_TIME: Duration = Duration::from_secs(10);

/// Keeps a connection with the manager as a client of this name in `current`, and reconnects whenever it is lost.
///
/// # Errors
/// If the manager refuses the client. Unless `reconnect` is set, also if no manager is reachable or
/// the connection is lost.
pub(crate) async fn keep_connected(
    name: String,
    options: ConnectOptions,
    reconnect: bool,
    current: watch::Sender<Option<Connection>>,
    events: Events,
) -> Result<Infallible, Failure> {
    let mut waits = BACKOFF.waits();
    let mut is_told = false;
    loop {
        match Connection::open(&name, options.clone()).await {
            Ok(connection) => {
                let since = tokio::time::Instant::now();
                current.send_replace(Some(connection.clone()));
                let reason = closed(&connection, &events).await;
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
                    let (time, reason) = (present(), error.to_string());
                    send(&events, None, Event::Waiting { time, reason }).await;
                }
            }
            Err(error) => return Err(error.into()),
        }
        sleep(waits.next_wait()).await;
    }
}

/// Waits until the client of a connection has closed. Meanwhile notes since when it is broken, and
/// sends its breaks and returns as events. Returns the reason.
async fn closed(connection: &Connection, events: &Events) -> String {
    let client = connection.client();
    let (changes, mut heard) = mpsc::unbounded_channel();
    // A gap begins when the connection broke, also if the events are read slowly.
    let note = async move {
        let mut session = client.session();
        loop {
            session = breaks::changed(client, session).await;
            let time = present();
            let event = match session {
                SessionState::Away => {
                    connection.set_broken(Some(time));
                    Event::Broken { time }
                }
                SessionState::Kept => {
                    connection.set_broken(None);
                    Event::Back { time }
                }
                _ => continue,
            };
            // The receiver stays until this ends.
            let _ = changes.send(event);
        }
    };
    let pass_on = async {
        while let Some(event) = heard.recv().await {
            send(events, None, event).await;
        }
    };
    let closed = async move {
        tokio::select! {
            biased;
            never = note => match never {},
            reason = client.closed() => reason,
        }
    };
    // What has happened before is told in any case.
    tokio::join!(closed, pass_on).0
}

/// What happens if the manager does not permit what is to be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forbidden {
    /// The command ends, if that is so at the start.
    Ends,
    /// It is reported, and tried again: other sources give values meanwhile.
    Waits,
}

/// Keeps a link with a service in `links`, links again whenever it is lost, and sends its changes
/// and notifications as events.
///
/// # Errors
/// If the manager does something unexpected, or, as `forbidden` says, does not permit the first link. Unless
/// `reconnect` is set, also if the service is not connected or leaves.
pub(crate) async fn follow(
    service: Arc<str>,
    reconnect: bool,
    forbidden: Forbidden,
    mut connections: watch::Receiver<Option<Connection>>,
    links: watch::Sender<Option<Link>>,
    events: Events,
) -> Result<Infallible, Failure> {
    let mut follower = Follower {
        service,
        reconnect,
        forbidden,
        links,
        events,
        told: String::new(),
        was_linked: false,
    };
    let mut waits = BACKOFF.waits();
    loop {
        let connection = connected(&mut connections).await;
        let Some(link) = follower.link(&connection).await? else {
            sleep(waits.next_wait()).await;
            continue;
        };
        waits = BACKOFF.waits();
        let is_told = follower.listen(&connection, link).await;
        follower.leave(&connection, is_told).await?;
    }
}

/// The state of [`follow`].
struct Follower {
    service: Arc<str>,
    reconnect: bool,
    forbidden: Forbidden,
    links: watch::Sender<Option<Link>>,
    events: Events,
    /// The reason for which it waits, as it was reported.
    told: String,
    was_linked: bool,
}

impl Follower {
    async fn send(&self, event: Event) {
        send(&self.events, Some(&self.service), event).await;
    }

    /// Links with the service. If that is refused, reports the reason and returns `None`.
    async fn link(&mut self, connection: &Connection) -> Result<Option<Link>, Failure> {
        let refused = match connection.link(&self.service).await {
            Ok(link) => return Ok(Some(link)),
            Err(refused @ (Failure::Refused(_) | Failure::TimedOut(_) | Failure::NoManager(_))) => refused,
            Err(failure) => return Err(failure),
        };
        let (refused, is_absent) = explained(connection, &self.service, refused).await;
        let is_final = self.forbidden == Forbidden::Ends && !self.was_linked && is_lacking(&refused);
        if !self.reconnect || is_final {
            return Err(refused);
        }
        // The loss of the connection or the departure of the service was already reported.
        let is_told = matches!(refused, Failure::NoManager(_)) || (is_absent && self.was_linked);
        let reason = refused.to_string();
        if !is_told && self.told != reason {
            self.told.clone_from(&reason);
            let time = present();
            self.send(Event::Waiting { time, reason }).await;
        }
        Ok(None)
    }

    /// Passes on notifications until the service leaves, and reports its breaks meanwhile. Returns
    /// whether it was reported as away.
    async fn listen(&mut self, connection: &Connection, link: Link) -> bool {
        let mut notifications = link.notifications();
        self.send(Event::Linked {
            time: present(),
            manager: connection.client().manager(),
        })
        .await;
        self.told.clear();
        self.was_linked = true;
        self.links.send_replace(Some(link.clone()));
        let mut is_away = link.is_service_away();
        let left = left(connection, &self.service);
        tokio::pin!(left);
        loop {
            let notification = tokio::select! {
                notification = notifications.next() => notification,
                now = away_changed(&link, is_away) => {
                    is_away = now;
                    self.presence(connection, is_away).await;
                    continue;
                }
                () = &mut left => return is_away,
            };
            let Some(notification) = notification else {
                return is_away;
            };
            let time = present();
            self.send(Event::Notified { time, notification }).await;
        }
    }

    /// Reports that the connection of the service is broken, or that it is back.
    async fn presence(&self, connection: &Connection, is_away: bool) {
        let time = present();
        self.send(if is_away {
            let reason = "its connection broke".to_owned();
            let cause = Cause::Service;
            Event::Away { time, reason, cause }
        } else {
            let manager = connection.client().manager();
            Event::Linked { time, manager }
        })
        .await;
    }

    /// Reports that the service has left, and why. `is_told` is whether it was reported as away.
    async fn leave(&mut self, connection: &Connection, is_told: bool) -> Result<(), Failure> {
        let now = present();
        self.links.send_replace(None);
        let client = connection.client();
        let (time, cause, reason) = if client.is_connected() {
            (now, Cause::Service, "the service has disconnected".to_owned())
        } else {
            let reason = client.closed().await;
            (
                connection.broken().unwrap_or(now),
                Cause::Manager,
                format!("the connection with the manager was lost: {reason}"),
            )
        };
        let told = format!("'{}' is away: {reason}", one_line(&self.service));
        if !is_told {
            self.send(Event::Away { time, reason, cause }).await;
        }
        match cause {
            _ if self.reconnect => Ok(()),
            Cause::Manager => Err(Failure::NoManager(told)),
            Cause::Service => Err(Failure::Failed(told)),
        }
    }
}

/// Waits until the connection of a service breaks or is back; for ever once the link has ended. Cancel
/// safe.
pub(crate) async fn away_changed(link: &Link, from: bool) -> bool {
    let now = link.service_away_changed(from).await;
    // It is not away any more, too, once it has left.
    let has_left = !link.is_linked() && link.client().is_connected();
    if now == from || has_left {
        return std::future::pending().await;
    }
    now
}

/// Waits for a connection; for ever if the sender was dropped, since then the command is ending.
pub(crate) async fn connected(connections: &mut watch::Receiver<Option<Connection>>) -> Connection {
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
        Ok(identities) if is_lacking(&refused) => {
            let known = identities.services.keys().map(String::as_str);
            let is_listed = identities.services.contains_key(service);
            let hint = did_you_mean(service, known).filter(|_| !is_listed);
            (refused.with_hint(hint), false)
        }
        Ok(identities) if !identities.services.contains_key(service) => {
            let known = identities.services.keys().map(String::as_str);
            let hint = did_you_mean(service, known);
            (Failure::Refused(not_connected(service)).with_hint(hint), true)
        }
        _ => (explained_lasting(connection, service, refused).await, false),
    }
}

/// Waits until a service has left, by polling a manager of MSL-Network, which does not report it.
/// Never returns for other managers.
async fn left(connection: &Connection, service: &str) {
    let address = async || {
        let identities = timeout(CHECK_TIME, connection.identities()).await.ok()?.ok()?;
        let is_silent = !is_reported(&identities);
        let found = identities.services.get(service);
        let address = found.map(|service| service.address.clone());
        Some((is_silent, address))
    };
    let mut pace = interval(CHECK);
    let mut first = None;
    loop {
        pace.tick().await;
        match compare(&mut first, address().await) {
            Seen::Unchanged => {}
            Seen::Reported => return std::future::pending().await,
            Seen::Left => {
                // A manager that does not list a linked service must not make this a busy loop.
                pace.tick().await;
                return;
            }
        }
    }
}

/// What a request for the address of a service tells.
#[derive(Debug, PartialEq)]
enum Seen {
    /// The service is still there, or the request has failed; the next one may not.
    Unchanged,
    Left,
    /// The manager reports departures itself.
    Reported,
}

/// Compares an answer with the first one, which is kept in `first`. An answer is whether the manager
/// is silent about departures, and the address; `None` if the request has failed.
fn compare(first: &mut Option<String>, answer: Option<(bool, Option<String>)>) -> Seen {
    match answer {
        None => Seen::Unchanged,
        Some((false, _)) => Seen::Reported,
        Some((true, None)) => Seen::Left,
        Some((true, Some(now))) => {
            let is_changed = first.as_ref().is_some_and(|first| *first != now);
            first.get_or_insert(now);
            if is_changed { Seen::Left } else { Seen::Unchanged }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_departure_is_noticed_although_requests_fail() {
        let at = |address: &str| Some((true, Some(address.to_owned())));
        let seen = |answers: &[Option<(bool, Option<String>)>]| {
            let mut first = None;
            let seen = answers.iter().map(|answer| compare(&mut first, answer.clone()));
            seen.last()
        };
        assert_eq!(seen(&[at("a"), at("a")]), Some(Seen::Unchanged));
        assert_eq!(seen(&[None, at("a"), None, at("b")]), Some(Seen::Left));
        assert_eq!(seen(&[None, Some((true, None))]), Some(Seen::Left));
        assert_eq!(seen(&[at("a"), None]), Some(Seen::Unchanged));
        assert_eq!(seen(&[None, Some((false, None))]), Some(Seen::Reported));
    }
}
