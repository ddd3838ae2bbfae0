//! The requests of administrators, and the login that they need.

use labwire_wire::terminal::TerminalLine;
use labwire_wire::{MANAGER_NAME, frames, quoted};
use tokio::io::AsyncRead;
use tokio::task::yield_now;
use tracing::info;

use super::Departure;
use super::inbox::Inbox;
use super::session::Session;
use crate::admin::{self, Outcome};
use crate::handshake::credential;
use crate::refusal::{Refusal, excerpt};
use crate::registry::User;
use crate::router::{Call, Incoming, Kind, Typed};

/// How many administrator's requests may wait for one login.
const PENDING_CALLS: usize = 16;

/// How far a client has come with the login that its administrator's request needs.
#[derive(Debug, Default)]
pub(super) enum Login {
    /// Nothing was asked.
    #[default]
    Idle,
    /// The manager asked for the username.
    Username(Vec<Call>),
    /// The manager asked for the password of that user.
    Password(Vec<Call>, String),
}

impl Session<'_> {
    /// Answers an administrator's request, or asks for the login that it needs.
    ///
    /// `reads` says how often something was read from the peer before the question.
    pub(super) async fn call(&mut self, call: Call, reads: u64) {
        let from = self.sender();
        if from.chatter.allows(from.name) {
            let attribute = quoted(excerpt(&call.attribute));
            info!("received an admin request {attribute} from {}", from.name);
        }
        if self.is_admin {
            return self.execute(call).await;
        }
        match &mut self.login {
            Login::Idle => {
                self.login = Login::Username(vec![call]);
                self.ask("username", self.hub.name(), reads);
            }
            Login::Username(pending) | Login::Password(pending, _) if pending.len() < PENDING_CALLS => {
                pending.push(call);
            }
            _ => self.sender().refuse(&call.uid, &Refusal::LoginPending),
        }
    }

    fn ask(&mut self, attribute: &str, argument: &str, reads: u64) {
        self.reads_before_question = reads;
        let frame = frames::manager_request(attribute, &[argument], self.hub.name());
        self.sender().outbox.push_always(|writer| writer.shared(&frame));
    }

    async fn execute(&self, call: Call) {
        let uid = call.uid.clone();
        let outcome = admin::execute(call, self.hub).await;
        let from = self.sender();
        match outcome {
            Ok(Outcome::Result(result)) => {
                from.answer(&uid, |frame| frame.shared(&result));
            }
            Ok(Outcome::Listing(listing)) => {
                let registry = self.hub.registry();
                from.answer(&uid, |frame| registry.write_listing(listing, frame));
            }
            Ok(Outcome::Shutdown) => info!("{} asked the manager to shut down", from.name),
            Err(refusal) => {
                from.log(&refusal);
                from.refuse(&uid, &refusal);
            }
        }
    }

    /// Takes the first line as the answer to the manager's question, unless it is a request of its own:
    /// what was sent before the question was read must never be taken for a password.
    pub(super) async fn take_credential<R: AsyncRead + Unpin>(
        &mut self,
        inbox: &mut Inbox<R>,
    ) -> Result<bool, Departure> {
        let reads = inbox.reads();
        let is_early = reads == self.reads_before_question;
        if !inbox
            .front()
            .is_some_and(|incoming| self.is_answer(incoming, is_early))
        {
            return Ok(false);
        }
        let Some(incoming) = inbox.take_front() else {
            return Ok(false);
        };
        if is_early && matches!(incoming.kind, Kind::Blank) {
            return Ok(true);
        }
        let text = credential(&incoming.line).unwrap_or_default();
        match std::mem::take(&mut self.login) {
            Login::Idle => {}
            Login::Username(pending) => {
                self.ask("password", excerpt(&text), reads);
                self.login = Login::Password(pending, text);
            }
            Login::Password(pending, username) => self.log_in(pending, &username, &text).await?,
        }
        Ok(true)
    }

    /// Whether a line can be the answer to the manager's question: a result, or anything that is no JSON
    /// object. What was typed before the question could be read is an answer too, as in a script that pipes
    /// all of its lines at once, unless it names something that can be asked now.
    fn is_answer(&self, incoming: &Incoming, is_early: bool) -> bool {
        match &incoming.kind {
            Kind::Frame(envelope) | Kind::Notification(envelope, _) => envelope.has_result(),
            Kind::Typed(Typed::Meant(meaning), _) if is_early => !self.names_something(meaning),
            Kind::Typed(..) | Kind::Blank => true,
            Kind::Broken(..) => !incoming.line.content().trim_ascii_start().starts_with(b"{"),
        }
    }

    fn names_something(&self, meaning: &TerminalLine) -> bool {
        match meaning {
            TerminalLine::Client { .. } => false,
            TerminalLine::Request { service, .. } => {
                service == MANAGER_NAME || self.hub.registry().has_service(service)
            }
            _ => true,
        }
    }

    async fn log_in(&mut self, pending: Vec<Call>, username: &str, password: &str) -> Result<(), Departure> {
        let hub = self.hub;
        let login = hub.logins.check_user(hub, self.peer.ip, username, password).await;
        let refusal = match login {
            Ok(outcome) if outcome.is_admin => {
                self.is_admin = true;
                let from = self.sender();
                info!(
                    "{} logged in as the administrator {}",
                    from.name,
                    quoted(username)
                );
                let user = User {
                    name: username.into(),
                    is_admin: true,
                };
                hub.registry().set_user(from.id, user);
                for call in pending {
                    self.execute(call).await;
                    yield_now().await;
                }
                return Ok(());
            }
            Ok(_) => Refusal::NotAdministrator,
            Err(refusal) => refusal,
        };
        let from = self.sender();
        if from.chatter.allows(from.name) {
            let username = quoted(excerpt(username));
            info!(
                "{} failed to log in as {username}: {}",
                from.name,
                refusal.summary()
            );
        }
        for call in &pending {
            from.refuse(&call.uid, &refusal);
        }
        if refusal == Refusal::NotAdministrator {
            return Ok(());
        }
        // As at the first login, a wrong answer ends the connection: guessing costs a new one each time.
        hub.record(self.peer, &format!("rejected: {refusal}"));
        Err(Departure::WrongLogin)
    }
}
