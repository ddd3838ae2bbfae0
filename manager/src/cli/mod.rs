//! The command line: what was typed becomes what is meant.
