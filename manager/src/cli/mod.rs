//! The command line: what was typed becomes what is meant.

pub mod certdump;
pub mod certgen;
pub mod keygen;
mod secret;
