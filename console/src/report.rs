//! The manager's status: what clients and services do, as the manager reports it.

use labwire_client::{Arguments, Client, Identities};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// The beginning of the language of a manager that reports its status.
const LABWIRE: &str = "Labwire ";

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
}

/// The status of a client or a service. Sums count from when it connected.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) in_flight: u64,
    /// How long a service has held its oldest request.
    pub(crate) oldest_seconds: Option<f64>,
    pub(crate) link_count: u64,
    pub(crate) links: Vec<String>,
    pub(crate) lock_count: u64,
    pub(crate) locks: Vec<Lock>,
    pub(crate) queued_bytes: u64,
    pub(crate) requests: u64,
    pub(crate) replies: u64,
    pub(crate) errors: u64,
    pub(crate) request_bytes: u64,
    pub(crate) reply_bytes: u64,
    pub(crate) notifications: u64,
    /// A histogram: the least value of each bucket in microseconds, and its count.
    pub(crate) latencies: Vec<(u64, u64)>,
}

/// A lock.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Lock {
    pub(crate) client: String,
    pub(crate) since: jiff::Timestamp,
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

/// Returns whether the manager reports its status. MSL-Network's manager would take the request for
/// one of an administrator.
pub(crate) fn is_reported(identities: &Identities) -> bool {
    identities.language.starts_with(LABWIRE)
}

impl Report {
    /// Requests the status.
    pub(crate) async fn request(client: &Client) -> Result<Self, Failure> {
        let (_, services) = pages(client, "services").await?;
        let (summary, clients) = pages(client, "clients").await?;
        Ok(Self {
            summary,
            services,
            clients,
        })
    }
}

/// Requests all pages of one kind.
async fn pages(client: &Client, kind: &str) -> Result<(Summary, Vec<Peer>), Failure> {
    let (mut peers, mut after) = (Vec::new(), String::new());
    loop {
        let arguments = Arguments::new().positional(kind).positional(&after);
        let Page {
            summary,
            peers: page,
            next,
        } = client.admin_request("status", arguments).await?;
        peers.extend(page);
        // Names come in order, so this ends.
        match next.filter(|next| *next > after) {
            Some(next) => after = next,
            None => return Ok((summary, peers)),
        }
    }
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
