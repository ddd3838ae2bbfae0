//! What was counted since the manager started.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::refusal::{LineEnd, Refusal};

/// Declares the counters, each by the name under which an administrator sees it.
macro_rules! counters {
    ($($(#[$about:meta])* $name:ident,)*) => {
        /// What was counted since the manager started. Only sums are read, so no order between them is needed.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $($(#[$about])* pub(crate) $name: AtomicU64,)*
        }

        impl Counters {
            /// Every counter by its name.
            pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), &self.$name)),*]
                    .into_iter()
                    .map(|(name, counter)| (name, counter.load(Ordering::Relaxed)))
            }
        }
    };
}

counters! {
    /// Connections that were accepted.
    connections,
    /// Connections that ended before they were identified.
    rejected,
    /// Requests that went to a service.
    requests,
    /// Replies that went to a client.
    replies,
    /// Requests that were refused when they were routed.
    refused,
    /// Requests whose service left before it replied.
    abandoned,
    /// Notifications that services emitted.
    notifications,
    /// Notifications that were queued for a client.
    deliveries,
    /// Replies that nobody waited for, and notifications in another's name.
    unsolicited,
    /// Lines that were no frame.
    malformed,
    /// Malformed replies whose callers were told.
    malformed_replies,
    /// Malformed replies of which it is not known whom they were for.
    unattributed_replies,
    /// Long requests and replies that went on while they arrived.
    cut_through,
    /// Those of them that were broken off.
    broken_off,
    /// Peers that were cut because they did not read.
    cut,
    /// Bytes that were queued for peers when their connections ended.
    undelivered_bytes,
    /// Times that a sender was held back because a queue was full.
    held_back,
    /// Logins that failed or were not tried after too many failures.
    failed_logins,
    /// Logins that were not tried after too many failures of their address, in their user's name or in several.
    penalised_logins,
    /// Wrong logins whose answer was held back after too many failures in their user's name.
    delayed_logins,
    /// Logins that were not tried, since too many waited for their turn.
    too_many_logins,
    /// Handshakes that took too long.
    handshake_timeouts,
    /// Lines that were too long.
    lines_too_long,
    /// Lines that were thrown away since they had stopped growing.
    lines_stalled,
    /// Lines that were thrown away since all unfinished lines together were too long.
    lines_over_budget,
    /// Lines that were nested too deep.
    nested_too_deep,
    /// Requests of clients that had too many in flight.
    too_many_in_flight,
    /// Requests of clients that had their share of what all clients may have in flight.
    in_flight_over_budget,
    /// Services whose identity was longer than its share of what those of all services may have.
    identities_over_budget,
    /// Connections that came when there were as many as there may be.
    too_many_connections,
    /// Connections that came when too many had not identified themselves.
    too_many_unidentified,
    /// The same, from one address.
    too_many_unidentified_per_address,
    /// Peers that did not answer when the operating system asked whether they are still there.
    vanished,
    /// TLS handshakes that failed.
    tls_failures,
    /// Lines about unidentified peers that were not logged.
    log_left_out,
    /// Unidentified peers that are not in the table of connections.
    audit_left_out,
    /// Times that connections could not be accepted, for want of descriptors as a rule.
    accept_failures,
}

impl Counters {
    /// Adds one; gives the new sum.
    pub(crate) fn count(counter: &AtomicU64) -> u64 {
        counter.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Adds so many.
    pub(crate) fn add(counter: &AtomicU64, number: usize) {
        counter.fetch_add(number as u64, Ordering::Relaxed);
    }

    /// Counts what was queued for a peer when its connection ended.
    pub(crate) fn count_undelivered(&self, bytes: usize) {
        Self::add(&self.undelivered_bytes, bytes);
    }

    /// What was counted so.
    pub(crate) fn undelivered(&self) -> u64 {
        self.undelivered_bytes.load(Ordering::Relaxed)
    }

    /// Counts a refusal that tells of a limit; tells whether it does.
    pub(crate) fn count_limit(&self, refusal: &Refusal) -> bool {
        let counter = match refusal {
            Refusal::HandshakeTimeout { .. } | Refusal::SilenceInTls { .. } => &self.handshake_timeouts,
            Refusal::TlsInPlainText | Refusal::PlainTextInTls { .. } => &self.tls_failures,
            Refusal::LineTooLong { .. } | Refusal::TypedTooMuch | Refusal::AskedTooMuch => {
                &self.lines_too_long
            }
            Refusal::TooDeep { .. } | Refusal::ReplyTooDeep { .. } => &self.nested_too_deep,
            Refusal::TooManyInFlight { .. } => &self.too_many_in_flight,
            Refusal::LineEnded(end) | Refusal::ReplyEnded { end, .. } => match end {
                LineEnd::Stalled { .. } | LineEnd::Unterminated { .. } => &self.lines_stalled,
                LineEnd::OverBudget { .. } => &self.lines_over_budget,
            },
            Refusal::InFlightOverBudget { .. } => &self.in_flight_over_budget,
            Refusal::IdentitiesOverBudget { .. } => &self.identities_over_budget,
            Refusal::TooManyConnections { .. } => &self.too_many_connections,
            Refusal::TooManyUnidentified => &self.too_many_unidentified,
            Refusal::TooManyUnidentifiedPerAddress => &self.too_many_unidentified_per_address,
            _ => return false,
        };
        Self::count(counter);
        true
    }
}
