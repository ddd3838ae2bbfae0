//! The peers that have logged in as a user, whose logins may end.

use std::sync::Arc;

use labwire_store::ValidLogins;

use super::peers::PeerId;
use super::state::Registry;
use crate::certificates::PeerCertificate;
use crate::login_end::{Dismissal, LoginEnd};
use crate::principal::Principal;

/// A connected peer that has logged in as a user.
#[derive(Debug)]
pub(super) struct LoggedIn {
    pub(super) dismissal: Arc<Dismissal>,
    /// The login with which it was admitted, if it has logged in as somebody else since, for an administrator's
    /// request. Its connection ends with either.
    first: Option<Arc<Principal>>,
}

impl Registry {
    /// Returns a principal as it is by what is known now: one whose user has become no administrator since the
    /// login is none.
    pub(crate) fn as_known(&self, principal: &Arc<Principal>) -> Arc<Principal> {
        let is_demoted = |valid: &ValidLogins| {
            let row = principal.row();
            principal.is_admin() && row.is_some_and(|row| valid.users.is_no_administrator(row))
        };
        if self.valid_logins.as_deref().is_some_and(is_demoted) {
            Arc::new(principal.without_administration())
        } else {
            Arc::clone(principal)
        }
    }

    /// Notes how a peer has authenticated that was admitted, also to its session. `dismissal` ends its connection.
    pub(crate) fn note_login(&mut self, id: PeerId, dismissal: &Arc<Dismissal>) {
        self.logins.remove(&id);
        self.note_further_login(id, dismissal, None);
    }

    /// As [`note_login`](Self::note_login), for a peer that has logged in again: `before` is its principal
    /// before that.
    pub(crate) fn note_further_login(
        &mut self,
        id: PeerId,
        dismissal: &Arc<Dismissal>,
        before: Option<Arc<Principal>>,
    ) {
        let principal = self.principal(id);
        let has_user = principal.is_some_and(|principal| principal.user().is_some());
        if principal.is_some_and(|principal| principal.token().is_some()) {
            self.restrict_tokens();
        }
        if has_user {
            let earlier = self.logins.remove(&id).and_then(|login| login.first);
            let before = before.filter(|before| before.user().is_some());
            let login = LoggedIn {
                dismissal: Arc::clone(dismissal),
                first: earlier.or(before),
            };
            self.logins.insert(id, login);
        } else {
            self.logins.remove(&id);
        }
    }

    /// Returns a login that is kept for a peer that has left, or has no user.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn wrong_login(&self) -> Option<String> {
        let is_logged_in = |id: &PeerId| {
            self.principal(*id)
                .is_some_and(|principal| principal.user().is_some())
        };
        let wrong = self.logins.keys().find(|id| !is_logged_in(id))?;
        Some(format!("{wrong:?} has a login and no user"))
    }

    /// Returns whether a connected peer has logged in as a user.
    pub(crate) fn has_logins(&self) -> bool {
        !self.logins.is_empty()
    }

    /// Replaces what is known of who may stay logged in.
    pub(crate) fn set_valid_logins(&mut self, valid: &Arc<ValidLogins>) {
        self.valid_logins = Some(Arc::clone(valid));
    }

    /// Returns why a login is not valid any more at `now`, in seconds since 1970, if that is known: what
    /// it was made with may have ended before the peer was admitted.
    pub(crate) fn end_of_login(&self, principal: &Principal, now: i64) -> Option<LoginEnd> {
        principal.user()?;
        end_of_login(principal, self.valid_logins.as_deref()?, now)
    }

    /// Takes the rights of an administrator from peers whose users have them no longer. Returns the peers'
    /// names.
    pub(crate) fn demote(&mut self, valid: &ValidLogins) -> Vec<String> {
        let is_demoted = |id: &PeerId| {
            let principal = self.principal(*id).filter(|principal| principal.is_admin());
            let row = principal.and_then(Principal::row);
            row.is_some_and(|row| valid.users.is_no_administrator(row))
        };
        let demoted: Vec<_> = self.logins.keys().copied().filter(is_demoted).collect();
        let demoted = demoted.into_iter();
        demoted.filter_map(|id| self.end_administration(id)).collect()
    }

    fn end_administration(&mut self, id: PeerId) -> Option<String> {
        let (principal, rights, name) = if let Some(client) = self.clients.get_mut(id) {
            (&mut client.principal, &mut client.rights, &*client.name)
        } else {
            let service = self.services.get_mut(id)?;
            (&mut service.principal, &mut service.rights, &*service.full_name)
        };
        *principal = Arc::new(principal.without_administration());
        *rights = None;
        Some(name.to_owned())
    }

    /// Returns the certificates of connected peers that were checked before this version of the
    /// authorities and lists.
    pub(crate) fn stale_certificates(&self, version: u64) -> Vec<Arc<PeerCertificate>> {
        let certificates = self.logins.keys().filter_map(|id| {
            let certificate = self.principal(*id)?.from.certificate.as_ref()?;
            certificate.is_stale(version).then(|| Arc::clone(certificate))
        });
        certificates.collect()
    }

    /// Returns the peers whose logins are not valid any more at `now`, in seconds since 1970.
    pub(crate) fn ended_logins(
        &self,
        valid: &ValidLogins,
        now: i64,
    ) -> Vec<(PeerId, Arc<Dismissal>, LoginEnd)> {
        let ended = self.logins.iter().filter_map(|(id, login)| {
            let first = login.first.as_deref();
            let mut logins = self.principal(*id).into_iter().chain(first);
            let end = logins.find_map(|principal| end_of_login(principal, valid, now))?;
            Some((*id, Arc::clone(&login.dismissal), end))
        });
        ended.collect()
    }
}

fn end_of_login(principal: &Principal, valid: &ValidLogins, now: i64) -> Option<LoginEnd> {
    if principal.row().is_some_and(|row| valid.users.is_removed(row)) {
        return Some(LoginEnd::UserRemoved);
    }
    // Who was enabled and has logged in since is not disabled.
    let is_newer = |row| valid.users.were_read_after(row);
    if principal
        .user()
        .is_some_and(|user| valid.disabled.contains(&**user) && principal.row().is_none_or(is_newer))
    {
        return Some(LoginEnd::UserDisabled);
    }
    // That of the connection: the peer may have logged in as another user since, for an administrator's
    // request.
    let certificate = principal.from.certificate.as_ref();
    if let Some(end) = certificate.and_then(|certificate| certificate.end(now)) {
        return Some(LoginEnd::Certificate(end));
    }
    let token = principal.token()?;
    if valid.tokens.is_removed(token.id) {
        return Some(LoginEnd::TokenRevoked(token.id));
    }
    token.has_ended(now).then_some(LoginEnd::TokenEnded(token.id))
}
