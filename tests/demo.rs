//! `labwire demo`, the first command of a newcomer.

use std::time::{Duration, Instant};

use super::support::manager::Home;
use super::support::process::{Process, Signal};
use super::support::python;

/// Maximum duration of the demo, as documented.
const MOST: Duration = Duration::from_secs(15);

#[test]
fn the_demo_tells_each_step_and_ends_well() {
    let home = Home::new();
    let start = Instant::now();
    let output = home.labwire(&["demo"]);
    let took = start.elapsed();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(took < MOST, "it took {took:?}");
    let mut rest = told.as_str();
    for step in [
        "listens on port",
        "is registered",
        "links with 'Echo'",
        "[[\"hello\"],{\"x\":1.1}]",
        "has sent six requests",
        "BasicMath.power -> 16",
        "locks 'Echo'",
        "is refused: PermissionError: 'Echo' service is locked",
        "hears a heartbeat",
        "loses its power",
        "the request may have been executed",
        "KeyError: the 'Oven' Service is not connected",
        "That is all",
    ] {
        let at = rest
            .find(step)
            .unwrap_or_else(|| panic!("{step:?} is not told in its place:\n{told}"));
        rest = &rest[at..];
    }
    // It leaves no files behind, not even in the home folder.
    assert_eq!(std::fs::read_dir(home.path("")).unwrap().count(), 0);
}

#[test]
fn what_the_demo_says_to_type_next_works() {
    let home = Home::new();
    let mut demo = Process::spawn("labwire demo", &mut home.command(&["demo", "--keep"]));
    demo.wait_for("how to end it", |line| {
        line.contains("Ctrl-C ends it").then_some(())
    });
    let told = demo.output();
    let script: Vec<_> = told
        .lines()
        .skip_while(|line| !line.contains("from msl.network"))
        .take_while(|line| !line.is_empty())
        .map(str::trim_start)
        .collect();
    assert_eq!(script.len(), 3, "{told}");
    let output = std::process::Command::new(python::program("python"))
        .args(["-c", &format!("{}\ncxn.disconnect()", script.join("\n"))])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // The last line to type calls a service with this program.
    let line = told.lines().rfind(|line| line.starts_with("  labwire call "));
    let words: Vec<_> = line.expect(&told).split_whitespace().skip(1).collect();
    let called = home.labwire(&words);
    assert_eq!(String::from_utf8_lossy(&called.stdout), "3.0\n", "{called:?}");
    demo.signal(Signal::INT);
    assert!(demo.wait().success());
}
