//! Admission's shared state: authentication, records, and the limits on unidentified peers.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use jiff::Timestamp;
use labwire_home::present;
use labwire_record::Kind;
use labwire_store::{LoginFailure, LoginOutcome, Store};
use labwire_wire::{Executed, MANAGER_NAME, Role, quoted};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::budget::LineBudget;
use crate::certificates::{PeerCertificate, PeerCertificates};
use crate::config::{Authentication, Limits};
use crate::counters::Counters;
use crate::login::{Logins, Verdict, refused};
use crate::names::{PeerAddress, Resolver};
use crate::principal::{Introduced, Proof};
use crate::record::{Record, Recording};
use crate::refusal::{Refusal, excerpt};
use crate::registry::ManagerIdentity;
use crate::unidentified::Rations;

/// State shared by all connections that are not admitted yet. It works without a registry and a
/// router.
pub(crate) struct Admission {
    name: String,
    pub(crate) store: Store,
    pub(crate) authentication: Authentication,
    pub(crate) limits: Limits,
    pub(crate) lines: Arc<LineBudget>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) logins: Logins,
    pub(crate) rations: Rations,
    pub(crate) resolver: Resolver,
    record: Record,
    /// Decides about the certificates of peers, if they are asked for any.
    pub(crate) certificates: OnceLock<Arc<dyn PeerCertificates>>,
    trusted: RwLock<Arc<HashSet<String>>>,
}

/// Why the user of a certificate is not logged in.
pub(crate) struct CertificateRefusal {
    pub(crate) refused: RefusedLogin,
    /// The name in the certificate, if it is for a user who is not there or is disabled.
    pub(crate) username: Option<String>,
}

/// A login that was refused.
#[derive(Clone, Debug)]
pub(crate) struct RefusedLogin {
    /// What the peer is told.
    pub(crate) refusal: Refusal,
    /// Why, for the record alone; `None` if it was not checked.
    pub(crate) failure: Option<LoginFailure>,
}

impl From<Refusal> for RefusedLogin {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            failure: None,
        }
    }
}

impl RefusedLogin {
    /// Returns the text for the record. `is_user` is whether the name that was given is that of a user.
    fn recorded(&self, is_user: bool) -> String {
        let Self { refusal, failure } = self;
        match (failure, refusal) {
            // The time to wait differs, and equal things are counted in one entry.
            (failure, Refusal::TooManyLogins { .. }) => {
                let failure = failure.map(|failure| {
                    if is_user {
                        failure
                    } else {
                        LoginFailure::UnknownUser
                    }
                });
                let why = failure.map_or_else(String::new, |failure| format!(": {failure}"));
                format!("refused after too many failed logins{why}")
            }
            (Some(failure), Refusal::CertificateOfNobody(name)) => {
                format!("{failure}, by a client certificate for {}", quoted(excerpt(name)))
            }
            (Some(_), _) if !is_user => LoginFailure::UnknownUser.to_string(),
            (Some(failure), _) => failure.to_string(),
            (None, refusal) if is_user => refusal.recorded(),
            (None, refusal) => format!("{} (a name of no user)", refusal.recorded()),
        }
    }
}

