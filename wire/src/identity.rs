//! The identities of peers.

use std::ops::Range;

use crate::features::Features;
use crate::json::{self, JsonError, RawString, Shape};
use crate::name::{self, MAX_NAME_BYTES, NameError};
use crate::recorded::RecordedMethods;
use crate::session::SessionRequest;

/// The deepest nesting of a service's attributes, the outermost object included. Attributes are
/// signatures and plain values, and are part of the manager's identity, which every peer must be
/// able to parse.
pub const MAX_ATTRIBUTES_DEPTH: usize = 64;

/// The most digits of an integer in a service's attributes, for the same reason: Python parses up
/// to 4,300.
pub const MAX_ATTRIBUTES_DIGITS: usize = 4_000;

/// A peer's answer to the manager's request for its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name that it will have on the network.
    pub name: String,
    /// Its programming language; `unknown` if it gives none.
    pub language: String,
    /// Its operating system; `unknown` if it gives none.
    pub os: String,
    /// The extensions of the wire that it supports.
    pub features: Features,
    /// Its wishes for its session, if it has the feature `sessions`.
    pub session: Option<SessionRequest>,
    /// Whether it is a client or a service.
    pub role: Role,
}

/// The role of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// It sends requests.
    Client,
    /// It answers requests.
    Service {
        /// The attributes: the JSON text of an object from names to signatures or plain values.
        attributes: String,
        /// The maximum number of linked clients; `None` means no limit.
        max_clients: Option<u64>,
        /// The methods whose arguments are to be recorded, if the service says so.
        recorded: Option<RecordedMethods>,
    },
}

/// The reason why an identity is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The identity is not JSON.
    #[error("ValueError: the identity is malformed: {0}")]
    Json(#[from] JsonError),
    /// A member occurs twice.
    #[error("ValueError: the identity has the member \"{0}\" twice")]
    Duplicate(&'static str),
    /// A member is missing.
    #[error("KeyError: the identity lacks the member \"{0}\"")]
    Missing(&'static str),
    /// A member has the wrong type.
    #[error("TypeError: the identity's member \"{member}\" must be {expected}")]
    WrongType {
        /// The member.
        member: &'static str,
        /// A description of the expected type.
        expected: &'static str,
    },
    /// The type is neither `client` nor `service`.
    #[error("TypeError: Unknown connection type '{0}'. Must be \"client\" or \"service\"")]
    UnknownType(String),
    /// The attributes exceed the limits of Python peers, which receive them in the manager's
    /// identity.
    #[error(
        "ValueError: the attributes may be nested {MAX_ATTRIBUTES_DEPTH} levels deep and hold integers of up to \
         {MAX_ATTRIBUTES_DIGITS} digits"
    )]
    UnreadableAttributes,
    /// The name is invalid, or looks like another one.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl Identity {
    /// Creates the identity of a person at a terminal, or of a program that gives only its name.
    pub fn client(name: &str) -> Result<Self, IdentityError> {
        name::check(name)?;
        Ok(Self {
            name: name.to_owned(),
            language: "unknown".to_owned(),
            os: "unknown".to_owned(),
            features: Features::default(),
            session: None,
            role: Role::Client,
        })
    }

    /// Parses an identity from the JSON text of an object. Unknown members are ignored.
    pub fn from_json(text: &[u8]) -> Result<Self, IdentityError> {
        let members = Members::scan(text)?;
        let name = members.required_string(NAME)?;
        name::check(&name)?;
        let kind = members.required_string(TYPE)?.to_lowercase();
        let role = match kind.as_str() {
            "client" => Role::Client,
            "service" => Role::Service {
                attributes: members.attributes()?,
                max_clients: members.max_clients()?,
                recorded: members.recorded()?,
            },
            _ => return Err(IdentityError::UnknownType(printable(&kind))),
        };
        let features = members.features()?;
        Ok(Self {
            name,
            language: members.label(LANGUAGE)?,
            os: members.label(OS)?,
            features,
            session: if features.sessions {
                Some(members.session()?)
            } else {
                None
            },
            role,
        })
    }
}

/// Shortens and cleans a peer's text for an error message.
fn printable(text: &str) -> String {
    text.chars()
        .filter(|&character| name::is_printable(character))
        .take(64)
        .collect()
}

