//! Names for the completion of a command line in a shell.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{ArgMatches, FromArgMatches};
use labwire_client::{FirstUse, Identities, Value};
use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::client_name::client_name;
use crate::connection::{Connection, ConnectionArgs};
use crate::output::shell_word;
use crate::profiles::Profiles;
use crate::shell::{missing, parameters};

/// The longest time that a person waits for names.
const PATIENCE: Duration = Duration::from_millis(900);

/// Returns the names of the services of the manager that these options of a command name. Returns
/// none if it does not answer within a second. Nobody is asked anything, and nothing is saved.
pub fn service_names(options: &ArgMatches) -> Vec<String> {
    let services = identities(options).map(|found| found.services);
    let names = services.into_iter().flat_map(BTreeMap::into_keys);
    names.filter(|name| is_plain(name)).collect()
}

/// As [`service_names`], the attributes of the service that the arguments of the command name.
pub fn attribute_names(options: &ArgMatches) -> Vec<String> {
    let Ok(Some(service)) = options.try_get_one::<String>("service") else {
        return Vec::new();
    };
    let found = identities(options).and_then(|mut found| found.services.remove(service));
    let Some(found) = found else {
        return Vec::new();
    };
    let names = found.attributes.keys().cloned();
    names.filter(|name| is_plain(name)).collect()
}

/// As [`service_names`], the names of the arguments of the method that the arguments of the command name,
/// each with `=` behind it: those that are not given yet, by name or by position.
pub fn argument_names(options: &ArgMatches) -> Vec<String> {
    let text = |id| options.try_get_one::<String>(id).ok().flatten();
    let (Some(service), Some(attribute)) = (text("service"), text("attribute")) else {
        return Vec::new();
    };
    let found = identities(options).and_then(|mut found| found.services.remove(service));
    let value = found.and_then(|mut found| found.attributes.remove(attribute));
    let Some(signature) = value.as_ref().and_then(Value::as_signature) else {
        return Vec::new();
    };
    let values = options.try_get_many::<String>("values").ok().flatten();
    let values: Vec<_> = values.into_iter().flatten().map(String::as_str).collect();
    // The last word is the one that is completed.
    let before = values.split_last().map_or(&[][..], |(_, before)| before);
    let missing = missing(parameters(signature), before);
    let names = missing.into_iter().map(|parameter| parameter.name);
    names
        .filter(|name| is_plain(name))
        .map(|name| format!("{name}="))
        .collect()
}

/// Returns the names of the profiles.
pub fn profile_names() -> Vec<String> {
    let Ok(Some(profiles)) = Profiles::read_if_any() else {
        return Vec::new();
    };
    let names = profiles.all().keys();
    names.filter(|name| is_plain(name)).cloned().collect()
}

/// Returns whether a shell can insert a name as it is. Some shells add no quotation marks, and a peer
/// may choose a name that is a command for the shell.
fn is_plain(name: &str) -> bool {
    !name.starts_with('-') && shell_word(name) == name
}

fn identities(options: &ArgMatches) -> Option<Identities> {
    let options = ConnectionArgs::from_arg_matches(options).ok()?.options().ok()?;
    let options = options
        .timeout(PATIENCE)
        .first_use(FirstUse::Refuse)
        .ask_with(|_| None);
    let runtime = Builder::new_current_thread().enable_all().build().ok()?;
    let asking = async {
        let connection = Connection::open(&client_name("completions"), options)
            .await
            .ok()?;
        connection.identities().await.ok()
    };
    let found = runtime.block_on(async { timeout(PATIENCE, asking).await });
    // The resolver of names may take longer.
    runtime.shutdown_background();
    found.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_a_shell_would_execute_is_left_out() {
        for (name, is_kept) in [
            ("DMM_1", true),
            ("scope-2.lab", true),
            ("$(reboot)", false),
            ("a b", false),
            ("-x", false),
            ("a\u{1b}[2J", false),
            ("", false),
        ] {
            assert_eq!(is_plain(name), is_kept, "{name}");
        }
    }
}
