//! The manager's status: what clients and services do, as the manager reports it.

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};
use labwire_client::{Arguments, Identities};
use serde::{Deserialize, Serialize};

use crate::connection::Connection;
use crate::counted::counted;
use crate::failure::Failure;
use crate::moment::moment;
use crate::output::one_line;
use crate::times::readable_age;

/// The beginning of the language of a manager that reports its status.
const LABWIRE: &str = "Labwire ";

/// The time in seconds from which on a request that a service has not answered is pointed out. Help texts
/// name it, too.
pub(crate) const LONG_SECONDS: f64 = 60.0;

/// The status of a manager and its peers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) summary: Summary,
    pub(crate) services: Vec<Peer>,
    pub(crate) clients: Vec<Peer>,
}

/// The status of the manager itself.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Summary {
    pub(crate) uptime_seconds: f64,
    pub(crate) clients: u64,
    pub(crate) services: u64,
    pub(crate) in_flight: u64,
    /// The requests that wait for approval, and about which this client may decide.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) approvals: u64,
    /// Whether there may be peers that this client may not see.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) limited: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Summary {
    /// Returns the requests that wait for approval as a text; `None` if there are none.
    pub(crate) fn to_approve(&self) -> Option<String> {
        let requests = counted(self.approvals, "request");
        (self.approvals > 0).then(|| format!("{requests} to approve"))
    }
}

/// The status of a client or a service. Sums count from when it connected.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) in_flight: u64,
    /// The requests of a client that wait for approval: they are not in flight.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) waiting_for_approval: u64,
    /// How long a service has held its oldest request.
    pub(crate) oldest_seconds: Option<f64>,
    pub(crate) link_count: u64,
    pub(crate) links: Vec<String>,
    pub(crate) lock_count: u64,
    pub(crate) locks: Vec<Lock>,
    /// The number of requests that wait for a lock, and the first of them.
    pub(crate) lock_wait_count: u64,
    pub(crate) lock_waits: Vec<LockWait>,
    pub(crate) queued_bytes: u64,
    /// Set while its connection is broken and its place is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) away: Option<Away>,
    pub(crate) requests: u64,
    pub(crate) replies: u64,
    pub(crate) errors: u64,
    pub(crate) request_bytes: u64,
    pub(crate) reply_bytes: u64,
    pub(crate) notifications: u64,
    /// A histogram: the least value of each bucket in microseconds, and its count.
    pub(crate) latencies: Vec<(u64, u64)>,
}

impl Peer {
    /// Returns a text with the holders of a service's lock and its age; `None` if it is not locked.
    pub(crate) fn holders(&self, now: Timestamp) -> Option<String> {
        self.holders_with(|lock| {
            let age = now.duration_since(lock.since).as_secs_f64().max(0.0);
            format!(" ({})", readable_age(age))
        })
    }

    /// Returns a text with the holders of a service's lock, which remains the same as long as the
    /// lock does; `None` if it is not locked.
    pub(crate) fn lasting_holders(&self) -> Option<String> {
        self.holders_with(|_| String::new())
    }

    fn holders_with(&self, age: impl Fn(&Lock) -> String) -> Option<String> {
        let first = self.locks.first()?;
        let mut text = format!(
            "{} since {}{}",
            one_line(&first.client),
            moment(first.since),
            age(first)
        );
        if self.lock_count > 1 {
            // Writing to a string cannot fail.
            let _ = write!(text, " and {} more", self.lock_count - 1);
        }
        if let Some(reason) = first.reason.as_deref().filter(|reason| !reason.is_empty()) {
            let _ = write!(text, ": {}", one_line(reason));
        }
        if self.lock_wait_count > 0 {
            let _ = write!(text, ", {} waiting", self.lock_wait_count);
        }
        Some(text)
    }

