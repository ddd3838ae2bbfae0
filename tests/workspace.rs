//! The README's build instructions apply to the workspace.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// `cargo run` runs the only program among the default members; with two it would ask which one.
#[test]
fn cargo_run_has_one_program_to_run() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .arg("--manifest-path")
        .arg(manifest)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let list = |value: &Value| value.as_array().unwrap().clone();
    let default_members = list(&metadata["workspace_default_members"]);
    let programs: Vec<Value> = list(&metadata["packages"])
        .iter()
        .filter(|package| default_members.contains(&package["id"]))
        .flat_map(|package| list(&package["targets"]))
        .filter(|target| list(&target["kind"]).contains(&"bin".into()))
        .map(|target| target["name"].clone())
        .collect();
    assert_eq!(programs, ["labwire"]);
}