impl Admission {
    /// `counters` and `lines` are shared with [`Routing`](super::Routing).
    #[expect(
        clippy::large_types_passed_by_value,
        reason = "they are copied once, at the start"
    )]
    pub(crate) fn new(
        manager: &ManagerIdentity,
        authentication: Authentication,
        limits: Limits,
        store: Store,
        counters: Arc<Counters>,
        lines: Arc<LineBudget>,
    ) -> Self {
        Self {
            name: manager.name(),
            rations: Rations::new(store.audit_max_rows()),
            store,
            authentication,
            limits,
            lines,
            record: Record::new(Recording::Nothing),
            counters,
            logins: Logins::new(&limits),
            resolver: Resolver::new(&manager.hostname),
            certificates: OnceLock::new(),
            trusted: RwLock::default(),
        }
    }

    /// Records rejected peers and failed logins there.
    pub(crate) fn with_record(self, record: Record) -> Self {
        Self { record, ..self }
    }

    /// Returns the manager's name, `Manager[HOST:PORT]`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the manager's address, `HOST:PORT`.
    pub(crate) fn address(&self) -> &str {
        let address = self.name.strip_prefix(MANAGER_NAME).unwrap_or(&self.name);
        address.trim_matches(['[', ']'])
    }

    /// Writes a row about a peer that is not admitted to the table of connections, and an entry to the
    /// record.
    pub(crate) fn record_rejection(&self, peer: &PeerAddress, message: &str, text: String) {
        self.record(peer, message);
        self.record.rejected(Kind::Reject, peer, (None, None), text);
    }

    /// As [`record_rejection`](Self::record_rejection), for a peer that has authenticated and identified
    /// itself.
    pub(crate) fn record_rejection_of(&self, introduced: &Introduced, message: &str, text: String) {
        let Introduced {
            identity, principal, ..
        } = introduced;
        self.record(&principal.from, message);
        let service = matches!(identity.role, Role::Service { .. }).then_some(&*identity.name);
        let who = (principal.user().cloned(), service);
        self.record.rejected(Kind::Reject, &principal.from, who, text);
    }

    /// Writes an entry about a login that was refused to the record. The name that was tried is
    /// recorded only if it is that of a user: people type passwords in its place.
    pub(crate) fn record_failed_login(
        &self,
        peer: &Arc<PeerAddress>,
        username: &str,
        refused: &RefusedLogin,
    ) {
        if self.record.recorder().is_none() {
            return;
        }
        let (record, store) = (self.record.clone(), self.store.clone());
        let (peer, username, refused) = (Arc::clone(peer), username.to_owned(), refused.clone());
        // The peer and its place do not wait for the database.
        tokio::spawn(async move {
            let (is_user, text) = match store.is_user_registered(&username).await {
                Ok(is_user) => (is_user, refused.recorded(is_user)),
                Err(_) => (
                    false,
                    format!("{} (the database could not be read)", refused.recorded(true)),
                ),
            };
            let user = is_user.then(|| excerpt(&username).into());
            record.rejected(Kind::Login, &peer, (user, None), text);
        });
    }

    /// Writes a row about a peer to the table of connections.
    pub(crate) fn record(&self, peer: &PeerAddress, message: &str) {
        self.record_at(present(), peer, message);
    }

    /// Writes the row of a connection request, with the time `came`. Called once the outcome is
    /// known, since only some unidentified peers are recorded.
    pub(crate) fn record_request(&self, came: Timestamp, peer: &PeerAddress) {
        self.record_at(came, peer, "new connection request");
    }

    fn record_at(&self, at: Timestamp, peer: &PeerAddress, message: &str) {
        self.store.record_at(at, peer.event(message));
    }

    /// Returns whether a line about an unidentified peer may be logged.
    pub(crate) fn may_log_unidentified(&self, ip: IpAddr) -> bool {
        self.rations.may_log(&self.counters, ip)
    }

    /// Returns whether an unidentified peer may be recorded in the table of connections.
    pub(crate) fn may_record_unidentified(&self, ip: IpAddr) -> bool {
        self.rations.may_record(&self.counters, ip)
    }

    /// Returns the trusted hostnames.
    pub(crate) fn trusted(&self) -> Arc<HashSet<String>> {
        Arc::clone(&self.trusted.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the trusted hostnames again, if they are used for authentication. On failure the old
    /// ones stay.
    pub(crate) async fn trust_changed(&self) {
        // Other methods do not use them.
        if !matches!(self.authentication, Authentication::Hostname) {
            return;
        }
        match self.store.hostnames().await {
            Ok(hostnames) => {
                let trusted = Arc::new(hostnames.into_iter().collect());
                *self.trusted.write().unwrap_or_else(PoisonError::into_inner) = trusted;
            }
            Err(error) => warn!("cannot read the trusted hostnames, the old ones stay: {error}"),
        }
    }

    /// Logs in the user of a certificate, if it is one of the database.
    pub(crate) async fn check_certificate(
        &self,
        certificate: &Arc<PeerCertificate>,
    ) -> Result<Proof, CertificateRefusal> {
        let refused = |refusal: Refusal| CertificateRefusal {
            refused: refusal.into(),
            username: None,
        };
        if let Some(end) = certificate.end(present().as_second()) {
            return Err(refused(Refusal::CertificateEnded(end)));
        }
        let user = certificate
            .user()
            .map_err(|reason| refused(Refusal::NamelessCertificate(reason.to_owned())))?;
        match self.store.login_with_certificate(user).await {
            Ok(Ok(outcome)) => Ok(Proof::of_certificate(user, &outcome, certificate)),
            Ok(Err(failure)) => {
                Counters::count(&self.counters.failed_logins);
                Err(CertificateRefusal {
                    refused: RefusedLogin {
                        refusal: Refusal::CertificateOfNobody(user.to_string()),
                        failure: Some(failure),
                    },
                    username: Some(user.to_string()),
                })
            }
            Err(error) => {
                warn!("cannot check a login: {error}");
                Err(refused(Refusal::Store {
                    text: error.peer_text(),
                    executed: Executed::No,
                }))
            }
        }
    }

    /// Checks a username and password, once it is the address's turn. An unknown username takes the
    /// same time and returns the same error as a wrong password.
    ///
    /// If the future is dropped, the attempt still counts.
    pub(crate) async fn check_user(
        &self,
        ip: IpAddr,
        username: &str,
        password: &str,
    ) -> Result<LoginOutcome, RefusedLogin> {
        let counters = &self.counters;
        let attempt = self.logins.attempt(&self.store, ip, username, password);
        // This also serves identified peers, which have no handshake deadline.
        let verdict = timeout(self.limits.handshake, attempt).await;
        match verdict.unwrap_or(Verdict::TurnedAway) {
            Verdict::Good(outcome) => Ok(outcome),
            Verdict::Wrong(failure, held_back) => {
                Counters::count(&counters.failed_logins);
                if !held_back.is_zero() {
                    Counters::count(&counters.delayed_logins);
                    if self.may_log_unidentified(ip) {
                        info!(
                            "the answer to a wrong login from {ip} waits {:.1} s: too many failed for the same user",
                            held_back.as_secs_f64()
                        );
                    }
                    sleep(held_back).await;
                }
                Err(RefusedLogin {
                    refusal: Refusal::WrongLogin,
                    failure: Some(failure),
                })
            }
            Verdict::Refused(wait, failure) => Err(RefusedLogin {
                refusal: refused(counters, wait),
                failure,
            }),
            Verdict::TurnedAway => {
                Counters::count(&counters.too_many_logins);
                Err(Refusal::TooManyLoginsWaiting.into())
            }
            Verdict::Unchecked(text) => Err(RefusedLogin::from(Refusal::Store {
                text,
                executed: Executed::No,
            })),
        }
    }
}
