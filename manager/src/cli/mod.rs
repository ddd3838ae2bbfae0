//! The command line: what was typed becomes what is meant.

pub mod delete;
pub mod hostname;
pub mod secret;
pub mod user;
