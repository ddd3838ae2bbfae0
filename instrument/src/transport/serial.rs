//! Serial ports: RS-232, and USB adapters for it.

use std::io::{self, Read as _, Write};
use std::time::Duration;

use serialport::{ClearBuffer, DataBits, FlowControl, SerialPort, StopBits};

use super::{Port, Read, at_least_a_moment, timed_out};
use crate::definition::{Flow, Parity, Serial};

struct Open(Box<dyn SerialPort>);

pub(super) fn open(settings: &Serial, timeout: Duration) -> io::Result<Box<dyn Port>> {
    let bits = match settings.bits {
        5 => DataBits::Five,
        6 => DataBits::Six,
        7 => DataBits::Seven,
        _ => DataBits::Eight,
    };
    let parity = match settings.parity {
        Parity::None => serialport::Parity::None,
        Parity::Even => serialport::Parity::Even,
        Parity::Odd => serialport::Parity::Odd,
    };
    let flow = match settings.flow {
        Flow::None => FlowControl::None,
        Flow::Hardware => FlowControl::Hardware,
        Flow::Software => FlowControl::Software,
    };
    let stop_bits = if settings.stop_bits == 2 {
        StopBits::Two
    } else {
        StopBits::One
    };
    let port = serialport::new(&settings.port, settings.baud)
        .data_bits(bits)
        .parity(parity)
        .stop_bits(stop_bits)
        .flow_control(flow)
        .timeout(timeout)
        .open()?;
    Ok(Box::new(Open(port)))
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the serial port is gone")
}

impl Port for Open {
    fn write(&mut self, bytes: &[u8], limit: Duration) -> io::Result<()> {
        self.0.set_timeout(at_least_a_moment(limit))?;
        self.0.write_all(bytes)
    }

    fn read(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<Read> {
        self.0.set_timeout(at_least_a_moment(limit))?;
        match self.0.read(buffer) {
            Ok(0) => Err(gone()),
            Ok(length) => Ok(Read {
                length,
                is_message: false,
            }),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(timed_out()),
            Err(error) => Err(error),
        }
    }

    fn discard(&mut self) -> io::Result<usize> {
        let waiting = self.0.bytes_to_read()?;
        if waiting > 0 {
            self.0.clear(ClearBuffer::Input)?;
        }
        Ok(usize::try_from(waiting).unwrap_or(usize::MAX))
    }

    fn forgets(&self) -> bool {
        false
    }

    fn drops_unread(&self) -> bool {
        false
    }
}
