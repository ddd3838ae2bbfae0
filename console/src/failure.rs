//! Failures of commands, and the exit codes for them. `labwire --help` lists the codes.

use std::process::ExitCode;

use labwire_client::{
    CallError, ConnectError, ConnectOptions, EnvironmentError, Error, Executed, NoAnswer, Question,
    TrustError,
};

use crate::moment::localized;
use crate::output::{message, one_line, shell_argument};
use crate::permission::Lacking;
use crate::{in_flight, questions};

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
    /// The command was interrupted with Ctrl-C, and no request was in flight.
    #[error("interrupted")]
    Interrupted,
    /// The command was interrupted with Ctrl-C while a request was in flight.
    #[error("interrupted; the request in flight may still be executed")]
    GivenUp,
    /// Another signal asked the command to end. Contains the exit code: 128 and its number.
    #[error("ended by a signal")]
    Signalled(u8),
    /// Standard output was closed, for example by `head`. This is no error.
    #[error("standard output is closed")]
    Closed,
    /// A failure whose text was written already.
    #[error("{0}")]
    Reported(Box<Failure>),
}

impl Failure {
    /// Returns the failure of a command that Ctrl-C interrupts now.
    pub(crate) fn interrupted() -> Self {
        // A request that has led to a question is not executed.
        if in_flight::is_any() && !questions::is_unanswered() {
            Self::GivenUp
        } else {
            Self::Interrupted
        }
    }

    /// Returns whether Ctrl-C interrupted the command.
    pub(crate) fn is_interruption(&self) -> bool {
        matches!(self, Self::Interrupted | Self::GivenUp)
    }

    /// Returns the exit code of the process.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Reported(failure) => return failure.exit_code(),
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::NoManager(_) => 3,
            Self::Refused(_) => 4,
            Self::Service(_) => 5,
            Self::TimedOut(_) => 124,
            Self::Interrupted | Self::GivenUp => 130,
            Self::Signalled(code) => *code,
            Self::Closed => 0,
        })
    }

    /// Returns the text for people: with the times of the manager in this computer's time zone, and
    /// further lines indented. What a service has written stays as it is.
    pub(crate) fn message(&self) -> String {
        let text = self.to_string();
        match self {
            Self::Service(_) => message(&text),
            _ => message(&localized(&text)),
        }
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
            Self::Interrupted | Self::GivenUp | Self::Signalled(_) | Self::Closed | Self::Reported(_) => self,
        }
    }
}

/// Returns the failure of a command whose question of the manager has no answer.
fn unanswered(NoAnswer(question): NoAnswer) -> Failure {
    let mistake = questions::mistaken_variable(&question);
    let (text, remedy) = match question {
        Question::ManagerPassword { manager } => (
            format!("{} asks for its password", one_line(&manager)),
            "set the environment variable LABWIRE_MANAGER_PASSWORD, or answer at a terminal",
        ),
        Question::Username { manager } => (
            format!("{} asks for a username", one_line(&manager)),
            "use --username NAME (or LABWIRE_USERNAME, or username in a profile), and set the environment variable \
             LABWIRE_PASSWORD or answer at a terminal; if there is no user yet, on the manager's computer: labwire \
             user add NAME --admin",
        ),
        Question::Password { username } => (
            format!("the password of '{}' is asked for", one_line(&username)),
            "set the environment variable LABWIRE_PASSWORD, or answer at a terminal",
        ),
    };
    let text = match mistake {
        Some(mistake) => format!("{text}: {mistake}"),
        None => text,
    };
    Failure::Refused(text).with_hint(Some(remedy.to_owned()))
}

