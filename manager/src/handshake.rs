//! The handshake of a connection: authentication and identity.

mod answer;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use labwire_wire::{Features, Identity, Line, LineSplitter, frames, terminal};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::sleep;
use tracing::debug;

use crate::budget::LineShare;
use crate::config::Authentication;
use crate::hub::{Admission, CertificateRefusal, RefusedLogin};
use crate::names::PeerAddress;
use crate::outbox::{Batch, FrameWriter, batch_of};
use crate::principal::{Introduced, Principal, Proof};
use crate::reading::{ReadError, read_line_unless, read_some};
use crate::refusal::{LineLimit, Refusal};

use answer::{Answer, check_encoding, read_answer};

pub(crate) use answer::credential;

/// How long a login is still checked after its peer has closed its sending side, as netcat does at
/// the end of its input. A dead peer looks the same.
const LAST_WORD: Duration = Duration::from_secs(2);

/// How many lines a person may type, the identity included.
const TYPED_LINES: usize = 8;

/// The size in bytes from which an identity is parsed on another thread. That takes about a
/// millisecond.
const LARGE_IDENTITY: usize = 512 * 1024;

/// The beginning of a TLS connection's first record: a handshake, of some version 3.x.
const TLS_HANDSHAKE: &[u8] = &[0x16, 3];

/// Why a handshake did not end with an identity.
#[derive(Debug)]
pub(crate) enum Rejection {
    /// The peer disconnected. Python clients do so after they have fetched the certificate.
    Closed(&'static str),
    /// The peer is not admitted.
    Refused(Refusal),
    /// The peer is not admitted as this user.
    LoginRefused {
        refused: RefusedLogin,
        /// The username that it gave.
        username: String,
    },
}

impl Rejection {
    /// Returns what the peer is told; `None` if it has disconnected.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Closed(_) => None,
            Self::Refused(refusal) => Some(refusal),
            Self::LoginRefused { refused, .. } => Some(&refused.refusal),
        }
    }
}

impl From<io::Error> for Rejection {
    fn from(_: io::Error) -> Self {
        Self::Closed("connection closed prematurely")
    }
}

/// Writes the list of clients and services, for a person who asks for it before the identity. Returns
/// `false` if it is to be called again, so that others do not wait.
pub(crate) type List<'a> = dyn Fn(&Principal, &mut FrameWriter<'_>) -> bool + Sync + 'a;

