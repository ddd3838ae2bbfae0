//! JSON text about the manager and all connected peers.

use std::sync::Arc;

use labwire_wire::Identity;
use labwire_wire::frames::json_string;

use super::manager::{Listing, ManagerIdentity};
use super::peers::PeerId;
use super::permissions::Sight;
use super::roster::Roster;
use super::state::{Registry, Service};
use crate::outbox::FrameWriter;
use crate::principal::Principal;

impl Registry {
    /// Writes a list. Its long parts are shared by all recipients, so that this is short work
    /// however many peers there are.
    pub(crate) fn write_listing(&self, listing: Listing, frame: &mut FrameWriter<'_>) {
        match listing {
            Listing::Clients => write_within(frame, *b"{}", &self.client_roster),
            Listing::Services => write_within(frame, *b"{}", &self.service_roster),
            Listing::Links => self.write_by_service(frame, |service| &service.linked),
            Listing::Locks => self.write_by_service(frame, |service| service.locks.names()),
            Listing::Sessions => self.write_sessions(frame),
            Listing::LinkedWith(id) => self.write_of_service(frame, id, |service| &service.linked),
            Listing::Locking(id) => self.write_of_service(frame, id, |service| service.locks.names()),
        }
    }

    /// Writes the manager's identity with the peers that are in sight: an object.
    pub(crate) fn write_identity(&self, sight: &Sight, frame: &mut FrameWriter<'_>) {
        let ManagerIdentity {
            hostname,
            port,
            language,
            os,
        } = &self.manager;
        let head = format!(
            r#"{{"hostname":{},"port":{port},"attributes":{},"language":{},"os":{},"clients":"#,
            json_string(hostname),
            MANAGER_ATTRIBUTES,
            json_string(language),
            json_string(os),
        );
        frame.copied(head.as_bytes());
        match sight {
            Sight::All => {
                write_within(frame, *b"{}", &self.client_roster);
                frame.copied(b",\"services\":");
                write_within(frame, *b"{}", &self.service_roster);
            }
            Sight::Some { .. } => {
                frame.copied(b"{");
                self.client_roster
                    .write_some(frame, |name| sight.has_client(name));
                frame.copied(b"},\"services\":{");
                self.service_roster
                    .write_some(frame, |name| sight.has_service(name));
                frame.copied(b"}");
            }
        }
        frame.copied(b"}");
    }

    /// Returns the work of finding the peers in sight, in [units](crate::work).
    pub(crate) fn work_of(&self, sight: &Sight) -> usize {
        match sight {
            Sight::All => 0,
            Sight::Some { .. } => self.clients.len() / 64 + self.services.len(),
        }
    }

    fn write_by_service(&self, frame: &mut FrameWriter<'_>, roster: impl Fn(&Service) -> &Roster) {
        frame.copied(b"{");
        for (index, name) in self.service_roster.names().enumerate() {
            let service = &self.services[self.service_names[name]];
            if index > 0 {
                frame.copied(b",");
            }
            frame.copied(json_string(name).as_bytes());
            frame.copied(b":");
            write_within(frame, *b"[]", roster(service));
        }
        frame.copied(b"}");
    }

    fn write_sessions(&self, frame: &mut FrameWriter<'_>) {
        let kinds = [
            ("client", &self.client_roster, &self.client_names),
            ("service", &self.service_roster, &self.service_names),
        ];
        let mut before = "[";
        for (kind, roster, ids) in kinds {
            for name in roster.names() {
                let principal = ids.get(name).and_then(|id| self.principal(*id));
                frame.copied(before.as_bytes());
                frame.copied(if principal.is_some_and(Principal::is_admin) {
                    b"{\"is_admin\":true,\"name\":"
                } else {
                    b"{\"is_admin\":false,\"name\":"
                });
                frame.copied(json_string(name).as_bytes());
                frame.copied(b",\"type\":\"");
                frame.copied(kind.as_bytes());
                frame.copied(b"\",\"user\":");
                match principal.and_then(|principal| principal.user()) {
                    Some(user) => frame.copied(json_string(user).as_bytes()),
                    None => frame.copied(b"null"),
                }
                frame.copied(b",\"with\":");
                match principal.and_then(Principal::means) {
                    Some(means) => frame.copied(json_string(&means).as_bytes()),
                    None => frame.copied(b"null"),
                }
                frame.copied(b"}");
                before = ",";
            }
        }
        frame.copied(if before == "[" { b"[]" } else { b"]" });
    }

