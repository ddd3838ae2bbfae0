//! `labwire`, the one binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    labwire_manager::cli::main()
}
