//! A digital multimeter with SCPI over TCP or a serial port, controlled from any computer on the
//! network.
//!
//! ```console
//! $ cargo run --example simulated_multimeter                   # or a real one
//! simulated multimeter on 127.0.0.1:40123
//! $ cargo run --example digital_multimeter -- 127.0.0.1:40123  # or /dev/ttyUSB0, or COM3
//! ```

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Context;
use labwire_service::{ConnectOptions, Runner, ServiceError, service};

/// Timeout for an answer of the instrument. A 34401A at its slowest integration time needs about
/// four seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// The connection to an instrument, over any stream of bytes.
trait Line: Read + Write + Send {}

impl<T: Read + Write + Send> Line for T {}

/// A digital multimeter. Only one client can be linked with it at a time.
pub struct DigitalMultimeter {
    instrument: BufReader<Box<dyn Line>>,
}

impl std::fmt::Debug for DigitalMultimeter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("DigitalMultimeter")
            .finish_non_exhaustive()
    }
}

impl DigitalMultimeter {
    /// Opens the connection to an instrument: `HOST:PORT`, or the path or name of a serial port.
    ///
    /// Fails with the error of the operating system.
    pub fn open(address: &str) -> io::Result<Self> {
        let is_serial = address.starts_with('/') || !address.contains(':');
        let line: Box<dyn Line> = if is_serial {
            // 8 data bits and no parity. These are the 34401A's defaults, except for the parity.
            Box::new(serialport::new(address, 9_600).timeout(PATIENCE).open()?)
        } else {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Box::new(stream)
        };
        Ok(Self {
            instrument: BufReader::new(line),
        })
    }
}

/// A digital multimeter that speaks SCPI.
#[service(name = "Hewlett Packard 34401A", max_clients = 1)]
impl DigitalMultimeter {
    /// Sends a command.
    pub fn write(&mut self, command: &str) -> io::Result<()> {
        let line = self.instrument.get_mut();
        line.write_all(format!("{command}\n").as_bytes())?;
        line.flush()
    }

    /// Reads an answer.
    pub fn read(&mut self) -> Result<String, ServiceError> {
        let mut answer = String::new();
        let read = self.instrument.read_line(&mut answer);
        let silent = match &read {
            Ok(_) => !answer.ends_with('\n'),
            Err(error) => matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        };
        if silent {
            let text = format!("the instrument did not answer within {} s", PATIENCE.as_secs());
            return Err(ServiceError::new("TimeoutError", text));
        }
        read?;
        Ok(answer.trim_end().to_owned())
    }

    /// Sends a command and reads the answer; nobody else's command comes in between.
    pub fn query(&mut self, command: &str) -> Result<String, ServiceError> {
        self.write(command)?;
        self.read()
    }

    /// Measures a direct voltage, in volts.
    pub fn voltage(&mut self) -> Result<f64, ServiceError> {
        Ok(self.query("MEASURE:VOLTAGE:DC?")?.parse()?)
    }
}

/// Starts the service.
///
/// Fails if the instrument or the manager cannot be reached.
pub fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1);
    let address = address
        .context("say where the instrument is: HOST:PORT, or a serial port such as /dev/ttyUSB0 or COM3")?;
    let multimeter = DigitalMultimeter::open(&address)
        .with_context(|| format!("cannot reach the instrument at {address}"))?;
    Runner::new(multimeter)
        .options(ConnectOptions::from_environment()?)
        .start()?;
    Ok(())
}
