//! The README's build instructions apply to the workspace, and its crates can be published.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Returns what cargo tells about the workspace.
fn metadata() -> Value {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .arg("--manifest-path")
        .arg(manifest)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().unwrap().clone()
}

/// `cargo run` runs the only program among the default members; with two it would ask which one.
#[test]
fn cargo_run_has_one_program_to_run() {
    let metadata = metadata();
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

/// Crates for the tests and benchmarks of this repository only.
const PRIVATE: [&str; 2] = ["labwire-bench", "labwire-testing"];

/// Features that programs have no use for, as the manifests say.
const INTERNAL_FEATURES: [&str; 4] = ["default", "fuzzing", "benchmarks", "lab"];

/// What `cargo publish` and crates.io ask for. `.ci/release` makes the packages.
#[test]
fn each_crate_has_what_a_registry_asks_for() {
    for package in list(&metadata()["packages"]) {
        let name = package["name"].as_str().unwrap();
        let is_private = package["publish"] == serde_json::json!([]);
        assert_eq!(is_private, PRIVATE.contains(&name), "{name}");
        if is_private {
            continue;
        }
        for member in [
            "description",
            "license",
            "rust_version",
            "readme",
            "documentation",
        ] {
            assert!(package[member].is_string(), "{name} has no {member}");
        }
        for member in ["keywords", "categories"] {
            let count = list(&package[member]).len();
            assert!((1..=5).contains(&count), "{name} has {count} {member}");
        }
        let folder = Path::new(package["manifest_path"].as_str().unwrap())
            .parent()
            .unwrap();
        let license = std::fs::read_to_string(folder.join("LICENSE"))
            .unwrap_or_else(|error| panic!("LICENSE of {name}: {error}"));
        assert!(license.starts_with("MIT License"), "{name}");
        let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
        for feature in package["features"].as_object().unwrap().keys() {
            let is_described = readme.contains(&format!("| `{feature}` |"));
            assert!(
                is_described || INTERNAL_FEATURES.contains(&feature.as_str()),
                "README.md of {name} does not describe the feature {feature}"
            );
        }
        for dependency in list(&package["dependencies"]) {
            let is_local = dependency["path"].is_string() && dependency["kind"] != "dev";
            let has_version = dependency["req"] != "*";
            assert!(
                !is_local || has_version,
                "{name}: {} has no version",
                dependency["name"]
            );
        }
    }
}
