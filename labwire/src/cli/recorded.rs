//! The record of what commands change in the database of a manager, whether it runs or not.

use std::io::Write;
use std::path::Path;

use labwire_home::{create_private_file, give_to_owner_of, hostname};
use labwire_record::{Entry, Kind, RecordError, append};
use labwire_wire::visible;

use super::database::Chosen;
use super::tell;
use crate::system::user_name;

/// Records that a command, such as `grant add`, has changed the database, and writes what it has done.
/// As [`record`] otherwise.
pub(super) fn done(
    chosen: &Chosen,
    command: &str,
    what: &str,
    output: &mut impl Write,
) -> anyhow::Result<()> {
    record(chosen, command, what);
    writeln!(output, "{}", visible(what))?;
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
            user: Some(user_name().into()),
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
    if create_private_file(record).is_ok() {
        give_to_owner_of(record, database);
    }
}
