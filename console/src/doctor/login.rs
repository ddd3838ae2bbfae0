//! The login check: whether the manager admits this computer's programs.

use labwire_client::{ConnectError, FirstUse, NoAnswer, Question};

use super::refusals::Refusal;
use super::report::{Check, Kind};
use super::subject::Subject;
use crate::client_name::client_name;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::shell_argument;
use crate::questions::mistaken_variable;

const CHECK: &str = "login";

const REFUSED: Kind = Failure::Refused;

/// Connects as every program does. Returns the connection, if the manager admits it.
pub(super) async fn check(subject: &Subject) -> (Check, Option<Connection>) {
    // Whether the certificate is trusted was checked before.
    let options = subject.options.clone().first_use(FirstUse::Refuse);
    match Connection::open(&client_name("doctor"), options.clone()).await {
        Ok(connection) => {
            let name = connection.client().network_name();
            let questions = options.questions();
            let text = match options.client_certificate_files() {
                Some((file, _)) if questions.is_empty() => format!(
                    "admitted as {name}; the client certificate {} was presented, and the manager has asked for nothing \
                     else",
                    file.display()
                ),
                _ => format!("admitted as {name}; {}", checked(subject, &questions)),
            };
            (Check::ok(CHECK, text), Some(connection))
        }
        Err(error) => (refused(subject, error), None),
    }
}

/// Returns what the manager has checked, from what it has asked for, and what of the settings it has not.
fn checked(subject: &Subject, questions: &[Question]) -> String {
    let user = questions.iter().find_map(|question| match question {
        Question::Password { username } => Some(username),
        _ => None,
    });
    let asks_for_its_own = questions
        .iter()
        .any(|question| matches!(question, Question::ManagerPassword { .. }));
    match (user, asks_for_its_own, &subject.origins.username) {
        (Some(user), ..) => format!("the manager has checked the user '{user}' and the password"),
        (None, true, None) => "the manager has checked its own password".to_owned(),
        (None, true, Some(origin)) => {
            format!("the manager has checked its own password, but not the user from {origin}")
        }
        (None, false, None) => "the manager asks for no login, so no user was checked".to_owned(),
        (None, false, Some(origin)) => {
            format!(
                "the manager asks for no login, so the user from {origin} and the password were not checked"
            )
        }
    }
}

fn refused(subject: &Subject, error: ConnectError) -> Check {
    match error {
        ConnectError::NoAnswer(NoAnswer(question)) => unanswered(&question),
        ConnectError::Refused { message } => explain(subject, &message),
        error @ ConnectError::CertificateRefused { .. } => Check::failed(
            CHECK,
            "certificate-refused",
            REFUSED,
            error.to_string(),
        )
        .command(
            "if it has expired or was revoked, make another one where the key of the authority is",
            "labwire certgen --client NAME",
        )
        .remedy(format!(
            "the log of the manager {} has the reason in full; the authority must be in its --client-ca",
            subject.there()
        )),
        error => {
            let text = error.to_string();
            let kind: Kind = match Failure::from(error) {
                Failure::NoManager(_) => Failure::NoManager,
                Failure::Refused(_) => Failure::Refused,
                _ => Failure::Failed,
            };
            Check::failed(CHECK, "no-connection", kind, text)
                .remedy("the connection was made a moment before: run this command again")
        }
    }
}

fn unanswered(question: &Question) -> Check {
    let mistake = mistaken_variable(question).map(|mistake| format!(": {mistake}"));
    let (problem, text, remedy) = match question {
        Question::ManagerPassword { .. } => (
            "manager-password-needed",
            "the manager asks for its password, and none is given".to_owned(),
            "set the environment variable LABWIRE_MANAGER_PASSWORD (password_manager=… in Python); it is the one after \
             --auth-password, with which the manager was started",
        ),
        Question::Username { .. } => (
            "login-needed",
            "the manager asks for a username and a password, and none are given".to_owned(),
            "use --username NAME or LABWIRE_USERNAME, and LABWIRE_PASSWORD (username=…, password=… in Python); at a \
             terminal the password is asked for",
        ),
        Question::Password { username } => (
            "login-needed",
            format!("the manager asks for the password of '{username}', and none is given"),
            "set the environment variable LABWIRE_PASSWORD (password=… in Python)",
        ),
    };
    let text = text + &mistake.unwrap_or_default();
    Check::failed(CHECK, problem, REFUSED, text).remedy(remedy)
}

