//! Sending requests: what every handle of a client can do.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use labwire_device::payload::EncodeError;
use labwire_wire::Executed;
use labwire_wire::frames::{TERMINATOR, json_string};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::error::CallError;
use crate::link_core::LinkCore;
use crate::pending_request::{Outcome, PendingRequest};
use crate::shared::Shared;
use crate::state::{Command, Phase};

/// How many requests wait to be written before callers are held back. Each caller holds its own request anyway; this
/// keeps what is written at once, and what is lost with a connection, small.
const QUEUE: usize = 1024;

/// What all handles of a client share. When the last one is dropped, the client leaves the manager.
pub(crate) struct ClientCore {
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    room: Arc<Semaphore>,
}

/// What is asked of a service or of the manager.
pub(crate) struct Request {
    pub(crate) client: Arc<ClientCore>,
    pub(crate) service: String,
    pub(crate) attribute: String,
    pub(crate) arguments: Result<(String, String), EncodeError>,
    /// Whether it may be kept while its link is away.
    pub(crate) keep: bool,
    /// The link that it is made through.
    pub(crate) through: Option<Arc<LinkCore>>,
    /// The link that it makes.
    pub(crate) makes: Option<Arc<LinkCore>>,
    /// Whether it is sent even if nobody waits for the reply any more.
    pub(crate) insist: bool,
}

impl Request {
    pub(crate) fn disconnected(&self, reason: Arc<str>) -> CallError {
        CallError::Disconnected {
            service: self.service.clone(),
            attribute: self.attribute.clone(),
            reason,
            executed: Executed::No,
        }
    }

    fn unlinked(&self) -> CallError {
        CallError::Unlinked {
            service: self.service.clone(),
            attribute: self.attribute.clone(),
        }
    }
}

/// Whether a request goes onto a connection that is there, or onto one that is about to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    Normal,
    /// Ahead of everything that others send on a new connection.
    First,
}

impl ClientCore {
    pub(crate) fn new(shared: Arc<Shared>, commands: mpsc::UnboundedSender<Command>) -> Self {
        Self {
            shared,
            commands,
            room: Arc::new(Semaphore::new(QUEUE)),
        }
    }

    /// Puts a request into the queue once there is room for it.
    ///
    /// Cancel safe: a request that is dropped here was not sent.
    pub(crate) async fn send(request: Request) -> Result<Ticket, CallError> {
        let room = Arc::clone(&request.client.room).acquire_owned().await;
        let room = room.expect("the semaphore is never closed");
        Self::send_now(request, Urgency::Normal, Some(room))
    }

    /// Puts a request into the queue, whatever room there is.
    pub(crate) fn send_now(
        request: Request,
        urgency: Urgency,
        room: Option<OwnedSemaphorePermit>,
    ) -> Result<Ticket, CallError> {
        let (args, kwargs) = match &request.arguments {
            Ok(arguments) => arguments,
            Err(error) => {
                return Err(CallError::Encode {
                    service: request.service.clone(),
                    attribute: request.attribute.clone(),
                    error: error.clone(),
                });
            }
        };
        let shared = Arc::clone(&request.client.shared);
        let uid = shared.new_uid();
        let frame = request_frame(&request.service, &request.attribute, args, kwargs, uid);
        let (reply, receiver) = oneshot::channel();
        let pending = PendingRequest {
            reply,
            service: request.service.clone(),
            attribute: request.attribute.clone(),
            written: false,
            keep: request.keep,
            through: request.through.as_ref().map(Arc::downgrade),
            makes: request.makes.as_ref().map(Arc::downgrade),
        };
        // See `LinkCore::unlink`.
        let _asking = request.makes.is_some().then(|| shared.asking());
        let mut state = shared.state();
        let link = request.through.as_ref().or(request.makes.as_ref());
        if link.is_some_and(|link| link.is_ended()) && !matches!(state.phase, Phase::Closed(_)) {
            return Err(request.unlinked());
        }
        let away = shared.options.buffer > 0
            && shared.reconnects()
            && request.through.as_ref().is_some_and(|link| link.waits());
        let reason = match &state.phase {
            Phase::Closed(reason) => return Err(request.disconnected(Arc::clone(reason))),
            Phase::Connected if !away || !request.keep => None,
            Phase::Connected => Some(Arc::from("the service is away")),
            Phase::Reconnecting(_) if urgency == Urgency::First => None,
            Phase::Reconnecting(reason) => Some(Arc::clone(reason)),
        };
        if let Some(reason) = reason {
            if !request.keep || state.kept.len() >= shared.options.buffer {
                let reason = match shared.options.buffer {
                    limit if limit > 0 && request.keep => {
                        Arc::from(format!("{reason}; {limit} calls wait already"))
                    }
                    _ => reason,
                };
                return Err(request.disconnected(reason));
            }
            state.kept.push_back((uid, frame));
        } else {
            let command = Command::Request {
                uid,
                frame,
                room,
                insist: request.insist,
            };
            if request.client.commands.send(command).is_err() {
                return Err(request.disconnected(Arc::from("the runtime of the client has ended")));
            }
        }
        state.pending.insert(uid, pending);
        drop(state);
        Ok(Ticket {
            receiver,
            uid,
            client: Arc::clone(&request.client),
            _through: request.through,
        })
    }

