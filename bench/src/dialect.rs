//! The protocols of the load generator: Labwire's lines of JSON, NATS and MQTT.
//!
//! Each dialect does the same work: a client calls a service by name and gets one reply; a service
//! sends notifications to all of its listeners.

use anyhow::{Context as _, bail};
use memchr::memmem;

mod cut_through;
mod lines;
mod mqtt;
mod nats;
#[cfg(test)]
mod tests;
mod topics;

/// A broker's way to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Dialect {
    /// One line of JSON per message: Labwire, MSL-Network, and the bench's own mux.
    Lines,
    /// The same with the payload last, from peers with the feature cut-through. Each client locks
    /// its service.
    CutThrough,
    /// The same lines, but each client subscribes to a topic of its service, which publishes values
    /// instead of sending notifications.
    Topics,
    /// The same lines without a handshake, for the bench's own relay.
    Bare,
    /// NATS 2.
    Nats,
    /// MQTT 3.1.1 at quality of service 0, as Mosquitto speaks it.
    Mqtt,
}

/// The role of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The service of that number.
    Service(usize),
    /// The client of that number, which calls and listens to that service.
    Client { number: usize, service: usize },
}

/// The state of a handshake after a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// More messages are to come.
    Going,
    /// The connection is ready.
    Ready,
}

/// A request as its service sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// The address of the reply.
    pub(crate) requester: &'a [u8],
    pub(crate) payload: &'a [u8],
}

impl Dialect {
    /// Returns the length of the first whole message, or `None` until more bytes arrive. `searched`
    /// is how far the input was already searched for the end.
    pub(crate) fn message_length(self, received: &[u8], searched: &mut usize) -> Option<usize> {
        match self {
            Self::Lines | Self::CutThrough | Self::Topics | Self::Bare => {
                lines::message_length(received, searched)
            }
            Self::Nats => nats::message_length(received),
            Self::Mqtt => mqtt::message_length(received),
        }
    }

    /// Appends the first message of a peer that sends before it receives.
    pub(crate) fn greet(self, role: Role, output: &mut Vec<u8>) {
        match self {
            Self::Lines | Self::CutThrough | Self::Topics | Self::Bare => {}
            Self::Nats => nats::greet(role, output),
            Self::Mqtt => mqtt::greet(role, output),
        }
    }

    /// Whether a connection is ready as soon as it is open.
    pub(crate) fn is_ready_at_once(self) -> bool {
        self == Self::Bare
    }

    /// Answers a message of the handshake.
    pub(crate) fn introduce(
        self,
        role: Role,
        message: &[u8],
        output: &mut Vec<u8>,
    ) -> anyhow::Result<Progress> {
        match self {
            Self::Lines => lines::introduce(role, "", message, output),
            Self::CutThrough => cut_through::introduce(role, message, output),
            Self::Topics => topics::introduce(role, message, output),
            Self::Bare => bail!("a relay says nothing by itself"),
            Self::Nats => nats::introduce(message),
            Self::Mqtt => mqtt::introduce(role, message, output),
        }
    }

    /// Appends a request; `payload` appends its payload, of `length` bytes.
    pub(crate) fn request(
        self,
        output: &mut Vec<u8>,
        client: usize,
        service: usize,
        mark: &[u8],
        length: usize,
        payload: impl FnOnce(&mut Vec<u8>),
    ) {
        match self {
            Self::Lines | Self::Topics | Self::Bare => lines::request(output, service, mark, length, payload),
            Self::CutThrough => cut_through::request(output, service, mark, length, payload),
            Self::Nats => nats::request(output, client, service, mark, length, payload),
            Self::Mqtt => mqtt::request(output, client, service, length, payload),
        }
    }

    /// Reads a request; `None` if the message does not belong to the workload.
    pub(crate) fn asked<'a>(
        self,
        message: &'a [u8],
        length: usize,
        output: &mut Vec<u8>,
    ) -> anyhow::Result<Option<Asked<'a>>> {
        match self {
            Self::Lines | Self::Topics | Self::Bare => {
                lines::asked(message, length, self == Self::Bare).map(Some)
            }
            Self::CutThrough => cut_through::asked(message, length).map(Some),
            Self::Nats => nats::asked(message, output),
            Self::Mqtt => mqtt::asked(message),
        }
    }

    /// Appends the reply to a request.
    pub(crate) fn reply(self, output: &mut Vec<u8>, asked: &Asked<'_>, mark: &[u8]) {
        match self {
            Self::Lines | Self::Topics | Self::Bare => lines::reply(output, asked, mark),
            Self::CutThrough => cut_through::reply(output, asked, mark),
            Self::Nats => nats::reply(output, asked),
            Self::Mqtt => mqtt::reply(output, asked),
        }
    }

    /// Reads the payload of a reply; `None` if the message does not belong to the workload.
    pub(crate) fn replied<'a>(
        self,
        message: &'a [u8],
        length: usize,
        output: &mut Vec<u8>,
    ) -> anyhow::Result<Option<&'a [u8]>> {
        match self {
            Self::Lines | Self::Topics | Self::Bare => lines::replied(message, length).map(Some),
            Self::CutThrough => cut_through::replied(message, length).map(Some),
            Self::Nats => nats::payload(message, output),
            Self::Mqtt => mqtt::payload(message),
        }
    }

    /// Appends a notification of a service.
    pub(crate) fn notify(
        self,
        output: &mut Vec<u8>,
        service: usize,
        length: usize,
        payload: impl FnOnce(&mut Vec<u8>),
    ) {
        match self {
            Self::Lines | Self::CutThrough | Self::Bare => lines::notify(output, service, payload),
            Self::Topics => topics::notify(output, service, length, payload),
            Self::Nats => nats::notify(output, service, length, payload),
            Self::Mqtt => mqtt::notify(output, service, length, payload),
        }
    }

    /// Reads the payload of a notification; `None` if the message does not belong to the workload.
    pub(crate) fn notified<'a>(
        self,
        message: &'a [u8],
        length: usize,
        output: &mut Vec<u8>,
    ) -> anyhow::Result<Option<&'a [u8]>> {
        match self {
            Self::Lines | Self::CutThrough | Self::Bare => lines::notified(message, length).map(Some),
            Self::Topics => topics::notified(message, length),
            Self::Nats => nats::payload(message, output),
            Self::Mqtt => mqtt::payload(message),
        }
    }
}

/// Appends a number in decimal digits.
fn put_number(output: &mut Vec<u8>, mut number: usize) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] += u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        if number == 0 {
            return output.extend_from_slice(&digits[first..]);
        }
    }
}

/// Returns the bytes after the first occurrence of `needle`.
fn after<'a>(message: &'a [u8], needle: &[u8]) -> anyhow::Result<&'a [u8]> {
    let at = memmem::find(message, needle);
    let at = at.with_context(|| unexpected(message))?;
    Ok(&message[at + needle.len()..])
}

/// The error about an unexpected message.
fn unexpected(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(&message[..message.len().min(300)]);
    format!("the broker sent what was not expected: {}", text.trim_end())
}
