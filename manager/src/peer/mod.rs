//! One connection, from its first byte to its last.

mod administration;
mod cut_through;
mod departure;
mod ending;
mod inbox;
mod judge;
mod parking;
mod replacement;
mod rest;
mod session;
mod unfinished;
mod writing;

use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use labwire_home::present;
use labwire_tcp::WatchedSocket;
use labwire_wire::{LineSplitter, frames, quoted};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{Instrument, debug, info};

use crate::attachment::Attachment;
use crate::counters::Counters;
use crate::handshake::{Handshake, Rejection};
use crate::hub::{Admission, Hub, Phase, Routing};
use crate::names::PeerAddress;
use crate::outbox::FrameWriter;
#[cfg(any(test, feature = "fuzzing"))]
use crate::principal::Proof;
use crate::principal::{Introduced, Principal};
use crate::refusal::{LineLimit, Refusal, excerpt};

use departure::{DISCARDED, DISCARDED_IDENTITY, FAREWELL, discard_up_to};
use session::Session;

/// An identified peer, and the input received since its identity.
pub(crate) struct Introduction {
    introduced: Introduced,
    splitter: LineSplitter,
}

#[cfg(any(test, feature = "fuzzing"))]
impl Introduction {
    /// Makes the peer an administrator, as if it had logged in.
    pub(crate) fn of_administrator(mut self) -> Self {
        let proof = Proof::Login {
            user: "administrator".into(),
            // There is no such user. It is never judged by what was read of the users before.
            row: labwire_store::LoginUser {
                read: u64::MAX,
                ..labwire_store::LoginUser::default()
            },
            is_admin: true,
            token: None,
            second_factor: None,
            certificate: None,
        };
        let from = Arc::clone(&self.introduced.principal.from);
        self.introduced.principal = Arc::new(Principal { proof, from });
        self
    }
}

/// Runs the handshake until the deadline. Returns `None` if the peer is not admitted; then it was
/// rejected.
pub(crate) async fn introduce<S>(
    hub: &Arc<Hub>,
    peer: &Arc<PeerAddress>,
    stream: &mut S,
    deadline: Instant,
) -> Option<Introduction>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    debug!("new connection request from {}", peer.address);
    let came = present();
    let Hub {
        routing, admission, ..
    } = &**hub;
    let mut splitter = LineSplitter::new(admission.limits.handshake_line);
    let list = |principal: &Principal, frame: &mut FrameWriter<'_>| {
        let mut registry = routing.registry();
        let sight = registry.sight_of_stranger(principal, routing.present());
        if let Some(sight) = &sight {
            registry.write_identity(sight, frame);
        }
        sight.is_some()
    };
    let mut handshake = Handshake::new(admission, &list, peer, came, &mut *stream, &mut splitter);
    let introduction = tokio::select! {
        introduction = timeout_at(deadline, handshake.run()) => introduction,
        () = routing.reached(Phase::Draining) => Ok(Err(Rejection::Refused(Refusal::Stopping))),
    };
    let ended = match introduction {
        Ok(Ok(introduced)) => {
            splitter.set_limit(routing.limits.line);
            return Some(Introduction { introduced, splitter });
        }
        Ok(Err(ended)) => ended,
        Err(_) => Rejection::Refused(Refusal::HandshakeTimeout {
            limit: admission.limits.handshake,
        }),
    };
    reject(&hub.admission, (peer, came), None, stream, &ended).await;
    None
}

/// Waits until all clients are notified that the service `name` has left.
async fn told_of_departure(routing: &Routing, name: &str) {
    while routing.registry().is_leaving(name) {
        yield_now().await;
    }
}

