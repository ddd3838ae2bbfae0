//! Keeps the place of a peer whose connection is broken, and lets it go on when it returns.

use std::sync::Arc;
use std::time::Duration;

use labwire_tcp::WatchedSocket;
use labwire_wire::{ResumeRequest, received};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

use super::departure::{Departure, FAREWELL};
use super::inbox::Inbox;
use super::session::Session;
use crate::attachment::{Attachment, Returned};
use crate::hub::Hub;
use crate::names::PeerAddress;
use crate::principal::Introduced;
use crate::refusal::{Refusal, SessionRefusal};

/// How many bytes of a service are handled before it is told so.
const CONFIRMED_BYTES: u64 = 64 * 1024;

/// How long after the last line a service is told that its lines were handled.
pub(super) const CONFIRMATION_DELAY: Duration = Duration::from_secs(1);

/// How long the old connection of a peer that has returned may take to end.
const OLD_CONNECTION: Duration = Duration::from_secs(2);

/// How often it is checked whether it has ended.
const LOOK: Duration = Duration::from_millis(1);

impl Departure {
    /// Returns whether the connection broke, rather than being ended by the peer or the manager.
    pub(super) fn is_break(&self) -> bool {
        match self {
            Self::Closed | Self::Failed(_) | Self::Superseded => true,
            Self::Asked
            | Self::TooLong(_)
            | Self::Unsplittable(_)
            | Self::Refused
            | Self::Stalled
            | Self::WrongLogin
            | Self::Dismissed(_)
            | Self::Stopping => false,
        }
    }
}

impl<'a> Session<'a> {
    /// Lets a peer go on with its session, once its old connection has ended. Sends it the frame
    /// `resumed`.
    pub(super) async fn resume<S: AsyncRead + AsyncWrite + Unpin>(
        hub: &'a Arc<Hub>,
        peer: &'a Arc<PeerAddress>,
        stream: &mut S,
        socket: Option<&WatchedSocket>,
        (introduced, resume): (&Introduced, &ResumeRequest),
    ) -> Result<Option<Self>, Refusal> {
        let deadline = Instant::now() + OLD_CONNECTION;
        let (attachment, resumed) = loop {
            let ResumeRequest { secret, received } = resume;
            let socket = socket.cloned();
            match Attachment::resume(&hub.routing, introduced, secret, *received, socket)? {
                Returned::Resumed { attachment, resumed } => break (attachment, resumed),
                Returned::OldConnection if Instant::now() >= deadline => {
                    return Err(SessionRefusal::OldConnection.into());
                }
                Returned::OldConnection => sleep(LOOK).await,
            }
        };
        // It may have logged in as somebody who may do less.
        hub.routing.revoke().await;
        let session = Self::of(hub, peer, *attachment);
        let sending = async {
            stream.write_all(&resumed).await?;
            stream.flush().await
        };
        if let Ok(Ok(())) = timeout(FAREWELL, sending).await {
            return Ok(Some(session));
        }
        // Its connection is broken already.
        let handled = session.handled_before;
        session.attachment.park(handled);
        Ok(None)
    }

    /// Keeps the place of the peer, whose connection is broken. Without a session, or without room
    /// for it, the peer leaves.
    pub(super) fn park<R: AsyncRead + Unpin>(mut self, inbox: &mut Inbox<R>) {
        if let Some(cut_through) = self.cut_through.take() {
            self.attachment
                .with_router(|router, _| router.break_off_parked(cut_through.into_inner()));
        }
        if let Some(uid) = self.executing.take() {
            self.sender().refuse(&uid, &SessionRefusal::Interrupted.into());
        }
        let handled = self.handled_before + inbox.handled();
        inbox.give_back();
        self.attachment.park(handled);
    }

    /// Returns whether there are lines of a service of which it was not told that they are handled.
    pub(super) fn owes_confirmation<R: AsyncRead + Unpin>(&self, inbox: &Inbox<R>) -> bool {
        let session = self.attachment.session.as_ref();
        self.attachment.is_service()
            && session.is_some_and(|session| session.confirmed < self.handled_before + inbox.handled())
    }

    /// Tells a service up to where its lines were handled, if these are many bytes or `now` is set.
    pub(super) fn confirm<R: AsyncRead + Unpin>(&mut self, inbox: &Inbox<R>, now: bool) {
        if !self.attachment.is_service() {
            return;
        }
        let handled = self.handled_before + inbox.handled();
        let Some(session) = &mut self.attachment.session else {
            return;
        };
        let unconfirmed = handled - session.confirmed;
        if unconfirmed < CONFIRMED_BYTES && (!now || unconfirmed == 0) {
            return;
        }
        session.confirmed = handled;
        let frame = received(handled, self.hub.routing.name());
        self.attachment
            .outbox()
            .push_always(|writer| writer.shared(&frame));
    }
}
