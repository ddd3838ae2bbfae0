//! Refusals: every error text that a peer can receive, in one place.
//!
//! Each begins with the name of the Python exception that fits best. Scripts search these texts, so
//! a change of one is a change of the wire.

mod approval_refusal;
mod call_refusal;
mod executed;
mod history_refusal;
mod limits;
mod linked;
mod lock_refusal;
mod locks;
mod session_refusal;
mod topic_refusal;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use labwire_wire::frames::ErrorDetails;
use labwire_wire::terminal::{NotText, TerminalError};
use labwire_wire::{EnvelopeError, Executed, Features, IdentityError, MAX_NAME_BYTES, Uid, frames, quoted};

use crate::certificates::CertificateEnd;
use crate::config::MANAGERS_LINE;
use crate::login_end::LoginEnd;

pub(crate) use approval_refusal::ApprovalRefusal;
pub(crate) use call_refusal::CallRefusal;
pub(crate) use history_refusal::HistoryRefusal;
pub(crate) use limits::LineLimit;
pub(crate) use linked::LinkedClients;
pub(crate) use lock_refusal::LockRefusal;
pub(crate) use locks::{HeldLock, LockCause, LockEnd, LockObstacle, WaitEnd, WaitingRequest};
pub(crate) use session_refusal::SessionRefusal;
pub(crate) use topic_refusal::TopicRefusal;

