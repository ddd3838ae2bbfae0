//! The dependencies obey `deny.toml`. `cargo deny check licenses bans sources` checks the same
//! rules, but building that program takes longer than building Labwire.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

/// The part of `deny.toml` that is checked here. A rule that is added there must be added here too.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    licenses: Licences,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Licences {
    allow: HashSet<String>,
    exceptions: Vec<Exception>,
    private: Private,
}

/// The licences of one package that are allowed beside the others.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: HashSet<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Private {
    ignore: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Bans {
    multiple_versions: String,
    wildcards: String,
    allow_wildcard_paths: bool,
    deny: Vec<Banned>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Banned {
    #[serde(rename = "crate")]
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Sources {
    unknown_registry: String,
    unknown_git: String,
    allow_registry: Vec<String>,
}

/// The output of `cargo metadata`.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    /// `None` for the packages of the workspace.
    source: Option<String>,
    /// The registries that it may be published in; `None` for any.
    publish: Option<Vec<String>>,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    req: String,
    path: Option<String>,
}

impl Rules {
    fn allows(&self, package: &str, licence: &str) -> bool {
        let exceptions = self.licenses.exceptions.iter();
        let mut exceptions = exceptions.filter(|exception| exception.name == package);
        is_allowed(licence, &self.licenses.allow)
            || exceptions.any(|exception| is_allowed(licence, &exception.allow))
    }

    /// Returns the rules that a package violates.
    fn broken_by(&self, package: &Package) -> Vec<String> {
        let mut wrong = Vec::new();
        let is_private = package.publish.as_ref().is_some_and(Vec::is_empty);
        if !is_private {
            match &package.license {
                None => wrong.push("names no licence".to_owned()),
                Some(licence) if !self.allows(&package.name, licence) => {
                    wrong.push(format!("has a licence that is not allowed: {licence}"));
                }
                Some(_) => {}
            }
        }
        if self.bans.deny.iter().any(|banned| banned.name == package.name) {
            wrong.push("is banned".to_owned());
        }
        if let Some(source) = &package.source {
            let is_known = source.strip_prefix("registry+").is_some_and(|registry| {
                let mut allowed = self.sources.allow_registry.iter();
                allowed.any(|allowed| allowed == registry)
            });
            if !is_known {
                wrong.push(format!("comes from {source}"));
            }
        } else {
            let any = package
                .dependencies
                .iter()
                .filter(|needed| needed.req == "*" && needed.path.is_none());
            wrong.extend(any.map(|needed| format!("takes any version of {}", needed.name)));
        }
        let name = |wrong| format!("{} {} {wrong}", package.name, package.version);
        wrong.into_iter().map(name).collect()
    }
}

/// Whether the allowed licences satisfy a licence, given as an SPDX expression.
fn is_allowed(expression: &str, allowed: &HashSet<String>) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &words[..];
    let is_allowed = any_of(&mut rest, allowed);
    assert!(rest.is_empty(), "no licence: {expression:?}");
    is_allowed
}

/// Parses terms between `OR`, which binds less than `AND`.
fn any_of(words: &mut &[&str], allowed: &HashSet<String>) -> bool {
    let mut is_allowed = all_of(words, allowed);
    while let ["OR", rest @ ..] = words {
        *words = rest;
        is_allowed |= all_of(words, allowed);
    }
    is_allowed
}

fn all_of(words: &mut &[&str], allowed: &HashSet<String>) -> bool {
    let mut is_allowed = one(words, allowed);
    while let ["AND", rest @ ..] = words {
        *words = rest;
        is_allowed &= one(words, allowed);
    }
    is_allowed
}

fn one(words: &mut &[&str], allowed: &HashSet<String>) -> bool {
    match words {
        ["(", rest @ ..] => {
            *words = rest;
            let is_allowed = any_of(words, allowed);
            let [")", rest @ ..] = words else {
                panic!("a parenthesis is not closed before {words:?}")
            };
            *words = rest;
            is_allowed
        }
        [licence, "WITH", exception, rest @ ..] => {
            *words = rest;
            allowed.contains(&format!("{licence} WITH {exception}"))
        }
        [licence, rest @ ..] => {
            *words = rest;
            allowed.contains(*licence)
        }
        [] => panic!("an expression ends too soon"),
    }
}

