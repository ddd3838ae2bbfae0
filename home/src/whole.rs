//! Writes files as a whole or not at all, even if the disk is full or the power fails.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;

use crate::system::{self, Mode, mode_of};
use crate::{create_private_folder, open_to_write};

/// The most attempts to change a file that other programs change at the same time.
const ATTEMPTS: usize = 8;

/// The users who may read a file. Only its owner may write to it. On Windows, a file has the access
/// rights of its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// The owner only (mode 0600).
    Owner,
    /// Everyone (mode 0644).
    Everyone,
}

/// The treatment of an existing file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Keeps it; writing fails with an error of the kind [`io::ErrorKind::AlreadyExists`].
    Keep,
    /// Replaces it.
    Replace,
}

/// Writes a file such that at every moment the path holds either the old or all of the new
/// contents, and that users without permission can never read it. Missing folders are created for
/// the owner only.
///
/// If the path is a symbolic link, its target is replaced. A device or a pipe is written to
/// directly.
///
/// ```
/// use labwire_home::{Existing, Readers, write_whole_file};
///
/// # let scratch = tempfile::tempdir()?;
/// # let home = scratch.path();
/// let path = home.join("keys").join("localhost.key");
/// write_whole_file(&path, b"a secret", Readers::Owner, Existing::Keep)?;
/// assert!(write_whole_file(&path, b"another", Readers::Owner, Existing::Keep).is_err());
/// assert_eq!(std::fs::read(&path)?, b"a secret");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn write_whole_file(
    path: &Path,
    contents: &[u8],
    readers: Readers,
    existing: Existing,
) -> io::Result<()> {
    let target = resolve(path)?;
    if fs::metadata(&target).is_ok_and(|metadata| !metadata.is_file()) {
        // Replacing a device by a file, done as root, would break the computer.
        return open_to_write(OpenOptions::new().write(true), &target)?.write_all(contents);
    }
    create_private_folder(folder_of(&target))?;
    let draft = Draft::write(&target, Mode::of(readers), |file| file.write_all(contents))?;
    match existing {
        Existing::Replace => draft.replace(&target),
        Existing::Keep => draft.place(&target),
    }
}

/// Changes a file as [`write_whole_file`] writes one. `change` maps its current contents, empty if
/// the file is missing, to the new ones. A new file is for its owner only; an existing one keeps
/// its mode.
///
/// Changes by this function in several programs are serialised. `change` is called again if another
/// program has changed the file meanwhile.
///
/// ```
/// use labwire_home::change_whole_file;
///
/// # let scratch = tempfile::tempdir()?;
/// # let home = scratch.path();
/// let path = home.join("known_hosts");
/// for line in ["one\n", "two\n"] {
///     change_whole_file(&path, |before| [before, line.as_bytes()].concat())?;
/// }
/// assert_eq!(std::fs::read_to_string(&path)?, "one\ntwo\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn change_whole_file(path: &Path, change: impl Fn(&[u8]) -> Vec<u8>) -> io::Result<()> {
    let target = resolve(path)?;
    let folder = folder_of(&target);
    create_private_folder(folder)?;
    let locked = system::open_to_lock(or_here(folder), &target)?;
    // Some file systems have no locks; there, comparing the contents below has to suffice.
    let _ = locked.lock();
    let mut before = read_if_there(&target)?;
    for _ in 0..ATTEMPTS {
        let contents = change(before.as_deref().unwrap_or_default());
        let mode = mode_of(&target).unwrap_or(Mode::of(Readers::Owner));
        let draft = Draft::write(&target, mode, |file| {
            mode.set(file)?;
            file.write_all(&contents)
        })?;
        let now = read_if_there(&target)?;
        if now == before {
            return draft.replace(&target);
        }
        before = now;
    }
    Err(io::Error::new(
        io::ErrorKind::ResourceBusy,
        "another program changes the file all the time",
    ))
}

fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(contents) => Ok(Some(contents)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Follows symbolic links, so that the target is replaced and not the link itself.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Ok(target) => Ok(target),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        Err(error) => Err(error),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// Returns a folder's name in a form that can be opened.
fn or_here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    }
}

/// A temporary file beside its target, with the contents on disk. It is removed unless it is moved
/// to the target.
struct Draft {
    path: PathBuf,
}

