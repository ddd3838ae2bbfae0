//! Errors about lines that were discarded before their end, or before there was room for them.

use labwire_wire::{Envelope, Member};

use super::{Rest, Router, Sender};
use crate::counters::Counters;
use crate::refusal::{LineEnd, Refusal};
use crate::registry::{Answered, Reader};

/// How much of a discarded line is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// More of it may arrive, and may identify it.
    Beginning,
    /// Nothing has arrived for long. The peer that waits for its outcome receives an error, as far
    /// as it is known.
    Silence,
    /// Nothing more will be known.
    All,
}

impl Router<'_> {
    /// Counts and logs that a line is discarded.
    pub(crate) fn note_ended(&self, from: &Sender<'_>, end: LineEnd) {
        let refusal = Refusal::LineEnded(end);
        self.counters.count_limit(&refusal);
        from.log(&refusal);
    }

    /// Sends a client an error about its discarded line. Returns whether the error names the
    /// request.
    ///
    /// A Python program cannot read an error without a uid, and receives one only when nothing more
    /// will be known.
    pub(crate) fn refuse_ended_request(
        &mut self,
        from: &Sender<'_>,
        line: &[u8],
        envelope: &Envelope,
        end: LineEnd,
        known: Known,
    ) -> bool {
        let has_uid = envelope.span(Member::Uid).is_some();
        let reads_any = || {
            self.registry
                .client(from.id)
                .is_none_or(|client| client.reader == Reader::Other)
        };
        let is_told = match known {
            Known::Beginning => has_uid,
            Known::Silence => has_uid || reads_any(),
            Known::All => true,
        };
        if is_told {
            Counters::count(&self.counters.refused);
            from.refuse(&envelope.uid_or_empty(line), &Refusal::LineEnded(end));
        }
        has_uid
    }

    /// Sends an error about a service's discarded line to the caller of the reply, which is owed from
    /// then on. Returns what is known of the line if the caller is known. Otherwise the service
    /// receives the error, unless more of the line may arrive.
    pub(crate) fn refuse_ended_reply(
        &mut self,
        from: &Sender<'_>,
        line: &[u8],
        envelope: &Envelope,
        end: LineEnd,
        known: Known,
    ) -> Option<Rest> {
        let now = self.now;
        let is_reply = self.is_whole_reply(from, line, envelope);
        let service = self.service_name(from.id);
        let names = envelope.names(line);
        let found = [names.requester.is_some(), names.uid.is_some()];
        let is_enough = match known {
            Known::Beginning => found == [true; 2],
            // With neither, it may be a notification.
            Known::Silence => found != [false; 2],
            Known::All => true,
        };
        let awaited = is_enough
            .then(|| self.registry.identify(from.id, &names))
            .flatten();
        if let Some(awaited) = awaited {
            let refusal = Refusal::ReplyEnded { service, end };
            let frame = refusal.frame(awaited.requester, awaited.uid(), awaited.features);
            awaited.outbox.push_always(|writer| writer.shared(&frame));
            let (client, uid) = (awaited.client_id(), awaited.uid().into_owned());
            let requester = awaited.requester.to_string();
            awaited.end(Answered::with_refusal(now));
            self.registry.note_owed(client, from.id, uid.as_bytes());
            self.end_same(from, client, &uid, &frame);
            return Some(Rest {
                requester,
                uid,
                is_reply,
            });
        }
        let owed = is_enough
            .then(|| self.registry.find_owed(from.id, &names))
            .flatten();
        if let Some((requester, uid)) = owed {
            // Its request has ended before.
            return Some(Rest {
                requester,
                uid,
                is_reply,
            });
        }
        if known != Known::Beginning {
            from.refuse(&envelope.uid_or_empty(line), &Refusal::LineEnded(end));
        }
        None
    }
}
