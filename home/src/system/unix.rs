//! Unix: modes of files, named pipes, and `uname`.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::Readers;

/// Makes these options create a file that only this user can read and write (mode 0600). An
/// existing file keeps its mode. On Windows, a new file has the access rights of its folder.
///
/// ```
/// use std::fs::OpenOptions;
/// use labwire_home::for_owner;
///
/// # let scratch = tempfile::tempdir()?;
/// # let path = scratch.path().join("a.log");
/// for_owner(OpenOptions::new().create(true).append(true)).open(&path)?;
/// assert_eq!(labwire_home::others_can_read(&path)?, None);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn for_owner(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(Mode::of(Readers::Owner).0)
}

/// Gives a new file to the owner of another file, if this process may do that: root may create a file
/// for the user of a manager. Does nothing on Windows, where a file has the access rights of its folder.
///
/// ```
/// use labwire_home::give_to_owner_of;
///
/// # let scratch = tempfile::tempdir()?;
/// let (database, key) = (scratch.path().join("manager.sqlite3"), scratch.path().join("key"));
/// std::fs::write(&database, "")?;
/// std::fs::write(&key, "")?;
/// give_to_owner_of(&key, &database);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn give_to_owner_of(path: &Path, other: &Path) {
    if let Ok(owner) = other.metadata() {
        // It is the same already, or only root can do that.
        let _ = chown(path, Some(owner.uid()), Some(owner.gid()));
    }
}

/// Returns the mode of a file that other users of this computer can read or change, and `None` for a
/// private file. On Windows, whose access rights are not read, it is always `None`.
///
/// # Errors
/// If the file cannot be looked at.
///
/// ```
/// use labwire_home::{create_private_file, others_can_read};
///
/// # let scratch = tempfile::tempdir()?;
/// # let path = scratch.path().join("localhost.key");
/// create_private_file(&path)?;
/// assert_eq!(others_can_read(&path)?, None);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn others_can_read(path: &Path) -> io::Result<Option<u32>> {
    let mode = mode_of(path)?.0;
    Ok((mode & 0o077 != 0).then_some(mode))
}

/// The permissions of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mode(u32);

impl Mode {
    pub(crate) fn of(readers: Readers) -> Self {
        Self(match readers {
            Readers::Owner => 0o600,
            Readers::Everyone => 0o644,
        })
    }

    /// Makes these options create a file with this mode, less the process's umask.
    pub(crate) fn apply(self, options: &mut OpenOptions) -> &mut OpenOptions {
        options.mode(self.0)
    }

    /// Sets exactly this mode: the process's umask must not restrict a file that others may already
    /// read.
    pub(crate) fn set(self, file: &File) -> io::Result<()> {
        file.set_permissions(Permissions::from_mode(self.0))
    }
}

pub(crate) fn mode_of(path: &Path) -> io::Result<Mode> {
    Ok(Mode(path.metadata()?.permissions().mode() & 0o777))
}

/// Makes folders for their owner only.
pub(crate) fn folder_for_owner(builder: &mut DirBuilder) -> &mut DirBuilder {
    builder.mode(0o700)
}

/// Opens what is locked while a file of a folder is changed: the folder.
pub(crate) fn open_to_lock(folder: &Path, _target: &Path) -> io::Result<File> {
    File::open(folder)
}

/// Flushes the new name in a folder to disk.
pub(crate) fn keep_name(folder: &Path) {
    let folder = File::open(folder);
    let _ = folder.and_then(|folder| folder.sync_all());
}

/// As [`open_to_read`](crate::open_to_read), with this patience.
pub(crate) fn open_to_read_within(path: &Path, patience: Duration) -> io::Result<File> {
    if !path.metadata()?.file_type().is_fifo() {
        return File::open(path);
    }
    let pipe = open_at_once(OpenOptions::new().read(true), path)?;
    let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
    let mut polled = [PollFd::new(&pipe, PollFlags::IN)];
    if poll(&mut polled, Some(&patience))? == 0 {
        let reason = "it is a pipe into which nobody writes; start its writer first";
        return Err(io::Error::new(io::ErrorKind::TimedOut, reason));
    }
    wait_from_now_on(&pipe)?;
    Ok(pipe)
}

/// As [`open_to_write`](crate::open_to_write).
pub(crate) fn open_to_write(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = open_at_once(options, path).map_err(|error| match error.raw_os_error() {
        Some(code) if code == rustix::io::Errno::NXIO.raw_os_error() => {
            let reason = "it is a pipe that nobody reads; start its reader first";
            io::Error::new(io::ErrorKind::NotConnected, reason)
        }
        _ => error,
    })?;
    wait_from_now_on(&file)?;
    Ok(file)
}

/// Opens a file without waiting for the other end of a pipe.
fn open_at_once(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    // The operating system's flags have this type.
    #[expect(clippy::cast_possible_wrap, reason = "it is a bit below the sign")]
    let at_once = OFlags::NONBLOCK.bits() as i32;
    options.custom_flags(at_once).open(path)
}

/// Makes reads and writes block again.
fn wait_from_now_on(file: &File) -> io::Result<()> {
    Ok(fcntl_setfl(file, fcntl_getfl(file)? - OFlags::NONBLOCK)?)
}

/// As [`operating_system`](crate::operating_system).
pub(crate) fn operating_system() -> String {
    let system = rustix::system::uname();
    [system.sysname(), system.release(), system.machine()]
        .map(|part| part.to_string_lossy().into_owned())
        .join(" ")
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::{create_private_file, create_private_folder, open_to_read};

    fn mode(path: &Path) -> u32 {
        mode_of(path).unwrap().0
    }

    #[test]
    fn created_folders_are_private_and_existing_ones_keep_their_mode() {
        let folder = tempfile::tempdir().unwrap();
        let shared = folder.path().join("shared");
        std::fs::create_dir(&shared).unwrap();
        std::fs::set_permissions(&shared, Permissions::from_mode(0o755)).unwrap();
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

    /// Creates a named pipe.
    fn pipe() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .unwrap();
        (folder, path)
    }

    #[test]
    fn a_pipe_without_its_other_end_is_an_error() {
        let (_folder, path) = pipe();
        let error = open_to_write(OpenOptions::new().append(true), &path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
        let error = open_to_read_within(&path, Duration::from_millis(10)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_pipe_with_its_other_end_is_as_good_as_a_file() {
        let (_folder, path) = pipe();
        let reading = {
            let path = path.clone();
            std::thread::spawn(move || {
                let mut text = String::new();
                open_to_read(&path).unwrap().read_to_string(&mut text).unwrap();
                text
            })
        };
        // The writer may not have opened the pipe yet.
        let mut writer = loop {
            match open_to_write(OpenOptions::new().write(true), &path) {
                Ok(writer) => break writer,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotConnected),
            }
            std::thread::yield_now();
        };
        // More than a pipe's capacity, so that writing has to wait.
        let text = "x".repeat(1 << 20);
        writer.write_all(text.as_bytes()).unwrap();
        drop(writer);
        assert_eq!(reading.join().unwrap(), text);
    }
}