/// One handshake. The caller sets its deadline.
pub(crate) struct Handshake<'a, S> {
    admission: &'a Admission,
    list: &'a List<'a>,
    peer: &'a Arc<PeerAddress>,
    stream: &'a mut S,
    splitter: &'a mut LineSplitter,
    /// The peer's share of the budget of unfinished lines.
    share: LineShare,
    /// When the peer connected.
    came: Timestamp,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Handshake<'a, S> {
    pub(crate) fn new(
        admission: &'a Admission,
        list: &'a List<'a>,
        peer: &'a Arc<PeerAddress>,
        came: Timestamp,
        stream: &'a mut S,
        splitter: &'a mut LineSplitter,
    ) -> Self {
        Self {
            admission,
            list,
            peer,
            stream,
            splitter,
            share: admission.lines.share(),
            came,
        }
    }

    /// Performs the handshake. Returns the peer's identity and principal.
    pub(crate) async fn run(&mut self) -> Result<Introduced, Rejection> {
        let proof = self.authenticate().await?;
        self.splitter.set_limit(self.identity_limit());
        let principal = Arc::new(Principal {
            proof,
            from: Arc::clone(self.peer),
        });
        let identity = self.identify(&principal).await?;
        Ok(Introduced {
            identity,
            principal,
            came: self.came,
        })
    }

    /// Returns the longest line of a peer that has authenticated or need not, in bytes.
    fn identity_limit(&self) -> usize {
        let limits = &self.admission.limits;
        limits.identity_line.max(limits.handshake_line)
    }

    async fn authenticate(&mut self) -> Result<Proof, Rejection> {
        let (admission, peer) = (self.admission, self.peer);
        if let Some(certificate) = &peer.certificate {
            return match admission.check_certificate(certificate).await {
                Ok(proof) => {
                    debug!("{} has the certificate {}", peer.address, certificate.serial());
                    Ok(proof)
                }
                Err(CertificateRefusal { refused, username }) => Err(match username {
                    Some(username) => Rejection::LoginRefused { refused, username },
                    None => Rejection::Refused(refused.refusal),
                }),
            };
        }
        match &admission.authentication {
            Authentication::Certificate => Err(Rejection::Refused(Refusal::CertificateRequired)),
            Authentication::None { open: true } => Ok(Proof::None),
            Authentication::None { open: false } if peer.local => Ok(Proof::None),
            Authentication::None { open: false } => {
                Err(Rejection::Refused(Refusal::NotLocal(peer.host.clone())))
            }
            Authentication::Hostname => {
                if peer.is_trusted(&admission.trusted()) {
                    return Ok(Proof::Hostname);
                }
                Err(Rejection::Refused(Refusal::UntrustedHostname(peer.host.clone())))
            }
            Authentication::Password(expected) => {
                let password = self.ask("password", admission.name()).await?;
                admission
                    .logins
                    .check_manager_password(&admission.counters, peer.ip, expected, &password)
                    .map_err(Rejection::Refused)?;
                debug!("{} sent the correct password", peer.address);
                Ok(Proof::Password)
            }
            Authentication::Login => {
                let username = self.ask("username", admission.name()).await?;
                // The password is requested for unknown users too, so that nobody learns which
                // names exist.
                let password = self.ask("password", &username).await?;
                let login = admission.check_user(peer.ip, &username, &password);
                let checked = tokio::select! {
                    biased;
                    checked = login => checked,
                    () = self.gone() => return Err(Rejection::Closed("connection closed before the login was checked")),
                };
                match checked {
                    Ok(outcome) => Ok(Proof::of_login(&username, outcome)),
                    Err(refused) => Err(Rejection::LoginRefused { refused, username }),
                }
            }
        }
    }

    /// Requests one text. People at a terminal type it as it is, programs send it as a result.
    async fn ask(&mut self, attribute: &'static str, argument: &str) -> Result<String, Rejection> {
        debug!("requesting the {attribute} from {}", self.peer.address);
        self.write(frames::manager_request(
            attribute,
            &[argument],
            self.admission.name(),
        ))
        .await?;
        let closed = match attribute {
            "username" => "connection closed before receiving the username",
            _ => "connection closed before receiving the password",
        };
        let line = self.read_line(closed, LineLimit::Handshake).await?;
        check_encoding(&line).map_err(Rejection::Refused)?;
        Ok(credential(&line).unwrap_or_default())
    }

    /// Waits until the peer has gone, and keeps what it sends meanwhile.
    async fn gone(&mut self) {
        let mut loan = None;
        while self.splitter.pending() < self.admission.limits.handshake_line {
            match read_some(self.stream, self.splitter, &mut loan).await {
                Ok(0) => return sleep(LAST_WORD).await,
                Ok(_) => {}
                Err(_) => return,
            }
        }
        // It may not send more before it is authenticated.
        std::future::pending::<()>().await;
    }

    async fn identify(&mut self, principal: &Principal) -> Result<Identity, Rejection> {
        debug!("requesting the identity from {}", self.peer.address);
        self.write(frames::manager_request("identity", &[], self.admission.name()))
            .await?;
        for _ in 0..TYPED_LINES {
            let line = self
                .read_line("connection closed prematurely", LineLimit::Identity)
                .await?;
            let admission = self.admission;
            match read_any_answer(line, admission.limits.nesting).await? {
                Answer::Identity(identity) => return Ok(identity),
                Answer::Leave => return Err(Rejection::Closed("left before it was identified")),
                Answer::Help => {
                    self.write(frames::result(admission.name(), "", terminal::help().as_bytes()))
                        .await?;
                }
                Answer::WhoIsHere => {
                    let (head, tail) = frames::result_around(admission.name(), "");
                    let answer = loop {
                        let mut is_complete = false;
                        let answer = batch_of(|frame| {
                            frame.copied(&head);
                            is_complete = (self.list)(principal, frame);
                            frame.copied(&tail);
                        });
                        if is_complete {
                            break answer;
                        }
                        yield_now().await;
                    };
                    for segment in answer.iter().flat_map(Batch::segments) {
                        self.stream.write_all(segment).await?;
                    }
                    self.stream.flush().await?;
                }
                Answer::Mistyped(mistake) => {
                    self.write(mistake.frame(admission.name(), "", Features::default()))
                        .await?;
                }
            }
        }
        Err(Rejection::Refused(Refusal::NoIdentityTyped {
            lines: TYPED_LINES,
        }))
    }

    async fn write(&mut self, frame: Bytes) -> io::Result<()> {
        self.stream.write_all(&frame).await?;
        self.stream.flush().await
    }

    /// Reads a line. `closed` is the reason if the connection ends first; `which` names the limit
    /// of the line's length.
    async fn read_line(&mut self, closed: &'static str, which: LineLimit) -> Result<Line, Rejection> {
        let is_tls = |bytes: &[u8]| bytes.starts_with(TLS_HANDSHAKE);
        match read_line_unless(self.stream, self.splitter, &mut self.share, is_tls).await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => Err(Rejection::Closed(closed)),
            Err(ReadError::Io(error)) => {
                debug!("{}: {error}", self.peer.address);
                Err(Rejection::Closed("connection closed prematurely"))
            }
            Err(ReadError::TooLong(error)) => Err(Rejection::Refused(Refusal::LineTooLong {
                limit: error.limit,
                which,
            })),
            Err(ReadError::Ended(end)) => Err(Rejection::Refused(end.into())),
            Err(ReadError::Foreign) => Err(Rejection::Refused(Refusal::TlsInPlainText)),
        }
    }
}

