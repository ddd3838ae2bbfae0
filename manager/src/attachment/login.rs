//! The login for administrators' requests, without connection and database: interprets lines and
//! decides the next step.

use labwire_wire::terminal::TerminalLine;

use crate::handshake::credential;
use crate::refusal::Refusal;
use crate::router::{Call, Incoming, Kind, Typed};

/// How many administrators' requests may wait for one login.
const PENDING_CALLS: usize = 16;

/// The state of a client's login for administrators' requests.
#[derive(Debug)]
pub(crate) struct Login {
    question: Question,
    is_admin: bool,
    /// The bytes left of what the client had sent before it was asked.
    early: usize,
}

#[derive(Debug, Default)]
enum Question {
    /// No question is open.
    #[default]
    Idle,
    /// The client was asked for its username.
    Username(Vec<Call>),
    /// The client was asked for the password of that user.
    Password(Vec<Call>, String),
    /// Username and password are being checked.
    Checking(Vec<Call>),
}

/// The next step.
#[derive(Debug)]
pub(crate) enum Next {
    /// Wait for the next line.
    Wait,
    /// Execute a request.
    Execute(Call),
    /// Refuse a request.
    Refuse(Call, Refusal),
    /// Ask the client for its username.
    AskUsername,
    /// Ask the client for the password of this user.
    AskPassword(String),
    /// Check this login and pass the result to [`Login::decide`].
    Check { username: String, password: String },
}

/// The decision on the requests that have waited for a login.
#[derive(Debug)]
pub(crate) enum Decision {
    /// Execute them.
    Execute(Vec<Call>),
    /// Refuse them. With `ends_connection` the client is disconnected, so that each guess costs a
    /// new connection.
    Refuse {
        calls: Vec<Call>,
        refusal: Refusal,
        ends_connection: bool,
    },
}

impl Login {
    /// Creates the state for a client that has, or has not, logged in as an administrator.
    pub(crate) fn new(is_admin: bool) -> Self {
        Self {
            question: Question::Idle,
            is_admin,
            early: 0,
        }
    }

    /// Asks for a login again before the next administrator's request: the user is no administrator any
    /// more.
    pub(crate) fn end_administration(&mut self) {
        self.is_admin = false;
    }

    /// Returns whether no question is open.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.question, Question::Idle)
    }

    /// Handles an administrator's request. `unrouted` is the number of bytes received after it.
    pub(crate) fn call(&mut self, call: Call, unrouted: usize) -> Next {
        if self.is_admin {
            return Next::Execute(call);
        }
        match &mut self.question {
            Question::Idle => {
                self.question = Question::Username(vec![call]);
                self.early = unrouted;
                Next::AskUsername
            }
            Question::Username(pending) | Question::Password(pending, _) | Question::Checking(pending)
                if pending.len() < PENDING_CALLS =>
            {
                pending.push(call);
                Next::Wait
            }
            _ => Next::Refuse(call, Refusal::LoginPending),
        }
    }

    /// Returns whether the next line answers the open question: a result, or anything that is not a
    /// JSON object. A request that was sent before the question must never be taken for a password.
    /// A typed line from before the question is an answer too, as in a script that pipes all of its
    /// lines at once, unless it names something that can be requested now.
    pub(crate) fn is_answer(
        &self,
        incoming: &Incoming,
        names_something: impl FnOnce(&TerminalLine) -> bool,
    ) -> bool {
        if self.is_idle() {
            return false;
        }
        match &incoming.kind {
            Kind::Frame(envelope) | Kind::Notification(envelope, _) => envelope.has_result(),
            Kind::Typed(Typed::Meant(meaning), _) if self.early > 0 => !names_something(meaning),
            Kind::Typed(..) | Kind::Blank => true,
            Kind::Broken(..) => !incoming.frame.content().trim_ascii_start().starts_with(b"{"),
        }
    }

    /// Notes that the next line was taken, for whatever purpose.
    pub(crate) fn note_taken(&mut self, incoming: &Incoming) {
        let line = incoming.frame.view().head();
        self.early = self
            .early
            .saturating_sub(line.content().len() + line.terminator().len());
    }

    /// Handles a line that [is an answer](Self::is_answer). `unrouted` is the number of bytes
    /// received after it.
    pub(crate) fn answer(&mut self, incoming: &Incoming, unrouted: usize) -> Next {
        let is_early = self.early > 0;
        self.note_taken(incoming);
        if is_early && matches!(incoming.kind, Kind::Blank) {
            return Next::Wait;
        }
        let text = credential(incoming.frame.head()).unwrap_or_default();
        match std::mem::take(&mut self.question) {
            Question::Username(pending) => {
                self.question = Question::Password(pending, text.clone());
                self.early = unrouted;
                Next::AskPassword(text)
            }
            Question::Password(pending, username) => {
                self.question = Question::Checking(pending);
                Next::Check {
                    username,
                    password: text,
                }
            }
            question => {
                self.question = question;
                Next::Wait
            }
        }
    }

    /// Gives up the login. Returns the requests that have waited for it.
    pub(crate) fn give_up(&mut self) -> Vec<Call> {
        match std::mem::take(&mut self.question) {
            Question::Idle => Vec::new(),
            Question::Username(calls) | Question::Password(calls, _) | Question::Checking(calls) => calls,
        }
    }

    /// Handles the result of a check: whether the user is an administrator, or why the login is
    /// refused.
    pub(crate) fn decide(&mut self, checked: Result<bool, Refusal>) -> Decision {
        let calls = self.give_up();
        match checked {
            Ok(true) => {
                self.is_admin = true;
                Decision::Execute(calls)
            }
            Ok(false) => Decision::Refuse {
                calls,
                refusal: Refusal::NotAdministrator,
                ends_connection: false,
            },
            Err(refusal) => Decision::Refuse {
                calls,
                refusal,
                ends_connection: true,
            },
        }
    }
}