    /// Returns the state of a service in which it cannot be asked for its documentation, if it is in
    /// one.
    pub(crate) fn hides_documentation(&self) -> Option<&'static str> {
        if self.away.is_some() {
            Some("away")
        } else {
            (self.lock_count > 0).then_some("locked")
        }
    }

    /// Returns what is unusual about it, for a column: it is away, a service has held its oldest request
    /// for [`LONG_SECONDS`], or requests of a client wait for approval. `None` if nothing is.
    pub(crate) fn state(&self, now: Timestamp) -> Option<String> {
        let silent = || Some(format!("no reply since {}", moment(self.no_reply_since(now)?)));
        let connection = self.away.map(Away::short_text).or_else(silent);
        let waiting = (self.waiting_for_approval > 0).then(|| {
            let requests = counted(self.waiting_for_approval, "request");
            format!("waits for approval of {requests}")
        });
        let states: Vec<_> = [connection, waiting].into_iter().flatten().collect();
        (!states.is_empty()).then(|| states.join(", "))
    }

    /// Returns since when a connected service owes the reply to its oldest request, if that is for
    /// [`LONG_SECONDS`] or longer.
    pub(crate) fn no_reply_since(&self, now: Timestamp) -> Option<Timestamp> {
        let seconds = self.oldest_seconds.filter(|seconds| *seconds >= LONG_SECONDS)?;
        let held = SignedDuration::try_from_secs_f64(seconds).ok()?;
        now.checked_sub(held).ok().filter(|_| self.away.is_none())
    }

    /// Returns the names of the clients or services that it is linked with; `None` if there are
    /// none.
    pub(crate) fn linked(&self) -> Option<String> {
        let names: Vec<_> = self.links.iter().map(|name| one_line(name)).collect();
        let mut text = names.join(", ");
        let unlisted = self.link_count.saturating_sub(self.links.len() as u64);
        if unlisted > 0 {
            let _ = write!(text, " and {unlisted} more");
        }
        Some(text).filter(|text| !text.is_empty())
    }
}

/// Since when a peer is away, and until when its place is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Away {
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
}

impl Away {
    /// Returns until when its place is kept, as in `away until 10:02:31`.
    pub(crate) fn short_text(self) -> String {
        format!("away until {}", moment(self.until))
    }

    /// Returns until when its place is kept, and since when it is away.
    pub(crate) fn explained(self, now: Timestamp) -> String {
        format!(
            "{}: its connection broke at {} ({} ago)",
            self.short_text(),
            moment(self.since),
            self.age(now)
        )
    }

    fn age(self, now: Timestamp) -> String {
        readable_age(now.duration_since(self.since).as_secs_f64().max(0.0))
    }

    /// Returns both as a text that remains the same as long as the peer is away.
    pub(crate) fn lasting_text(self) -> String {
        let [since, until] = [self.since, self.until].map(moment);
        format!("away since {since}, and its place is kept until {until}")
    }

    /// Returns both as text.
    pub(crate) fn text(self, now: Timestamp) -> String {
        let [since, until] = [self.since, self.until].map(moment);
        format!(
            "away since {since} ({}), its place is kept until {until}",
            self.age(now)
        )
    }
}

/// A lock.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Lock {
    pub(crate) client: String,
    pub(crate) since: Timestamp,
    /// When it expires unless it is renewed.
    #[serde(default)]
    pub(crate) until: Option<Timestamp>,
    #[serde(default)]
    pub(crate) shared: bool,
    /// Why the client holds it.
    #[serde(default)]
    pub(crate) reason: Option<String>,
    /// Until when it is kept for the client, which held it before the manager was restarted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reserved_until: Option<Timestamp>,
}

/// A request that waits for a lock.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct LockWait {
    pub(crate) client: String,
    pub(crate) since: Timestamp,
    #[serde(default)]
    pub(crate) shared: bool,
}

/// A part of the lists.
#[derive(Deserialize)]
struct Page {
    #[serde(flatten)]
    summary: Summary,
    #[serde(rename = "page")]
    peers: Vec<Peer>,
    next: Option<String>,
}

/// Returns whether the manager reports its status. MSL-Network's manager would treat the request as
/// one that needs an administrator.
pub(crate) fn is_reported(identities: &Identities) -> bool {
    identities.language.starts_with(LABWIRE)
}

/// Checks that a manager is one of Labwire, which `what` need. MSL-Network's manager would treat a request for them as
/// one that needs an administrator.
///
/// # Errors
/// [`Failure::Refused`] if it is another one.
pub(crate) async fn check_labwire(connection: &Connection, what: &str) -> Result<(), Failure> {
    if is_reported(&connection.identities().await?) {
        return Ok(());
    }
    Err(Failure::Refused(format!(
        "{what} need a manager of Labwire, this is another one"
    )))
}

