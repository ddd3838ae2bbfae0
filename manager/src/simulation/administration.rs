//! Administrators' requests and the logins that they need, in the manager and in the model.

use super::model::Model;
use super::speech::{Administered, Form, Nonsense, REASON, Say, Spoken};
use super::state::{Key, MANAGER};
use super::world::{Failure, World};
use crate::admin::{Outcome, Request};
use crate::attachment::{Decision, Next};
use crate::refusal::{LockCause, LockRefusal, Refusal};
use crate::router::{Call, Sender};

/// The most requests that wait for one login.
const PENDING: usize = 16;

/// The users: name, password, and whether the user is an administrator.
const USERS: [(&str, &str, bool); 2] = [("m.curie", "radium", true), ("n.bohr", "atom", false)];

/// Checks a login. Returns whether the user is an administrator.
fn check(username: &str, password: &str) -> Result<bool, Refusal> {
    let user = USERS.iter().find(|user| (user.0, user.1) == (username, password));
    user.map(|user| user.2).ok_or(Refusal::WrongLogin)
}

/// The outcome of a line that may be the answer to a login question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answered {
    /// It is not an answer.
    No,
    /// It is an answer, and the client stays connected.
    Yes,
    /// It is an answer, and the client is disconnected.
    Leave,
}

impl Model {
    /// Takes a line as the answer to the open question, if it is one. `waiting` is the number of
    /// lines that were sent after it.
    fn answered(&mut self, from: Key, say: &Say, waiting: usize) -> Answered {
        let Some(peer) = self.peers.get_mut(&from).filter(|peer| peer.login.is_asked()) else {
            return Answered::No;
        };
        let login = &mut peer.login;
        let is_early = login.early > 0;
        let text = match say {
            Say::Credential { text, .. } => (*text).to_owned(),
            Say::TypedLink { .. } if is_early => return Answered::No,
            Say::TypedLink { service } => format!("link {service}"),
            Say::Nonsense(Nonsense::Array) => "[]".to_owned(),
            // A result that is not a text is a wrong answer.
            Say::Reply { form, .. } if !matches!(form, Form::PartialError | Form::WithoutResult) => {
                String::new()
            }
            Say::Nonsense(Nonsense::ResultForNobody | Nonsense::NotificationWithoutPair)
            | Say::Notify { .. }
            | Say::Blank => String::new(),
            _ => return Answered::No,
        };
        login.early = login.early.saturating_sub(1);
        let is_blank = matches!(
            say,
            Say::Blank
                | Say::Credential {
                    text: "",
                    is_typed: true
                }
        );
        if is_early && is_blank {
            return Answered::Yes;
        }
        let Some(username) = login.username.take() else {
            login.early = waiting;
            login.username = Some(text.clone());
            self.own_word(from, "password", &[&text]);
            return Answered::Yes;
        };
        let checked = check(&username, &text);
        login.is_admin = checked == Ok(true);
        for (what, uid) in std::mem::take(&mut login.pending) {
            match &checked {
                Ok(true) => self.administered(from, what, &uid),
                Ok(false) => self.refuse(from, &uid, &Refusal::NotAdministrator),
                Err(refusal) => self.refuse(from, &uid, refusal),
            }
        }
        if checked.is_ok() {
            Answered::Yes
        } else {
            Answered::Leave
        }
    }

    /// Notes that a line was taken that is not an answer.
    fn note_taken(&mut self, from: Key) {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.login.early = peer.login.early.saturating_sub(1);
        }
    }

    /// Predicts the outcome of an administrator's request. `waiting` is the number of lines that
    /// were sent after it.
    fn administer(&mut self, from: Key, what: Administered, uid: &str, waiting: usize) {
        let Some(peer) = self.peers.get_mut(&from) else {
            return;
        };
        let login = &mut peer.login;
        if login.is_admin {
            self.administered(from, what, uid);
        } else if login.pending.len() >= PENDING {
            self.refuse(from, uid, &Refusal::LoginPending);
        } else {
            login.pending.push((what, uid.to_owned()));
            if login.pending.len() == 1 {
                login.early = waiting;
                self.own_word(from, "username", &[MANAGER]);
            }
        }
    }

    fn administered(&mut self, from: Key, what: Administered, uid: &str) {
        let (links, locks) = self.links_and_locks();
        match what {
            Administered::Port => self.answer(from, uid, "1875"),
            Administered::Links => self.answer(from, uid, &links),
            Administered::Locks => self.answer(from, uid, &locks),
            Administered::Nothing => {
                let refusal = Refusal::NoSuchAttribute(what.attribute().to_owned());
                self.refuse(from, uid, &refusal);
            }
        }
    }
}

