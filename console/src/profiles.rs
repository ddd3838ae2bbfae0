//! Profiles: named settings for connections, in the file `config.toml` of the home folder.
//!
//! ```toml
//! default-profile = "clean-room"
//!
//! [profiles.clean-room]
//! host = "lab-pc:1876"
//! username = "ada"
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use labwire_client::Home;
use labwire_home::{Existing, Readers, create_private_folder, write_whole_file};
use serde::Deserialize;
use toml_edit::{DocumentMut, Item, Table, TableLike, value};

use crate::failure::Failure;
use crate::near::did_you_mean;
use crate::output::one_line;
use crate::settings::Settings;
use crate::toml_file::check_keys;

const DEFAULT: &str = "default-profile";
const PROFILES: &str = "profiles";

/// The content of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Config {
    default_profile: Option<String>,
    #[serde(default)]
    profiles: BTreeMap<String, Settings>,
}

/// The file with the profiles. Changes keep its comments, but for those in a profile that is
/// replaced.
pub(crate) struct Profiles {
    path: PathBuf,
    document: DocumentMut,
    config: Config,
}

impl Profiles {
    /// Reads the file of this user's home folder. A file that is not there has no profiles.
    ///
    /// # Errors
    /// If it cannot be read, or has a key or a value that is not known.
    pub(crate) fn read() -> Result<Self, Failure> {
        let home = Home::resolve().map_err(|error| Failure::Failed(error.to_string()))?;
        let path = home.root().join("config.toml");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(Failure::Failed(format!(
                    "cannot read {}: {error}",
                    path.display()
                )));
            }
        };
        let wrong = |error: String| Failure::Usage(format!("{}: {}", path.display(), error.trim()));
        let document: DocumentMut = text
            .parse()
            .map_err(|error: toml_edit::TomlError| wrong(error.to_string()))?;
        check_keys("the file", document.as_table(), &[DEFAULT, PROFILES]).map_err(&wrong)?;
        let profiles = document.get(PROFILES).and_then(Item::as_table_like);
        for (name, profile) in profiles.into_iter().flat_map(TableLike::iter) {
            if let Some(profile) = profile.as_table_like() {
                let place = format!("the profile '{}'", one_line(name));
                check_keys(&place, profile, &Settings::KEYS).map_err(&wrong)?;
            }
        }
        let config =
            toml_edit::de::from_document(document.clone()).map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            path,
            document,
            config,
        })
    }

    /// As [`read`](Self::read); `None` if this user has no home folder, or a file in its place:
    /// `labwire doctor` tells that.
    pub(crate) fn read_if_any() -> Result<Option<Self>, Failure> {
        match Home::resolve() {
            Ok(home) if !home.root().is_file() => Self::read().map(Some),
            Ok(_) | Err(_) => Ok(None),
        }
    }

    /// Returns the names of the profiles, with their settings.
    pub(crate) fn all(&self) -> &BTreeMap<String, Settings> {
        &self.config.profiles
    }

    /// Returns the name of the default profile.
    pub(crate) fn default_name(&self) -> Option<&str> {
        self.config.default_profile.as_deref()
    }

    /// Returns a profile.
    ///
    /// # Errors
    /// If there is none of that name.
    pub(crate) fn get(&self, name: &str) -> Result<&Settings, Failure> {
        self.config.profiles.get(name).ok_or_else(|| {
            let known = self.config.profiles.keys().map(String::as_str);
            let hint = did_you_mean(name, known)
                .unwrap_or_else(|| "list the profiles with: labwire profile list".to_owned());
            Failure::Usage(format!("no profile is named '{}'", one_line(name))).with_hint(Some(hint))
        })
    }

    /// Adds a profile, or replaces the one of that name.
    pub(crate) fn add(&mut self, name: &str, settings: &Settings) -> Result<(), Failure> {
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(Failure::Usage(
                "the name of a profile has one or more characters in one line".to_owned(),
            ));
        }
        let settings = settings.checked()?;
        let written = toml_edit::ser::to_document(&settings);
        let written = written.map_err(|error| Failure::Failed(error.to_string()))?;
        let profiles = self.document.entry(PROFILES).or_insert_with(|| {
            let mut profiles = Table::new();
            // Without a header of its own: the profiles have theirs.
            profiles.set_implicit(true);
            Item::Table(profiles)
        });
        let Some(profiles) = profiles.as_table_like_mut() else {
            return Err(Failure::Usage(format!(
                "{}: {PROFILES} is not a table",
                self.path.display()
            )));
        };
        profiles.insert(name, Item::Table(written.as_table().clone()));
        self.write()
    }

    /// Removes a profile. If it was the default, there is none afterwards.
    pub(crate) fn remove(&mut self, name: &str) -> Result<(), Failure> {
        self.get(name)?;
        if let Some(profiles) = self.document[PROFILES].as_table_like_mut() {
            profiles.remove(name);
        }
        if self.default_name() == Some(name) {
            self.document.remove(DEFAULT);
        }
        self.write()
    }

    /// Makes a profile the default.
    pub(crate) fn set_default(&mut self, name: &str) -> Result<(), Failure> {
        self.get(name)?;
        self.document[DEFAULT] = value(name);
        self.write()
    }

    /// Makes no profile the default.
    pub(crate) fn unset_default(&mut self) -> Result<(), Failure> {
        self.document.remove(DEFAULT);
        self.write()
    }

    fn write(&self) -> Result<(), Failure> {
        let written = self
            .path
            .parent()
            .map_or(Ok(()), create_private_folder)
            .and_then(|()| {
                let text = self.document.to_string();
                write_whole_file(&self.path, text.as_bytes(), Readers::Owner, Existing::Replace)
            });
        written.map_err(|error| Failure::Failed(format!("cannot write {}: {error}", self.path.display())))
    }
}
