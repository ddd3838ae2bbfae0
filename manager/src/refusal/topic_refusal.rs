//! Refusals of requests about topics.

use labwire_wire::TopicError;

use crate::bounds::{
    MOST_PATTERNS, MOST_RETAINED, MOST_RETAINED_BYTES, MOST_SUBSCRIPTIONS, MOST_VALUE_BYTES,
};

/// Why the manager refuses to publish a value, or a subscription.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TopicRefusal {
    /// The name of the topic or the pattern is wrong.
    #[error("ValueError: {0}")]
    Name(#[from] TopicError),
    /// A peer publishes to one of the manager's own topics.
    #[error(
        "PermissionError: only the manager publishes to topics whose first word is manager or looks like it"
    )]
    Managers,
    /// A peer has as many subscriptions as it may.
    #[error(
        "RuntimeError: a peer may have {MOST_PATTERNS} subscriptions, and its share of the {MOST_SUBSCRIPTIONS} of all \
         peers; this one has {count}, unsubscribe from some, or use a pattern with * or >"
    )]
    TooManySubscriptions { count: usize },
    /// A value is too large.
    #[error(
        "MemoryError: the value of a topic may have {MOST_VALUE_BYTES} bytes, send a larger one as a notification of a \
         service"
    )]
    TooLarge,
    /// A value with buffers is too large in the converted form, in which it would be retained.
    #[error(
        "MemoryError: a value is retained with its arrays in base64 and may then have {MOST_VALUE_BYTES} bytes, and \
         its arrays what is converted (see --convert of labwire start); publish it without retain, or a smaller one"
    )]
    TooLargeToRetain,
    /// A value with buffers is too large in the converted form for some of its subscribers.
    #[error(
        "ValueError: {left_out} of the {subscribers} subscribers do not have the feature binary and did not receive the \
         value: with its arrays in base64 it may have {MOST_VALUE_BYTES} bytes, and its arrays what is converted (see \
         --convert of labwire start); publish less at a time"
    )]
    Unconvertible { left_out: usize, subscribers: usize },
    /// There is no room for another value that is to be kept, or none for this sender.
    #[error(
        "MemoryError: {MOST_RETAINED} topics may retain a value, of {MOST_RETAINED_BYTES} bytes in all, of which each \
         sender has its share, and there is no room for this one; publish null with retain=true to topics that are \
         not needed"
    )]
    NoRoom,
}
