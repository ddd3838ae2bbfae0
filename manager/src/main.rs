//! `labwire`, the one binary.

fn main() {}
