//! Questions of a manager before it accepts a device, and their answers.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use labwire_wire::visible;
use thiserror::Error;

use crate::password::read_password;

/// A question of the manager; [`ask_with`](crate::ConnectOptions::ask_with) has an example.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use labwire_device::{ConnectOptions, Introduction, Question, connect};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let manager = labwire_testing::TestManager::builder().password("abc").start().await;
/// let asked = Arc::new(Mutex::new(Vec::new()));
/// let questions = Arc::clone(&asked);
/// let options = ConnectOptions::new().ask_with(move |question| {
///     questions.lock().unwrap().push(question.clone());
///     Some("abc".to_owned())
/// });
/// # let options = options.port(manager.port()).without_tls();
/// let connection = connect(&options, &Introduction::client("Ada")).await?;
/// let manager = connection.manager;
/// assert_eq!(*asked.lock().unwrap(), [Question::ManagerPassword { manager }]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// The name of the user who logs in.
    Username {
        /// The manager, as `Manager[HOST:PORT]`.
        manager: String,
    },
    /// The password of that user.
    Password {
        /// The user.
        username: String,
    },
    /// The password of the manager itself.
    ManagerPassword {
        /// The manager, as `Manager[HOST:PORT]`.
        manager: String,
    },
}

impl Question {
    /// Parses a question from a request of the manager: its attribute and its first argument.
    /// Returns `None` if it is not one of these questions.
    pub(crate) fn read(attribute: &str, argument: &str) -> Option<Self> {
        let argument = argument.to_owned();
        Some(match attribute {
            "username" => Self::Username { manager: argument },
            "password" if is_manager(&argument) => Self::ManagerPassword { manager: argument },
            "password" => Self::Password { username: argument },
            _ => return None,
        })
    }
}

/// Returns whether a name is a manager's: `Manager[HOST:PORT]`, without white space in HOST and
/// with digits for PORT.
fn is_manager(name: &str) -> bool {
    let address = name
        .strip_prefix("Manager[")
        .and_then(|rest| rest.strip_suffix(']'));
    address
        .and_then(|address| address.rsplit_once(':'))
        .is_some_and(|(host, port)| {
            !host.is_empty()
                && !host.contains(char::is_whitespace)
                && !port.is_empty()
                && port.bytes().all(|byte| byte.is_ascii_digit())
        })
}

/// A question has no answer.
///
/// ```
/// use labwire_device::{NoAnswer, Question};
///
/// let error = NoAnswer(Question::Password { username: "ada".to_owned() });
/// assert_eq!(error.to_string(), "the password of 'ada' is asked for; set `password`");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", missing(.0))]
pub struct NoAnswer(pub Question);

fn missing(question: &Question) -> String {
    match question {
        Question::Username { manager } => {
            format!("{manager} asks for a username; set `username` and `password`")
        }
        Question::Password { username } => {
            format!("the password of '{username}' is asked for; set `password`")
        }
        Question::ManagerPassword { manager } => {
            format!("{manager} asks for its password; set `manager_password`")
        }
    }
}

pub(crate) type Source = Arc<dyn Fn(&Question) -> Option<String> + Send + Sync>;

/// The credentials of the options, and the source of the others. Answers are kept, so that a
/// reconnect does not ask again.
#[derive(Default)]
pub(crate) struct Credentials {
    known: Mutex<Known>,
    /// The answers of a person.
    asked: Mutex<Known>,
    source: Option<Source>,
    /// The last question of each kind.
    questions: Mutex<Vec<Question>>,
}

#[derive(Clone, Default)]
struct Known {
    username: Option<String>,
    password: Option<String>,
    manager_password: Option<String>,
}

impl Known {
    fn place(&mut self, question: &Question) -> &mut Option<String> {
        match question {
            Question::Username { .. } => &mut self.username,
            Question::Password { .. } => &mut self.password,
            Question::ManagerPassword { .. } => &mut self.manager_password,
        }
    }
}

impl Clone for Credentials {
    fn clone(&self) -> Self {
        Self {
            known: Mutex::new(self.known().clone()),
            asked: Mutex::new(self.asked().clone()),
            source: self.source.clone(),
            questions: Mutex::default(),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// An answer, and whether a person was asked for it.
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) asked: bool,
}

impl Credentials {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, Known> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the questions that were asked, the last one of each kind.
    pub(crate) fn questions(&self) -> Vec<Question> {
        let questions = self.questions.lock();
        questions.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, question: &Question) {
        let mut questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner);
        let is_other = |asked: &Question| mem::discriminant(asked) != mem::discriminant(question);
        questions.retain(is_other);
        questions.push(question.clone());
    }

    /// Discards the answers of a person after a refusal, so that the next attempt asks again.
    pub(crate) fn forget_asked(&self) {
        *self.asked() = Known::default();
    }

    pub(crate) fn set_username(&mut self, text: String) {
        self.known().username = Some(text);
    }

