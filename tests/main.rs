//! Black-box tests of the built `labwire` program, from the view of a peer, an administrator or a
//! person at a terminal. No test calls the manager's code.
//!
//! Each module covers one topic; `support` starts managers, peers and other programs.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics is a test that fails, which is what it is for"
)]

mod accounts;
mod approvals;
mod binary;
mod book;
mod callers;
mod client_certificates;
mod clocks;
mod command_line;
mod console;
mod cut_through;
mod demo;
mod dependencies;
mod examples;
mod features;
mod files;
mod frameworks;
mod hardening;
mod history;
mod instruments;
mod leases;
mod likeness;
mod log_file;
mod logged_in;
mod matrix;
mod operation;
mod payload;
mod progress;
mod protocol;
mod python;
mod reconnect;
mod roles;
mod run_services;
mod services;
mod sessions;
mod setup;
mod supervised;
mod support;
mod systemd;
mod terminal;
mod tokens;
mod topics;
mod totp;
mod typed;
mod vanished;
mod workspace;