/// Why the manager refuses a request or a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The requested service is not connected.
    #[error("KeyError: the {} Service is not connected to {manager}", quoted(service))]
    NoSuchService { service: String, manager: String },
    /// The service left while it held the request.
    #[error(
        "ConnectionError: the {} Service left before it replied, the request may have been executed",
        quoted(service)
    )]
    ServiceLeft { service: String },
    /// The manager stopped while a service held the request.
    #[error(
        "ConnectionError: the manager is shutting down, the request may have been executed by the {} Service",
        quoted(service)
    )]
    ShuttingDown { service: String },
    /// The manager stops and takes no new requests.
    #[error("ConnectionError: the manager is shutting down, the request was not executed")]
    NotTaken,
    /// The service's answer is not a reply.
    #[error(
        "RuntimeError: the {} Service sent a malformed reply, the request may have been executed",
        quoted(service)
    )]
    MalformedReply { service: String },
    /// A typed line such as `link My Service` is not a keyword, because more follows the service's
    /// name; and no service has the keyword's name.
    #[error(
        "KeyError: the {} Service is not connected to {manager}, to {keyword} a service whose name holds spaces type for \
         example: {keyword} \"My Service\"",
        quoted(service),
        keyword = service.to_lowercase()
    )]
    NoSuchKeyword { service: String, manager: String },
    /// An unlinked client sent a request to a service that limits its clients.
    #[error(
        "PermissionError: the {} Service limits its clients, {client} must link with it before sending requests{}",
        quoted(service),
        if *is_full { ", which it can once one of the linked clients has unlinked" } else { "" }
    )]
    LinkBecauseLimited {
        service: String,
        client: String,
        /// Whether as many clients are linked as allowed.
        is_full: bool,
    },
    /// An unlinked client sent a request to a service that is locked.
    #[error(
        "PermissionError: the {} Service is locked {held}, {client} can link with it once the lock is released",
        quoted(service)
    )]
    CallLocked {
        service: String,
        client: String,
        held: Box<HeldLock>,
    },
    /// A request is nested too deep for its service, or has too long integers.
    #[error(
        "ValueError: the {} Service is a Python program and cannot read the request, it may be nested 900 levels \
         deep and hold integers of up to 4300 digits",
        quoted(service)
    )]
    UnreadableRequest { service: String },
    /// A reply is nested too deep for its client, or has too long integers.
    #[error(
        "ValueError: the {} Service replied with what a Python client cannot read, it may be nested 900 levels \
         deep and hold integers of up to 4300 digits",
        quoted(service)
    )]
    UnreadableReply { service: String },
    /// A notification is nested too deep for Python clients, or has too long integers.
    #[error(
        "ValueError: Python clients cannot read the notification, it may be nested 900 levels deep and hold \
         integers of up to 4300 digits"
    )]
    UnreadableNotification,
    /// A request with buffers is too long to be converted for its service.
    #[error(
        "ValueError: the {} Service does not have the feature binary, and a request with more than {limit} bytes of \
         arrays is not converted for it, send less at a time (or see --convert of labwire start)",
        quoted(service)
    )]
    UnconvertibleRequest { service: String, limit: usize },
    /// A reply with buffers is too long to be converted for its client.
    #[error(
        "ValueError: the {} Service replied with more than {limit} bytes of arrays, which are not converted for a \
         client without the feature binary, ask for less at a time (or see --convert of labwire start)",
        quoted(service)
    )]
    UnconvertibleReply { service: String, limit: usize },
    /// A notification with buffers is too long to be converted for its clients.
    #[error(
        "ValueError: {clients} of the linked clients do not have the feature binary, and a notification with more \
         than {limit} bytes of arrays is not converted for them, emit less at a time (or see --convert of labwire start)"
    )]
    UnconvertibleNotification { clients: usize, limit: usize },
    /// An item with buffers is too long to be converted for its client.
    #[error(
        "ValueError: the client does not have the feature binary, and an item with more than {limit} bytes of arrays \
         is not converted for it, send less at a time (or see --convert of labwire start)"
    )]
    UnconvertibleItem { limit: usize },
    /// A line is nested too deep.
    #[error("ValueError: the JSON text is nested deeper than {limit} levels{}", limits::nesting_option(*limit))]
    TooDeep { limit: usize },
    /// A service's reply is nested too deep.
    #[error(
        "RuntimeError: the {} Service sent a reply that is nested deeper than {limit} levels, the request may have \
         been executed",
        quoted(service)
    )]
    ReplyTooDeep { service: String, limit: usize },
    /// A service's line, most likely a reply, is too long, and its connection ends.
    #[error(
        "RuntimeError: the {} Service sent a reply that is longer than {limit} bytes and was disconnected, the request \
         may have been executed",
        quoted(service)
    )]
    ReplyTooLong { service: String, limit: usize },
    /// A request stopped arriving while it was cut through.
    #[error(
        "TimeoutError: the request for the {} Service stopped arriving while others waited for its end, it was not \
         executed, send it again",
        quoted(service)
    )]
    RequestStalled { service: String },
    /// A reply stopped arriving while it was cut through.
    #[error(
        "TimeoutError: the reply of the {} Service stopped arriving while others waited for its end, the request may \
         have been executed",
        quoted(service)
    )]
    ReplyStalled { service: String },
    /// A typed line is too long.
    #[error(
        "ValueError: a typed line may not be longer than {MANAGERS_LINE} bytes, send larger requests for a service as \
         JSON"
    )]
    TypedTooMuch,
    /// The connection ended in the middle of a typed line.
    #[error("SyntaxError: the last line has no end, it was not executed")]
    Unterminated,
    /// A request for the manager is too long.
    #[error("ValueError: a request for the Manager may not be longer than {MANAGERS_LINE} bytes")]
    AskedTooMuch,
    /// A service sent a line that is not JSON.
    #[error("ValueError: a service must send JSON objects")]
    ServiceTypes,
    /// A client has as many requests in flight as it may have.
    #[error("RuntimeError: {client} has {limit} requests in flight, wait for replies before sending more")]
    TooManyInFlight { client: String, limit: usize },
    /// The budget of requests in flight is nearly used up, and this client has its share.
    #[error(
        "RuntimeError: {client} has {count} requests in flight, which is its share of the {budget} that all clients \
         may have together, wait for replies before sending more (see --budget-in-flight of labwire start)"
    )]
    InFlightOverBudget {
        client: String,
        count: usize,
        budget: usize,
    },
    /// Link with a service that is not connected.
    #[error(
        "KeyError: the {} service does not exist, cannot link with {client}",
        quoted(service)
    )]
    CannotLink { service: String, client: String },
    /// Link with a locked service.
    #[error("PermissionError: {} service is locked {held}", quoted(service))]
    Locked { service: String, held: Box<HeldLock> },
    /// Link with a service at its client limit.
    #[error(
        "PermissionError: The maximum number of Clients are already linked with {}\n{linked}",
        quoted(service)
    )]
    Limit { service: String, linked: LinkedClients },
    /// Unlink without a link.
    #[error(
        "KeyError: cannot unlink {client}, it was not linked with {}",
        quoted(service)
    )]
    NotLinked { service: String, client: String },
    /// Lock a service that is not connected.
    #[error(
        "KeyError: {} service does not exist, {client} cannot acquire a lock",
        quoted(service)
    )]
    CannotLock { service: String, client: String },
    /// Lock without a link.
    #[error(
        "PermissionError: {client} cannot acquire a lock because it is not linked with the {} service",
        quoted(service)
    )]
    LockWithoutLink { service: String, client: String },
    /// Lock a service exclusively while others are linked with it.
    #[error(
        "PermissionError: {client} cannot acquire an exclusive lock, there are {} links with the {} service\n{linked}",
        linked.count(), quoted(service)
    )]
    NotAlone {
        service: String,
        client: String,
        linked: LinkedClients,
        /// The position that a request that waits would have in the queue, counted from 1.
        position: usize,
    },
    /// Release the lock of a service that is not connected.
    #[error(
        "KeyError: {} service does not exist, {client} cannot release the lock",
        quoted(service)
    )]
    CannotRelease { service: String, client: String },
    /// A lock is waited for, has expired, or was broken.
    #[error(transparent)]
    Lock(Box<LockRefusal>),
    /// A request was cancelled or took too long, or what concerns one in flight is refused.
    #[error(transparent)]
    Call(#[from] CallRefusal),
    /// A value is not published, or a subscription not made.
    #[error(transparent)]
    Topic(#[from] TopicRefusal),
    /// A peer returns without success, or a service is away.
    #[error(transparent)]
    Session(Box<SessionRefusal>),
    /// An argument of a request to the manager is missing or of the wrong type.
    #[error("TypeError: {attribute}() takes {expected}")]
    Arguments {
        attribute: String,
        expected: &'static str,
    },
    /// A service sent a request.
    #[error("PermissionError: a service can only reply and notify, connect as a client to send requests")]
    ServiceRequests,
    /// A client sent a reply.
    #[error("PermissionError: a client cannot send replies, connect as a service to answer requests")]
    ClientReplies,
    /// A peer at a terminal identified itself a second time.
    #[error("ValueError: already connected, the identity cannot be changed")]
    AlreadyConnected,
    /// The line is not a frame.
    #[error("{}: {}", .0.exception(), .0)]
    Envelope(#[from] EnvelopeError),
    /// A typed line has no meaning.
    #[error("SyntaxError: {0}")]
    Terminal(#[from] TerminalError),
    /// The line is neither text nor JSON.
    #[error("UnicodeDecodeError: {0}")]
    NotText(#[from] NotText),
    /// The line is too long.
    #[error(
        "ValueError: a line may not be longer than {limit} bytes (see {which} of labwire start), closing connection"
    )]
    LineTooLong { limit: usize, which: LineLimit },
    /// A line was discarded before its end.
    #[error("{}: the line was thrown away, since {}; {}", .0.exception(), .0, .0.remedy())]
    LineEnded(#[from] LineEnd),
    /// The same, for a service's reply.
    #[error(
        "{}: the reply of the {} Service was thrown away, since {end}; the request may have been executed",
        end.exception(), quoted(service)
    )]
    ReplyEnded { service: String, end: LineEnd },
    /// The identity is not accepted.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A line that came instead of an identity.
    #[error("ValueError: {} is no identity, type: client, or: client My Name, or: help", quoted(.0))]
    NoIdentity(String),
    /// A person typed several lines, none of which was an identity.
    #[error("ValueError: none of {lines} lines was an identity, closing connection")]
    NoIdentityTyped { lines: usize },
    /// The peer speaks HTTP.
    #[error("ValueError: this is a network manager of a laboratory, it does not speak HTTP")]
    Http,
    /// The peer speaks TLS to a manager without TLS.
    #[error(
        "ConnectionError: this manager does not use TLS and a TLS handshake came, connect without TLS, or start the \
         manager without --disable-tls"
    )]
    TlsInPlainText,
    /// The peer sends plain text to a manager with TLS.
    #[error(
        "ConnectionError: this manager uses TLS and plain text came, connect with TLS, for example: openssl s_client \
         -quiet -connect {address} (or start the manager with --disable-tls)"
    )]
    PlainTextInTls { address: String },
    /// The peer sends nothing to a manager with TLS.
    #[error(
        "TimeoutError: nothing came within {} s, this manager uses TLS, connect with TLS, for example: openssl s_client \
         -quiet -connect {address} (or start the manager with --disable-tls)",
        limit.as_secs_f64()
    )]
    SilenceInTls { limit: Duration, address: String },
    /// A service of that name is already connected.
    #[error("NameError: A {} service is already running on the Manager", quoted(.0))]
    NameTaken(String),
    /// Another service is connected whose name looks the same.
    #[error(
        "NameError: {} looks like the name of the {} service, which is already running on the Manager; choose another one",
        quoted(name),
        quoted(other)
    )]
    NameLooksTaken { name: String, other: String },
    /// The budget of identities is nearly used up, and this one is longer than its share.
    #[error(
        "MemoryError: the identity has {bytes} bytes, which is more than its share of the {budget} that those of all \
         services may have together, give it fewer or shorter attributes (see --budget-identities of labwire start)"
    )]
    IdentitiesOverBudget { bytes: usize, budget: usize },
    /// A client with the same name, host and port is already connected.
    #[error("NameError: a client {0} is already connected to the Manager")]
    ClientNameTaken(String),
    /// The manager's password was wrong.
    #[error("ValueError: Wrong Manager password")]
    WrongManagerPassword,
    /// The login was wrong. One text for both cases, so that it does not reveal which names exist.
    #[error("ValueError: Unregistered user or Wrong login password")]
    WrongLogin,
    /// Too many wrong passwords.
    #[error("PermissionError: too many failed logins, try again in {seconds} s")]
    TooManyLogins { seconds: u64 },
    /// Too many logins wait for their turn.
    #[error("ConnectionError: too many logins are waiting to be checked, try again in a few seconds")]
    TooManyLoginsWaiting,
    /// The host is not in the table of trusted hostnames.
    #[error("ValueError: {} is not a trusted hostname", quoted(.0))]
    UntrustedHostname(String),
    /// The peer has presented no certificate.
    #[error(
        "PermissionError: this manager serves only peers with a client certificate, and none was presented (see \
         --client-cert and LABWIRE_CLIENT_CERT)"
    )]
    CertificateRequired,
    /// The certificate is not for a user.
    #[error("PermissionError: the client certificate is for no user: {0}")]
    NamelessCertificate(String),
    /// The certificate is for a user who is not there, or is disabled.
    #[error(
        "PermissionError: the client certificate is for {}, who is no user of this manager, or is disabled (see \
         labwire user)",
        quoted(excerpt(.0))
    )]
    CertificateOfNobody(String),
    /// The certificate was accepted before, and is not any more.
    #[error("PermissionError: {0}")]
    CertificateEnded(CertificateEnd),
    /// The manager stops.
    #[error("ConnectionError: the manager is shutting down")]
    Stopping,
    /// The peer is on another computer, and the manager without authentication is not open.
    #[error(
        "PermissionError: this manager uses no authentication and serves its own computer only, start it with \
         --auth-password, --auth-login or --auth-hostname (or with --open to admit everyone) to serve {0}"
    )]
    NotLocal(String),
    /// The handshake took too long.
    #[error("TimeoutError: authentication and identity took longer than {} s", limit.as_secs_f64())]
    HandshakeTimeout { limit: Duration },
    /// There are as many connections as allowed.
    #[error(
        "ConnectionError: the manager has {limit} connections, which is as many as it may have, try again later"
    )]
    TooManyConnections { limit: usize },
    /// Too many connections have not identified themselves.
    #[error(
        "ConnectionError: the manager has too many connections that have not identified themselves, try again later"
    )]
    TooManyUnidentified,
    /// The same, from one address.
    #[error(
        "ConnectionError: the manager has too many connections from this address that have not identified \
         themselves, try again later"
    )]
    TooManyUnidentifiedPerAddress,
    /// The request is for administrators only.
    #[error("ValueError: You must be an administrator to send this request to the Manager")]
    NotAdministrator,
    /// An administrator asked for the manager's password.
    #[error("PermissionError: the Manager has a password, it is told to nobody")]
    PasswordKept,
    /// No grant allows it.
    #[error(
        "PermissionError: the permission {} is {}",
        quoted(permission),
        Lacking(user.as_deref(), *token)
    )]
    NotPermitted {
        /// As it is written, such as `call DMM.read`.
        permission: String,
        /// The user that the peer has logged in as.
        user: Option<Arc<str>>,
        /// The number of the token with which it has, if that does not allow it.
        token: Option<i64>,
    },
    /// The login of the peer is not valid any more. Requests that a service had received may have been executed.
    #[error("PermissionError: {}", end.told())]
    LoginEnded { end: LoginEnd, executed: Executed },
    /// The manager does not know the request.
    #[error("AttributeError: the Manager has no attribute {}, see the documentation for what an administrator can request", quoted(.0))]
    NoSuchAttribute(String),
    /// Too many administrators' requests wait for one login.
    #[error("RuntimeError: answer the manager's question for the username and password first")]
    LoginPending,
    /// The store refused or failed; the text is the store's and holds no path.
    #[error("{text}")]
    Store { text: String, executed: Executed },
    /// A request that needs approval, or a decision about one.
    #[error(transparent)]
    Approval(Box<ApprovalRefusal>),
    /// The record is not read.
    #[error(transparent)]
    History(#[from] HistoryRefusal),
}

