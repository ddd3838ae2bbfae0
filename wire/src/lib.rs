//! The wire protocol of Labwire, without any I/O.
//!
//! Each message on the wire is one line of JSON. This crate splits a stream into lines
//! ([`LineSplitter`]), locates the few members of a line that a manager reads ([`Envelope`], or
//! [`ArrivingEnvelope`] for a line that is still arriving) without parsing the arguments or the
//! result, carries lines with raw bytes that follow them ([`Frame`], [`FrameView`]), extracts
//! names from malformed lines ([`Salvage`]), matches topics ([`Topic`], [`TopicPattern`]), builds frames ([`frames`]), parses identities
//! ([`Identity`]), and parses commands typed at a terminal ([`terminal`]). It uses neither sockets
//! nor clocks, so all of it can be tested with bytes alone.

mod arriving;
pub mod buffers;
mod envelope;
mod executed;
mod features;
mod frame;
pub mod frames;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod identity;
mod json;
mod lines;
mod name;
mod numbers;
mod port;
mod python;
mod recorded;
mod salvage;
mod session;
pub mod terminal;
mod text;
mod topics;
mod uid;

pub use arriving::ArrivingEnvelope;
pub use envelope::{
    Envelope, EnvelopeError, MAX_UID_BYTES, Member, NOTIFICATION_UID, Partial, PartialKind, Reply, ReplyForm,
    Request,
};
pub use executed::Executed;
pub use features::Features;
pub use frame::{Frame, FrameView, Payload, Plain};
pub use identity::{Identity, IdentityError, MAX_ATTRIBUTES_DEPTH, MAX_ATTRIBUTES_DIGITS, Role};
pub use json::{
    FEW_DIGITS, JsonError, MAX_DEPTH, RawString, Shape, array_elements, as_string, compact, exact_elements,
    is_arguments_pair, is_string_array, scan_object,
};
pub use lines::{Line, LineSplitter, LineTooLong, LineView};
pub use name::{MANAGER_NAME, MAX_NAME_BYTES, NameError, RefusedCharacter, appearance, check as check_name};
pub use port::DEFAULT_PORT;
pub use python::{quoted, visible};
pub use recorded::{MAX_RECORDED_BYTES, MAX_RECORDED_METHODS_BYTES, RecordedArguments, RecordedMethods};
pub use salvage::{Names, Salvage};
pub use session::{
    MAX_SECRET_BYTES, ResumeRequest, SessionBegun, SessionRequest, SessionResumed, confirmation, confirmed,
    received,
};
pub use text::Text;
pub use topics::{MANAGERS_TOPICS, MAX_TOPIC_BYTES, MAX_TOPIC_WORDS, Topic, TopicError, TopicPattern};
pub use uid::Uid;
