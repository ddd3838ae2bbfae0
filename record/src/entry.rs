//! Entries of the record.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use labwire_home::present;
use serde::{Deserialize, Serialize};

/// Declares an enum whose variants have names in the record.
macro_rules! named {
    ($(#[$about:meta])* $name:ident { $($(#[$meaning:meta])* $variant:ident $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$meaning])* $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Returns the name in the record.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// Returns the one with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.name() == name)
            }
        }
    };
}

named! {
    /// What an entry is about.
    Kind {
        /// The manager has started.
        Start "start",
        /// The manager stops.
        Stop "stop",
        /// A client or a service has connected and is admitted.
        Join "join",
        /// A client or a service has disconnected.
        Leave "leave",
        /// The connection of a peer broke, and its place is kept.
        Away "away",
        /// A peer that was away has returned.
        Back "back",
        /// A connection was not admitted.
        Reject "reject",
        /// A login, of a peer that connects or for an administrator's request.
        Login "login",
        /// A client has linked with a service, or was refused.
        Link "link",
        /// A link has ended.
        Unlink "unlink",
        /// A lock was granted, or refused.
        Lock "lock",
        /// A lock, or a wait for one, has ended.
        Unlock "unlock",
        /// A request for a service.
        Call "call",
        /// A request for a service that needs approval.
        Approval "approval",
        /// A request to the manager itself that is none of the others.
        Request "request",
        /// An administrator's request.
        Admin "admin",
        /// A change of the database by a command on the computer. The user is that of the system.
        Command "command",
        /// Entries are missing here.
        Gap "gap",
    }
}

named! {
    /// How something went.
    Outcome {
        /// It was done.
        Ok "ok",
        /// The manager refused it. Nothing was done.
        Refused "refused",
        /// It failed.
        Error "error",
        /// The time of a lock is over.
        Expired "expired",
        /// An administrator has ended it.
        Broken "broken",
        /// It waits for a decision.
        Asked "asked",
    }
}

/// An entry to be written.
///
/// Texts that are longer than 1,000 bytes are truncated when they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it happened.
    pub at: Timestamp,
    /// What it is about.
    pub kind: Kind,
    /// How it went.
    pub outcome: Outcome,
    /// The user that the peer has logged in as.
    pub user: Option<Arc<str>>,
    /// The peer's name on the network, `NAME[HOST:PORT]`, or for a peer that was not admitted its
    /// `HOST:PORT`.
    pub peer: Option<Arc<str>>,
    /// The peer's IP address.
    pub address: Option<IpAddr>,
    /// The name of the service that it concerns.
    pub service: Option<Arc<str>>,
    /// The attribute of a request.
    pub attribute: Option<Box<str>>,
    /// The arguments of a call whose service asks for that.
    pub arguments: Option<Box<str>>,
    /// The details, for people.
    pub text: Option<Box<str>>,
    /// How many equal things it stands for; `None` for one.
    pub repeats: Option<Repeats>,
    /// What a call that was answered has cost.
    pub cost: Option<Cost>,
}

/// What one call, or the calls that one entry stands for, have cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// How long they took in microseconds, from the request to the reply. The sum of all.
    pub micros: u64,
    /// How long the longest of them took.
    pub longest: u64,
    /// The size of the requests and replies in bytes. The sum of all.
    pub bytes: u64,
}

impl Cost {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            micros: self.micros.saturating_add(other.micros),
            longest: self.longest.max(other.longest),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// Equal things that one entry stands for. The time of the entry is that of the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeats {
    /// How many.
    pub count: u64,
    /// When the first of them happened.
    pub since: Timestamp,
}

/// What share of a record an entry belongs to. Each class has a chain of hashes of its own, so that its
/// oldest entries can be removed before those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// What was done: by the manager, by administrators, and by peers that came, linked or locked.
    Change,
    /// What was refused. Anybody can cause that as often as they like.
    Refusal,
    /// Calls that were answered.
    Call,
}

impl Class {
    pub(crate) const ALL: [Self; 3] = [Self::Change, Self::Refusal, Self::Call];

    /// Returns its place in [`ALL`](Self::ALL).
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Change => 0,
            Self::Refusal => 1,
            Self::Call => 2,
        }
    }

    /// Returns its number in the file.
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Change => 0,
            Self::Refusal => 1,
            Self::Call => 2,
        }
    }

    pub(crate) fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.number() == number)
    }
}

impl Entry {
    /// Returns an entry about something that has happened now and is done, without details.
    pub fn new(kind: Kind) -> Self {
        Self::at(present(), kind)
    }

    /// As [`new`](Self::new), for another time.
    pub fn at(at: Timestamp, kind: Kind) -> Self {
        Self {
            at,
            kind,
            outcome: Outcome::Ok,
            user: None,
            peer: None,
            address: None,
            service: None,
            attribute: None,
            arguments: None,
            text: None,
            repeats: None,
            cost: None,
        }
    }

    pub(crate) fn class(&self) -> Class {
        match (self.kind, self.outcome) {
            // Only administrators, or those who may approve, cause them.
            (Kind::Admin | Kind::Approval, _) => Class::Change,
            (_, Outcome::Refused) => Class::Refusal,
            (Kind::Call, _) => Class::Call,
            _ => Class::Change,
        }
    }

    /// Whether it is the manager's own: no peer can cause it, and it is always written.
    pub(crate) fn is_managers(&self) -> bool {
        match self.kind {
            Kind::Start | Kind::Stop => true,
            Kind::Gap => self.peer.is_none(),
            _ => false,
        }
    }

    /// Whether only a peer that has logged in can cause it, and it did something: also one that may do no
    /// more than break the locks on one service.
    pub(crate) fn is_proved(&self) -> bool {
        match self.kind {
            // Whoever may send one of these requests can send thousands that fail.
            Kind::Admin => self.outcome == Outcome::Ok,
            Kind::Login => self.outcome != Outcome::Refused,
            _ => self.outcome == Outcome::Broken,
        }
    }
}

/// Returns the name that a peer gave itself: the `NAME` in `NAME[HOST:PORT]`.
pub(crate) fn own_name(peer: &str) -> &str {
    peer.rsplit_once('[').map_or(peer, |(own, _)| own)
}

/// An entry that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedEntry {
    /// Its number. The entries of a record are numbered without gaps, in the order in which they
    /// were written. Later, refusals are removed before other entries.
    pub id: i64,
    /// When it happened.
    pub time: Timestamp,
    /// The name of its [`Kind`]. A later Labwire may have further ones.
    pub kind: String,
    /// The name of its [`Outcome`]. A later Labwire may have further ones.
    pub outcome: String,
    /// The user that the peer has logged in as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The peer's name on the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The peer's IP address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The name of the service that it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The attribute of a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// The arguments of a call, if its service asks for that: the JSON text of an array, of an object, or of
    /// both with a blank between them. `…` at the end says that the rest was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<String>,
    /// The details, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// How many equal things it stands for, if more than one: as many as have happened from `since`
    /// to `time`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// When the first of them happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Of calls that were answered, how long they took in microseconds: the sum, if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub microseconds: Option<u64>,
    /// How long the longest of them took, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest: Option<u64>,
    /// The size of the requests and replies in bytes: the sum, if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_and_each_outcome_has_a_name_of_its_own() {
        for &kind in Kind::ALL {
            assert_eq!(Kind::from_name(kind.name()), Some(kind));
        }
        for &outcome in Outcome::ALL {
            assert_eq!(Outcome::from_name(outcome.name()), Some(outcome));
        }
        assert_eq!(Kind::from_name("Lock"), None);
    }
}