    /// Returns the user that a peer has logged in as, if it has.
    pub(crate) fn user_of(&self, id: PeerId) -> Option<Arc<str>> {
        self.principal(id)?.user().cloned()
    }

    /// Returns whether a peer has logged in as an administrator, and not with a token, which allows less.
    pub(crate) fn is_administrator(&self, id: PeerId) -> bool {
        let is_administrator = |peer: &Principal| peer.is_admin() && peer.token().is_none();
        self.principal(id).is_some_and(is_administrator)
    }

    /// Returns the name of a peer, `NAME[HOST:PORT]`; an empty one if it has left.
    pub(crate) fn full_name(&self, id: PeerId) -> &str {
        let client = self.clients.get(id).map(|client| &*client.name);
        let service = || self.services.get(id).map(|service| &*service.full_name);
        client.or_else(service).unwrap_or_default()
    }

    /// Returns the principal of a peer.
    pub(crate) fn principal(&self, id: PeerId) -> Option<&Principal> {
        let client = self.clients.get(id).map(|client| &client.principal);
        let service = || self.services.get(id).map(|service| &service.principal);
        client.or_else(service).map(|principal| &**principal)
    }

    fn write_of_service(
        &self,
        frame: &mut FrameWriter<'_>,
        id: PeerId,
        roster: impl Fn(&Service) -> &Roster,
    ) {
        match self.services.get(id) {
            Some(service) => write_within(frame, *b"[]", roster(service)),
            None => frame.copied(b"[]"),
        }
    }

    /// Returns a list as text: for tests.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn text(&self, listing: Listing) -> String {
        crate::outbox::text_of(|frame| self.write_listing(listing, frame))
    }

    /// Returns the manager's identity as text, with all peers: for tests.
    #[cfg(test)]
    pub(crate) fn identity_text(&self) -> String {
        crate::outbox::text_of(|frame| self.write_identity(&Sight::All, frame))
    }
}

fn write_within(frame: &mut FrameWriter<'_>, [begin, end]: [u8; 2], roster: &Roster) {
    frame.copied(&[begin]);
    roster.write(frame);
    frame.copied(&[end]);
}

impl Registry {
    /// Returns the identity of the manager as that of a service, for clients that link with it: as
    /// JSON text.
    pub(crate) fn manager_as_service(&self) -> String {
        let ManagerIdentity {
            hostname,
            port,
            language,
            os,
        } = &self.manager;
        format!(
            r#"{{"attributes":{MANAGER_ATTRIBUTES},"address":{},"language":{},"os":{},"max_clients":-1}}"#,
            json_string(&format!("{hostname}:{port}")),
            json_string(language),
            json_string(os),
        )
    }
}

/// The requests that anyone may send to the manager, as MSL-Network's manager lists them. Both
/// managers answer `unlink`, `acquire_lock` and `release_lock` too, but clients compare this list
/// literally.
const MANAGER_ATTRIBUTES: &str = r#"{"identity":"() -> dict","link":"(service: str) -> bool"}"#;

/// Returns a client's entry in the manager's identity.
pub(super) fn describe_client(identity: &Identity, address: &str) -> String {
    format!(
        r#"{{"name":{},"address":{},"language":{},"os":{}}}"#,
        json_string(&identity.name),
        json_string(address),
        json_string(&identity.language),
        json_string(&identity.os),
    )
}

/// Returns a service's entry in the manager's identity, which a client also receives when it links.
pub(super) fn describe_service(
    identity: &Identity,
    attributes: &str,
    max_clients: Option<u64>,
    address: &str,
) -> String {
    let max_clients = max_clients.map_or_else(|| "-1".to_owned(), |limit| limit.to_string());
    format!(
        r#"{{"attributes":{attributes},"address":{},"language":{},"os":{},"max_clients":{max_clients}}}"#,
        json_string(address),
        json_string(&identity.language),
        json_string(&identity.os),
    )
}
