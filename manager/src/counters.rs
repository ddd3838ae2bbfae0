//! Counters since the manager started.

use std::sync::atomic::{AtomicU64, Ordering};

use labwire_wire::EnvelopeError;

use crate::refusal::{CallRefusal, LineEnd, Refusal, SessionRefusal, TopicRefusal};

/// Declares the counters by the names that administrators see.
macro_rules! counters {
    ($($(#[$about:meta])* $name:ident,)*) => {
        /// Counts since the manager started. Only sums are read, so relaxed ordering is enough.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $($(#[$about])* pub(crate) $name: AtomicU64,)*
        }

        impl Counters {
            /// Returns all counters with their names.
            pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), &self.$name)),*]
                    .into_iter()
                    .map(|(name, counter)| (name, counter.load(Ordering::Relaxed)))
            }
        }
    };
}

counters! {
    /// Accepted connections.
    connections,
    /// Connections that ended before they were identified.
    rejected,
    /// Requests forwarded to a service.
    requests,
    /// Replies forwarded to a client.
    replies,
    /// Requests refused while they were routed.
    refused,
    /// What was refused for lack of a permission, with `--roles`: requests of all kinds,
    /// notifications, and registrations of services.
    not_permitted,
    /// Requests whose service left, or whose manager stopped, before the reply.
    abandoned,
    /// Requests that their clients have cancelled.
    cancelled,
    /// Requests to cancel that named no request in flight.
    cancel_refused,
    /// Requests whose deadline has passed before the reply.
    deadlines_passed,
    /// Requests with a deadline that is out of range, or without a uid of their own.
    deadlines_refused,
    /// Replies to requests that had ended before.
    late_replies,
    /// Progress values queued for a client.
    progress,
    /// Progress values that replaced one that its client had not received yet.
    progress_replaced,
    /// Progress values that were left out, since too much progress waited for clients.
    progress_left_out,
    /// Items queued for a client.
    items,
    /// Progress values and items of requests whose clients did not ask for them, or that have ended.
    unheard,
    /// Requests that waited for approval.
    approvals_asked,
    /// Those of them that were approved.
    approved,
    /// Those of them that were refused.
    approvals_refused,
    /// Those of them about which nobody decided in time.
    approvals_expired,
    /// Those of them that ended for another reason: cancelled, or a peer left.
    approvals_ended,
    /// Requests that could not wait for approval, since too many did or they were too long.
    too_many_approvals,
    /// Notifications emitted by services.
    notifications,
    /// Notifications queued for a client.
    deliveries,
    /// Replies that no client awaited, and notifications in another service's name.
    unsolicited,
    /// Lines that were not frames.
    malformed,
    /// Malformed replies whose callers received an error.
    malformed_replies,
    /// Malformed replies whose callers could not be determined.
    unattributed_replies,
    /// Long requests and replies that were cut through.
    cut_through,
    /// Cut-through lines that were broken off.
    broken_off,
    /// Frames with buffers.
    binary,
    /// Frames whose buffers were wrong.
    binary_malformed,
    /// Frames with buffers that were converted for peers without the feature `binary`.
    converted,
    /// Frames that were not converted because they were too long.
    too_long_to_convert,
    /// Peers disconnected because they did not read.
    cut,
    /// Bytes still queued for peers when their connections ended.
    undelivered_bytes,
    /// Times that a sender had to wait because a queue was full.
    held_back,
    /// Logins that failed, or that were refused after too many failures.
    failed_logins,
    /// Logins refused unchecked after too many failures of their address, for one user or several.
    penalised_logins,
    /// Wrong logins whose answer was delayed after too many failures for the user.
    delayed_logins,
    /// Connections that were ended because their login was not valid any more.
    logins_ended,
    /// Logins refused unchecked because too many were waiting.
    too_many_logins,
    /// Handshakes that timed out.
    handshake_timeouts,
    /// Lines that were too long.
    lines_too_long,
    /// Lines discarded because they had stopped growing.
    lines_stalled,
    /// Lines discarded because all unfinished lines together exceeded the budget.
    lines_over_budget,
    /// Lines that were nested too deep.
    nested_too_deep,
    /// Requests of clients that had too many in flight.
    too_many_in_flight,
    /// Requests of clients that had used their share of the budget of requests in flight.
    in_flight_over_budget,
    /// Services whose identity exceeded its share of the budget of identities.
    identities_over_budget,
    /// Connections over the limit of connections.
    too_many_connections,
    /// Connections over the limit of unidentified connections.
    too_many_unidentified,
    /// Connections over the limit of unidentified connections per address.
    too_many_unidentified_per_address,
    /// Values that peers published.
    published,
    /// Events of the manager that a subscriber did not receive since its queue was filling, or that
    /// nobody received since there were too many.
    events_left_out,
    /// Locks that were granted to a request that had waited.
    locks_granted_later,
    /// Locks that expired.
    locks_expired,
    /// Locks that an administrator has broken.
    locks_broken,
    /// Locks that were kept over a restart of the manager and whose holders have returned.
    reservations_claimed,
    /// Locks that were kept over a restart of the manager and whose holders have not taken them
    /// again.
    reservations_expired,
    /// Locks that were not noted for the time after a restart, since too many are.
    leases_left_out,
    /// Requests for a lock that were refused since too many wait.
    too_many_lock_waits,
    /// Requests for a lock that waited in vain.
    lock_waits_timed_out,
    /// Peers that returned to their session.
    resumed,
    /// Peers that did not return to their session in time.
    sessions_expired,
    /// Peers that were released when their connection broke, since too many were away.
    away_refused,
    /// Services that were released when their connection broke, since a request could be lost.
    sessions_not_kept,
    /// Peers that presented the secret of no session.
    unknown_sessions,
    /// Peers that did not answer keep-alive probes.
    vanished,
    /// TLS handshakes that failed.
    tls_failures,
    /// Lines about unidentified peers that were not logged.
    log_left_out,
    /// Unidentified peers that were not recorded in the table of connections.
    audit_left_out,
    /// Failed attempts to accept connections, usually for lack of file descriptors.
    accept_failures,
}

