//! `compare` as it is typed. What it measures takes minutes and needs Labwire's program; what it says when something
//! is missing does not.

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
    // The load generator knows no command `start`, and says so.
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
