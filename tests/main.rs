//! Black-box tests of the built `labwire` binary: what a peer, an administrator or a person at a terminal
//! sees from the outside. Nothing here calls into the manager's code.
//!
//! Each module holds one topic; how managers, peers and other programs are started is in `support`.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics is a test that fails, which is what it is for"
)]

mod clocks;
mod command_line;
mod cut_through;
mod demo;
mod dependencies;
mod examples;
mod features;
mod files;
mod hardening;
mod likeness;
mod log_file;
mod logged_in;
mod matrix;
mod operation;
mod payload;
mod protocol;
mod python;
mod reconnect;
mod run_services;
mod setup;
mod support;
mod terminal;
mod typed;
mod vanished;
mod workspace;
