//! `labwire`, the one binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    labwire::cli::main()
}
