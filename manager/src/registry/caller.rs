//! What a service with the feature `caller` is told of the client that sends a request.

use std::sync::Arc;

use bytes::Bytes;
use foldhash::HashMap;
use labwire_access::{ADMINISTRATOR, Policy};
use serde_json::json;

use super::asking::Asking;
use super::peers::PeerId;
use super::permissions::PeerRights;
use super::view::View;
use crate::clock::Present;
use crate::principal::Principal;

/// The most services for which the text about one client is kept. Beyond that, all are forgotten.
const MOST_KEPT: usize = 256;

/// The member `caller` of a client's requests, by service, as of one version of the rules.
#[derive(Debug)]
pub(super) struct CallerTexts {
    version: u64,
    principal: Arc<Principal>,
    by_service: HashMap<PeerId, CallerText>,
}

#[derive(Debug)]
struct CallerText {
    /// JSON text, after a comma.
    member: Bytes,
    /// When the first of its roles ends, in seconds since 1970.
    until: Option<i64>,
}

impl CallerText {
    /// `now` is the present in seconds since 1970.
    fn is_over(&self, now: impl FnOnce() -> i64) -> bool {
        self.until.is_some_and(|until| until <= now())
    }
}

impl Asking<'_> {
    /// Returns the member `caller` for a request, after a comma, if the service asks for it. The client
    /// cannot set it: members of that name are left out of its requests.
    #[inline]
    pub(crate) fn caller_member(&mut self, present: Present<'_>) -> Option<Bytes> {
        self.service
            .features
            .caller
            .then(|| self.describe_caller(present))
    }

    #[cold]
    fn describe_caller(&mut self, present: Present<'_>) -> Bytes {
        let (client, id) = (&mut *self.client, self.ids.1);
        let version = self.rules.as_ref().map_or(0, |rules| rules.version);
        let is_current = |texts: &CallerTexts| {
            texts.version == version && Arc::ptr_eq(&texts.principal, &client.principal)
        };
        if !client.caller_texts.as_deref().is_some_and(is_current) {
            client.caller_texts = None;
        }
        let texts = client.caller_texts.get_or_insert_with(|| {
            Box::new(CallerTexts {
                version,
                principal: Arc::clone(&client.principal),
                by_service: HashMap::default(),
            })
        });
        if let Some(text) = texts.by_service.get(&id)
            && !text.is_over(|| present.seconds())
        {
            return text.member.clone();
        }
        // Without a policy there are no roles, whatever a token allows.
        let view = self.rules.as_deref_mut().map(|rules| {
            let own = PeerRights::current(&mut client.rights, rules, &client.principal);
            Arc::clone(&own.view)
        });
        let policy = self.rules.as_ref().and_then(|rules| rules.policy.as_ref());
        let text = describe(
            &client.principal,
            &self.service.name,
            policy.zip(view.as_deref()),
            present,
        );
        let member = text.member.clone();
        if texts.by_service.len() >= MOST_KEPT {
            texts.by_service.clear();
        }
        texts.by_service.insert(id, text);
        member
    }
}

/// Describes a client for a service.
fn describe(
    principal: &Principal,
    service: &str,
    rights: Option<(&Policy, &View)>,
    present: Present<'_>,
) -> CallerText {
    let (mut groups, mut roles, mut until) = (Vec::new(), Vec::new(), None::<i64>);
    if let Some((policy, view)) = rights {
        let own = principal.user().map(|user| policy.groups(user));
        groups.extend(own.into_iter().flatten());
        for (role, end) in view.rights().roles_at(service) {
            // A token is for less than its user, so a service must not take it for an administrator.
            let is_withheld = role == ADMINISTRATOR && principal.token().is_some();
            if is_withheld || end.is_some_and(|end| end <= present.seconds()) {
                continue;
            }
            until = until.into_iter().chain(end).min();
            roles.push(role);
        }
    }
    for names in [&mut groups, &mut roles] {
        names.sort_unstable();
        names.dedup();
    }
    let caller = json!({
        "address": principal.from.ip.to_string(),
        "certificate": principal.certificate().is_some(),
        "groups": groups,
        "roles": roles,
        "tls": principal.from.encrypted,
        "token": principal.token().is_some(),
        "user": principal.user().map(|user| &**user),
    });
    CallerText {
        member: format!(",\"caller\":{caller}").into(),
        until,
    }
}