    pub(crate) fn set_password(&mut self, text: String) {
        self.known().password = Some(text);
    }

    pub(crate) fn set_manager_password(&mut self, text: String) {
        self.known().manager_password = Some(text);
    }

    pub(crate) fn set_source(&mut self, source: Source) {
        self.source = Some(source);
    }

    /// Answers a question. May take as long as a person takes. If the future is dropped, the
    /// question stays open, and its answer is kept.
    pub(crate) async fn answer(self: &Arc<Self>, question: &Question) -> Result<Answer, NoAnswer> {
        self.note(question);
        let known = self.known().place(question).clone();
        if let Some(text) = known.or_else(|| self.asked().place(question).clone()) {
            return Ok(Answer { text, asked: false });
        }
        let (credentials, asked) = (Arc::clone(self), question.clone());
        // A person may take a while, and the function that answers may block.
        let answer = tokio::task::spawn_blocking(move || {
            let answer = match &credentials.source {
                Some(source) => source(&asked),
                None => ask_at_terminal(&asked),
            };
            credentials.asked().place(&asked).clone_from(&answer);
            answer
        });
        match answer.await {
            Ok(Some(text)) => Ok(Answer { text, asked: true }),
            Ok(None) | Err(_) => Err(NoAnswer(question.clone())),
        }
    }
}

/// The most characters of a name in a prompt.
const SHOWN: usize = 100;

/// Returns a name of the manager's for a prompt. A manager that is not the right one must not be able
/// to forge the prompt of another program.
fn shown(name: &str) -> String {
    let name = visible(name);
    match name.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name,
    }
}

/// Asks a person at the terminal, as options without a function for answers do. Returns `None`
/// without a terminal, or if the person gives no answer.
///
/// ```
/// use labwire_device::{ConnectOptions, ask_at_terminal};
///
/// let options = ConnectOptions::new().ask_with(|question| {
///     eprintln!("the manager asks {question:?}");
///     ask_at_terminal(question)
/// });
/// # let _ = options;
/// ```
pub fn ask_at_terminal(question: &Question) -> Option<String> {
    if !io::stdin().is_terminal() {
        return None;
    }
    match question {
        Question::Username { manager } => {
            let _ = write!(io::stderr(), "Enter a username for {} > ", shown(manager));
            let mut line = String::new();
            io::stdin().read_line(&mut line).ok()?;
            Some(line.trim().to_owned())
        }
        Question::Password { username: name } | Question::ManagerPassword { manager: name } => {
            read_password(&format!("Enter the password for {} > ", shown(name))).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_prompt_cannot_forge_another_prompt() {
        let name = format!("bob\u{1b}]0;x\u{7}\n[sudo] password: {}", "x".repeat(200));
        let shown = shown(&name);
        assert!(
            shown.starts_with("bob\u{fffd}]0;x\u{fffd}\u{fffd}[sudo]") && shown.chars().count() == SHOWN + 1
        );
    }

    #[test]
    fn who_is_asked_for_follows_from_the_name_in_the_question() {
        let manager = "Manager[lab-pc:1875]";
        for (attribute, argument, expected) in [
            (
                "username",
                manager,
                Some(Question::Username {
                    manager: manager.into(),
                }),
            ),
            (
                "password",
                manager,
                Some(Question::ManagerPassword {
                    manager: manager.into(),
                }),
            ),
            (
                "password",
                "ada",
                Some(Question::Password {
                    username: "ada".into(),
                }),
            ),
            (
                "password",
                "Manager[x y:1]",
                Some(Question::Password {
                    username: "Manager[x y:1]".into(),
                }),
            ),
            (
                "password",
                "Manager[x:]",
                Some(Question::Password {
                    username: "Manager[x:]".into(),
                }),
            ),
            ("identity", "", None),
        ] {
            assert_eq!(Question::read(attribute, argument), expected);
        }
    }

    #[tokio::test]
    async fn an_answer_is_asked_for_once_and_a_missing_one_names_the_remedy() {
        let mut credentials = Credentials::default();
        credentials.set_source(Arc::new(|question| {
            matches!(question, Question::Username { .. }).then(|| "ada".to_owned())
        }));
        let credentials = Arc::new(credentials);
        let username = Question::Username {
            manager: "Manager[h:1]".into(),
        };
        assert_eq!(credentials.questions(), []);
        assert!(credentials.answer(&username).await.unwrap().asked);
        let again = credentials.answer(&username).await.unwrap();
        assert_eq!((again.text.as_str(), again.asked), ("ada", false));
        let password = Question::Password {
            username: "ada".into(),
        };
        let error = credentials.answer(&password).await.err().unwrap();
        assert_eq!(
            error.to_string(),
            "the password of 'ada' is asked for; set `password`"
        );
        assert_eq!(credentials.questions(), [username, password]);
    }
}
