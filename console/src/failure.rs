//! Failures of commands, and the exit codes for them. `labwire --help` lists the codes.

use std::process::ExitCode;

use labwire_client::{
    CallError, ConnectError, EnvironmentError, Error, Executed, NoAnswer, Question, TrustError,
};

/// The failure of a command. The text is for people and contains the remedy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command could not be done for another reason than the following.
    #[error("{0}")]
    Failed(String),
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// There is no manager at the address, or the connection with it was lost.
    #[error("{0}")]
    NoManager(String),
    /// The manager refused the connection or the request.
    #[error("{0}")]
    Refused(String),
    /// The service answered with an error.
    #[error("{0}")]
    Service(String),
    /// There was no answer in time.
    #[error("{0}")]
    TimedOut(String),
    /// The command was interrupted with Ctrl-C.
    #[error("interrupted; a request that was sent may still be executed")]
    Interrupted,
    /// Standard output was closed, for example by `head`. This is no error.
    #[error("standard output is closed")]
    Closed,
    /// A failure whose text was written already.
    #[error("{0}")]
    Told(Box<Failure>),
}

impl Failure {
    /// Returns the exit code of the process.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Told(failure) => return failure.exit_code(),
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::NoManager(_) => 3,
            Self::Refused(_) => 4,
            Self::Service(_) => 5,
            Self::TimedOut(_) => 124,
            Self::Interrupted => 130,
            Self::Closed => 0,
        })
    }

    /// Adds a hint to the text.
    #[must_use]
    pub(crate) fn with_hint(self, hint: Option<String>) -> Self {
        match hint {
            None => self,
            Some(hint) => self.map_text(|text| format!("{text}\n{hint}")),
        }
    }

    /// Returns the failure of a line of a script.
    #[must_use]
    pub(crate) fn in_line(self, number: u64) -> Self {
        self.map_text(|text| format!("line {number}: {text}"))
    }

    /// Changes the text, and keeps the exit code.
    #[must_use]
    pub(crate) fn map_text(self, change: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Failed(text) => Self::Failed(change(text)),
            Self::Usage(text) => Self::Usage(change(text)),
            Self::NoManager(text) => Self::NoManager(change(text)),
            Self::Refused(text) => Self::Refused(change(text)),
            Self::Service(text) => Self::Service(change(text)),
            Self::TimedOut(text) => Self::TimedOut(change(text)),
            Self::Interrupted | Self::Closed | Self::Told(_) => self,
        }
    }
}

/// Returns how to provide the missing answer to a question of the manager.
fn remedy(NoAnswer(question): &NoAnswer) -> String {
    match question {
        Question::ManagerPassword { .. } => "set the environment variable LABWIRE_MANAGER_PASSWORD",
        _ => "use --username NAME, and set the environment variable LABWIRE_PASSWORD",
    }
    .to_owned()
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let text = error.to_string();
        match error {
            ConnectError::NoAnswer(missing) => Self::Refused(text).with_hint(Some(remedy(&missing))),
            ConnectError::Trust(TrustError::Unknown { .. }) => Self::Refused(text).with_hint(Some(
                "to compare and save it: labwire trust HOST; to trust a file: --cert-file FILE".to_owned(),
            )),
            ConnectError::Trust(TrustError::File { .. } | TrustError::Home(_))
            | ConnectError::Identity(_) => Self::Failed(text),
            ConnectError::Refused { .. } | ConnectError::Trust(_) => Self::Refused(text),
            ConnectError::TimedOut { .. }
            | ConnectError::Unreachable { .. }
            | ConnectError::Closed { .. }
            | ConnectError::NoTls { .. }
            | ConnectError::TlsExpected { .. }
            | ConnectError::NotAManager { .. } => Self::NoManager(text).with_hint(Some(
                "to find out why: labwire doctor, with the same options".to_owned(),
            )),
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let text = error.to_string();
        match error {
            // A request that may have been executed was not refused: its service has disconnected.
            CallError::Manager {
                executed: Executed::No,
                ..
            } => Self::Refused(text),
            CallError::NoAnswer(missing) => Self::Refused(text).with_hint(Some(remedy(&missing))),
            CallError::Service { .. } => Self::Service(text),
            CallError::TimedOut { .. } => Self::TimedOut(text),
            CallError::Disconnected { .. } => Self::NoManager(text),
            _ => Self::Failed(text),
        }
    }
}

impl From<EnvironmentError> for Failure {
    fn from(error: EnvironmentError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Call(error) => error.into(),
            Error::Connect(error) => error.into(),
            Error::Environment(error) => error.into(),
            error => Self::Failed(error.to_string()),
        }
    }
}
