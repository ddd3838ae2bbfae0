//! A simulated instrument: answers what a small table says, over TCP, or over a pseudo-terminal that looks
//! like a serial port or a device file.
//!
//! ```console
//! $ cargo run --example simulated_instrument -- examples/instruments/multimeter.sim
//! simulated instrument on 127.0.0.1:40123
//! $ cargo run --example simulated_instrument -- examples/instruments/thermometer.sim --serial --end cr
//! simulated instrument on /dev/pts/7
//! ```
//!
//! Each line of the table is `COMMAND => ANSWER`; in a command `*` stands for any characters and `?` for
//! one. Without an answer the command is only accepted. An answer may begin with
//! `!wait 3s`, or be `!block N` (a block of N bytes that count up), `!error` (the error queue) or `!clear`.
//! Commands that are not in the table are errors -113.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use labwire_examples::simulated_multimeter::pseudo_terminal;

struct Instrument {
    table: Vec<(String, String)>,
    errors: VecDeque<&'static str>,
    end: u8,
}

impl Instrument {
    fn read(text: &str, end: u8) -> anyhow::Result<Self> {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let table = lines.map(|line| {
            let (command, answer) = line.split_once("=>").context("each line is COMMAND => ANSWER")?;
            Ok((command.trim().to_owned(), answer.trim().to_owned()))
        });
        Ok(Self {
            table: table.collect::<anyhow::Result<_>>()?,
            errors: VecDeque::new(),
            end,
        })
    }

    /// Executes a command, and returns the bytes of its answer.
    fn execute(&mut self, command: &str) -> anyhow::Result<Vec<u8>> {
        let found = self
            .table
            .iter()
            .find(|(pattern, _)| matches(pattern.as_bytes(), command.as_bytes()));
        let Some((_, answer)) = found else {
            self.errors.push_back("-113,\"Undefined header\"");
            return Ok(Vec::new());
        };
        let mut answer = answer.as_str();
        if let Some(rest) = answer.strip_prefix("!wait ") {
            let (seconds, rest) = rest.split_once("s ").context("!wait 3s ANSWER")?;
            thread::sleep(Duration::try_from_secs_f64(seconds.parse()?)?);
            answer = rest;
        }
        let mut bytes = match answer.split_once(' ') {
            _ if answer.is_empty() => return Ok(Vec::new()),
            _ if answer == "!clear" => {
                self.errors.clear();
                return Ok(Vec::new());
            }
            _ if answer == "!error" => self.errors.pop_front().unwrap_or("0,\"No error\"").into(),
            Some(("!block", length)) => {
                let length: usize = length.parse()?;
                let head = format!("#9{length:09}").into_bytes();
                head.into_iter()
                    .chain((0..=u8::MAX).cycle().take(length))
                    .collect()
            }
            _ => answer.as_bytes().to_vec(),
        };
        bytes.push(self.end);
        Ok(bytes)
    }

    /// Answers one command per line until the input ends.
    fn serve(&mut self, mut input: impl Read, mut output: impl Write) -> anyhow::Result<()> {
        let mut line = Vec::new();
        let mut byte = [0];
        while input.read(&mut byte)? > 0 {
            if byte[0] == self.end {
                let command = String::from_utf8_lossy(&line).trim().to_owned();
                println!("{command}");
                output.write_all(&self.execute(&command)?)?;
                line.clear();
            } else {
                line.push(byte[0]);
            }
        }
        Ok(())
    }
}

/// Whether a command matches a pattern with `*` and `?`.
fn matches(pattern: &[u8], command: &[u8]) -> bool {
    match (pattern, command) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=command.len()).any(|taken| matches(rest, &command[taken..])),
        ([b'?', pattern @ ..], [_, rest @ ..]) => matches(pattern, rest),
        ([expected, pattern @ ..], [byte, rest @ ..]) => expected == byte && matches(pattern, rest),
        _ => false,
    }
}

fn main() -> anyhow::Result<()> {
    let (mut file, mut listen, mut is_serial, mut end) = (None, "127.0.0.1:0".to_owned(), false, b'\n');
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--serial" => is_serial = true,
            "--listen" => listen = words.next().context("--listen HOST:PORT")?,
            "--end" => match words.next().as_deref() {
                Some("cr") => end = b'\r',
                Some("lf") => end = b'\n',
                _ => bail!("--end is cr or lf"),
            },
            _ => file = Some(word),
        }
    }
    let file = file.context("name the table: examples/instruments/multimeter.sim")?;
    let mut instrument = Instrument::read(&std::fs::read_to_string(&file).context(file)?, end)?;
    if is_serial {
        let (controller, path) = pseudo_terminal()?;
        // Held open, so that the device remains when a program closes it.
        let _device = File::options().read(true).write(true).open(&path)?;
        println!("simulated instrument on {}", path.display());
        return instrument.serve(controller.try_clone()?, controller);
    }
    let listener = TcpListener::bind(listen)?;
    println!("simulated instrument on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept()?;
        let writing: io::Result<_> = stream.try_clone();
        // A lost connection does not end the instrument.
        let _ = instrument.serve(stream, writing?);
    }
}
