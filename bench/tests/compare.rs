//! `compare` on the command line. A measurement takes minutes and needs Labwire's program; the
//! errors about missing programs do not.

use std::process::{Command, Output};

fn compare(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_labwire-bench"));
    command.arg("compare").args(arguments).env_remove("PATH");
    command.output().expect("the load generator starts")
}

fn complaint(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_labwire_that_is_not_there_is_told_with_the_remedy() {
    let complaint = complaint(&compare(&["--labwire", "/nowhere/labwire"]));
    assert!(complaint.contains("there is no /nowhere/labwire"), "{complaint}");
    assert!(
        complaint.contains("cargo build --release -p labwire"),
        "{complaint}"
    );
}

#[test]
fn a_broker_that_does_not_start_is_told_with_its_own_words() {
    // The load generator has no command `start`, and reports that.
    let wrong = env!("CARGO_BIN_EXE_labwire-bench");
    let output = compare(&[
        "--labwire",
        wrong,
        "--quick",
        "--only",
        "K1 C1 64 B",
        "--peers",
        "mux",
    ]);
    let complaint = complaint(&output);
    assert!(complaint.contains("it ended by itself"), "{complaint}");
    assert!(
        complaint.contains("unrecognized subcommand 'start'"),
        "{complaint}"
    );
}

#[test]
fn a_row_that_there_is_not_is_told() {
    let wrong = env!("CARGO_BIN_EXE_labwire-bench");
    let complaint = complaint(&compare(&["--labwire", wrong, "--only", "no such row"]));
    assert!(
        complaint.contains("no row's name holds 'no such row'"),
        "{complaint}"
    );
}