    /// Sends a request whose reply nobody waits for, if there is a connection.
    pub(crate) fn tell_manager(&self, attribute: &str, service: &str) {
        let frame = manager_frame(attribute, service, self.shared.new_uid());
        // Without the task there is no connection, and the manager has dropped what was held through it.
        let _ = self.commands.send(Command::Frame(frame));
    }
}

/// A request to the manager about a service.
fn manager_frame(attribute: &str, service: &str, uid: u64) -> Bytes {
    let arguments = format!("[{}]", json_string(service));
    request_frame(labwire_wire::MANAGER_NAME, attribute, &arguments, "{}", uid)
}

/// From this size on arguments stand behind all else in their request, in bytes: so it is known where it goes while it
/// arrives at the manager.
const LONG: usize = 16 * 1024;

/// The members stand in the order in which MSL-Network's clients write them, but for long arguments.
fn request_frame(service: &str, attribute: &str, args: &str, kwargs: &str, uid: u64) -> Bytes {
    let (service, attribute, uid) = (json_string(service), json_string(attribute), format!("\"{uid}\""));
    let args = ("args", args);
    let others = [("attribute", &*attribute), ("error", "false")];
    let kwargs = ("kwargs", kwargs);
    let target = [("service", &*service), ("uid", &*uid)];
    let members: [_; 6] = if args.1.len() + kwargs.1.len() < LONG {
        [args, others[0], others[1], kwargs, target[0], target[1]]
    } else {
        [others[0], others[1], target[0], target[1], kwargs, args]
    };
    let length: usize = members
        .iter()
        .map(|(name, value)| name.len() + value.len() + 4)
        .sum();
    let mut frame = String::with_capacity(1 + length + TERMINATOR.len());
    for (index, (name, value)) in members.into_iter().enumerate() {
        frame.push_str(if index == 0 { "{\"" } else { ",\"" });
        frame.push_str(name);
        frame.push_str("\":");
        frame.push_str(value);
    }
    frame.push('}');
    let mut frame = frame.into_bytes();
    frame.extend_from_slice(TERMINATOR);
    frame.into()
}

/// The frame with which a client asks the manager to close the connection.
pub(crate) fn goodbye(name: &str) -> Bytes {
    request_frame(name, "__disconnect__", "[]", "{}", 0)
}

/// A request that was put into the queue: its outcome, later. When it is dropped, a request that was not written
/// never will be, and the reply to one that was is ignored.
pub(crate) struct Ticket {
    receiver: oneshot::Receiver<Outcome>,
    uid: u64,
    client: Arc<ClientCore>,
    /// A link is not unlinked while replies are on their way.
    _through: Option<Arc<LinkCore>>,
}

impl Ticket {
    /// Gives up waiting: `Err` says whether the request may have been executed, unless the outcome is there.
    pub(crate) fn give_up(&mut self) -> Result<Outcome, Executed> {
        if let Some(executed) = self.client.shared.forget(self.uid) {
            return Err(executed);
        }
        self.receiver.try_recv().map_err(|_| Executed::Maybe)
    }
}

impl Future for Ticket {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let received = std::task::ready!(Pin::new(&mut self.receiver).poll(context));
        Poll::Ready(received.expect("a request that is taken out is answered"))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.client.shared.forget(self.uid);
    }
}

/// Whether two handles are of one link.
pub(crate) fn is_same(weak: &Weak<LinkCore>, link: *const LinkCore) -> bool {
    std::ptr::eq(weak.as_ptr(), link)
}