/// Explains the manager's refusal.
fn explain(subject: &Subject, message: &str) -> Check {
    let there = subject.there();
    let failed = |problem, text: &str| Check::failed(CHECK, problem, REFUSED, text);
    match Refusal::read(message) {
        Some(Refusal::WrongManagerPassword) => {
            failed("wrong-manager-password", "the manager's password is wrong").remedy(
                "correct LABWIRE_MANAGER_PASSWORD (password_manager=… in Python): it is the one after --auth-password, with \
                 which the manager was started; several words are one password",
            )
        }
        Some(Refusal::WrongLogin) => failed(
            "wrong-login",
            "the username or the password is wrong; the manager does not tell which",
        )
        .remedy(
            "correct --username (LABWIRE_USERNAME) and LABWIRE_PASSWORD; a user with a second factor gives its code \
             behind the password, as in secret123456, and each code once",
        )
        .command(format!("is the user known {there}?"), "labwire user list")
        .command(
            "set another password there",
            "labwire user update NAME --password",
        ),
        Some(Refusal::UntrustedHostname) => {
            let name = quoted(message).unwrap_or("NAME");
            failed(
                "hostname-not-trusted",
                &format!("the manager knows this computer as '{name}', and does not trust that name"),
            )
            .command(
                format!("trust it {there}, then send the manager the signal HUP (kill -HUP and the number of its process) or restart it"),
                format!("labwire hostname add {}", shell_argument(name)),
            )
        }
        Some(Refusal::CertificateNeeded) => failed(
            "certificate-needed",
            "the manager serves only peers with a client certificate, and none was presented",
        )
        .remedy("use --client-cert and --client-key (LABWIRE_CLIENT_CERT, LABWIRE_CLIENT_KEY)"),
        Some(Refusal::NoUserOfCertificate) => failed("no-user-of-certificate", message)
            .command(format!("is the user known {there}?"), "labwire user list"),
        Some(Refusal::OwnComputerOnly) => own_computer_only(subject),
        Some(Refusal::TooManyLogins) => failed(
            "too-many-logins",
            &format!("the manager refuses to check another login: {message}"),
        )
        .remedy(
            "wait as long as it says, and stop the programs on this computer that log in with a wrong password \
             again and again",
        ),
        Some(Refusal::TooManyConnections) => failed(
            "too-many-connections",
            &format!("a limit of the manager is reached: {message}"),
        )
        .remedy("disconnect programs that are not needed, or find the one that connects again and again")
        .command(
            format!("or raise the limit {there}"),
            subject.start(" --connections N --unidentified N --unidentified-per-address N"),
        ),
        Some(Refusal::Stopping) => failed("manager-stopping", "the manager is being stopped")
            .command(format!("start it again {there}"), subject.start("")),
        Some(Refusal::ServiceFull | Refusal::ServiceLocked) | None => {
            failed("refused", &format!("the manager refuses programs: {message}"))
        }
    }
}

fn own_computer_only(subject: &Subject) -> Check {
    let port = subject.port;
    Check::failed(
        CHECK,
        "own-computer-only",
        REFUSED,
        "the manager uses no authentication, and so serves its own computer only",
    )
    .command(
        format!(
            "start it with one of --auth-login, --auth-password, --auth-certificate and --auth-hostname {}, such as",
            subject.there()
        ),
        format!("labwire user add NAME && {}", subject.start(" --auth-login")),
    )
    .command(
        "or reach it through SSH, and connect to localhost",
        format!("ssh -L {port}:localhost:{port} {}", shell_argument(&subject.host)),
    )
}

/// Returns the first text in quotation marks.
fn quoted(message: &str) -> Option<&str> {
    let mut parts = message.split('\'');
    parts.next()?;
    parts.next().filter(|name| !name.is_empty())
}
