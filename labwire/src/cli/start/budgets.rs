//! What all peers together may use up: the defaults, which follow from the memory, as they are told to a person.

use labwire_manager::{Budgets, Limits, Memory};

use super::values::Size;

pub(super) fn lines_help() -> String {
    let default = Size(Budgets::default().lines);
    format!(
        "Bytes of lines whose end has not come, of all peers; a quarter of the memory [default: {default}]"
    )
}

pub(super) fn identities_help() -> String {
    let default = Size(Budgets::default().identities);
    format!("Bytes of the identities of all services; up to 1/64 of the memory [default: {default}]")
}

pub(super) fn in_flight_help() -> String {
    let default = Budgets::default().in_flight;
    format!("Requests of all clients that wait for their reply; one for 4KiB of memory [default: {default}]")
}

/// Says what all peers together may use up, and of how much memory.
pub(super) fn told(limits: &Limits) -> String {
    let Budgets {
        lines,
        identities,
        in_flight,
    } = limits.budgets;
    format!(
        "{}; all peers together may have {} in unfinished lines (--budget-lines), {} in identities \
         (--budget-identities) and {in_flight} requests in flight (--budget-in-flight)",
        Memory::of_this_process(),
        Size(lines),
        Size(identities),
    )
}

/// What is doubtful about limits that one peer alone cannot use up, since all together may have less.
pub(super) fn doubt(limits: &Limits, line: Option<Size>) -> Option<String> {
    let Size(line) = line?;
    (line > limits.budgets.lines).then(|| {
        format!(
            "a line of {} (--line) cannot come: all unfinished lines together may have {}, raise --budget-lines too",
            Size(line),
            Size(limits.budgets.lines)
        )
    })
}
