//! Reading and writing the files of keys and certificates.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use pkcs8::der::zeroize::Zeroizing;

use super::error::PkiError;

/// The largest file that is read as a key or a certificate, in bytes. A chain of ten 4096-bit certificates
/// with their explanations takes 100 KiB; something a hundred times that size is not meant to be one.
const LARGEST_FILE: u64 = 10 * 1024 * 1024;

/// The mode of files that hold a private key.
pub(super) const PRIVATE: u32 = 0o600;
/// The mode of certificates, which everyone may read.
pub(super) const PUBLIC: u32 = 0o644;
/// The mode of folders that are made on the way.
const PRIVATE_FOLDER: u32 = 0o700;

/// What becomes of a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Existing {
    Keep,
    Replace,
}

/// Reads a file of at most [`LARGEST_FILE`] bytes; the bytes are wiped from memory when dropped.
pub(super) fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    let mut contents = Zeroizing::new(Vec::new());
    file.take(LARGEST_FILE + 1).read_to_end(&mut contents)?;
    if contents.len() as u64 > LARGEST_FILE {
        let message = format!("the file is larger than {} MiB", LARGEST_FILE / (1024 * 1024));
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(contents)
}

/// Writes a file so that at every moment the path holds either the old contents or all of the new ones,
/// and so that nobody without the right could read it in between. Missing folders are made for the owner only.
pub(super) fn write(path: &Path, contents: &[u8], mode: u32, existing: Existing) -> Result<(), PkiError> {
    let failed = |reason| PkiError::Write {
        path: path.to_owned(),
        reason,
    };
    let target = resolve(path).map_err(failed)?;
    if fs::metadata(&target).is_ok_and(|metadata| !metadata.is_file()) {
        return write_through(&target, contents).map_err(failed);
    }
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE_FOLDER)
        .create(folder)
        .map_err(failed)?;
    let draft = Draft::write(folder, &target, contents, mode).map_err(failed)?;
    let placed = match existing {
        Existing::Replace => draft.replace(&target),
        Existing::Keep => draft.place(&target),
    };
    placed.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => PkiError::FileExists {
            path: path.to_owned(),
        },
        _ => failed(error),
    })
}

/// Follows symbolic links, so that what they point to is replaced and not the link itself.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Ok(target) => Ok(target),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        Err(error) => Err(error),
    }
}

/// Writes into a terminal or a pipe. Replacing a device by a file, as is right for files, would break the
/// computer when done as root.
fn write_through(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(contents)
}

/// Contents that are on the disk beside the place where they belong, and are removed unless they get there.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn write(folder: &Path, target: &Path, contents: &[u8], mode: u32) -> io::Result<Self> {
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other("no randomness for a file name"))?;
        let mut name = std::ffi::OsString::from(".");
        name.push(target.file_name().ok_or(io::ErrorKind::InvalidFilename)?);
        name.push(format!(".{:016x}", u64::from_ne_bytes(random)));
        let path = folder.join(name);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)?;
        let draft = Self { path };
        file.write_all(contents)?;
        file.sync_all()?;
        Ok(draft)
    }

    fn replace(&self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)
    }

    /// A hard link is the one way to claim a name that is free and fail on one that is taken, in one step.
    fn place(&self, target: &Path) -> io::Result<()> {
        match fs::hard_link(&self.path, target) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !target.exists() => {
                // Not every file system has hard links; on one without, the check above must do.
                fs::rename(&self.path, target)
            }
            other => other,
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a rename there is nothing left to remove, which is as good.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn names_in(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_private_file_and_its_new_folders_are_the_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("home/keys/localhost.key");
        write(&path, b"secret", PRIVATE, Existing::Keep).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"secret");
        assert_eq!(mode_of(&path), 0o600);
        assert_eq!(mode_of(&folder.path().join("home/keys")), 0o700);
        assert_eq!(mode_of(&folder.path().join("home")), 0o700);
        assert_eq!(names_in(&folder.path().join("home/keys")), ["localhost.key"]);
    }

    #[test]
    fn a_file_that_is_to_be_kept_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        fs::write(&path, "old").unwrap();
        let error = write(&path, b"new", PRIVATE, Existing::Keep).unwrap_err();
        assert!(matches!(error, PkiError::FileExists { .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names_in(folder.path()), ["a.key"]);
    }

    #[test]
    fn replacing_through_a_link_changes_what_it_points_to_and_makes_it_private() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("real.key"), folder.path().join("link.key"));
        fs::write(&target, "old").unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o644)).unwrap();
        symlink(&target, &link).unwrap();
        write(&link, b"new", PRIVATE, Existing::Replace).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert_eq!(mode_of(&target), 0o600);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn of_many_who_claim_a_free_name_at_once_one_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        let successes = std::thread::scope(|scope| {
            let claims: Vec<_> = (0..8)
                .map(|claim: u8| {
                    let path = &path;
                    scope.spawn(move || {
                        write(path, &[claim], PRIVATE, Existing::Keep)
                            .is_ok()
                            .then_some(claim)
                    })
                })
                .collect();
            claims
                .into_iter()
                .filter_map(|claim| claim.join().unwrap())
                .collect::<Vec<u8>>()
        });
        assert_eq!(successes.len(), 1);
        assert_eq!(fs::read(&path).unwrap(), successes);
        assert_eq!(names_in(folder.path()), ["a.key"]);
    }

    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        write(Path::new("/dev/null"), b"gone", PRIVATE, Existing::Replace).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn a_folder_in_the_way_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = write(folder.path(), b"x", PRIVATE, Existing::Replace).unwrap_err();
        assert!(matches!(error, PkiError::Write { .. }), "{error}");
    }

    #[test]
    fn a_file_without_end_is_not_read_to_its_end() {
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }
}
