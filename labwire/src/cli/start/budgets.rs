//! The budgets of all peers together: help texts with the defaults for this computer's memory, a
//! log line, and warnings.

use labwire_manager::{Budgets, Limits, Memory};

use super::values::Size;

pub(super) fn lines_help() -> String {
    let default = Size(Budgets::default().lines);
    format!("Bytes of unfinished lines of all peers together; a quarter of the memory [default: {default}]")
}

pub(super) fn queues_help() -> String {
    let default = Size(Budgets::default().queues);
    format!("Bytes in the queues of all peers together; a quarter of the memory [default: {default}]")
}

pub(super) fn identities_help() -> String {
    let default = Size(Budgets::default().identities);
    format!("Bytes of the identities of all services together; up to 1/64 of the memory [default: {default}]")
}

pub(super) fn in_flight_help() -> String {
    let default = Budgets::default().in_flight;
    format!("Requests in flight of all clients together; one for 4KiB of memory [default: {default}]")
}

pub(super) fn sessions_help() -> String {
    let default = Size(Budgets::default().sessions);
    format!("Bytes kept for all peers with sessions together; 1/16 of the memory [default: {default}]")
}

/// Formats the budgets, and the memory that they follow from, for the log.
pub(super) fn told(limits: &Limits) -> String {
    let Budgets {
        lines,
        queues,
        identities,
        in_flight,
        sessions,
    } = limits.budgets;
    format!(
        "{}; all peers together may have {} in unfinished lines (--budget-lines), {} in queues \
         (--budget-queues), {} in identities (--budget-identities), {} kept for sessions (--budget-sessions) and {in_flight} requests in flight (--budget-in-flight)",
        Memory::of_this_process(),
        Size(lines),
        Size(queues),
        Size(identities),
        Size(sessions),
    )
}

/// Returns a warning if a chosen limit per peer exceeds the budget of all peers together, so that
/// no peer can reach it. Defaults are not checked.
pub(super) fn doubt(limits: &Limits, line: Option<Size>, queue: Option<Size>) -> Option<String> {
    let Budgets { lines, queues, .. } = limits.budgets;
    if let Some(line) = line.filter(|Size(line)| *line > lines) {
        let budget = Size(lines);
        return Some(format!(
            "a line of {line} (--line) cannot come: all unfinished lines together may have {budget}, raise --budget-lines too"
        ));
    }
    let queue = queue.filter(|Size(queue)| *queue > queues)?;
    let budget = Size(queues);
    Some(format!(
        "a queue of {queue} (--queue) cannot be: all queues together may have {budget}, raise --budget-queues too"
    ))
}
