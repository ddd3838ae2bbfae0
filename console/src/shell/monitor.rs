//! Watches the connection and the links, and reports losses and recoveries.

use std::time::Duration;

use labwire_client::Client;
use tokio::time::{MissedTickBehavior, interval};

use super::links::Shared;
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
    /// It changes with each connection.
    network_name: String,
}

impl Seen {
    fn of(client: &Client) -> Self {
        Self {
            is_connected: client.is_connected(),
            network_name: client.network_name(),
        }
    }
}

/// Reports the changes since the last look.
fn observe(client: &Client, shared: &Shared, seen: &mut Seen) {
    let now = Seen::of(client);
    let before = std::mem::replace(seen, now.clone());
    let is_new = now.is_connected && now.network_name != before.network_name;
    if before.is_connected && (!now.is_connected || is_new) {
        shared
            .screen
            .message("the connection is lost; connecting again (links come back, locks do not)");
    }
    if now.is_connected && (!before.is_connected || is_new) {
        shared.screen.message(format_args!(
            "connected again, as {}",
            one_line(&now.network_name)
        ));
    }
    for message in changes_of_links(shared, now.is_connected) {
        shared.screen.message(message);
    }
    shared.refresh_prompt(client);
}

/// Returns messages about the changes of the links.
fn changes_of_links(shared: &Shared, is_connected: bool) -> Vec<String> {
    let mut messages = Vec::new();
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
        if held.lock.as_ref().is_some_and(|lock| !lock.guard.is_held()) {
            held.lock = None;
            messages.push(format!("the lock on '{service}' is lost"));
        }
    }
    messages
}
