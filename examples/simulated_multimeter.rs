//! A simulated multimeter: answers SCPI over TCP, or over a pseudo-terminal that looks like a
//! serial port.
//!
//! ```console
//! $ cargo run --example simulated_multimeter              # says which port it listens on
//! $ cargo run --example simulated_multimeter -- --serial  # says which device it is (not on Windows)
//! ```
//!
//! Then start `digital_multimeter` with the printed address or device.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;

/// The answer to `*IDN?`.
pub const IDENTITY: &str = "LABWIRE,SIMULATED 34401A,0,1.0";

/// The state of the instrument: the number of readings taken, and the error to report next.
#[derive(Debug, Default)]
pub struct SimulatedMultimeter {
    readings: u32,
    error: Option<String>,
}

impl SimulatedMultimeter {
    /// Executes a command. Returns the answer if it was a query.
    ///
    /// Readings scatter by a few microvolts around 1.25 V, with the same sequence after each start.
    ///
    /// ```
    /// let mut multimeter = labwire_examples::SimulatedMultimeter::default();
    /// assert_eq!(multimeter.command("MEASURE:VOLTAGE:DC?").unwrap(), "+1.25000000E+00");
    /// assert_eq!(multimeter.command("MEAS:CURR:AC?"), None);
    /// assert_eq!(multimeter.command("SYST:ERR?").unwrap(), "-113,\"Undefined header\"");
    /// ```
    pub fn command(&mut self, command: &str) -> Option<String> {
        let command = command.trim().to_ascii_uppercase();
        match command.as_str() {
            "" | "*CLS" | "*RST" => {
                self.error = None;
                None
            }
            "*IDN?" => Some(IDENTITY.to_owned()),
            "*OPC?" => Some("1".to_owned()),
            "MEASURE:VOLTAGE:DC?" | "MEAS:VOLT:DC?" | "READ?" => Some(self.reading()),
            "SYSTEM:ERROR?" | "SYST:ERR?" => {
                let error = self.error.take();
                Some(error.unwrap_or_else(|| "+0,\"No error\"".to_owned()))
            }
            _ => {
                self.error = Some("-113,\"Undefined header\"".to_owned());
                None
            }
        }
    }

    fn reading(&mut self) -> String {
        const SCATTER: [f64; 5] = [0.0, 1.7e-6, -2.3e-6, 0.6e-6, -0.9e-6];
        let scatter = SCATTER[self.readings as usize % SCATTER.len()];
        self.readings += 1;
        scientific(1.25 + scatter)
    }

    /// Answers one command per line until the input ends.
    ///
    /// Fails with the error of the operating system.
    pub fn serve(&mut self, input: impl io::Read, mut output: impl Write) -> io::Result<()> {
        for line in BufReader::new(input).lines() {
            if let Some(answer) = self.command(&line?) {
                output.write_all(format!("{answer}\n").as_bytes())?;
            }
        }
        Ok(())
    }

    /// Serves one connection after the other, as an instrument with one socket does. Returns only
    /// if listening fails.
    pub fn serve_tcp(&mut self, listener: &TcpListener) -> io::Result<()> {
        loop {
            let (stream, _) = listener.accept()?;
            let writing: TcpStream = stream.try_clone()?;
            // A lost connection does not end the instrument.
            let _ = self.serve(stream, writing);
        }
    }
}

/// Formats a number as the instrument does: `+1.25000000E+00`.
fn scientific(value: f64) -> String {
    let text = format!("{value:+.8e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    format!("{digits}E{exponent:+03}")
}

/// Opens a pseudo-terminal: one end is a file, the other a device that programs open like a serial
/// port.
///
/// Fails with the error of the operating system.
#[cfg(unix)]
pub fn pseudo_terminal() -> io::Result<(File, PathBuf)> {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&controller)?;
    unlockpt(&controller)?;
    // Raw mode: bytes are passed unchanged, without echo.
    let mut modes = tcgetattr(&controller)?;
    modes.make_raw();
    tcsetattr(&controller, OptionalActions::Now, &modes)?;
    let name = ptsname(&controller, Vec::new())?;
    let path = PathBuf::from(name.to_string_lossy().into_owned());
    Ok((File::from(controller), path))
}

/// Fails: Windows has no pseudo-terminals that are files.
#[cfg(not(unix))]
pub fn pseudo_terminal() -> io::Result<(File, PathBuf)> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Starts the instrument.
///
/// Fails with the error of the operating system.
pub fn main() -> io::Result<()> {
    let mut multimeter = SimulatedMultimeter::default();
    if std::env::args().any(|argument| argument == "--serial") {
        let (controller, path) = pseudo_terminal()?;
        // Held open, so that the device remains when a program closes it.
        let _device = File::options().read(true).write(true).open(&path)?;
        println!("simulated multimeter on {}", path.display());
        return multimeter.serve(controller.try_clone()?, controller);
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("simulated multimeter on {}", listener.local_addr()?);
    multimeter.serve_tcp(&listener)
}
