//! A recording as rows of comma-separated values.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::opened::{OpenError, Opened};
use super::row::{COLUMNS, Row};
use crate::csv;
use crate::key::cell;
use crate::narrator::utc;

/// The number of buffered bytes from which rows are written.
const MOST: usize = 1 << 20;

/// A file to which rows are appended.
pub(super) struct CsvFile {
    path: PathBuf,
    file: File,
    /// The bytes that are in the file.
    length: u64,
    /// The rows that are not in the file yet.
    buffer: Vec<u8>,
    message: u64,
}

/// The result of scanning a file.
struct Scan {
    /// Where the last whole row ends.
    end: u64,
    /// The last whole row.
    last: Vec<u8>,
}

/// Returns the first row of each file, without its end.
fn header() -> String {
    COLUMNS.join(",")
}

impl CsvFile {
    /// Opens a file, and continues the recording in it.
    pub(super) fn open(path: &Path) -> Result<(Self, Opened), OpenError> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        // On Windows a lock would exclude readers; there the share mode excludes other writers.
        #[cfg(windows)]
        std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, 1);
        let mut file = options.open(path)?;
        if !file.metadata()?.is_file() {
            return Err(OpenError::Other("it is not a regular file".to_owned()));
        }
        #[cfg(not(windows))]
        match file.try_lock() {
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(OpenError::InUse);
            }
            // Some network file systems have no locks.
            Ok(()) | Err(std::fs::TryLockError::Error(_)) => {}
        }
        let length = file.metadata()?.len();
        let header = format!("{}\n", header());
        let mut begin = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(header.len())];
        file.read_exact(&mut begin)?;
        if !header.as_bytes().starts_with(&begin) {
            return Err(OpenError::Other(format!(
                "it is something else than a recording: its first line is not {}",
                header.trim_end()
            )));
        }
        let mut opened = Opened::default();
        let mut recording = Self {
            path: path.to_owned(),
            file,
            length,
            buffer: Vec::new(),
            message: 0,
        };
        if begin.len() < header.len() {
            recording.shorten(0)?;
            recording.buffer.extend_from_slice(header.as_bytes());
            recording.commit()?;
            return Ok((recording, opened));
        }
        let scan = scan(&mut recording.file)?;
        opened.removed = length - scan.end;
        if opened.removed > 0 {
            recording.shorten(scan.end)?;
        }
        recording.file.seek(SeekFrom::Start(scan.end))?;
        let row = String::from_utf8_lossy(&scan.last);
        let number = row
            .trim_end()
            .rsplit(',')
            .next()
            .and_then(|number| number.parse().ok());
        recording.message = number.unwrap_or(0);
        opened.last = row
            .split(',')
            .next()
            .and_then(|time| time.parse::<Timestamp>().ok());
        Ok((recording, opened))
    }

    /// Truncates the file to this length.
    fn shorten(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.file.seek(SeekFrom::Start(length))?;
        self.length = length;
        Ok(())
    }

    /// Adds rows that belong together.
    pub(super) fn add(&mut self, rows: &[Row]) -> io::Result<()> {
        self.message += 1;
        let number = self.message.to_string();
        for row in rows {
            let (time, value) = (utc(row.time), row.value.as_deref().map(cell).unwrap_or_default());
            let seconds = row
                .seconds
                .map(|seconds| format!("{seconds:.6}"))
                .unwrap_or_default();
            let line = csv::row([
                &*time,
                row.event,
                &row.service,
                &row.source,
                &row.key,
                &value,
                &seconds,
                &row.note,
                &number,
            ]);
            self.buffer.extend_from_slice(line.as_bytes());
            self.buffer.push(b'\n');
        }
        if self.buffer.len() >= MOST {
            self.commit()
        } else {
            Ok(())
        }
    }

    /// Writes all rows to the disk, so that they survive a crash and a power failure. After an
    /// error the file ends with a whole row.
    pub(super) fn commit(&mut self) -> io::Result<()> {
        let written = self
            .file
            .write_all(&self.buffer)
            .and_then(|()| self.file.sync_data());
        if written.is_err() {
            // The first error is reported; the next recording removes an incomplete row as well.
            let _ = self.shorten(self.length);
            return written;
        }
        self.length += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Returns its size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.length + self.buffer.len() as u64
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Looks for the last whole row. A row ends with a line feed that is not in quotes.
fn scan(file: &mut File) -> io::Result<Scan> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::with_capacity(1 << 16, &mut *file);
    let mut chunk = vec![0; 1 << 16];
    let (mut position, mut is_quoted) = (0_u64, false);
    let (mut begin, mut end) = (0_u64, 0_u64);
    loop {
        let count = reader.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        for byte in &chunk[..count] {
            position += 1;
            match byte {
                b'"' => is_quoted = !is_quoted,
                b'\n' if !is_quoted => (begin, end) = (end, position),
                _ => {}
            }
        }
    }
    let mut last = vec![0; usize::try_from(end - begin).unwrap_or_default()];
    file.seek(SeekFrom::Start(begin))?;
    file.read_exact(&mut last)?;
    Ok(Scan { end, last })
}
