//! The folders on this computer.

use std::io::ErrorKind;
use std::path::Path;

use labwire_client::Home;

use super::report::Check;
use crate::failure::Failure;
use crate::output::shell_word;
use crate::saved::is_same_folder;
use crate::variables::is_set;

const CHECK: &str = "home";

/// The problem that Rust and Python programs have different folders.
const TWO_HOMES: &str = "two-home-folders";

/// The problem that a home folder is no folder, or cannot be read.
const UNUSABLE: &str = "unusable-home-folder";

/// The problem that an environment variable names a home folder that does not exist.
const MISSING: &str = "missing-home-folder";

/// Returns whether a manager or its commands have used the folder.
fn is_used(home: &Home) -> bool {
    home.database().exists() || home.key_file().exists()
}

/// Returns why programs cannot use a home folder. One that does not exist is created when it is
/// needed.
fn trouble(folder: &Path) -> Option<String> {
    let shown = folder.display();
    match std::fs::metadata(folder) {
        Ok(found) if !found.is_dir() => Some(format!("{shown} is a file, not a folder")),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Ok(_) => std::fs::read_dir(folder)
            .err()
            .map(|error| format!("{shown} cannot be read: {error}")),
        Err(error) => Some(format!("{shown} cannot be used: {error}")),
    }
}

/// Returns the variable that names the home folder of Rust programs.
fn variable() -> Option<&'static str> {
    ["LABWIRE_HOME", "MSL_NETWORK_HOME"]
        .into_iter()
        .find(|variable| is_set(variable))
}

/// Checks that the folders can be used, and that programs of Rust and of Python use the same files,
/// where that matters.
pub(super) fn check() -> Check {
    let home = match Home::resolve() {
        Ok(home) => home,
        Err(error) => return Check::failed(CHECK, "no-home-folder", Failure::Failed, error.to_string()),
    };
    if let Some(trouble) = trouble(home.root()) {
        return unusable(&trouble);
    }
    let own = home.root().display();
    let theirs = Home::of_msl_network().filter(|theirs| !is_same_folder(home.root(), theirs.root()));
    let are_both_named = theirs.is_some() && is_set("MSL_NETWORK_HOME");
    if let Some(variable) = variable()
        && is_missing(home.root())
        && !are_both_named
    {
        return missing(home.root(), variable);
    }
    let Some(theirs) = theirs else {
        return Check::ok(CHECK, format!("{own} for all programs"));
    };
    if let Some(trouble) = trouble(theirs.root()) {
        return Check::warning(
            CHECK,
            UNUSABLE,
            format!("Python programs cannot use their home folder: {trouble}"),
        )
        .remedy("set MSL_NETWORK_HOME to a folder, or unset it if it is set, or move the file away");
    }
    two_folders(&home, &theirs)
}

fn unusable(trouble: &str) -> Check {
    let check = Check::failed(
        CHECK,
        UNUSABLE,
        Failure::Failed,
        format!("programs cannot use the home folder: {trouble}"),
    );
    match variable() {
        Some(variable) => check.remedy(format!(
            "set {variable} to a folder of yours, or unset it: the default is ~/.labwire"
        )),
        None => {
            check.remedy("move it away, or correct its permissions, or set LABWIRE_HOME to another folder")
        }
    }
}

/// Returns whether a folder does not exist.
fn is_missing(folder: &Path) -> bool {
    std::fs::metadata(folder).is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

/// A variable names a folder that does not exist: it may be mistyped.
fn missing(folder: &Path, variable: &str) -> Check {
    Check::warning(
        CHECK,
        MISSING,
        format!("{} (from {variable}; it does not exist)", folder.display()),
    )
    .remedy(format!(
        "correct {variable}, or unset it: the default is ~/.labwire; with a mistyped folder, programs find none of the \
         users, keys and certificates, and create the folder when they save some"
    ))
}

/// Returns the variable that names a folder, for people.
fn origin(variable: &str, folder: &Path) -> String {
    if is_missing(folder) {
        format!("(from {variable}; it does not exist)")
    } else {
        format!("({variable})")
    }
}

fn two_folders(home: &Home, theirs: &Home) -> Check {
    let (own, other) = (home.root().display(), theirs.root().display());
    if is_set("LABWIRE_HOME") && is_set("MSL_NETWORK_HOME") {
        return Check::warning(
            CHECK,
            TWO_HOMES,
            format!(
                "two home folders: labwire and Rust programs use {own} {}, Python programs {other} {}; certificates, \
                 users and keys in one are not in the other",
                origin("LABWIRE_HOME", home.root()),
                origin("MSL_NETWORK_HOME", theirs.root())
            ),
        )
        .remedy("set both variables to one folder, or unset LABWIRE_HOME");
    }
    if !is_used(theirs) {
        return Check::ok(CHECK, own.to_string());
    }
    if !is_used(home) {
        return Check::warning(
            CHECK,
            TWO_HOMES,
            format!(
                "an installation of MSL-Network in {other} is not used by labwire, whose folder {own} has neither a \
                 database nor a key yet"
            ),
        )
        .command(
            "to use the users, keys and certificates of MSL-Network, start the manager with this variable and its other \
             options, and set it for programs and for the other commands of labwire, too",
            start_in(&shell_word(&theirs.root().to_string_lossy())),
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
    .command(
        "to use that of MSL-Network for both, set this variable (and unset LABWIRE_HOME) for managers, programs and \
         commands such as labwire user",
        set_variable(theirs.root()),
    )
    .command("or, to use that of labwire for both", set_variable(home.root()))
}

/// Returns the command that makes a folder the home folder of both kinds of programs.
fn set_variable(folder: &Path) -> String {
    let folder = shell_word(&folder.to_string_lossy());
    if cfg!(windows) {
        format!("$env:MSL_NETWORK_HOME = {folder}")
    } else {
        format!("export MSL_NETWORK_HOME={folder}")
    }
}

/// Returns the command that starts a manager in a folder, which is written for a shell.
pub(super) fn start_in(folder: &str) -> String {
    if cfg!(windows) {
        format!("$env:MSL_NETWORK_HOME = {folder}; labwire start")
    } else {
        format!("MSL_NETWORK_HOME={folder} labwire start")
    }
}