/// Why a line was discarded before its end, or before there was room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LineEnd {
    /// It stopped growing.
    #[error("nothing more of it has arrived for {} s (see --line-stall of labwire start)", limit.as_secs_f64())]
    Stalled { limit: Duration },
    /// It stopped growing, and only its line end was missing.
    #[error(
        "its line end (\\n) has not come within {} s (see --line-stall of labwire start)",
        limit.as_secs_f64()
    )]
    Unterminated { limit: Duration },
    /// All unfinished lines together exceeded the budget, and it was the longest.
    #[error(
        "the unfinished lines of all peers may have {budget} bytes together and it was the longest (see \
         --budget-lines of labwire start)"
    )]
    OverBudget { budget: usize },
    /// The same, of a value that some of the subscribers have received.
    #[error("{}", Self::OverBudget { budget: *budget })]
    DeliveredInPart { budget: usize },
}

impl LineEnd {
    fn exception(self) -> &'static str {
        match self {
            Self::Stalled { .. } | Self::Unterminated { .. } => "TimeoutError",
            Self::OverBudget { .. } | Self::DeliveredInPart { .. } => "MemoryError",
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::Stalled { .. } => "it was not executed, send it again",
            Self::Unterminated { .. } => "send one with each line",
            Self::OverBudget { .. } => "it was not executed, send less at a time or try again later",
            Self::DeliveredInPart { .. } => {
                "some subscribers have received the value, the others did not read"
            }
        }
    }
}

