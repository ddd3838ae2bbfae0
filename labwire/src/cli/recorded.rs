//! The record of what commands change in the database of a manager, whether it runs or not.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use labwire_home::{create_private_file, hostname};
use labwire_record::{Entry, Kind, RecordError, append};

use super::database::Chosen;
use super::{set_variable, tell};

/// Records that a command, such as `grant add`, has changed the database, and writes what it has done.
/// As [`record`] otherwise.
pub(super) fn done(
    chosen: &Chosen,
    command: &str,
    what: &str,
    output: &mut impl Write,
) -> anyhow::Result<()> {
    record(chosen, command, what);
    writeln!(output, "{what}")?;
    Ok(())
}

/// Records that a command, such as `grant add`, has changed the database.
///
/// The change is made already: if it cannot be recorded, standard error says so, and the command goes on.
pub(super) fn record(chosen: &Chosen, command: &str, what: &str) {
    let recorded = chosen.record().and_then(|record| match record {
        Some(record) => Ok(note(&record, &chosen.path, command, what)?),
        None => Ok(()),
    });
    if let Err(error) = recorded {
        tell(format_args!("labwire: this change is not in the record: {error}"));
    }
}

fn note(record: &Path, database: &Path, command: &str, what: &str) -> Result<(), RecordError> {
    create_for_owner(record, database);
    append(
        record,
        &[Entry {
            user: Some(system_user().into()),
            peer: Some(format!("labwire[{}]", hostname()).into()),
            attribute: Some(command.into()),
            text: Some(what.into()),
            ..Entry::new(Kind::Command)
        }],
    )
}

/// Creates the record if it is missing. If root does so, it belongs to the owner of the database: the
/// manager runs as that user. What fails here fails again when the record is opened.
fn create_for_owner(record: &Path, database: &Path) {
    if let (Ok(_), Ok(owner)) = (create_private_file(record), fs::metadata(database)) {
        // It is the same already, or only root can do that.
        let _ = chown(record, Some(owner.uid()), Some(owner.gid()));
    }
}

/// Returns the name of the user of this process, also of the one who became root with `sudo`.
fn system_user() -> String {
    let user = rustix::process::getuid().as_raw();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = name_of(user, &users).unwrap_or_else(|| format!("uid {user}"));
    match set_variable("SUDO_USER") {
        // Others could set the variable to any name.
        Some(before) if user == 0 => format!("{name} (sudo of {})", before.to_string_lossy()),
        _ => name,
    }
}

/// Returns the name of a user in the lines of `/etc/passwd`.
fn name_of(user: u32, lines: &str) -> Option<String> {
    lines.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(user)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_name_in_the_systems_list() {
        let lines = "root:x:0:0:root:/root:/bin/bash\nbroken\nada:x:1000:1000::/home/ada:/bin/sh\n";
        assert_eq!(name_of(1_000, lines).as_deref(), Some("ada"));
        assert_eq!(name_of(0, lines).as_deref(), Some("root"));
        assert_eq!(name_of(100, lines), None);
    }
}
