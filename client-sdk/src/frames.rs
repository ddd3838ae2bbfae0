//! The frames that a client sends.

use bytes::Bytes;
use labwire_wire::MANAGER_NAME;
use labwire_wire::frames::{TERMINATOR, json_string};

/// Size of the arguments in bytes from which they come last in a request, so that the manager can
/// route it before all of it has arrived.
const LONG: usize = 16 * 1024;

/// Formats a request. Its members are in the order of MSL-Network's clients, except for long
/// arguments.
pub(crate) fn request_frame(service: &str, attribute: &str, args: &str, kwargs: &str, uid: u64) -> Bytes {
    request_frame_with((service, attribute), (args, kwargs), uid, "")
}

/// As [`request_frame`], with further members. `more` is their text, each with a comma after it.
pub(crate) fn request_frame_with(
    (service, attribute): (&str, &str),
    (args, kwargs): (&str, &str),
    uid: u64,
    more: &str,
) -> Bytes {
    let (service, attribute, uid) = (json_string(service), json_string(attribute), format!("\"{uid}\""));
    let args = ("args", args);
    let others = [("attribute", &*attribute), ("error", "false")];
    let kwargs = ("kwargs", kwargs);
    let target = [("service", &*service), ("uid", &*uid)];
    let members: [_; 6] = if args.1.len() + kwargs.1.len() < LONG {
        [args, others[0], others[1], kwargs, target[0], target[1]]
    } else {
        [others[0], others[1], target[0], target[1], kwargs, args]
    };
    let length: usize = members
        .iter()
        .map(|(name, value)| name.len() + value.len() + 4)
        .sum();
    let mut frame = String::with_capacity(1 + more.len() + length + TERMINATOR.len());
    frame.push('{');
    // Before the arguments: a request is routed before all of them have arrived.
    frame.push_str(more);
    for (index, (name, value)) in members.into_iter().enumerate() {
        frame.push_str(if index == 0 { "\"" } else { ",\"" });
        frame.push_str(name);
        frame.push_str("\":");
        frame.push_str(value);
    }
    frame.push('}');
    let mut frame = frame.into_bytes();
    frame.extend_from_slice(TERMINATOR);
    frame.into()
}

/// Formats a request to the manager about a service.
pub(crate) fn manager_frame(attribute: &str, service: &str, kwargs: &str, uid: u64) -> Bytes {
    let arguments = format!("[{}]", json_string(service));
    request_frame(MANAGER_NAME, attribute, &arguments, kwargs, uid)
}

/// Formats the frame with which a client asks the manager to close the connection.
pub(crate) fn goodbye(name: &str) -> Bytes {
    request_frame(name, "__disconnect__", "[]", "{}", 0)
}