impl Refusal {
    /// Returns the first line of the text: the log has no room for the names of all linked clients.
    pub(crate) fn summary(&self) -> String {
        self.to_string().lines().next().unwrap_or_default().to_owned()
    }

    /// Returns the first line of the text for the record. What a peer has sent in place of an identity
    /// is left out: it may be a password.
    pub(crate) fn recorded(&self) -> String {
        match self {
            Self::NoIdentity(_) => "ValueError: a line that is no identity".to_owned(),
            _ => self.summary(),
        }
    }

    /// Returns the text before and after the uid in the error that a client with these features
    /// receives. With `origin`, it includes the error's origin and whether the request may have
    /// been executed; with `leases`, what is known about the lock.
    pub(crate) fn around_uid(&self, requester: &str, features: Features) -> (Bytes, &'static [u8]) {
        let lock = self.lock_members(features);
        let details = self.details(lock.as_deref(), features);
        frames::manager_error_around(&self.to_string(), details, requester)
    }

    /// Returns the error that a client with these features receives: see
    /// [`around_uid`](Self::around_uid).
    pub(crate) fn frame<'u>(&self, requester: &str, uid: impl Into<Uid<'u>>, features: Features) -> Bytes {
        let lock = self.lock_members(features);
        let details = self.details(lock.as_deref(), features);
        frames::manager_error(&self.to_string(), details, requester, uid)
    }

    fn details<'a>(&self, lock: Option<&'a str>, features: Features) -> ErrorDetails<'a> {
        ErrorDetails {
            executed: features.origin.then(|| self.executed()),
            lock,
            ended: self.ended_early().filter(|_| features.origin),
        }
    }

    /// Returns why the manager has ended a request before its reply, if it has: the member `ended` of
    /// the error for a client with the feature `origin`.
    fn ended_early(&self) -> Option<&'static str> {
        match self {
            Self::Call(CallRefusal::Cancelled { .. }) => Some("cancelled"),
            Self::Call(CallRefusal::Deadline { .. }) => Some("deadline"),
            Self::Approval(refusal) => match **refusal {
                ApprovalRefusal::Cancelled { .. } => Some("cancelled"),
                ApprovalRefusal::Expired { .. } => Some("deadline"),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns the member `lock` of the error for a client with these features, as JSON text.
    fn lock_members(&self, features: Features) -> Option<String> {
        if !features.leases {
            return None;
        }
        let members = match self {
            Self::Locked { service, held } | Self::CallLocked { service, held, .. } => {
                held.members(service, held.waiting + 1)
            }
            Self::NotAlone {
                service,
                linked,
                position,
                ..
            } => LockObstacle::Linked(linked.clone()).members(service, *position),
            Self::Lock(refusal) => refusal.members()?,
            _ => return None,
        };
        Some(members.to_string())
    }
}

/// The peer without a permission, for the text of its refusal.
struct Lacking<'a>(Option<&'a str>, Option<i64>);

