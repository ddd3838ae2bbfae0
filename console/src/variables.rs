//! Environment variables.

use std::ffi::OsString;

use labwire_home::nearest;

/// The beginning of the names of Labwire's variables.
const PREFIX: &str = "LABWIRE_";

/// The variables that the SDKs and the home folder read.
const OF_SDKS: [&str; 15] = [
    "LABWIRE_CERT_FILE",
    "LABWIRE_CLIENT_CERT",
    "LABWIRE_CLIENT_KEY",
    "LABWIRE_DISABLE_TLS",
    "LABWIRE_FIRST_USE",
    "LABWIRE_HOME",
    "LABWIRE_KEEP_CALLERS",
    "LABWIRE_MANAGER",
    "LABWIRE_MANAGER_PASSWORD",
    "LABWIRE_PASSWORD",
    "LABWIRE_PROFILE",
    "LABWIRE_RECONNECT",
    "LABWIRE_SESSION",
    "LABWIRE_SESSION_GRACE",
    "LABWIRE_USERNAME",
];

/// Whether an environment variable is set. An empty one counts as not set.
pub(crate) fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

/// Returns a text for each variable whose name is a misspelt one of Labwire's: those of the SDKs, and
/// `others`. A variable that is like none of them may be for another program.
pub fn misspelt_variables<'a>(
    set: impl IntoIterator<Item = OsString>,
    others: impl IntoIterator<Item = &'a str>,
) -> Vec<String> {
    let known = OF_SDKS.into_iter().chain(others);
    let known: Vec<_> = known.filter_map(|name| name.strip_prefix(PREFIX)).collect();
    let misspelt = set.into_iter().filter_map(|name| {
        let name = name.into_string().ok()?;
        let own = name.strip_prefix(PREFIX).filter(|own| !known.contains(own))?;
        let near = nearest(own, known.iter().copied())?;
        Some(format!(
            "the environment variable {name} is not known: did you mean {PREFIX}{near}?"
        ))
    });
    misspelt.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_variable_is_told_with_the_one_that_is_meant() {
        let told = |name: &str| misspelt_variables([name.into()], ["LABWIRE_PORT"]);
        for (name, meant) in [
            ("LABWIRE_MANGER", "LABWIRE_MANAGER"),
            ("LABWIRE_DISABLETLS", "LABWIRE_DISABLE_TLS"),
            ("LABWIRE_PROT", "LABWIRE_PORT"),
            ("LABWIRE_manager", "LABWIRE_MANAGER"),
        ] {
            let text = format!("the environment variable {name} is not known: did you mean {meant}?");
            assert_eq!(told(name), [text]);
        }
        for name in [
            "LABWIRE_MANAGER",
            "LABWIRE_PORT",
            "LABWIRE_RACK",
            "LABWIRE_",
            "MANGER",
        ] {
            assert!(told(name).is_empty(), "{name}");
        }
    }

    #[test]
    fn the_variables_of_the_sdks_are_known() {
        let source = include_str!("../../device/src/environment.rs");
        let documented = source
            .lines()
            .filter(|line| line.starts_with("    /// | `LABWIRE_"));
        let mut count = 0;
        for name in documented.flat_map(|line| line.split('`')) {
            if name.starts_with(PREFIX) {
                assert!(OF_SDKS.contains(&name), "{name}");
                count += 1;
            }
        }
        assert_eq!(count, OF_SDKS.len() - 2);
    }
}
