//! An instrument as its file describes it.

use std::path::PathBuf;
use std::time::Duration;

use crate::answer::Answer;
use crate::command::Command;
use crate::encoding::Encoding;
use crate::pattern::Pattern;
use crate::problem::Problem;
use crate::read;

/// An instrument: how it is connected, what it understands, and how its answers are read.
///
/// ```
/// use labwire_instrument::Definition;
///
/// let text = r#"
/// name = "Thermometer"
/// connection = { tcp = "10.0.0.7:5025" }
/// [commands.temperature]
/// query = "MEAS:TEMP? {channel}"
/// answer = { type = "number", unit = "°C" }
/// arguments.channel = { type = "integer", min = 1, max = 4 }
/// "#;
/// let instrument = Definition::parse(text).unwrap();
/// assert_eq!((instrument.name(), instrument.address().as_str()), ("Thermometer", "10.0.0.7:5025"));
///
/// let problems = Definition::parse(&text.replace("query", "qery")).unwrap_err();
/// assert!(problems[1].to_string().starts_with("5:1: [commands.temperature] has no key `qery`: did you mean `query`?"));
/// ```
#[derive(Clone, Debug)]
pub struct Definition {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) max_clients: u32,
    pub(crate) raw: bool,
    pub(crate) connection: Connection,
    pub(crate) initialise: Vec<String>,
    pub(crate) identification: Option<Identification>,
    pub(crate) errors: Option<ErrorQueue>,
    pub(crate) commands: Vec<Command>,
    pub(crate) polls: Vec<Poll>,
}

/// How the instrument is connected.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) place: Place,
    pub(crate) write_end: Vec<u8>,
    pub(crate) read_end: Vec<u8>,
    pub(crate) encoding: Encoding,
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) pause: Duration,
    /// Characters that an unquoted text must not contain.
    pub(crate) forbidden: String,
    /// The longest answer in bytes.
    pub(crate) max_answer: usize,
    /// The longest wait between two attempts to connect.
    pub(crate) retry: Duration,
}

/// Where the instrument is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `HOST:PORT`.
    Tcp(String),
    Serial(Serial),
    /// A device file such as `/dev/usbtmc0`.
    Usbtmc(PathBuf),
}

/// A serial port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Serial {
    pub(crate) port: String,
    pub(crate) baud: u32,
    pub(crate) bits: u8,
    pub(crate) parity: Parity,
    pub(crate) stop_bits: u8,
    pub(crate) flow: Flow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parity {
    None,
    Even,
    Odd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    None,
    Hardware,
    Software,
}

/// How it is checked that the right instrument is connected.
#[derive(Clone, Debug)]
pub(crate) struct Identification {
    pub(crate) query: String,
    pub(crate) expect: Vec<Pattern>,
}

/// The error queue of the instrument.
#[derive(Clone, Debug)]
pub(crate) struct ErrorQueue {
    pub(crate) query: String,
    /// Answers that mean that the queue is empty.
    pub(crate) none: Vec<Pattern>,
    /// Whether it is read after each command, or only by the method `errors`.
    pub(crate) after_each: bool,
    /// The most errors that are read at once.
    pub(crate) most: usize,
}

/// A query that is repeated.
#[derive(Clone, Debug)]
pub(crate) struct Poll {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) answer: Answer,
    pub(crate) timeout: Option<Duration>,
    pub(crate) every: Duration,
    pub(crate) topic: Option<String>,
    pub(crate) retain: bool,
}

impl Definition {
    /// Reads a file.
    ///
    /// # Errors
    /// All problems of the file, in its order.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        read::definition(text)
    }

    /// Returns the name of the service.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns where the instrument is: `HOST:PORT`, or the name of a port or of a device file.
    pub fn address(&self) -> String {
        match &self.connection.place {
            Place::Tcp(address) => address.clone(),
            Place::Serial(serial) => serial.port.clone(),
            Place::Usbtmc(path) => path.display().to_string(),
        }
    }

    /// Changes where the instrument is, and keeps all other settings of its connection.
    ///
    /// # Errors
    /// If a TCP address is not `HOST:PORT`, a text for people.
    pub fn set_address(&mut self, address: &str) -> Result<(), String> {
        match &mut self.connection.place {
            Place::Tcp(known) => {
                read::check_address(address)?;
                address.clone_into(known);
            }
            Place::Serial(serial) => address.clone_into(&mut serial.port),
            Place::Usbtmc(path) => *path = address.into(),
        }
        Ok(())
    }

    /// Returns the names of the commands, in the order of the file.
    pub fn commands(&self) -> impl Iterator<Item = &str> {
        self.commands.iter().map(|command| command.name.as_str())
    }

    /// Returns the number of the polls.
    pub fn polls(&self) -> usize {
        self.polls.len()
    }

    pub(crate) fn command(&self, name: &str) -> Option<&Command> {
        self.commands.iter().find(|command| command.name == name)
    }
}
