//! The folders on this computer.

use labwire_client::Home;

use super::report::Check;
use crate::connection::is_set;
use crate::failure::Failure;
use crate::saved::is_same_folder;

const CHECK: &str = "home";

/// The problem that Rust and Python programs have different folders.
const TWO_HOMES: &str = "two-home-folders";

/// Returns whether a manager or its commands have used the folder.
fn is_used(home: &Home) -> bool {
    home.database().exists() || home.key_file().exists()
}

/// Checks that programs of Rust and of Python use the same files, where that matters.
pub(super) fn check() -> Check {
    let home = match Home::resolve() {
        Ok(home) => home,
        Err(error) => return Check::failed(CHECK, "no-home-folder", Failure::Failed, error.to_string()),
    };
    let own = home.root().display();
    let Some(theirs) = Home::of_msl_network().filter(|theirs| !is_same_folder(home.root(), theirs.root()))
    else {
        return Check::ok(CHECK, format!("{own} for all programs"));
    };
    let other = theirs.root().display();
    if is_set("LABWIRE_HOME") && is_set("MSL_NETWORK_HOME") {
        return Check::warning(
            CHECK,
            TWO_HOMES,
            format!(
                "two home folders: labwire and Rust programs use {own} (LABWIRE_HOME), Python programs {other} \
                 (MSL_NETWORK_HOME); certificates, users and keys in one are not in the other"
            ),
        )
        .remedy("set both variables to one folder, or unset LABWIRE_HOME");
    }
    if !is_used(&theirs) {
        return Check::ok(CHECK, own.to_string());
    }
    if !is_used(&home) {
        return Check::warning(
            CHECK,
            TWO_HOMES,
            format!(
                "an installation of MSL-Network in {other} is not used by labwire, whose folder {own} has neither a \
                 database nor a key yet"
            ),
        )
        .command(
            "to use the users, keys and certificates of MSL-Network, start the manager with",
            format!("MSL_NETWORK_HOME={other} labwire start"),
        );
    }
    Check::warning(
        CHECK,
        TWO_HOMES,
        format!(
            "two home folders are in use: labwire uses {own}, MSL-Network {other}; users, trusted hostnames and \
             certificates in one are not in the other"
        ),
    )
    .remedy(
        "to use one of them for both, set MSL_NETWORK_HOME to it (and unset LABWIRE_HOME), for managers, programs and \
         `labwire user`",
    )
}