/// Parses a peer's answer. A large identity is parsed on another thread, so that others do not
/// wait.
async fn read_any_answer(line: Line, nesting: usize) -> Result<Answer, Rejection> {
    let answer = if line.content().len() < LARGE_IDENTITY {
        read_answer(&line, nesting)
    } else {
        let reading = spawn_blocking(move || read_answer(&line, nesting));
        reading
            .await
            .map_err(|error| Rejection::from(io::Error::other(error)))?
    };
    answer.map_err(Rejection::Refused)
}

#[cfg(test)]
mod tests {
    use labwire_store::{Store, StoreOptions};

    use super::*;
    use crate::budget::LineBudget;
    use crate::config::Limits;
    use crate::registry::ManagerIdentity;

    /// Performs the handshake with a peer on another computer. Returns its outcome.
    async fn handshake_from_elsewhere(
        authentication: Authentication,
        typed: &str,
    ) -> Result<Introduced, Refusal> {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("db"), &StoreOptions::default()).unwrap();
        let (counters, lines) = (Arc::default(), LineBudget::new(usize::MAX));
        let manager = ManagerIdentity::sample();
        let limits = Limits::default();
        let admission = Admission::new(&manager, authentication, limits, store, counters, lines);
        admission.trust_changed().await;
        // An address of the range reserved for documentation, which no computer has.
        let address = ("203.0.113.7:5".parse().unwrap(), "127.0.0.1:1".parse().unwrap());
        let peer = admission.resolver.describe(address.0, address.1).await;
        let (mut near, mut far) = tokio::io::duplex(10_000);
        far.write_all(typed.as_bytes()).await.unwrap();
        let mut splitter = LineSplitter::new(1_000);
        let mut handshake = Handshake::new(
            &admission,
            &|_, frame| {
                frame.copied(b"{}");
                true
            },
            &peer,
            Timestamp::UNIX_EPOCH,
            &mut near,
            &mut splitter,
        );
        match handshake.run().await {
            Ok(introduced) => Ok(introduced),
            Err(rejection) => match rejection.refusal() {
                Some(refusal) => Err(refusal.clone()),
                None => panic!("closed: {rejection:?}"),
            },
        }
    }

    #[tokio::test]
    async fn without_authentication_another_computer_is_refused_and_told_what_would_admit_it() {
        let refusal = handshake_from_elsewhere(Authentication::None { open: false }, "client\n")
            .await
            .unwrap_err();
        let text = refusal.to_string();
        for option in [
            "--auth-password",
            "--auth-login",
            "--auth-hostname",
            "--open",
            "203.0.113.7",
        ] {
            assert!(text.contains(option), "{text}");
        }
    }

    #[tokio::test]
    async fn an_open_manager_admits_another_computer() {
        let introduced = handshake_from_elsewhere(Authentication::None { open: true }, "client n\n")
            .await
            .unwrap();
        assert_eq!(introduced.identity.name, "n");
        assert_eq!(introduced.principal.proof, Proof::None);
    }

    #[tokio::test]
    async fn another_computer_is_not_trusted_as_this_one_is() {
        let refusal = handshake_from_elsewhere(Authentication::Hostname, "client n\n")
            .await
            .unwrap_err();
        assert_eq!(refusal, Refusal::UntrustedHostname("203.0.113.7".into()));
    }

    #[tokio::test]
    async fn a_password_admits_another_computer() {
        let password = || Authentication::Password("abc 123".into());
        assert!(
            handshake_from_elsewhere(password(), "abc 123\nclient n\n")
                .await
                .is_ok()
        );
        let refusal = handshake_from_elsewhere(password(), "abc 12\nclient n\n")
            .await
            .unwrap_err();
        assert_eq!(refusal, Refusal::WrongManagerPassword);
    }
}