/// Serves a peer until its connection ends. `socket` is the connection's, if it has one. `joined`
/// is called once the peer is registered.
pub(crate) async fn serve<S>(
    hub: &Arc<Hub>,
    peer: &Arc<PeerAddress>,
    mut stream: S,
    socket: Option<WatchedSocket>,
    introduction: Introduction,
    joined: impl FnOnce(),
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Introduction { introduced, splitter } = introduction;
    let name = &introduced.identity.name;
    if introduced.principal.user().is_some() {
        // Boxed, to keep the task small for peers that have not logged in.
        Box::pin(hub.accounts.look_again(&introduced.principal, introduced.came)).await;
    }
    if let Some(resume) = introduced
        .identity
        .session
        .as_ref()
        .and_then(|session| session.resume.as_ref())
        && !Attachment::held_before(&hub.routing, &introduced, &resume.secret)
    {
        // Boxed, to keep the task small for peers that do not return.
        let returned = (&introduced, resume);
        let resuming = Box::pin(Session::resume(hub, peer, &mut stream, socket.as_ref(), returned));
        match resuming.await {
            Ok(Some(session)) => {
                joined();
                let span = session.span();
                session.run(stream, socket, splitter).instrument(span).await;
            }
            Ok(None) => {}
            Err(refusal) => {
                reject_introduced(hub, peer, &introduced, &mut stream, refusal).await;
            }
        }
        return;
    }
    let join = || Session::join(hub, peer, socket.as_ref(), &introduced);
    told_of_departure(&hub.routing, name).await;
    let mut session = join();
    if let Err(Refusal::NameTaken(name)) = &session
        // Boxed, to keep the task small for peers whose name is free.
        && Box::pin(replacement::make_way(&hub.routing, peer, name)).await
    {
        told_of_departure(&hub.routing, name).await;
        session = join();
    }
    match session {
        Ok(session) => {
            joined();
            let span = session.span();
            session.run(stream, socket, splitter).instrument(span).await;
        }
        Err(refusal) => {
            reject_introduced(hub, peer, &introduced, &mut stream, refusal).await;
        }
    }
}

/// Sends a peer that has authenticated and identified itself the reason why it is not admitted.
async fn reject_introduced<S: AsyncRead + AsyncWrite + Unpin>(
    hub: &Hub,
    peer: &Arc<PeerAddress>,
    introduced: &Introduced,
    stream: &mut S,
    refusal: Refusal,
) {
    let (from, ended) = ((peer, introduced.came), Rejection::Refused(refusal));
    reject(&hub.admission, from, Some(introduced), stream, &ended).await;
}

/// Sends a peer the reason why it is not admitted, as far as it still reads. `introduced` is set once it
/// has authenticated and identified itself.
async fn reject<S: AsyncRead + AsyncWrite + Unpin>(
    admission: &Admission,
    (peer, came): (&Arc<PeerAddress>, Timestamp),
    introduced: Option<&Introduced>,
    stream: &mut S,
    ended: &Rejection,
) {
    let Admission { counters, .. } = admission;
    Counters::count(&counters.rejected);
    let may_record = admission.may_record_unidentified(peer.ip);
    if may_record {
        admission.record_request(came, peer);
    }
    let refusal = match ended {
        Rejection::Closed(reason) => {
            debug!("{}: {reason}", peer.address);
            if may_record {
                admission.record_rejection(peer, reason, (*reason).to_owned());
            }
            return;
        }
        Rejection::Refused(refusal) => refusal,
        Rejection::LoginRefused { refused, .. } => &refused.refusal,
    };
    counters.count_limit(refusal);
    if admission.may_log_unidentified(peer.ip) {
        let tried = match ended {
            Rejection::LoginRefused { username, .. } => {
                format!(" (as {})", quoted(excerpt(username)))
            }
            _ => String::new(),
        };
        info!("{} rejected, closing connection: {refusal}{tried}", peer.address);
    }
    let message = format!("rejected: {refusal}");
    match ended {
        _ if !may_record => {}
        Rejection::LoginRefused { username, refused } => {
            admission.record(peer, &message);
            admission.record_failed_login(peer, username, refused);
        }
        _ => match introduced {
            Some(introduced) => {
                admission.record_rejection_of(introduced, &message, refusal.recorded());
            }
            None => admission.record_rejection(peer, &message, refusal.recorded()),
        },
    }
    let _ = timeout(FAREWELL, tell(admission, stream, refusal)).await;
}

/// Sends a peer the reason why its connection ends, and discards some of its input.
pub(crate) async fn tell<S: AsyncRead + AsyncWrite + Unpin>(
    admission: &Admission,
    stream: &mut S,
    refusal: &Refusal,
) -> io::Result<()> {
    let frame = frames::error(&refusal.to_string(), admission.name(), "", b"[]");
    stream.write_all(&frame).await?;
    stream.shutdown().await?;
    let limit = match refusal {
        Refusal::LineTooLong {
            which: LineLimit::Identity,
            ..
        } => DISCARDED_IDENTITY,
        _ => DISCARDED,
    };
    discard_up_to(stream, limit).await
}