impl Report {
    /// Requests the status.
    pub(crate) async fn request(connection: &Connection) -> Result<Self, Failure> {
        let (_, services) = pages(connection, "services").await?;
        let (summary, clients) = pages(connection, "clients").await?;
        Ok(Self {
            summary,
            services,
            clients,
        })
    }
}

/// Returns whether a manager may have services that it does not list, since this client may not see them.
/// A manager of MSL-Network lists all.
pub(crate) async fn hides_services(
    connection: &Connection,
    identities: &Identities,
) -> Result<bool, Failure> {
    if !is_reported(identities) {
        return Ok(false);
    }
    // No name comes after this one: only the number is asked for.
    let page = page(connection, "services", "\u{10ffff}").await?;
    Ok(page.summary.limited)
}

/// Requests which services are away, by their names. A manager of MSL-Network keeps no place for a
/// service that is: then there are none.
pub(crate) async fn services_away(
    connection: &Connection,
    identities: &Identities,
) -> Result<BTreeMap<String, Away>, Failure> {
    if !is_reported(identities) {
        return Ok(BTreeMap::new());
    }
    let (_, services) = pages(connection, "services").await?;
    let away = services.into_iter();
    Ok(away.filter_map(|peer| Some((peer.name, peer.away?))).collect())
}

/// Requests the status of one service. Returns `None` if it is not connected.
pub(crate) async fn service(connection: &Connection, name: &str) -> Result<Option<Peer>, Failure> {
    peer(connection, "services", name).await
}

/// Requests since when the client of this network name is away. Returns `None` if it is not, or not
/// connected.
pub(crate) async fn client_away(connection: &Connection, name: &str) -> Result<Option<Away>, Failure> {
    let client = peer(connection, "clients", name).await?;
    Ok(client.and_then(|client| client.away))
}

/// Requests the status of one peer of a kind.
async fn peer(connection: &Connection, kind: &str, name: &str) -> Result<Option<Peer>, Failure> {
    // A name that is a little less: the page that begins after it most likely has the service.
    let mut after = name.to_owned();
    after.pop();
    for _ in 0..PAGES {
        let Page { peers, next, .. } = page(connection, kind, &after).await?;
        let is_passed = peers.iter().any(|peer| *peer.name > *name);
        if let Some(peer) = peers.into_iter().find(|peer| peer.name == name) {
            return Ok(Some(peer));
        }
        match next.filter(|next| *next > after && !is_passed) {
            Some(next) => after = next,
            None => return Ok(None),
        }
    }
    Ok(None)
}

async fn page(connection: &Connection, kind: &str, after: &str) -> Result<Page, Failure> {
    let arguments = Arguments::new().positional(kind).positional(after);
    let request = connection.client().admin_request("status", arguments);
    connection.in_time(request.into_future()).await
}

/// The most pages of one list: those of many more peers than a manager has.
const PAGES: usize = 10_000;

/// Requests all pages of one kind.
async fn pages(connection: &Connection, kind: &str) -> Result<(Summary, Vec<Peer>), Failure> {
    let (mut peers, mut after) = (Vec::new(), String::new());
    for _ in 0..PAGES {
        let Page {
            summary,
            peers: further,
            next,
        } = page(connection, kind, &after).await?;
        peers.extend(further);
        // What joins meanwhile may make the list longer, but not without end.
        let is_complete = peers.len() as u64
            > summary
                .clients
                .max(summary.services)
                .saturating_mul(2)
                .saturating_add(1_000);
        match next.filter(|next| *next > after && !is_complete) {
            Some(next) => after = next,
            None => return Ok((summary, peers)),
        }
    }
    Err(Failure::Failed(format!(
        "the manager's list of {kind} does not end"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_and_may_lack_or_have_more_members() {
        let text = r#"{"uptime_seconds":1.5,"clients":1,"services":0,"in_flight":0,"new":1,
            "page":[{"name":"a[h:1]","latencies":[[3,4]],"new":2}],"next":null}"#;
        let page: Page = serde_json::from_str(text).unwrap();
        assert_eq!((page.summary.clients, page.next), (1, None));
        assert_eq!(page.peers[0].latencies, [(3, 4)]);
        assert_eq!(page.peers[0].oldest_seconds, None);
    }
}