const TYPE: usize = 0;
const NAME: usize = 1;
const LANGUAGE: usize = 2;
const OS: usize = 3;
const ATTRIBUTES: usize = 4;
const MAX_CLIENTS: usize = 5;
const FEATURES: usize = 6;
const SESSION: usize = 7;
const RECORD_ARGUMENTS: usize = 8;
const KEYS: [&str; 9] = [
    "type",
    "name",
    "language",
    "os",
    "attributes",
    "max_clients",
    "features",
    "session",
    "record_arguments",
];

/// The positions of an identity's members in its text.
struct Members<'a> {
    text: &'a [u8],
    spans: [Option<Range<usize>>; KEYS.len()],
}

impl<'a> Members<'a> {
    fn scan(text: &'a [u8]) -> Result<Self, IdentityError> {
        let mut spans = [const { None }; KEYS.len()];
        json::scan_object(text, |key, span| {
            let key = key.decode();
            if let Some(index) = KEYS.iter().position(|&known| key.as_deref() == Some(known))
                && spans[index].replace(span).is_some()
            {
                return Err(IdentityError::Duplicate(KEYS[index]));
            }
            Ok(())
        })?;
        Ok(Self { text, spans })
    }

    /// Returns a member's value. `null` counts as absent.
    fn raw(&self, index: usize) -> Option<&'a [u8]> {
        let value = &self.text[self.spans[index].clone()?];
        (value != b"null").then_some(value)
    }

    fn string(&self, index: usize) -> Result<Option<String>, IdentityError> {
        let Some(value) = self.raw(index) else {
            return Ok(None);
        };
        let text = json::as_string(value).and_then(RawString::decode);
        let expected = "a string of whole characters";
        text.map(|text| Some(text.into_owned()))
            .ok_or(IdentityError::WrongType {
                member: KEYS[index],
                expected,
            })
    }

    fn required_string(&self, index: usize) -> Result<String, IdentityError> {
        self.string(index)?.ok_or(IdentityError::Missing(KEYS[index]))
    }

    /// Returns a text that is only shown to people. It is truncated to [`MAX_NAME_BYTES`], since
    /// all peers receive it in the manager's identity.
    fn label(&self, index: usize) -> Result<String, IdentityError> {
        let mut label = self.string(index)?.unwrap_or_else(|| "unknown".to_owned());
        label.truncate(label.floor_char_boundary(MAX_NAME_BYTES));
        Ok(label)
    }

    fn attributes(&self) -> Result<String, IdentityError> {
        let value = self
            .raw(ATTRIBUTES)
            .ok_or(IdentityError::Missing(KEYS[ATTRIBUTES]))?;
        let shape = json::scan_object(value, |_, _| Ok::<_, JsonError>(()));
        match (std::str::from_utf8(value), shape) {
            (
                Ok(_),
                Ok(Shape {
                    depth,
                    integer_digits,
                }),
            ) if depth > MAX_ATTRIBUTES_DEPTH || integer_digits > MAX_ATTRIBUTES_DIGITS => {
                Err(IdentityError::UnreadableAttributes)
            }
            (Ok(text), Ok(_)) => Ok(text.to_owned()),
            _ => Err(IdentityError::WrongType {
                member: KEYS[ATTRIBUTES],
                expected: "an object",
            }),
        }
    }

    fn max_clients(&self) -> Result<Option<u64>, IdentityError> {
        let Some(value) = self.raw(MAX_CLIENTS) else {
            return Ok(None);
        };
        // LabVIEW's JSON libraries write whole numbers with a fraction of zeros.
        let number = serde_json::from_slice::<f64>(value)
            .ok()
            .filter(|number| number.fract() == 0.0);
        let expected = "a whole number (0 or less for no limit)";
        let number = number.ok_or(IdentityError::WrongType {
            member: KEYS[MAX_CLIENTS],
            expected,
        })?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast saturates, as a limit should"
        )]
        let limit = number as u64;
        Ok((number > 0.0).then_some(limit))
    }

    fn recorded(&self) -> Result<Option<RecordedMethods>, IdentityError> {
        let wrong = IdentityError::WrongType {
            member: KEYS[RECORD_ARGUMENTS],
            expected: "an object from attributes to objects with the arrays of names \"parameters\" and \"secret\", up to 16 KiB",
        };
        let value = self.raw(RECORD_ARGUMENTS);
        value
            .map(|value| RecordedMethods::from_json(value).ok_or(wrong))
            .transpose()
    }

    fn features(&self) -> Result<Features, IdentityError> {
        let Some(value) = self.raw(FEATURES) else {
            return Ok(Features::default());
        };
        let names: Vec<String> = serde_json::from_slice(value).map_err(|_| IdentityError::WrongType {
            member: KEYS[FEATURES],
            expected: "an array of strings",
        })?;
        Ok(Features::from_names(names.iter().map(String::as_str)))
    }

    fn session(&self) -> Result<SessionRequest, IdentityError> {
        let Some(value) = self.raw(SESSION) else {
            return Ok(SessionRequest::default());
        };
        SessionRequest::from_json(value).map_err(|expected| IdentityError::WrongType {
            member: KEYS[SESSION],
            expected,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_says_what_it_offers() {
        let identity = Identity::from_json(
            br#"{"type":"SERVICE","name":"DMM 1","attributes":{"read":"() -> str","x":NaN},"max_clients":1,"new":[]}"#,
        )
        .unwrap();
        assert_eq!(identity.name, "DMM 1");
        assert_eq!(identity.language, "unknown");
        assert_eq!(
            identity.role,
            Role::Service {
                attributes: r#"{"read":"() -> str","x":NaN}"#.into(),
                max_clients: Some(1),
                recorded: None,
            }
        );
    }

    #[test]
    fn attributes_that_python_cannot_read_are_refused() {
        let digits = "1".repeat(MAX_ATTRIBUTES_DIGITS + 1);
        let nested = "[".repeat(MAX_ATTRIBUTES_DEPTH) + &"]".repeat(MAX_ATTRIBUTES_DEPTH);
        for value in [digits, nested] {
            let text = format!(r#"{{"type":"service","name":"s","attributes":{{"x":{value}}}}}"#);
            assert_eq!(
                Identity::from_json(text.as_bytes()),
                Err(IdentityError::UnreadableAttributes)
            );
        }
    }

    #[test]
    fn zero_or_less_clients_mean_no_limit() {
        for (text, limit) in [
            ("0", None),
            ("-1", None),
            ("null", None),
            ("3", Some(3)),
            ("2.0", Some(2)),
        ] {
            let text = format!(r#"{{"type":"service","name":"s","attributes":{{}},"max_clients":{text}}}"#);
            match Identity::from_json(text.as_bytes()).unwrap().role {
                Role::Service { max_clients, .. } => assert_eq!(max_clients, limit),
                Role::Client => panic!("a service"),
            }
        }
        for text in ["1.5", "\"1\"", "[]", "true"] {
            let text = format!(r#"{{"type":"service","name":"s","attributes":{{}},"max_clients":{text}}}"#);
            assert!(Identity::from_json(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn the_name_is_checked_however_the_identity_came() {
        let text = r#"{"type":"service","name":"Manager","attributes":{}}"#;
        for identity in [Identity::from_json(text.as_bytes()), Identity::client("Manager")] {
            assert_eq!(identity, Err(NameError::Reserved("Manager".to_owned()).into()));
        }
        let lone_surrogate = br#"{"type":"client","name":"\ud800"}"#;
        assert!(Identity::from_json(lone_surrogate).is_err());
    }

    #[test]
    fn features_that_are_not_known_are_ignored() {
        for (value, expected) in [
            (r#"["teleport","origin"]"#, Ok(vec!["origin"])),
            (
                r#"["origin","registered","origin"]"#,
                Ok(vec!["registered", "origin"]),
            ),
            ("null", Ok(vec![])),
            ("[]", Ok(vec![])),
            (r#""origin""#, Err(())),
            ("[1]", Err(())),
        ] {
            let text = format!(r#"{{"type":"client","name":"n","features":{value}}}"#);
            let identity = Identity::from_json(text.as_bytes());
            let names = identity.map(|identity| identity.features.names().collect());
            assert_eq!(names.map_err(|_| ()), expected, "{value}");
        }
    }

    #[test]
    fn errors_name_what_is_wrong() {
        let error = |text: &str| Identity::from_json(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            error(r#"{"type":"client"}"#),
            "KeyError: the identity lacks the member \"name\""
        );
        assert_eq!(
            error(r#"{"type":"X","name":"n"}"#),
            "TypeError: Unknown connection type 'x'. Must be \"client\" or \"service\""
        );
        assert_eq!(
            error(r#"{"type":"service","name":"n"}"#),
            "KeyError: the identity lacks the member \"attributes\""
        );
        assert_eq!(
            error(r#"{"type":"client","name":"n","name":"m"}"#),
            "ValueError: the identity has the member \"name\" twice"
        );
    }
}
