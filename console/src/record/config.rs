//! The configuration file of a recording.
//!
//! ```toml
//! file = "lab.sqlite3"
//! rotate = "day"
//! watch = ["Heartbeat", "Thermometer.celsius"]
//! topic = ["lab.oven.>"]
//! poll = ["DMM.read(3) every 1s"]
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use labwire_home::text_of_file;
use serde::Deserialize;
use toml_edit::DocumentMut;

use crate::failure::Failure;
use crate::toml_file::check_keys;

/// The keys of the file.
const KEYS: [&str; 6] = ["file", "format", "rotate", "watch", "topic", "poll"];

/// The content of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Config {
    /// The file of the recording; relative to the folder of this one.
    pub(super) file: Option<PathBuf>,
    pub(super) format: Option<String>,
    pub(super) rotate: Option<String>,
    #[serde(default)]
    pub(super) watch: Vec<String>,
    #[serde(default)]
    pub(super) topic: Vec<String>,
    #[serde(default)]
    pub(super) poll: Vec<String>,
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, or has a key that is not known or a value of another type.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs::read(path)
            .and_then(|bytes| text_of_file(&bytes))
            .map_err(|error| Failure::Failed(format!("cannot read {}: {error}", path.display())))?;
        let wrong = |error: &str| Failure::Usage(format!("{}: {}", path.display(), error.trim()));
        let document: DocumentMut = text
            .parse()
            .map_err(|error: toml_edit::TomlError| wrong(&error.to_string()))?;
        check_keys("the file", document.as_table(), &KEYS).map_err(|error| wrong(&error))?;
        let mut config: Self =
            toml_edit::de::from_document(document).map_err(|error| wrong(&error.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        config.file = config.file.map(|file| folder.join(file));
        Ok(config)
    }
}