impl fmt::Display for Lacking<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(Some(user), Some(token)) => {
                write!(
                    formatter,
                    "not one of the token {token} of the user {}",
                    quoted(user)
                )
            }
            Self(Some(user), None) => write!(formatter, "not granted to the user {}", quoted(user)),
            Self(None, _) => {
                formatter.write_str("not granted to everyone, and this peer has not logged in as a user")
            }
        }
    }
}

impl From<LoginEnd> for Refusal {
    /// Returns the refusal of what was not forwarded.
    fn from(end: LoginEnd) -> Self {
        let executed = Executed::No;
        Self::LoginEnded { end, executed }
    }
}

impl From<ApprovalRefusal> for Refusal {
    fn from(refusal: ApprovalRefusal) -> Self {
        Self::Approval(Box::new(refusal))
    }
}

impl From<LockRefusal> for Refusal {
    fn from(refusal: LockRefusal) -> Self {
        Self::Lock(Box::new(refusal))
    }
}

impl From<SessionRefusal> for Refusal {
    fn from(refusal: SessionRefusal) -> Self {
        Self::Session(Box::new(refusal))
    }
}

/// Returns the beginning of a text that a peer chose, at most [`MAX_NAME_BYTES`] long, for a
/// message that repeats it.
pub(crate) fn excerpt(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_NAME_BYTES)]
}

#[cfg(test)]
mod tests;
