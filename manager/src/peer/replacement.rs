//! Replaces a service whose connection is dead by one that asks for its name from the same address.

use std::time::Duration;

use labwire_tcp::Presence;
use tokio::time::{Instant, sleep};
use tracing::info;

use crate::hub::Routing;
use crate::names::PeerAddress;

/// How long the service that holds the name has to answer a probe. With it, a dead one is replaced
/// within two seconds.
const PROBE: Duration = Duration::from_millis(1_750);

/// How long a dead connection may take to end.
const DEPARTURE: Duration = Duration::from_secs(1);

/// How often it is checked whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

/// Probes the service that holds `name`, if its connection comes from the address of `peer`.
/// Returns whether the name has become free. Cancel safe.
///
/// A computer that lost power or its network is often back before its old connection is known to be
/// dead, and its service needs its name.
pub(super) async fn make_way(routing: &Routing, peer: &PeerAddress, name: &str) -> bool {
    let holder = routing.registry().holder_of(name);
    let Some((id, ip, socket)) = holder else {
        // It has left meanwhile.
        return true;
    };
    let Some(socket) = socket.filter(|_| ip == peer.ip && !peer.local) else {
        // The operating system reports the end of connections within this computer.
        return false;
    };
    if socket.probe(PROBE).await == Presence::Present {
        return false;
    }
    info!(
        "the '{name}' service makes way for the one at {}: its connection is dead",
        peer.address
    );
    let deadline = Instant::now() + DEPARTURE;
    loop {
        let (holder, away) = {
            let registry = routing.registry();
            (registry.holder_of(name), registry.away_service(name))
        };
        if away.is_some() {
            // Its name is kept, which the one that asks for it is told.
            return true;
        }
        if holder.is_none_or(|(holder, ..)| holder != id) {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        sleep(LOOK).await;
    }
}
