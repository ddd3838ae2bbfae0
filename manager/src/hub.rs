//! State that connections share, in three parts: routing, admission and operation.

mod accounts;
mod admission;
mod operation;
mod routing;
mod rules;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use labwire_record::{Entry, Kind, Recorder};
use labwire_store::{Store, StoreError};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tracing::warn;

use crate::certificates::PeerCertificates;
use crate::config::{Authentication, Limits};
use crate::logging::LogControl;
use crate::pace::Pace;
use crate::record::Recording;
use crate::registry::ManagerIdentity;

pub(crate) use accounts::AccountsSource;
pub(crate) use admission::{Admission, CertificateRefusal, RefusedLogin};
pub(crate) use operation::Operation;
pub(crate) use routing::{Phase, Routing};
pub(crate) use rules::RulesSource;

/// The state shared by connections.
pub(crate) struct Hub {
    pub(crate) routing: Arc<Routing>,
    pub(crate) admission: Admission,
    pub(crate) operation: Operation,
    /// Who may stay logged in.
    pub(crate) accounts: Arc<AccountsSource>,
    /// The rules about who may do what, with `--roles`.
    rules: OnceLock<Arc<RulesSource>>,
}

/// A change of the database, made by a request.
pub(crate) struct Changing<'a> {
    hub: &'a Hub,
    has_ended: bool,
}

impl Changing<'_> {
    /// Ends a change that was read again, or was not made.
    pub(crate) fn end(mut self) {
        self.has_ended = true;
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            if let Some(rules) = self.hub.rules.get() {
                rules.read_soon();
            }
            self.hub.accounts.read_soon();
        }
    }
}