fn rules() -> Rules {
    let text = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    toml::from_str(&text).expect("every rule of deny.toml is known here")
}

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn every_dependency_is_what_the_rules_allow() {
    let rules = rules();
    let bans = &rules.bans;
    let strictness = [
        &bans.wildcards,
        &rules.sources.unknown_registry,
        &rules.sources.unknown_git,
    ];
    assert!(strictness.iter().all(|level| *level == "deny"), "{strictness:?}");
    assert!(rules.licenses.private.ignore && bans.allow_wildcard_paths && bans.multiple_versions == "warn");

    // For all platforms, not only for this one. The metadata also contain optional dependencies
    // that are never enabled.
    let options = ["--locked", "--all-features"];
    let described = cargo(&[&["metadata", "--format-version", "1"], &options[..]].concat());
    let metadata: Metadata = serde_json::from_str(&described).unwrap();
    let tree = [
        "tree",
        "--workspace",
        "--target",
        "all",
        "--edges",
        "normal,build,dev",
        "--prefix",
        "none",
    ];
    let used = cargo(&[&tree, &options[..]].concat());
    let used: HashSet<(&str, &str)> = used
        .lines()
        .filter_map(|line| line.split_once(" v"))
        .map(|(name, rest)| (name, rest.split_whitespace().next().unwrap_or_default()))
        .collect();
    let is_used = |package: &&Package| used.contains(&(&*package.name, &*package.version));
    let packages: Vec<_> = metadata.packages.iter().filter(is_used).collect();
    assert_eq!(
        packages.len(),
        used.len(),
        "each of those that are used is described"
    );
    assert!(packages.len() > 200, "{}", packages.len());
    let wrong: Vec<_> = packages
        .into_iter()
        .flat_map(|package| rules.broken_by(package))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Returns the output of cargo for this workspace.
fn cargo(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO"));
    let output = command.args(arguments).current_dir(root()).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_dependency_that_breaks_a_rule_is_named_with_it() {
    let good = serde_json::json!({
        "name": "good", "version": "1.0.0", "license": "GPL-3.0 OR (MIT AND ISC)", "publish": null,
        "source": "registry+https://github.com/rust-lang/crates.io-index", "dependencies": [],
    });
    let rules = rules();
    let broken = |member: &str, value: serde_json::Value| {
        let mut package = good.clone();
        package[member] = value;
        rules
            .broken_by(&serde_json::from_value(package).unwrap())
            .join("; ")
    };
    assert_eq!(broken("version", "2.0.0".into()), "");
    for licence in [
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(MIT OR ISC) AND GPL-3.0",
        "MIT WITH strings",
    ] {
        let wrong = format!("good 1.0.0 has a licence that is not allowed: {licence}");
        assert_eq!(broken("license", licence.into()), wrong);
    }
    assert_eq!(broken("license", "MIT/GPL-3.0".into()), "");
    assert_eq!(broken("license", ().into()), "good 1.0.0 names no licence");
    assert_eq!(broken("name", "openssl".into()), "openssl 1.0.0 is banned");
    let elsewhere = "git+https://example.org/good";
    assert_eq!(
        broken("source", elsewhere.into()),
        format!("good 1.0.0 comes from {elsewhere}")
    );

    let mut own = good.clone();
    own["source"] = ().into();
    own["dependencies"] = serde_json::json!([
        { "name": "near", "req": "*", "path": "../near" },
        { "name": "far", "req": "*", "path": null },
    ]);
    let wrong = rules.broken_by(&serde_json::from_value(own).unwrap());
    assert_eq!(wrong, ["good 1.0.0 takes any version of far"]);
}
