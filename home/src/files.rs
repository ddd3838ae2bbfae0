//! How files and folders are created that only this user may read.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Creates a folder, and those above it that are missing, for this user alone (mode 0700).
///
/// Folders that exist keep the mode they have; an empty path is the working folder and exists.
///
/// ```
/// use std::os::unix::fs::PermissionsExt;
/// use labwire_home::create_private_folder;
///
/// # let scratch = tempfile::tempdir()?;
/// # let home = scratch.path();
/// let keys = home.join("lab").join("keys");
/// create_private_folder(&keys)?;
/// assert_eq!(keys.metadata()?.permissions().mode() & 0o777, 0o700);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn create_private_folder(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Creates a file that only this user can read and write (mode 0600), and opens it for writing.
///
/// The mode is part of the creation: there is no moment in which others could open the file. A file that
/// exists already is an error of the kind [`io::ErrorKind::AlreadyExists`], and stays as it is.
///
/// ```
/// use std::io::{ErrorKind, Write};
/// use labwire_home::create_private_file;
///
/// # let scratch = tempfile::tempdir()?;
/// # let home = scratch.path();
/// let path = home.join("localhost.key");
/// create_private_file(&path)?.write_all(b"a secret")?;
/// // What is there already is not overwritten.
/// assert_eq!(create_private_file(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn create_private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn created_folders_are_private_and_existing_ones_keep_their_mode() {
        let folder = tempfile::tempdir().unwrap();
        let shared = folder.path().join("shared");
        std::fs::create_dir(&shared).unwrap();
        std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o755)).unwrap();
        let inner = shared.join("a").join("b");
        create_private_folder(&inner).unwrap();
        create_private_folder(&inner).unwrap();
        assert_eq!(
            [mode(&shared), mode(&shared.join("a")), mode(&inner)],
            [0o755, 0o700, 0o700]
        );
    }

    #[test]
    fn a_created_file_is_private_and_an_existing_one_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        create_private_file(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        let again = create_private_file(&path).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    }
}
