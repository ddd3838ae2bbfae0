//! Discards a line that has stopped growing, or that holds most of the budget of unfinished lines.
//!
//! Its bytes are freed at once. What arrives later is scanned and not kept, until the line's
//! request or reply is identified: a Python client writes the uid last. Then the connection
//! continues with the next line.

use labwire_wire::{Envelope, Uid};
use tokio::io::AsyncRead;
use tokio::time::Duration;

use super::inbox::Inbox;
use super::session::Session;
use super::unfinished::EndedLine;
use crate::refusal::LineEnd;
use crate::router::{Incoming, Kind, Known, Rest};

impl Session<'_> {
    /// Returns how long the current line may stop arriving, or `None` for a person who types.
    pub(super) fn stall_limit<R: AsyncRead + Unpin>(&self, inbox: &Inbox<R>) -> Option<Duration> {
        let is_limited = match self.ended {
            // The replies of a service are not typed.
            None => inbox.is_amid_line() || (self.attachment.is_service() && inbox.held() > 0),
            Some(ended) => !ended.was_told,
        };
        is_limited.then_some(self.hub.routing.limits.line_stall)
    }

    /// Discards the unfinished line if the budget calls on this peer. Returns whether it did.
    pub(super) fn ends_line<R: AsyncRead + Unpin>(&mut self, inbox: &mut Inbox<R>) -> bool {
        let is_called_on = self.share.is_called_on();
        if self.ended.is_some() {
            self.give_up_ended(inbox, is_called_on);
        } else if is_called_on {
            self.end_line(inbox, self.share.excess());
        } else {
            return false;
        }
        is_called_on
    }

    /// Discards the received part of the arriving line, or the line that waits for room.
    pub(super) fn end_line<R: AsyncRead + Unpin>(&mut self, inbox: &mut Inbox<R>, end: LineEnd) {
        if inbox.front().is_none() && inbox.skips_raw() {
            // Only raw bytes of a discarded message are missing, and the next line is another message.
            return;
        }
        let begin = inbox.handled();
        if let Some(mut ended) = self.ended.take() {
            // It is being discarded already, and now its rest does not arrive.
            let mut told = Told::default();
            if let Some((line, arriving)) = inbox.arriving() {
                told = self.tell_ended(line, arriving.envelope.envelope(), ended.end, Known::Silence);
                ended.was_told = true;
                self.ended = (!told.is_known).then_some(ended);
            }
            if self.ended.is_none() {
                inbox.throw_line_away();
            }
            self.begin_rest(inbox, told.rest, begin);
            return;
        }
        if let Some(cut_through) = self.cut_through.take() {
            let rest = self
                .attachment
                .with_router(|router, from| router.break_off_ended(from, cut_through.into_inner(), end));
            inbox.throw_line_away();
            self.begin_rest(inbox, rest, begin);
            return;
        }
        if let LineEnd::Stalled { limit } = end
            && self.attachment.is_service()
            && let Some(incoming) = inbox.take_unterminated()
        {
            return self.end_unterminated(inbox, incoming, LineEnd::Unterminated { limit });
        }
        self.attachment
            .with_router(|router, from| router.note_ended(from, end));
        if let Some(incoming) = inbox.take_front().or_else(|| inbox.discard_raw()) {
            let rest = self.tell_ended_whole(incoming, end);
            self.begin_rest(inbox, rest, begin);
        } else {
            let known = match end {
                LineEnd::Stalled { .. } | LineEnd::Unterminated { .. } => Known::Silence,
                LineEnd::OverBudget { .. } | LineEnd::DeliveredInPart { .. } => Known::Beginning,
            };
            let (line, arriving) = inbox.skim();
            let told = self.tell_ended(line, arriving.envelope.envelope(), end, known);
            if told.is_known {
                inbox.throw_line_away();
            } else {
                let was_told = known == Known::Silence;
                self.ended = Some(EndedLine { end, was_told });
            }
            self.begin_rest(inbox, told.rest, begin);
        }
        self.share.hold(inbox.held());
    }

    /// Ends a service's line of which only the line end is missing. What follows is the next line:
    /// a service that forgets line ends forgets all of them, and each of its callers must receive
    /// an error.
    fn end_unterminated<R: AsyncRead + Unpin>(&mut self, inbox: &Inbox<R>, incoming: Incoming, end: LineEnd) {
        self.attachment
            .with_router(|router, from| router.note_ended(from, end));
        if matches!(incoming.kind, Kind::Frame(_) | Kind::Notification(..)) {
            let rest = self.tell_ended_whole(incoming, end);
            // With a session, the line is sent again after a break until a later line is handled.
            if self.attachment.session.is_some() {
                self.begin_rest(inbox, rest, inbox.handled());
            } else if let Some(rest) = rest {
                self.attachment
                    .with_router(|router, from| router.end_rest(from, &rest));
            }
            return;
        }
        // It is a malformed reply.
        self.attachment.with_router(|router, from| {
            router.route_from_service(from, incoming.frame.view(), &incoming.kind);
        });
    }

    /// Finishes a line that is being discarded and has reached its end.
    pub(super) fn finish_ended<R: AsyncRead + Unpin>(&mut self, inbox: &mut Inbox<R>, ended: EndedLine) {
        let begin = inbox.handled();
        let Some(incoming) = inbox.take_front() else {
            return;
        };
        let has_uid = match &incoming.kind {
            Kind::Frame(envelope) | Kind::Notification(envelope, _) => {
                !envelope.uid_or_empty(incoming.frame.content()).is_empty()
            }
            Kind::Broken(unframed) => unframed.salvage.uids().any(|uid| !uid.is_empty()),
            Kind::Typed(..) | Kind::Blank => false,
        };
        if has_uid || !ended.was_told {
            let rest = self.tell_ended_whole(incoming, ended.end);
            self.begin_rest(inbox, rest, begin);
        }
    }

    /// Stops identifying the line that is being discarded, if that is hopeless or takes too much.
    fn give_up_ended<R: AsyncRead + Unpin>(&mut self, inbox: &mut Inbox<R>, takes_too_much: bool) {
        if !takes_too_much && !inbox.is_hopeless() {
            return;
        }
        let begin = inbox.handled();
        let (Some(ended), Some((line, arriving))) = (self.ended, inbox.arriving()) else {
            return;
        };
        let mut told = Told::default();
        if !ended.was_told {
            told = self.tell_ended(line, arriving.envelope.envelope(), ended.end, Known::All);
        }
        self.ended = None;
        inbox.throw_line_away();
        self.begin_rest(inbox, told.rest, begin);
    }

    /// Returns what is known of the line if it ended a request.
    fn tell_ended_whole(&self, incoming: Incoming, end: LineEnd) -> Option<Rest> {
        let mut told = Told::default();
        match &incoming.kind {
            Kind::Frame(envelope) | Kind::Notification(envelope, _) => {
                told = self.tell_ended(incoming.frame.content(), envelope, end, Known::All);
            }
            Kind::Broken(unframed) => {
                let uid = unframed.salvage.uids().next().unwrap_or(&Uid::EMPTY);
                self.sender().refuse(uid, &end.into());
            }
            Kind::Typed(..) | Kind::Blank => self.sender().refuse(&Uid::EMPTY, &end.into()),
        }
        incoming.free();
        told.rest
    }

    /// Sends an error to the peer that waits for the outcome of a discarded line.
    fn tell_ended(&self, line: &[u8], envelope: &Envelope, end: LineEnd, known: Known) -> Told {
        self.attachment.with_router(|router, from| {
            if self.attachment.is_service() {
                let rest = router.refuse_ended_reply(from, line, envelope, end, known);
                Told {
                    is_known: rest.is_some(),
                    rest,
                }
            } else {
                Told {
                    is_known: router.refuse_ended_request(from, line, envelope, end, known),
                    rest: None,
                }
            }
        })
    }
}

/// Who was told about a discarded line.
#[derive(Debug, Default)]
struct Told {
    /// Whether its request or reply is identified.
    is_known: bool,
    /// The line, if it has ended a service's request.
    rest: Option<Rest>,
}