impl World {
    /// Queues a line that the peer sends together with its next one, to be routed after that.
    pub(super) fn send(&mut self, key: Key, spoken: Spoken) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.sent.push_back(spoken);
        }
    }

    /// Takes the first line that a peer has sent and that is not routed yet.
    pub(super) fn next_sent(&mut self, key: Key) -> Option<Spoken> {
        self.peers.get_mut(&key)?.sent.pop_front()
    }

    /// Returns the numbers of bytes and of lines that a peer has sent and that are not routed yet.
    fn unrouted(&self, key: Key) -> (usize, usize) {
        let sent = self.peers.get(&key).map(|peer| &peer.sent);
        sent.map_or((0, 0), |sent| {
            (sent.iter().map(|spoken| spoken.whole().len()).sum(), sent.len())
        })
    }

    /// Takes a line as the answer to the open question. Returns it if it is not an answer.
    pub(super) fn take_credential(&mut self, key: Key, spoken: Spoken) -> Result<Option<Spoken>, Failure> {
        let (unrouted, waiting) = self.unrouted(key);
        let Some(peer) = self.peers.get_mut(&key) else {
            return Ok(None);
        };
        let is_answer = peer.attachment.is_answer(&spoken.incoming);
        let answered = self.model.answered(key, &spoken.say, waiting);
        if is_answer != (answered != Answered::No) {
            return Err(format!("{:?} is an answer: {is_answer}", spoken.say));
        }
        if !is_answer {
            return Ok(Some(spoken));
        }
        let next = peer.attachment.login.answer(&spoken.incoming, unrouted);
        let leaves = self.go_on_with(key, next)?;
        if leaves != (answered == Answered::Leave) {
            return Err(format!("{:?} ends the connection: {leaves}", spoken.say));
        }
        if leaves {
            // Compares its last frames before it is removed.
            self.check()?;
            self.leave(key)?;
        }
        Ok(None)
    }

    /// Notes that a line was taken that is not an answer.
    pub(super) fn note_taken(&mut self, key: Key, spoken: &Spoken) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.attachment.login.note_taken(&spoken.incoming);
        }
        self.model.note_taken(key);
    }

    /// Handles an administrator's request.
    pub(super) fn administer(&mut self, key: Key, call: Call, spoken: &Spoken) -> Result<(), Failure> {
        let (unrouted, waiting) = self.unrouted(key);
        if let Say::Administer { what, uid } = &spoken.say {
            self.model.administer(key, *what, uid, waiting);
        }
        let Some(peer) = self.peers.get_mut(&key) else {
            return Ok(());
        };
        let next = peer.attachment.login.call(call, unrouted);
        if self.go_on_with(key, next)? {
            return Err("a request ends the connection".to_owned());
        }
        Ok(())
    }

    /// Takes the next step of a login, as a session does. Returns whether the connection ends.
    fn go_on_with(&mut self, key: Key, next: Next) -> Result<bool, Failure> {
        match next {
            Next::Wait => {}
            Next::AskUsername => self.peers[&key].attachment.ask("username", MANAGER),
            Next::AskPassword(username) => self.peers[&key].attachment.ask("password", &username),
            Next::Execute(call) => self.execute(key, call)?,
            Next::Refuse(call, refusal) => self.with_sender(key, |from| from.refuse(&call.uid, &refusal)),
            Next::Check { username, password } => {
                let Some(peer) = self.peers.get_mut(&key) else {
                    return Ok(false);
                };
                match peer.attachment.login.decide(check(&username, &password)) {
                    Decision::Execute(calls) => {
                        for call in calls {
                            self.execute(key, call)?;
                        }
                    }
                    Decision::Refuse {
                        calls,
                        refusal,
                        ends_connection,
                    } => {
                        for call in calls {
                            self.with_sender(key, |from| from.refuse(&call.uid, &refusal));
                        }
                        return Ok(ends_connection);
                    }
                }
            }
        }
        Ok(false)
    }

    /// Executes a request that needs no database.
    fn execute(&mut self, key: Key, call: Call) -> Result<(), Failure> {
        let uid = call.uid.clone();
        let outcome = Request::of(call).map(|request| request.answer_at_once(&self.operation));
        match outcome {
            Ok(None) => return Err("a request that needs no database waits".to_owned()),
            Ok(Some(Outcome::Result(result))) => self.with_sender(key, |from| {
                from.answer(&uid, |writer| writer.shared(&result));
            }),
            Ok(Some(Outcome::Listing(listing))) => {
                self.with_router(key, |router, from| {
                    from.answer(&uid, |writer| router.registry.write_listing(listing, writer));
                });
            }
            Ok(Some(Outcome::Shutdown)) => return Err("nobody asked for that".to_owned()),
            Err(refusal) => self.with_sender(key, |from| from.refuse(&uid, &refusal)),
        }
        Ok(())
    }

    fn with_sender(&mut self, key: Key, act: impl FnOnce(&Sender<'_>)) {
        self.with_router(key, |_, from| act(from));
    }
}

impl World {
    /// Breaks all locks on a service.
    pub(super) fn break_locks(&mut self, name: &str) -> Result<(), Failure> {
        let cause = LockCause::Broken {
            by: "ada".into(),
            reason: Some(REASON.into()),
        };
        let newest = self.routing.registry().newest_lock();
        let mut broken = Vec::new();
        loop {
            match self.routing.break_some(name, None, newest, &cause) {
                Ok((clients, has_more)) => {
                    broken.extend(clients.iter().map(ToString::to_string));
                    if !has_more {
                        break;
                    }
                }
                Err(refusal)
                    if self.model.service_named(name).is_none() && !self.model.has_reserved_named(name) =>
                {
                    let no_service = LockRefusal::NoService {
                        service: name.to_owned(),
                    };
                    assert_eq!(refusal, no_service.into());
                    return Ok(());
                }
                Err(refusal) => return Err(format!("{refusal}")),
            }
        }
        self.routing.settle_all();
        let names = self.model.break_locks(name, &cause);
        if broken == names {
            return Ok(());
        }
        Err(format!(
            "the locks of {broken:?} were broken instead of {names:?}"
        ))
    }
}
