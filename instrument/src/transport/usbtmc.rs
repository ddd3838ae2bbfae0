//! USBTMC by the device file that Linux makes of an instrument, such as `/dev/usbtmc0`.
//!
//! The kernel's own timeout for one read is 5 s. Shorter ones are reached only then.

use std::io;
use std::path::Path;

use super::Port;

#[cfg(not(unix))]
pub(super) fn open(_: &Path) -> io::Result<Box<dyn Port>> {
    let text =
        "this system has no device files for USBTMC; use the LAN port of the instrument, or its serial one";
    Err(io::Error::new(io::ErrorKind::Unsupported, text))
}

#[cfg(unix)]
pub(super) fn open(path: &Path) -> io::Result<Box<dyn Port>> {
    device::open(path)
}

#[cfg(unix)]
mod device {
    use std::fs::File;
    use std::io::{self, Read as _, Write};
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::super::{Port, Read, timed_out};

    struct Device(File);

    pub(super) fn open(path: &Path) -> io::Result<Box<dyn Port>> {
        Ok(Box::new(Device(
            File::options().read(true).write(true).open(path)?,
        )))
    }

    impl Port for Device {
        fn write(&mut self, bytes: &[u8], _: Duration) -> io::Result<()> {
            self.0.write_all(bytes)
        }

        fn read(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<Read> {
            let begun = Instant::now();
            loop {
                match self.0.read(buffer) {
                    Ok(0) if begun.elapsed() >= limit => return Err(timed_out()),
                    // The end of a message without bytes.
                    Ok(0) => std::thread::sleep(Duration::from_millis(1)),
                    Ok(length) => {
                        return Ok(Read {
                            length,
                            is_message: length < buffer.len(),
                        });
                    }
                    Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                        if begun.elapsed() >= limit {
                            return Err(timed_out());
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }

        fn discard(&mut self) -> io::Result<usize> {
            // There is nothing without being asked for, and asking would wait.
            Ok(0)
        }

        fn forgets(&self) -> bool {
            false
        }

        fn drops_unread(&self) -> bool {
            true
        }
    }
}
