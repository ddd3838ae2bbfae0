//! A service whose connection is dead makes way for one that asks for its name from the same address.

use std::time::Duration;

use labwire_tcp::Presence;
use tokio::time::{Instant, sleep};
use tracing::info;

use crate::hub::Routing;
use crate::names::PeerAddress;

/// How long the service that has the name may take to show that it is there. With it, a dead one is replaced within
/// two seconds.
const PROBE: Duration = Duration::from_millis(1_750);

/// How long the connection of a dead one may take to end.
const DEPARTURE: Duration = Duration::from_secs(1);

/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

/// Asks whether the service of that name is there, if its connection comes from the address of `peer`; tells whether the
/// name has become free. Cancel safe.
///
/// A computer that lost its power or its network is back sooner than its old connection is known to be dead, and its
/// service wants its name.
pub(super) async fn make_way(routing: &Routing, peer: &PeerAddress, name: &str) -> bool {
    let holder = routing.registry().holder_of(name);
    let Some((id, ip, socket)) = holder else {
        // It has left meanwhile.
        return true;
    };
    let Some(socket) = socket.filter(|_| ip == peer.ip && !peer.local) else {
        // The system of this computer itself tells when one of its own connections has ended.
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
        let holder = routing.registry().holder_of(name);
        if holder.is_none_or(|(holder, ..)| holder != id) {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        sleep(LOOK).await;
    }
}
