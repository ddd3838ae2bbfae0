//! The history: the lines that were typed, in a file of the home folder that only its owner can
//! read. Lines that may hold a password are not kept, not even until the shell ends.

use std::io;
use std::path::{Path, PathBuf};

use labwire_client::Home;
use labwire_home::{create_private_file, create_private_folder};
use reedline::{
    FileBackedHistory, History, HistoryItem, HistoryItemId, HistorySessionId, ReedlineError,
    ReedlineErrorVariants, Result, SearchQuery,
};

/// The number of lines that are kept.
const CAPACITY: usize = 2_000;

/// The name of the file in the home folder.
const FILE: &str = "shell-history";

/// Texts, in lower case, that mark a line as one that may contain a password.
const SECRETS: [&str; 8] = [
    "passw",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "credential",
    "users_table.insert",
    "users_table.update",
];

/// Returns whether a line may hold a password.
pub(crate) fn may_hold_secret(line: &str) -> bool {
    let line = line.to_lowercase();
    SECRETS.iter().any(|secret| line.contains(secret))
}

/// A history without lines that may hold a password. Each line is written at once.
pub(crate) struct PrivateHistory {
    lines: FileBackedHistory,
}

impl PrivateHistory {
    /// Opens the history of this user, and creates its file.
    ///
    /// # Errors
    /// If there is no home folder, or the file cannot be read or created. The text contains its
    /// path.
    pub(crate) fn open() -> std::result::Result<Self, String> {
        let home = Home::resolve().map_err(|error| error.to_string())?;
        let path = home.root().join(FILE);
        Self::at(&path).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn at(path: &Path) -> std::result::Result<Self, String> {
        let created = || -> io::Result<()> {
            create_private_folder(path.parent().unwrap_or(Path::new("")))?;
            match create_private_file(path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => make_private(path),
                created => created.map(drop),
            }
        };
        created().map_err(|error| error.to_string())?;
        let lines = FileBackedHistory::with_file(CAPACITY, PathBuf::from(path));
        Ok(Self {
            lines: lines.map_err(|error| error.to_string())?,
        })
    }

    /// Returns a history that ends with the shell.
    pub(crate) fn in_memory() -> Self {
        Self {
            lines: FileBackedHistory::default(),
        }
    }
}

/// Makes an existing file readable for its owner only.
///
/// # Errors
/// If it is not a file, but for example a symbolic link, or belongs to another user.
fn make_private(path: &Path) -> io::Result<()> {
    let data = path.symlink_metadata()?;
    if !data.is_file() {
        return Err(io::Error::other(
            "it is not a file (perhaps a symbolic link); move it away",
        ));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};

        if data.uid() != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other("it belongs to another user; move it away"));
        }
        if data.mode() & 0o077 != 0 {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        }
    }
    Ok(())
}

impl History for PrivateHistory {
    fn save(&mut self, item: HistoryItem) -> Result<HistoryItem> {
        if may_hold_secret(&item.command_line) {
            return Err(ReedlineError(ReedlineErrorVariants::OtherHistoryError(
                "the line may hold a password",
            )));
        }
        let saved = self.lines.save(item)?;
        self.lines.sync()?;
        Ok(saved)
    }

    fn load(&self, id: HistoryItemId) -> Result<HistoryItem> {
        self.lines.load(id)
    }

    fn count(&self, query: SearchQuery) -> Result<i64> {
        self.lines.count(query)
    }

    fn search(&self, query: SearchQuery) -> Result<Vec<HistoryItem>> {
        self.lines.search(query)
    }

    fn update(&mut self, id: HistoryItemId, updater: &dyn Fn(HistoryItem) -> HistoryItem) -> Result<()> {
        self.lines.update(id, updater)
    }

    fn clear(&mut self) -> Result<()> {
        self.lines.clear()
    }

    fn delete(&mut self, id: HistoryItemId) -> Result<()> {
        self.lines.delete(id)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.lines.sync()
    }

    fn session(&self) -> Option<HistorySessionId> {
        self.lines.session()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lines_are_kept_in_a_private_file_but_for_passwords() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("home").join(FILE);
        let mut history = PrivateHistory::at(&path).unwrap();
        for line in ["Echo echo 1", "Manager users_table.insert ada hunter2 true"] {
            let saved = history.save(HistoryItem::from_command_line(line));
            assert_eq!(saved.is_err(), line.contains("hunter2"));
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "Echo echo 1\n");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let query = SearchQuery::everything(reedline::SearchDirection::Forward, None);
        let again = PrivateHistory::at(&path).unwrap().search(query).unwrap();
        assert_eq!((again.len(), again[0].command_line.as_str()), (1, "Echo echo 1"));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_made_private_and_a_link_is_not_followed() {
        use std::os::unix::fs::{PermissionsExt, symlink};

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        fs::write(&path, "Echo echo 1\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        PrivateHistory::at(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        let error = PrivateHistory::at(&link).err().unwrap();
        assert!(error.contains("symbolic link"), "{error}");
    }

    #[test]
    fn passwords_are_suspected_wherever_they_may_be() {
        for line in [
            "Vault open password=x",
            "Vault open PASSWD=x",
            "Vault open {\"apiToken\": \"x\"}",
            "Manager users_table.update ada x",
        ] {
            assert!(may_hold_secret(line), "{line}");
        }
        assert!(!may_hold_secret("DMM read channel=2"));
    }
}
