//! `labwire profile`: names for the settings of connections.

use std::fmt::Write;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{OutputArgs, STRONG, one_line, say, say_json, say_table, tell};
use crate::profiles::Profiles;
use crate::settings::Settings;

pub(crate) const AFTER_HELP: &str = "\
Examples:
  labwire profile add clean-room --host lab-pc --username ada
  labwire services --profile clean-room
  labwire profile show clean-room
  labwire profile default clean-room
  labwire profile default --unset

A profile holds the options under Connection. It is used with --profile or
LABWIRE_PROFILE. The default profile is used when neither is given, nor --host
or LABWIRE_MANAGER. An option on the command line goes before the profile, the
profile before the SDKs' environment variables. Profiles are kept in config.toml
in the home folder, without passwords, which show and list do not print either.";

#[derive(Args, Debug)]
pub struct ProfileArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add a profile, or replace the one of that name
    Add {
        /// Its name
        name: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// List the profiles
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show the settings of a profile
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Use a profile where no other is named, or none with --unset
    Default {
        /// Its name
        #[arg(required_unless_present = "unset")]
        name: Option<String>,
        /// Use no profile where none is named
        #[arg(long, conflicts_with = "name")]
        unset: bool,
    },
    /// Remove a profile
    Remove {
        /// Its name
        name: String,
    },
}

/// A profile, as an object of JSON.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Listed<'a> {
    name: &'a str,
    default: bool,
    #[serde(flatten)]
    settings: &'a Settings,
}

pub(crate) fn run(arguments: &ProfileArgs) -> Result<(), Failure> {
    let mut profiles = Profiles::read()?;
    match &arguments.action {
        Action::Add { name, settings } => add(&mut profiles, name, settings),
        Action::Default { name: None, .. } => {
            let former = profiles.default_name().map(one_line);
            profiles.unset_default()?;
            say(match former {
                Some(former) => format!("'{former}' is not the default profile any more"),
                None => "there is no default profile".to_owned(),
            })
        }
        Action::Default { name: Some(name), .. } => {
            profiles.set_default(name)?;
            say(format_args!("'{}' is the default profile", one_line(name)))
        }
        Action::Remove { name } => {
            profiles.remove(name)?;
            say(format_args!("the profile '{}' is removed", one_line(name)))
        }
        Action::List { output } => list(&profiles, *output),
        Action::Show { name, output } => show(&profiles, name, *output),
    }
}

fn add(profiles: &mut Profiles, name: &str, settings: &Settings) -> Result<(), Failure> {
    let former = profiles.all().get(name).map(Settings::to_string);
    profiles.add(name, settings)?;
    let shown = one_line(name);
    match former {
        Some(former) => say(format_args!(
            "the profile '{shown}' is replaced; it was: {}",
            one_line(&former)
        )),
        None => say(format_args!("the profile '{shown}' is added")),
    }
}

impl<'a> Listed<'a> {
    fn new(profiles: &'a Profiles, name: &'a str, settings: &'a Settings) -> Self {
        Self {
            name,
            default: profiles.default_name() == Some(name),
            settings,
        }
    }
}

/// Shows a profile: each setting in a line, as its option is named.
fn show(profiles: &Profiles, name: &str, output: OutputArgs) -> Result<(), Failure> {
    let listed = Listed::new(profiles, name, profiles.get(name)?);
    if output.json {
        return say_json(&listed);
    }
    let is_default = if listed.default {
        ", the default profile"
    } else {
        ""
    };
    let mut text = format!("{STRONG}{}{STRONG:#}{is_default}", one_line(name));
    for (key, value) in listed.settings.shown() {
        let _ = write!(text, "\n  {key:<17}{}", one_line(&value));
    }
    say(text)
}

fn list(profiles: &Profiles, output: OutputArgs) -> Result<(), Failure> {
    let listed = profiles.all().iter();
    let listed: Vec<_> = listed
        .map(|(name, settings)| Listed::new(profiles, name, settings))
        .collect();
    if output.json {
        return listed.iter().try_for_each(say_json);
    }
    if listed.is_empty() {
        tell("there are no profiles; add one with: labwire profile add NAME --host HOST");
        return Ok(());
    }
    let rows = listed.iter().map(|listed| {
        let is_default = if listed.default { "yes" } else { "" };
        vec![
            one_line(listed.name),
            one_line(&listed.settings.to_string()),
            is_default.to_owned(),
        ]
    });
    say_table(&["NAME", "SETTINGS", "DEFAULT"], rows.collect())
}