impl Draft {
    /// Runs `write` on a new file. Returns once the contents are on disk.
    fn write(target: &Path, mode: Mode, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<Self> {
        let mut random = [0; 8];
        rand::fill(&mut random).map_err(|_| io::Error::other("no randomness for a file name"))?;
        let mut name = OsString::from(".");
        name.push(target.file_name().ok_or(io::ErrorKind::InvalidFilename)?);
        name.push(format!(".{:016x}", u64::from_ne_bytes(random)));
        let path = folder_of(target).join(name);
        let mut file = mode
            .apply(OpenOptions::new().write(true).create_new(true))
            .open(&path)?;
        let draft = Self { path };
        write(&mut file)?;
        file.sync_all()?;
        Ok(draft)
    }

    fn replace(&self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        keep_name(target);
        Ok(())
    }

    /// Moves the draft to a free name. A hard link is the only way to do this and fail if the name
    /// is taken, in one step.
    fn place(&self, target: &Path) -> io::Result<()> {
        match fs::hard_link(&self.path, target) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !target.exists() => {
                // Some file systems have no hard links; there, the check above has to suffice.
                fs::rename(&self.path, target)
            }
            other => other,
        }?;
        keep_name(target);
        Ok(())
    }
}

/// Flushes the new name to disk. Without it a power failure may restore the old contents, which is
/// harmless.
fn keep_name(target: &Path) {
    system::keep_name(or_here(folder_of(target)));
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a rename there is nothing to remove, and the error is ignored.
        let _ = fs::remove_file(&self.path);
    }
}

// Modes, links and devices, which Windows has not.
#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn names_in(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    /// Simulates a disk with capacity for a part only.
    fn full_after(part: &[u8]) -> impl FnOnce(&mut File) -> io::Result<()> {
        move |file| {
            file.write_all(part)?;
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    #[test]
    fn a_full_disk_leaves_the_old_contents_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known_hosts");
        assert!(Draft::write(&path, Mode::of(Readers::Owner), full_after(b"hal")).is_err());
        assert!(names_in(folder.path()).is_empty(), "a half-written file is left");
        fs::write(&path, "old").unwrap();
        let error = Draft::write(&path, Mode::of(Readers::Owner), full_after(b"hal"))
            .err()
            .unwrap();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names_in(folder.path()), ["known_hosts"]);
    }

    #[test]
    fn a_private_file_and_its_new_folders_are_the_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("home/keys/localhost.key");
        write_whole_file(&path, b"secret", Readers::Owner, Existing::Keep).unwrap();
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
        let error = write_whole_file(&path, b"new", Readers::Owner, Existing::Keep).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names_in(folder.path()), ["a.key"]);
    }

    #[test]
    fn replacing_through_a_link_changes_what_it_points_to_and_makes_it_private() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("real.key"), folder.path().join("link.key"));
        fs::write(&target, "old").unwrap();
        fs::set_permissions(&target, Permissions::from_mode(0o644)).unwrap();
        symlink(&target, &link).unwrap();
        write_whole_file(&link, b"new", Readers::Owner, Existing::Replace).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert_eq!(mode_of(&target), 0o600);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn of_many_who_claim_a_free_name_at_once_one_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        let claim = |claim: u8| {
            let written = write_whole_file(&path, &[claim], Readers::Owner, Existing::Keep);
            written.is_ok().then_some(claim)
        };
        let successes = std::thread::scope(|scope| {
            let claims: Vec<_> = (0..8).map(|number| scope.spawn(move || claim(number))).collect();
            let claims = claims.into_iter().filter_map(|claim| claim.join().unwrap());
            claims.collect::<Vec<u8>>()
        });
        assert_eq!(successes.len(), 1);
        assert_eq!(fs::read(&path).unwrap(), successes);
        assert_eq!(names_in(folder.path()), ["a.key"]);
    }

    #[test]
    fn changes_by_many_at_once_are_all_there_and_the_mode_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known_hosts");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    let line = format!("host {number}\n");
                    change_whole_file(path, |before| [before, line.as_bytes()].concat()).unwrap();
                });
            }
        });
        let text = fs::read_to_string(&path).unwrap();
        let mut lines: Vec<_> = text.lines().collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            (0..8).map(|number| format!("host {number}")).collect::<Vec<_>>()
        );
        assert_eq!(mode_of(&path), 0o640);
        assert_eq!(names_in(folder.path()), ["known_hosts"]);
    }

    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        write_whole_file(Path::new("/dev/null"), b"gone", Readers::Owner, Existing::Replace).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn a_folder_in_the_way_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(write_whole_file(folder.path(), b"x", Readers::Owner, Existing::Replace).is_err());
    }
}