impl Counters {
    /// Adds one and returns the new sum.
    pub(crate) fn count(counter: &AtomicU64) -> u64 {
        counter.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Adds one to a counter that the routing thread alone changes.
    // Without the lock of the processor's bus, which takes 5 ns.
    #[inline]
    pub(crate) fn count_alone(counter: &AtomicU64) {
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Adds `number`.
    pub(crate) fn add(counter: &AtomicU64, number: usize) {
        counter.fetch_add(number as u64, Ordering::Relaxed);
    }

    /// Adds bytes that were queued for a peer when its connection ended.
    pub(crate) fn count_undelivered(&self, bytes: usize) {
        Self::add(&self.undelivered_bytes, bytes);
    }

    /// Returns the bytes counted by [`count_undelivered`](Self::count_undelivered).
    pub(crate) fn undelivered(&self) -> u64 {
        self.undelivered_bytes.load(Ordering::Relaxed)
    }

    /// Counts a refusal under the limit that it reports. Returns `false` if it reports none.
    pub(crate) fn count_limit(&self, refusal: &Refusal) -> bool {
        let counter = match refusal {
            Refusal::HandshakeTimeout { .. } | Refusal::SilenceInTls { .. } => &self.handshake_timeouts,
            Refusal::TlsInPlainText | Refusal::PlainTextInTls { .. } => &self.tls_failures,
            Refusal::LineTooLong { .. } | Refusal::TypedTooMuch | Refusal::AskedTooMuch => {
                &self.lines_too_long
            }
            Refusal::TooDeep { .. } | Refusal::ReplyTooDeep { .. } => &self.nested_too_deep,
            Refusal::UnconvertibleRequest { .. }
            | Refusal::UnconvertibleReply { .. }
            | Refusal::UnconvertibleNotification { .. }
            | Refusal::UnconvertibleItem { .. }
            | Refusal::Topic(TopicRefusal::Unconvertible { .. } | TopicRefusal::TooLargeToRetain) => {
                &self.too_long_to_convert
            }
            Refusal::Envelope(EnvelopeError::Buffers(_)) => &self.binary_malformed,
            Refusal::TooManyInFlight { .. } => &self.too_many_in_flight,
            Refusal::LineEnded(end) | Refusal::ReplyEnded { end, .. } => match end {
                LineEnd::Stalled { .. } | LineEnd::Unterminated { .. } => &self.lines_stalled,
                LineEnd::OverBudget { .. } | LineEnd::DeliveredInPart { .. } => &self.lines_over_budget,
            },
            Refusal::Call(CallRefusal::WrongDeadline { .. } | CallRefusal::DeadlineNeedsUid) => {
                &self.deadlines_refused
            }
            Refusal::NotPermitted { .. } | Refusal::LoginEnded { .. } => &self.not_permitted,
            Refusal::InFlightOverBudget { .. } => &self.in_flight_over_budget,
            Refusal::IdentitiesOverBudget { .. } => &self.identities_over_budget,
            Refusal::Approval(refusal) if refusal.is_of_limits() => &self.too_many_approvals,
            Refusal::Lock(refusal) if refusal.is_of_waits() => &self.too_many_lock_waits,
            Refusal::TooManyConnections { .. } => &self.too_many_connections,
            Refusal::Session(refusal) if **refusal == SessionRefusal::Unknown => &self.unknown_sessions,
            Refusal::TooManyUnidentified => &self.too_many_unidentified,
            Refusal::TooManyUnidentifiedPerAddress => &self.too_many_unidentified_per_address,
            _ => return false,
        };
        Self::count(counter);
        true
    }
}
