//! Words a person types at a terminal.
