//! Watches the connection and the links, and reports losses and recoveries.

use std::time::Duration;

use labwire_client::{Client, SessionState};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::links::Shared;
use crate::breaks::{RETURNING, SESSION_KEPT};
use crate::output::one_line;

/// How often the states are compared. The client has no event for a loss.
const INTERVAL: Duration = Duration::from_millis(100);

/// Watches until the connection has ended for good, and reports that.
pub(crate) async fn watch(client: Client, shared: Shared) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = Seen::of(&client);
    let closed = client.closed();
    tokio::pin!(closed);
    loop {
        tokio::select! {
            reason = &mut closed => {
                shared.screen.message(format_args!(
                    "the connection has ended: {}; the next request connects again",
                    one_line(&reason)
                ));
                shared.refresh_prompt(&client);
                return;
            }
            _ = ticks.tick() => observe(&client, &shared, &mut seen),
        }
    }
}

/// The state of the connection at the last look.
#[derive(Clone, PartialEq)]
struct Seen {
    is_connected: bool,
    session: SessionState,
    /// It changes when the client is registered anew.
    network_name: String,
    /// When it was seen connected last.
    connected_at: Instant,
}

impl Seen {
    fn of(client: &Client) -> Self {
        Self {
            is_connected: client.is_connected(),
            session: client.session(),
            network_name: client.network_name(),
            connected_at: Instant::now(),
        }
    }
}

/// Reports the changes since the last look.
fn observe(client: &Client, shared: &Shared, seen: &mut Seen) {
    let mut now = Seen::of(client);
    if !now.is_connected {
        now.connected_at = seen.connected_at;
    }
    let before = std::mem::replace(seen, now.clone());
    let is_new = now.network_name != before.network_name;
    let is_lost =
        "the connection is lost; connecting again (links come back, locks and calls in flight do not)";
    let screen = &shared.screen;
    match (before.is_connected, now.is_connected) {
        (true, false) if now.session == SessionState::Away => screen.message(RETURNING),
        (true, false) => screen.message(is_lost),
        (false, false) if before.session == SessionState::Away && now.session == SessionState::Lost => {
            screen.message(is_lost);
        }
        (true, true) if is_new => screen.message(is_lost),
        (false, true) if is_new && before.session == SessionState::Away => screen.message(is_lost),
        _ => {}
    }
    if now.is_connected && is_new {
        screen.message(format_args!(
            "connected again, as {}",
            one_line(&now.network_name)
        ));
    } else if now.is_connected && !before.is_connected {
        screen.message(format_args!(
            "back after {:.1} s, {SESSION_KEPT}",
            before.connected_at.elapsed().as_secs_f64()
        ));
    }
    for message in changes_of_links(shared, &now) {
        shared.screen.message(message);
    }
    shared.refresh_prompt(client);
}

/// Returns messages about the changes of the links.
fn changes_of_links(shared: &Shared, now: &Seen) -> Vec<String> {
    let mut messages = Vec::new();
    if !now.is_connected && now.session == SessionState::Away {
        // The manager keeps them.
        return messages;
    }
    let is_connected = now.is_connected;
    for (service, held) in shared.links().iter_mut() {
        let service = one_line(service);
        let is_linked = held.link.is_linked();
        let was_linked = std::mem::replace(&mut held.was_linked, is_linked);
        if was_linked && !is_linked && is_connected {
            messages.push(format!(
                "'{service}' has disconnected; the link comes back with it"
            ));
        } else if !was_linked && is_linked {
            messages.push(format!("linked with '{service}' again"));
        }
        let is_away = is_linked && held.link.is_service_away();
        let was_away = std::mem::replace(&mut held.was_away, is_away);
        if is_away && !was_away {
            messages.push(format!(
                "'{service}' is away: its connection broke; its place is kept"
            ));
        } else if was_away && !is_away && is_linked {
            messages.push(format!("'{service}' is back"));
        }
        if held.lock.as_ref().is_some_and(|lock| !lock.guard.is_held()) {
            held.lock = None;
            messages.push(format!("the lock on '{service}' is lost"));
        }
    }
    messages
}
