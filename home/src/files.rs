//! Creates files and folders that only this user may read, and opens named pipes in place of files.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// How long to wait for the first bytes of a pipe. Its writer may ask a person for a password, for
/// example.
const PIPE_PATIENCE: Duration = Duration::from_secs(10);

/// Creates a folder, and missing folders above it, for this user only (mode 0700).
///
/// Existing folders keep their mode. An empty path is the working folder and exists.
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
/// The mode is part of the creation: others cannot open the file at any moment. If the file exists,
/// it stays unchanged and the error is of the kind [`io::ErrorKind::AlreadyExists`].
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

/// Opens a file for reading. If it is a named pipe (FIFO) without data, waits at most 10 seconds,
/// where [`File::open`] would wait forever. The error is then of the kind
/// [`io::ErrorKind::TimedOut`].
///
/// ```
/// use std::io::Read;
/// use labwire_home::open_to_read;
///
/// # let scratch = tempfile::tempdir()?;
/// # let path = scratch.path().join("password.txt");
/// # std::fs::write(&path, "secret")?;
/// let mut text = String::new();
/// open_to_read(&path)?.read_to_string(&mut text)?;
/// assert_eq!(text, "secret");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn open_to_read(path: &Path) -> io::Result<File> {
    open_to_read_within(path, PIPE_PATIENCE)
}

fn open_to_read_within(path: &Path, patience: Duration) -> io::Result<File> {
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

/// Opens a file for writing, with these options. If it is a named pipe (FIFO) without a reader,
/// fails with an error of the kind [`io::ErrorKind::NotConnected`], where [`OpenOptions::open`]
/// would wait forever.
///
/// ```
/// use std::fs::OpenOptions;
/// use std::io::Write;
/// use labwire_home::open_to_write;
///
/// # let scratch = tempfile::tempdir()?;
/// # let path = scratch.path().join("a.log");
/// open_to_write(OpenOptions::new().create(true).append(true), &path)?.write_all(b"a line")?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn open_to_write(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
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