impl Hub {
    /// `recording` is what is written to the record. Tests may pass a `pace` other than
    /// [the default](Pace::default).
    #[expect(
        clippy::large_types_passed_by_value,
        reason = "they are copied once, at the start"
    )]
    pub(crate) fn new(
        manager: &ManagerIdentity,
        authentication: Authentication,
        limits: Limits,
        pace: Pace,
        (store, recording): (Store, Recording),
        log: LogControl,
    ) -> Arc<Self> {
        let operation = Operation::new(manager.port, log);
        let routing = Arc::new(Routing::new(
            manager.clone(),
            limits,
            pace,
            Some(store.clone()),
            recording,
        ));
        let (counters, lines) = (Arc::clone(&routing.counters), Arc::clone(&routing.lines));
        let accounts = Arc::new(AccountsSource::new(store.clone(), Arc::clone(&routing)));
        let admission = Admission::new(manager, authentication, limits, store, counters, lines)
            .with_record(routing.events.record.clone());
        Arc::new(Self {
            routing,
            admission,
            operation,
            accounts,
            rules: OnceLock::new(),
        })
    }

    /// Enforces the rules of the database from now on. Returns their source, which is to be
    /// [followed](RulesSource::follow).
    ///
    /// # Errors
    /// The rules cannot be read.
    pub(crate) async fn enforce_rules(&self) -> Result<Arc<RulesSource>, StoreError> {
        let (store, routing) = (self.admission.store.clone(), Arc::clone(&self.routing));
        let rules = Arc::new(RulesSource::begin(store, routing).await?);
        Ok(Arc::clone(self.rules.get_or_init(|| rules)))
    }

    /// Asks these about the certificates of peers from now on. The first ones stay.
    pub(crate) fn admit_certificates(&self, certificates: Arc<dyn PeerCertificates>) {
        // It is called once, before the first peer is served.
        let _ = self.accounts.certificates.set(Arc::clone(&certificates));
        let _ = self.admission.certificates.set(certificates);
    }

    /// Begins a change of the database. If what makes it is dropped before the
    /// [end](Changing::end), for example because the connection of its peer breaks, the change may be made
    /// all the same, and is noticed within a second.
    pub(crate) fn begin_change(&self) -> Changing<'_> {
        Changing {
            hub: self,
            has_ended: false,
        }
    }

    /// Reads the rules about who may do what again, if they are enforced. Called after each change
    /// of users, groups, roles, sets and grants.
    pub(crate) async fn rules_changed(&self) {
        if let Some(rules) = self.rules.get() {
            rules.reload().await;
        }
    }

    /// Keeps the locks that were held when the manager on this port stopped, for their holders, and
    /// notes locks from here on.
    pub(crate) async fn keep_locks(&self, port: u16) {
        match self.admission.store.leases(port).await {
            Ok(leases) => self.routing.reserve(leases),
            Err(error) => {
                warn!("cannot read the locks from before the start, their holders have no priority: {error}");
            }
        }
    }

    /// Records that the manager has started, and how it admits peers.
    pub(crate) fn note_start(&self, manager: &ManagerIdentity, has_tls: bool) {
        let authentication = match self.admission.authentication {
            Authentication::None { open: true } => "open to everyone",
            Authentication::None { open: false } => "for this computer only",
            Authentication::Password(_) => "with a password",
            Authentication::Login => "with logins",
            Authentication::Hostname => "for trusted hostnames",
            Authentication::Certificate => "with certificates",
        };
        let tls = if has_tls { "with TLS" } else { "without TLS" };
        let text = format!(
            "{} on port {}, {authentication}, {tls}",
            manager.language, manager.port
        );
        self.routing.events.record.note(|| Entry {
            text: Some(text.into()),
            ..Entry::new(Kind::Start)
        });
    }

    /// Records that the manager stops, with the number of clients and services that it had, and closes
    /// the record.
    pub(crate) async fn close_record(&self, (clients, services): (usize, usize)) {
        let record = &self.routing.events.record;
        record.note(|| Entry {
            text: Some(format!("{clients} client(s) and {services} service(s) were connected").into()),
            ..Entry::new(Kind::Stop)
        });
        if let Some(recorder) = record.recorder().cloned() {
            // It fails only if the reading thread panics.
            let _ = spawn_blocking(move || recorder.close()).await;
        }
    }

    /// Returns the [`statistics`](Self::statistics) without zeros.
    pub(crate) fn statistics_above_zero(&self) -> Value {
        let mut statistics = self.statistics();
        if let Some(statistics) = statistics.as_object_mut() {
            statistics.retain(|_, count| count.as_u64() != Some(0));
        }
        statistics
    }

    /// Returns the counters since the start and the current gauges.
    pub(crate) fn statistics(&self) -> Value {
        let Self {
            routing,
            admission,
            operation,
            accounts: _,
            rules: _,
        } = self;
        let (progress_bytes, replies_owed) = {
            let registry = routing.registry();
            (registry.progress_bytes(), registry.owed())
        };
        let (kept_leases, reservations) = {
            let registry = routing.registry();
            (registry.kept_leases(), registry.reservations())
        };
        let (clients, services, in_flight, identity_bytes) = {
            let registry = routing.registry();
            let (clients, services) = registry.counts();
            (clients, services, registry.in_flight(), registry.identity_bytes())
        };
        let [approvals, approval_bytes] = routing.registry().approvals();
        let [sessions, away] = routing.sessions.sizes();
        let [subscriptions, retained_values, retained_bytes] = routing.events.topics.sizes();
        let mut statistics = json!({
            "uptime_seconds": operation.uptime_seconds(),
            "clients": clients,
            "services": services,
            "in_flight": in_flight,
            "approvals_waiting": approvals,
            "approval_bytes": approval_bytes,
            "long_steps": operation.steps.long(),
            "longest_step_microseconds": operation.steps.longest_microseconds(),
            "line_bytes": routing.lines.held(),
            "queued_bytes": routing.queues.used(),
            "queues_over_budget": routing.queues.waits(),
            "identity_bytes": identity_bytes,
            "sessions": sessions,
            "away": away,
            "session_bytes": routing.sessions.budget.used(),
            "session_bytes_dropped": routing.sessions.budget.dropped(),
            "leases": kept_leases,
            "leases_lost": admission.store.leases_lost(),
            "lease_failures": admission.store.lease_failures(),
            "reservations": reservations,
            "subscriptions": subscriptions,
            "retained_values": retained_values,
            "retained_bytes": retained_bytes,
            "progress_bytes": progress_bytes,
            "replies_owed": replies_owed,
            "record_lost": routing.events.record.recorder().map_or(0, Recorder::lost),
            "record_left_out": routing.events.record.recorder().map_or(0, Recorder::left_out),
            "record_failures": routing.events.record.recorder().map_or(0, Recorder::failures),
            "audit_dropped": admission.store.audit_dropped(),
            "audit_failures": admission.store.audit_failures(),
            "database_failures": admission.store.failures(),
            "log_lines_lost": operation.log.lines_lost(),
            "log_failures": operation.log.failures(),
        });
        if let Some(statistics) = statistics.as_object_mut() {
            statistics.extend(
                routing
                    .counters
                    .all()
                    .map(|(name, count)| (name.to_owned(), count.into())),
            );
        }
        statistics
    }
}
