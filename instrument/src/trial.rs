//! One command to an instrument, without a manager.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use labwire_home::nearest;

use crate::command::ArgumentError;
use crate::definition::Definition;
use crate::parameter::Rules;
use crate::service::raw_command;
use crate::session::{ExchangeError, OpenError, Outstanding, Session, Traced};
use crate::value::Value;

/// A command that is tried on the instrument itself.
///
/// ```no_run
/// use labwire_instrument::{Definition, Traced, Trial};
///
/// let definition = Definition::parse(&std::fs::read_to_string("multimeter.toml")?).expect("no problems");
/// let trial = Trial::new(definition, "voltage", "[10]", "{}")?;
/// let tried = trial.run(|passed: Traced<'_>| println!("{passed}"))?;
/// println!("{:?} after {:?}", tried.value, tried.time);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Trial {
    definition: Definition,
    work: Work,
}

#[derive(Debug)]
enum Work {
    Command { name: String, text: String },
    Errors,
}

/// What a trial has found.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Tried {
    /// The value of the answer.
    pub value: Value,
    /// The unit of the value, if the file names one.
    pub unit: Option<String>,
    /// How long the command took, without connecting.
    pub time: Duration,
}

/// Why a trial failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum TrialError {
    /// The file has no such command, or the arguments do not fit. Nothing was sent.
    Usage(String),
    /// The instrument is not reachable, or it is another one. The command was not sent.
    Instrument(String),
    /// There was no answer in time.
    Timeout(String),
    /// The command failed.
    Command(String),
}

impl fmt::Display for TrialError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Instrument(text) | Self::Timeout(text) | Self::Command(text) => {
                formatter.write_str(text)
            }
        }
    }
}

impl std::error::Error for TrialError {}

impl Trial {
    /// Prepares a command. `args` and `kwargs` are the JSON texts of an array and of an object.
    ///
    /// # Errors
    /// [`TrialError::Usage`].
    ///
    /// See the example of [`Trial`].
    pub fn new(definition: Definition, command: &str, args: &str, kwargs: &str) -> Result<Self, TrialError> {
        let raw;
        let connection = &definition.connection;
        let rules = |forbidden| Rules {
            encoding: connection.encoding,
            forbidden,
        };
        let (known, rules) = match definition.command(command) {
            Some(known) => (known, rules(&connection.forbidden)),
            None if definition.raw && (command == "write" || command == "query") => {
                raw = raw_command(command);
                (&raw, rules(""))
            }
            None if command == "errors" && definition.errors.is_some() => {
                let work = Work::Errors;
                return Ok(Self { definition, work });
            }
            None => {
                let hint = match nearest(command, definition.commands()) {
                    Some(nearest) => format!("did you mean '{nearest}'?"),
                    None => format!("it has: {}", definition.commands().collect::<Vec<_>>().join(", ")),
                };
                let told = command.escape_debug();
                return Err(TrialError::Usage(format!(
                    "the file has no command '{told}'; {hint}"
                )));
            }
        };
        let text = known.text(args, kwargs, rules);
        let text = text.map_err(|ArgumentError { text, .. }| TrialError::Usage(text))?;
        let work = Work::Command {
            name: command.to_owned(),
            text,
        };
        Ok(Self { definition, work })
    }

    /// Connects, executes the command and disconnects. Blocks while it does.
    ///
    /// `listener` hears of all bytes that pass, and of what is left out.
    ///
    /// # Errors
    /// All but [`TrialError::Usage`].
    ///
    /// See the example of [`Trial`].
    pub fn run(self, listener: impl FnMut(Traced<'_>) + Send + 'static) -> Result<Tried, TrialError> {
        let definition = Arc::new(self.definition);
        let session = Session::open(&definition, Box::new(listener), &mut Outstanding::default(), true);
        let mut session = session.map_err(|error| {
            let text = format!(
                "the instrument at {} cannot be used: {error}",
                definition.address()
            );
            match error {
                OpenError::Silent(ExchangeError::Timeout { .. }) => TrialError::Timeout(text),
                _ => TrialError::Instrument(text),
            }
        })?;
        let begin = Instant::now();
        let (done, unit) = match &self.work {
            Work::Errors => {
                let errors = session.read_errors("errors()");
                let list = |errors: Vec<String>| Value::List(errors.into_iter().map(Value::Text).collect());
                (errors.map(list), None)
            }
            Work::Command { name, text } => {
                let raw = raw_command(name);
                let command = definition.command(name).unwrap_or(&raw);
                let limit = command.timeout.unwrap_or(definition.connection.timeout);
                let answer = command.answer.as_ref();
                let unit = answer.and_then(|answer| answer.unit.clone());
                (session.execute(text, answer, limit), unit)
            }
        };
        let time = begin.elapsed();
        let value = done.map_err(|error| {
            let text = format!("{}: {error}", error.kind());
            match error {
                ExchangeError::Timeout { .. } => TrialError::Timeout(text),
                _ => TrialError::Command(text),
            }
        })?;
        Ok(Tried { value, unit, time })
    }
}
