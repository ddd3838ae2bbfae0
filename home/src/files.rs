//! Creates files and folders that only this user may read, and opens named pipes in place of files.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use crate::system::{self, folder_for_owner, for_owner};

/// How long to wait for the first bytes of a pipe. Its writer may ask a person for a password, for
/// example.
const PIPE_PATIENCE: Duration = Duration::from_secs(10);

/// Creates a folder, and missing folders above it, for this user only (mode 0700). On Windows, a new
/// folder has the access rights of the one above it, as in the user's profile.
///
/// Existing folders keep their mode. An empty path is the working folder and exists.
///
/// ```
/// use labwire_home::{create_private_folder, others_can_read};
///
/// # let scratch = tempfile::tempdir()?;
/// # let home = scratch.path();
/// let keys = home.join("lab").join("keys");
/// create_private_folder(&keys)?;
/// assert_eq!(others_can_read(&keys)?, None);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn create_private_folder(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    folder_for_owner(DirBuilder::new().recursive(true)).create(path)
}

/// Creates a folder for this user only, as [`create_private_folder`] does, in a folder that exists. If there is anything
/// at the path, it stays unchanged and the error is of the kind [`io::ErrorKind::AlreadyExists`].
///
/// ```
/// use std::io::ErrorKind;
/// use labwire_home::create_new_private_folder;
///
/// # let scratch = tempfile::tempdir()?;
/// let copy = scratch.path().join("copy");
/// create_new_private_folder(&copy)?;
/// assert_eq!(create_new_private_folder(&copy).unwrap_err().kind(), ErrorKind::AlreadyExists);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn create_new_private_folder(path: &Path) -> io::Result<()> {
    folder_for_owner(&mut DirBuilder::new()).create(path)
}

/// Creates a file that only this user can read and write (mode 0600), and opens it for writing. On
/// Windows, it has the access rights of its folder.
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
    for_owner(OpenOptions::new().write(true).create_new(true)).open(path)
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
    system::open_to_read_within(path, PIPE_PATIENCE)
}

/// Reads a file of text, without the byte order mark that some editors write before it. Waits for a named pipe as
/// [`open_to_read`] does.
///
/// # Errors
/// Those of reading, and [`io::ErrorKind::InvalidData`] if it is no UTF-8 text, with what it is and the remedy.
///
/// ```
/// use labwire_home::read_text;
///
/// # let scratch = tempfile::tempdir()?;
/// # let path = scratch.path().join("meter.toml");
/// std::fs::write(&path, b"\xef\xbb\xbfunit = 'V'\n")?;
/// assert_eq!(read_text(&path)?, "unit = 'V'\n");
/// std::fs::write(&path, b"name = 'a'\nunit = '\xb0C'\n")?;
/// assert_eq!(read_text(&path).unwrap_err().to_string(), "line 2 is not UTF-8 text, save the file as UTF-8");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn read_text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    open_to_read(path)?.read_to_end(&mut bytes)?;
    text_of_file(&bytes)
}

/// Returns the text of a file with these bytes, without a byte order mark.
///
/// # Errors
/// As those of [`read_text`] about the text.
///
/// ```
/// use labwire_home::text_of_file;
///
/// let error = text_of_file(b"\xff\xfeV\0").unwrap_err();
/// assert_eq!(error.to_string(), "it is UTF-16 text, save the file as UTF-8");
/// ```
pub fn text_of_file(bytes: &[u8]) -> io::Result<String> {
    let wrong = |why: String| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return wrong("it is UTF-16 text, save the file as UTF-8".to_owned());
    }
    let start = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    match std::str::from_utf8(&bytes[start..]) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => {
            let before = &bytes[..start + error.valid_up_to()];
            let line = before.split(|byte| *byte == b'\n').count();
            wrong(format!("line {line} is not UTF-8 text, save the file as UTF-8"))
        }
    }
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
    system::open_to_write(options, path)
}