/// Returns the failure of a command that does not trust the manager.
fn untrusted(error: TrustError) -> Failure {
    const DOCTOR: &str = "to find out why: labwire doctor, with the same options";
    match error {
        TrustError::Unknown {
            host,
            port,
            fingerprint,
            ..
        } => {
            let address = address(&host, port);
            Failure::Refused(format!(
                "the certificate of {} is not known on this computer; its SHA-256 fingerprint is {fingerprint}",
                one_line(&address)
            ))
            .with_hint(Some(format!(
                "to compare and save it: labwire trust {}; to trust a file: --cert-file FILE (or LABWIRE_CERT_FILE)",
                shell_argument(&address)
            )))
        }
        TrustError::Changed {
            trusted,
            presented,
            file,
        } => Failure::Refused(format!(
            "the manager's certificate has changed: trusted is {trusted} ({}), presented was {presented} (SHA-256). \
             Somebody may be between you and the manager",
            file.display()
        ))
        .with_hint(Some(
            "if the manager has a new certificate: labwire trust, with the same options but without --cert-file (and \
             LABWIRE_CERT_FILE, and cert-file of a profile), which comes first; to trust a file: --cert-file FILE"
                .to_owned(),
        )),
        TrustError::OtherHost { host } => Failure::Refused(format!(
            "the manager's certificate is not for '{}'",
            one_line(&host)
        ))
        .with_hint(Some(
            "use --host with a name that it holds: labwire trust, with the same options, shows them".to_owned(),
        )),
        TrustError::NotValidNow { .. } | TrustError::Unusable(_) => {
            Failure::Refused(error.to_string()).with_hint(Some(DOCTOR.to_owned()))
        }
        TrustError::File { .. } => Failure::Failed(error.to_string()).with_hint(Some(
            "the file is the one of --cert-file (or LABWIRE_CERT_FILE, or cert-file in a profile), or the saved one"
                .to_owned(),
        )),
        TrustError::Home(_) => Failure::Failed(error.to_string()),
    }
}

/// Returns the address of a manager as `--host` takes it.
fn address(host: &str, port: u16) -> String {
    ConnectOptions::new().host(host).port(port).address()
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        const DOCTOR: &str = "to find out why: labwire doctor, with the same options";
        let text = error.to_string();
        let doctor = |failure: Self| failure.with_hint(Some(DOCTOR.to_owned()));
        match error {
            ConnectError::NoAnswer(missing) => unanswered(missing),
            ConnectError::Trust(error) => untrusted(error),
            ConnectError::Identity(_) | ConnectError::ClientCertificate(_) => Self::Failed(text),
            ConnectError::CertificateRefused { .. } => doctor(Self::Refused(text)),
            ConnectError::Refused { message } => doctor(Self::Refused(format!(
                "the manager refused the connection: {}",
                without_exception(&message)
            ))),
            ConnectError::NoTls { address } => {
                Self::NoManager(format!("{} does not answer with TLS", one_line(&address))).with_hint(Some(
                    "if the manager was started with --disable-tls, use --disable-tls (or LABWIRE_DISABLE_TLS=true, or \
                     disable-tls in a profile)"
                        .to_owned(),
                ))
            }
            ConnectError::TlsExpected { address } => Self::NoManager(format!(
                "{} answers with TLS, and this connection is made without",
                one_line(&address)
            ))
            .with_hint(Some(
                "leave out --disable-tls, or use --disable-tls=false if LABWIRE_DISABLE_TLS or a profile sets it"
                    .to_owned(),
            )),
            ConnectError::TimedOut {
                address, timeout, tls, ..
            } => doctor(Self::NoManager(format!(
                "no connection to {} within {} s (--connect-timeout){}",
                one_line(&address),
                timeout.as_secs_f64(),
                if tls {
                    ""
                } else {
                    "; perhaps the manager uses TLS, and --disable-tls (or LABWIRE_DISABLE_TLS) is set"
                }
            ))),
            ConnectError::Unreachable { .. }
            | ConnectError::Closed { .. }
            | ConnectError::NotAManager { .. } => doctor(Self::NoManager(text)),
        }
    }
}

/// Returns a message of the manager without the name of the Python exception at its beginning.
pub(crate) fn without_exception(message: &str) -> &str {
    match message.split_once(": ") {
        Some((name, rest)) if name.ends_with("Error") && name.chars().all(char::is_alphanumeric) => rest,
        _ => message,
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let text = error.to_string();
        match error {
            CallError::Manager {
                message,
                executed: Executed::No,
                ..
            } => Self::Refused(without_exception(&message).to_owned())
                .with_hint(Lacking::read(&message).map(|lacking| lacking.hint(None))),
            // A request that may have been executed was not refused: its service has disconnected.
            CallError::Manager { message, .. } => Self::Failed(without_exception(&message).to_owned()),
            CallError::NoAnswer(missing) => unanswered(missing),
            CallError::LockEnded { .. } => Self::Refused(text),
            CallError::Topic(_) => Self::Usage(text),
            CallError::Service { .. } => Self::Service(text),
            CallError::TimedOut { .. } | CallError::DeadlinePassed { .. } => {
                Self::TimedOut(without_exception(&text).to_owned())
            }
            CallError::Disconnected { .. } => Self::NoManager(text),
            CallError::Cancelled { .. } => Self::Failed(without_exception(&text).to_owned()),
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
