//! Why an instrument cannot be used, and why a command has no value.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::encoding::escaped;

/// Why an instrument cannot be used.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// The connection cannot be opened.
    Unreachable(io::Error),
    /// Another instrument is connected.
    Wrong { answer: String, expected: String },
    /// It does not answer, or refuses a command with which it is initialised.
    Silent(ExchangeError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => write!(formatter, "{error}"),
            Self::Wrong { answer, expected } => write!(
                formatter,
                "it is another instrument: it identifies itself as '{answer}', and '{expected}' is expected"
            ),
            Self::Silent(error) => write!(formatter, "{error}"),
        }
    }
}

/// Why a command has no value.
#[derive(Debug)]
pub(crate) enum ExchangeError {
    /// The connection was broken before anything was sent.
    NotSent(io::Error),
    /// The connection broke after the command was sent, or a part of it.
    Broken { command: String, source: io::Error },
    /// There was no answer in time.
    Timeout {
        command: String,
        limit: Duration,
        /// What the error queue contained.
        errors: Vec<String>,
        /// Whether a late answer could be told from the next one; otherwise the connection is closed.
        in_step: bool,
    },
    /// The instrument reports errors.
    Instrument { command: String, errors: Vec<String> },
    /// The answer has another form.
    Form {
        command: String,
        answer: String,
        why: String,
        /// Whether the next answer will be that of the next command; otherwise the connection is closed.
        in_step: bool,
    },
    /// The end of the answer cannot be found.
    Endless { command: String, why: String },
    /// The command has a character that the instrument lacks.
    Character { command: String, character: char },
    /// The command contains what ends a command.
    EndsBefore { command: String, end: String },
}

impl ExchangeError {
    /// Whether the connection cannot be used any more.
    pub(crate) fn ends_session(&self) -> bool {
        match self {
            Self::NotSent(_) | Self::Broken { .. } | Self::Endless { .. } => true,
            Self::Timeout { in_step, .. } | Self::Form { in_step, .. } => !in_step,
            Self::Instrument { .. } | Self::Character { .. } | Self::EndsBefore { .. } => false,
        }
    }

    /// Returns the kind of the error for clients.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::NotSent(_) | Self::Broken { .. } => "ConnectionError",
            Self::Timeout { .. } => "TimeoutError",
            Self::Instrument { .. } => "InstrumentError",
            Self::Form { .. } | Self::Endless { .. } => "AnswerError",
            Self::Character { .. } | Self::EndsBefore { .. } => "ValueError",
        }
    }
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(source) => {
                write!(
                    formatter,
                    "the connection with the instrument is broken, and nothing was sent: {source}"
                )
            }
            Self::Broken { command, source } => write!(
                formatter,
                "the connection with the instrument broke after `{command}` was sent, which may have been executed: \
                 {source}"
            ),
            Self::Timeout {
                command,
                limit,
                errors,
                ..
            } => {
                let limit = limit.as_secs_f64();
                write!(
                    formatter,
                    "the instrument has not answered `{command}` within {limit} s; it may have been executed"
                )?;
                if !errors.is_empty() {
                    write!(formatter, "; it reports {}", errors.join("; "))?;
                }
                Ok(())
            }
            Self::Instrument { command, errors } => {
                write!(formatter, "{} (after `{command}`)", errors.join("; "))
            }
            Self::Form {
                command, answer, why, ..
            } => {
                write!(
                    formatter,
                    "the answer '{answer}' to `{command}` cannot be read: {why}"
                )
            }
            Self::Endless { command, why } => {
                write!(formatter, "the answer to `{command}` cannot be read: {why}")
            }
            Self::Character { command, character } => write!(
                formatter,
                "`{command}` contains '{}', which the instrument lacks; nothing was sent",
                character.escape_debug()
            ),
            Self::EndsBefore { command, end } => write!(
                formatter,
                "`{command}` contains '{end}', which ends a command (write_end); nothing was sent"
            ),
        }
    }
}

impl ExchangeError {
    /// Returns the error for a command without an answer in time.
    pub(super) fn late(command: &str, limit: Duration) -> Self {
        Self::Timeout {
            command: shown(command),
            limit,
            errors: Vec::new(),
            in_step: false,
        }
    }

    /// Returns the error with the limit of which it was the rest.
    pub(super) fn within(mut self, whole: Duration) -> Self {
        if let Self::Timeout { limit, .. } = &mut self {
            *limit = whole;
        }
        self
    }

    /// Returns the error of a query that followed a command.
    pub(super) fn of(self, query: &str, command: &str) -> Self {
        let told = format!("{query}` after `{}", shown(command));
        match self {
            Self::Broken { source, .. } => Self::Broken {
                command: told,
                source,
            },
            Self::NotSent(source) => Self::Broken {
                command: shown(command),
                source,
            },
            Self::Timeout {
                limit,
                errors,
                in_step,
                ..
            } => Self::Timeout {
                command: told,
                limit,
                errors,
                in_step,
            },
            other => other,
        }
    }
}

/// Returns a command for people.
pub(super) fn shown(command: &str) -> String {
    escaped(command.as_bytes())
}

pub(super) fn endless(command: &str, why: String) -> ExchangeError {
    ExchangeError::Endless {
        command: shown(command),
        why,
    }
}
