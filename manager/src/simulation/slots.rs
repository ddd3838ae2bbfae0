//! The peers of a schedule.

use labwire_wire::{Features, Identity, Role, SessionRequest};

use super::choices::Choices;
use super::state::Key;

/// A peer that may join, leave and join again.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) identity: Identity,
    pub(super) address: String,
    pub(super) present: Option<Key>,
    /// The secrets of its last session and of the one before.
    pub(super) secrets: [Option<String>; 2],
}

impl Slot {
    pub(super) fn client(number: usize, choices: &mut Choices<'_>) -> Self {
        // Some have the name of the one before them.
        let number = number - usize::from(number % 9 == 8);
        let name = match number % 5 {
            4 => format!("my \"é\" {number}"),
            _ => format!("c{number}"),
        };
        let has_session = choices.percent(50);
        let identity = Identity {
            name,
            language: choices.one_of(&["Python 3.11.7", "unknown"]).to_owned(),
            os: "Linux".to_owned(),
            features: Features {
                registered: choices.percent(50),
                unlinked: choices.percent(50),
                origin: choices.percent(50),
                cut_through: choices.percent(50),
                leases: choices.percent(50),
                sessions: has_session,
                // Among them `binary`: the simulation sends lines only.
                ..Features::default()
            },
            session: has_session.then(|| session(choices)),
            role: Role::Client,
        };
        Self {
            identity,
            address: format!("h:{}", number % 7),
            present: None,
            secrets: [None, None],
        }
    }

    pub(super) fn service(number: usize, choices: &mut Choices<'_>) -> Self {
        let has_session = choices.percent(50);
        let identity = Identity {
            name: service_name(number),
            language: choices.one_of(&["Python 3.11.7", "unknown"]).to_owned(),
            os: "Linux".to_owned(),
            features: Features {
                registered: choices.percent(50),
                cut_through: choices.percent(50),
                sessions: has_session,
                ..Features::default()
            },
            session: has_session.then(|| session(choices)),
            role: Role::Service {
                attributes: r#"{"a":"() -> int"}"#.to_owned(),
                max_clients: choices.one_of(&[None, None, Some(1), Some(1), Some(2), Some(50)]),
                recorded: None,
            },
        };
        Self {
            identity,
            address: format!("h:{}", 90 + number),
            present: None,
            secrets: [None, None],
        }
    }
}

/// Returns what a peer asks for its session.
fn session(choices: &mut Choices<'_>) -> SessionRequest {
    SessionRequest {
        grace: choices.one_of(&[None, Some(1), Some(60), Some(3_000)]),
        keep_callers: choices.percent(50),
        resume: None,
    }
}

/// Returns the name of a service.
pub(super) fn service_name(number: usize) -> String {
    match number {
        2 => "1 \"é\"".to_owned(),
        // The name of the first service again.
        3 => "S0".to_owned(),
        _ => format!("S{number}"),
    }
}
