//! The `labwire` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    labwire::cli::main()
}
