//! Reads and writes the files of keys and certificates.

use std::io::{self, Read};
use std::path::Path;

use labwire_home::{Existing, Readers, open_to_read, write_whole_file};
use pkcs8::der::zeroize::Zeroizing;

use crate::error::PkiError;

/// The largest file to read as a key or a certificate, in bytes. A chain of ten 4096-bit
/// certificates with their explanations takes 100 KiB; a file a hundred times as large is something
/// else.
const LARGEST_FILE: u64 = 10 * 1024 * 1024;

/// Reads a file of at most [`LARGEST_FILE`] bytes. The bytes are wiped from memory when dropped.
pub(crate) fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = open_to_read(path)?;
    let mut contents = Zeroizing::new(Vec::new());
    file.take(LARGEST_FILE + 1).read_to_end(&mut contents)?;
    if contents.len() as u64 > LARGEST_FILE {
        let message = format!("the file is larger than {} MiB", LARGEST_FILE / (1024 * 1024));
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(contents)
}

/// Writes a file as a whole or not at all; see [`write_whole_file`].
pub(crate) fn write(
    path: &Path,
    contents: &[u8],
    readers: Readers,
    existing: Existing,
) -> Result<(), PkiError> {
    write_whole_file(path, contents, readers, existing).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => PkiError::FileExists {
            path: path.to_owned(),
        },
        _ => PkiError::Write {
            path: path.to_owned(),
            reason: error,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_to_be_kept_is_named_in_the_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        write(&path, b"old", Readers::Owner, Existing::Keep).unwrap();
        let error = write(&path, b"new", Readers::Owner, Existing::Keep).unwrap_err();
        assert!(matches!(error, PkiError::FileExists { path: named } if named == path));
        let error = write(folder.path(), b"x", Readers::Owner, Existing::Replace).unwrap_err();
        assert!(matches!(error, PkiError::Write { .. }), "{error}");
    }

    #[test]
    fn a_file_without_end_is_not_read_to_its_end() {
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }
}
