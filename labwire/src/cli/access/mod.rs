//! `labwire group`, `role`, `set`, `label`, `grant` and `may`: who may do what at a manager that was started
//! with `--roles`; `labwire token`, and `labwire totp`.

pub(crate) mod grant;
pub(crate) mod group;
pub(crate) mod label;
pub(crate) mod may;
mod notes;
mod overview;
pub(crate) mod role;
pub(crate) mod set;
#[cfg(test)]
mod tests;
pub(crate) mod token;
pub(crate) mod totp;
mod until;

use std::io::Write;

use clap::Args;
use labwire_wire::visible;
use serde_json::json;

use super::database::{Chosen, CreateArgs, DatabaseArgs};

/// The options of an action that changes something.
#[derive(Debug, Args)]
struct ChangeArgs {
    #[command(flatten)]
    database: DatabaseArgs,
}

/// The options of an action that lists something.
#[derive(Debug, Args)]
struct ListArgs {
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    database: DatabaseArgs,
}

/// Returns the database of these options. It must exist: its users do.
fn choose(database: &DatabaseArgs) -> anyhow::Result<Chosen> {
    database.choose(&CreateArgs::default())
}

/// Writes named lists: one per line, or one JSON object per line with these names of its members.
fn write_lists<'a>(
    lists: impl IntoIterator<Item = (&'a String, &'a Vec<String>)>,
    [name_member, members_member]: [&str; 2],
    is_json: bool,
    output: &mut impl Write,
) -> anyhow::Result<()> {
    let lists: Vec<_> = lists.into_iter().collect();
    if is_json {
        for (name, members) in lists {
            writeln!(
                output,
                "{}",
                json!({ name_member: name, members_member: members })
            )?;
        }
        return Ok(());
    }
    let lists = lists.into_iter();
    let lists: Vec<_> = lists
        .map(|(name, members)| (visible(name), visible(&members.join(", "))))
        .collect();
    let width = lists
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or_default();
    for (name, members) in lists {
        let line = format!("{name:width$}  {members}");
        writeln!(output, "{}", line.trim_end())?;
    }
    Ok(())
}
