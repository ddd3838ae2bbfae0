//! A camera whose frames of 4096 × 4096 pixels of 16 bits are raw bytes behind a line: to one client
//! through Labwire and through a relay in one run, with small calls beside it, and to three clients,
//! through Labwire and through a bare fan-out.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use hdrhistogram::Histogram;

/// Width and height of a frame, in pixels.
const WIDTH: usize = 4_096;

/// The same of the frames that are emitted to several clients, from what every computer can emit at any rate up to the
/// whole frame, twice. Where fewer frames per second arrive than are asked, the computer is at its limit.
const EMITTED: [usize; 5] = [512, 1_024, 2_048, WIDTH, WIDTH];

/// Bytes of a frame.
const FRAME: usize = 2 * WIDTH * WIDTH;

/// Bytes that a receiver reads at once.
const READ: usize = 256 * 1_024;

/// Interval of the small calls.
const EVERY: Duration = Duration::from_millis(2);

/// Timeout for any bytes.
const PATIENCE: Duration = Duration::from_mins(1);

/// Number of clients that receive every frame of a camera that emits them.
const CLIENTS: usize = 3;

#[derive(Debug, Args)]
pub(crate) struct CameraOptions {
    /// Labwire's program; the one beside this program if it is not given
    #[arg(long, value_name = "FILE")]
    labwire: Option<PathBuf>,
    /// Number of frames in each measurement
    #[arg(long, default_value_t = 30)]
    frames: usize,
    /// Frames per second that the camera emits to three clients
    #[arg(long, default_value_t = 100)]
    rate: u32,
}

/// A program that ends with this process.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program. Returns it with the first line that contains `text`.
fn start(command: &mut Command, text: &str) -> anyhow::Result<(Running, String)> {
    let mut child = Running(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?);
    let output = child.0.stdout.take().context("its output is read")?;
    let mut reader = BufReader::new(output);
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            bail!("the program ended before it printed {text:?}");
        }
    }
    thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    Ok((child, line))
}

/// One end of a connection.
struct Peer {
    stream: BufReader<TcpStream>,
    line: String,
    scratch: Vec<u8>,
}

impl Peer {
    fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream: BufReader::with_capacity(READ, stream),
            line: String::new(),
            scratch: vec![0; READ],
        })
    }

    /// Connects and identifies.
    fn join(address: SocketAddr, identity: &str) -> anyhow::Result<Self> {
        let mut peer = Self::connect(address)?;
        peer.expect("\"identity\"")?;
        let features = r#""features":["registered","binary","cut-through"]"#;
        peer.send(&[format!("{{\"result\":{{{identity},{features}}}}}\r\n").as_bytes()])?;
        peer.expect("\"registered\"")?;
        Ok(peer)
    }

    /// Sends a request to the manager, which must be granted.
    fn ask(&mut self, attribute: &str, service: &str) -> anyhow::Result<()> {
        let request = format!(
            "{{\"service\":\"Manager\",\"attribute\":\"{attribute}\",\"args\":[\"{service}\"],\"uid\":\"ask\"}}\r\n"
        );
        self.send(&[request.as_bytes()])?;
        self.expect("\"error\":false")
    }

    fn send(&mut self, pieces: &[&[u8]]) -> anyhow::Result<()> {
        for piece in pieces {
            self.stream.get_ref().write_all(piece)?;
        }
        Ok(())
    }

    /// Reads the next line, which must contain the text.
    fn expect(&mut self, text: &str) -> anyhow::Result<()> {
        self.line.clear();
        if self.stream.read_line(&mut self.line)? == 0 || !self.line.contains(text) {
            bail!("instead of something with {text} came {:.200}", self.line);
        }
        Ok(())
    }

    /// Reads a frame of this size with this number, and checks that nothing of it is lost.
    fn expect_frame(&mut self, frame: usize, number: usize) -> anyhow::Result<()> {
        self.expect("{\"buffers\":[")?;
        let mut first = [0; 8];
        self.stream.read_exact(&mut first)?;
        let mut missing = frame + 1 - first.len() - 9;
        while missing > 0 {
            let size = missing.min(READ);
            let count = self.stream.read(&mut self.scratch[..size])?;
            if count == 0 {
                bail!("the connection was closed within a frame");
            }
            missing -= count;
        }
        let mut last = [0; 9];
        self.stream.read_exact(&mut last)?;
        let mark = (number as u64).to_le_bytes();
        if first != mark || last[..8] != mark || last[8] != b'\n' {
            bail!("frame {number} was lost or changed");
        }
        Ok(())
    }
}

/// Returns the size of a frame in bytes.
fn frame_size(width: usize) -> usize {
    2 * width * width
}

fn description(width: usize) -> String {
    let bytes = frame_size(width);
    format!("{{\"buffers\":[{{\"dtype\":\"<u2\",\"shape\":[{width},{width}],\"bytes\":{bytes}}}]")
}

/// Marks a frame with its number, at both ends.
fn mark(pixels: &mut [u8], number: usize) {
    let mark = (number as u64).to_le_bytes();
    pixels[..8].copy_from_slice(&mark);
    let end = pixels.len();
    pixels[end - 8..end - 1].copy_from_slice(&mark[..7]);
    pixels[end - 1] = mark[7];
}

/// A client and a service that are connected with each other.
struct Pair {
    client: Peer,
    service: Peer,
    /// The client's name on the network.
    requester: String,
}

impl Pair {
    fn through_labwire(address: SocketAddr, name: &str) -> anyhow::Result<Self> {
        let identity = format!(r#""type":"service","name":"{name}","attributes":{{}},"max_clients":1"#);
        let service = Peer::join(address, &identity)?;
        let mut client = Peer::join(address, r#""type":"client","name":"viewer""#)?;
        let requester = client.line.split('"').find(|text| text.starts_with("viewer["));
        let requester = requester.context("the manager names its clients")?.to_owned();
        client.ask("link", name)?;
        Ok(Self {
            client,
            service,
            requester,
        })
    }

    fn through_relay(clients: SocketAddr, services: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self {
            client: Peer::connect(clients)?,
            service: Peer::connect(services)?,
            requester: "viewer".to_owned(),
        })
    }

    /// Makes one small call, there and back.
    fn call(&mut self, name: &str) -> anyhow::Result<()> {
        let request = format!("{{\"service\":\"{name}\",\"attribute\":\"read\",\"uid\":\"1\"}}\r\n");
        self.client.send(&[request.as_bytes()])?;
        self.service.expect("\"read\"")?;
        let reply = format!(
            "{{\"error\":false,\"requester\":\"{}\",\"result\":1.5,\"uid\":\"1\"}}\r\n",
            self.requester
        );
        self.service.send(&[reply.as_bytes()])?;
        self.client.expect("1.5")
    }
}

/// What was measured.
struct Figures {
    mebibytes_per_second: f64,
    small_p50: f64,
    small_p99: f64,
}

/// Requests frames, one after the other, while small calls go on beside them.
fn view(mut camera: Pair, mut small: Pair, frames: usize) -> anyhow::Result<Figures> {
    let over = AtomicBool::new(false);
    let mut times = Histogram::<u64>::new(3)?;
    let seconds = thread::scope(|scope| {
        let beside = scope.spawn(|| -> anyhow::Result<()> {
            let mut next = Instant::now();
            while !over.load(Ordering::Relaxed) {
                let due = next;
                thread::sleep(due.saturating_duration_since(Instant::now()));
                small.call("Small")?;
                times.record(u64::try_from(due.elapsed().as_micros())?)?;
                next = (due + EVERY).max(Instant::now());
            }
            Ok(())
        });
        let seconds = transfer(&mut camera, frames);
        over.store(true, Ordering::Relaxed);
        beside
            .join()
            .ok()
            .context("the small calls' thread broke off")??;
        seconds
    })?;
    Ok(Figures {
        mebibytes_per_second: (frames * FRAME) as f64 / 1_048_576.0 / seconds,
        small_p50: times.value_at_quantile(0.5) as f64 / 1e3,
        small_p99: times.value_at_quantile(0.99) as f64 / 1e3,
    })
}

/// Returns the seconds in which that many frames went to the client.
fn transfer(pair: &mut Pair, frames: usize) -> anyhow::Result<f64> {
    let Pair {
        client,
        service,
        requester,
    } = pair;
    thread::scope(|scope| {
        let sending = scope.spawn(move || -> anyhow::Result<()> {
            let mut pixels = vec![7; FRAME];
            for number in 0..=frames {
                service.expect("\"frame\"")?;
                mark(&mut pixels, number);
                let line = format!(
                    "{},\"error\":false,\"requester\":\"{requester}\",\"result\":{{\"$buffer\":0}},\"uid\":\"1\"}}\r\n",
                    description(WIDTH)
                );
                service.send(&[line.as_bytes(), &pixels, b"\n"])?;
            }
            Ok(())
        });
        let request = b"{\"service\":\"Camera\",\"attribute\":\"frame\",\"uid\":\"1\"}\r\n";
        let mut start = Instant::now();
        for number in 0..=frames {
            if number == 1 {
                // The first one brings memory and buffers to their size.
                start = Instant::now();
            }
            client.send(&[request])?;
            client.expect_frame(FRAME, number)?;
        }
        let seconds = start.elapsed().as_secs_f64();
        sending.join().ok().context("the camera's thread broke off")??;
        Ok(seconds)
    })
}

/// A camera that emits frames, and the clients that receive all of them.
struct Emitter {
    camera: Peer,
    clients: Vec<Peer>,
}

impl Emitter {
    fn through_labwire(address: SocketAddr) -> anyhow::Result<Self> {
        let camera = Peer::join(address, r#""type":"service","name":"Emitter","attributes":{}"#)?;
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let mut client = Peer::join(address, r#""type":"client","name":"viewer""#)?;
            client.ask("link", "Emitter")?;
            clients.push(client);
        }
        Ok(Self { camera, clients })
    }

    fn through_fan_out(address: SocketAddr) -> anyhow::Result<Self> {
        let camera = Peer::connect(address)?;
        let clients: anyhow::Result<_> = (0..CLIENTS).map(|_| Peer::connect(address)).collect();
        let clients = clients?;
        Ok(Self { camera, clients })
    }

    /// Emits frames. Returns the frames per second.
    fn emit(mut self, width: usize, frames: usize, rate: u32) -> anyhow::Result<f64> {
        let size = frame_size(width);
        let start = Instant::now();
        thread::scope(|scope| {
            let receiving: Vec<_> = self
                .clients
                .into_iter()
                .map(|mut client| {
                    scope.spawn(move || (0..frames).try_for_each(|number| client.expect_frame(size, number)))
                })
                .collect();
            let mut pixels = vec![7; size];
            for number in 0..frames {
                let due = Duration::from_secs(1) * u32::try_from(number)? / rate;
                thread::sleep(due.saturating_sub(start.elapsed()));
                mark(&mut pixels, number);
                let line = format!(
                    "{},\"error\":false,\"result\":[[{{\"$buffer\":0}}],{{}}],\"service\":\"Emitter\",\"uid\":\"notification\"}}\r\n",
                    description(width)
                );
                self.camera.send(&[line.as_bytes(), &pixels, b"\n"])?;
            }
            for client in receiving {
                client.join().ok().context("a client's thread broke off")??;
            }
            Ok(frames as f64 / start.elapsed().as_secs_f64())
        })
    }
}

/// Returns the peak of a process' memory, in MiB.
fn peak(child: &Running) -> anyhow::Result<f64> {
    let process = crate::process::Process::new(child.0.id())?;
    process.peak_mebibytes()
}

/// Measures and prints.
///
/// # Errors
///
/// If a frame is lost or changed, or a program cannot be started.
pub(crate) fn run(options: &CameraOptions) -> anyhow::Result<()> {
    let own = std::env::current_exe()?;
    let beside = own.parent().unwrap_or(Path::new(".")).join("labwire");
    let program = options.labwire.clone().unwrap_or(beside);
    let home = tempfile::tempdir()?;
    let mut command = Command::new(&program);
    command
        .args(["start", "--port", "0", "--disable-tls"])
        .env("LABWIRE_HOME", home.path());
    let (manager, line) = start(&mut command, "Network Manager running on ")
        .with_context(|| format!("cannot start {}", program.display()))?;
    let port = line
        .split(" (TLS")
        .next()
        .and_then(|line| line.rsplit(':').next());
    let port = port
        .and_then(|port| port.trim().parse().ok())
        .context("it prints its port")?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let (relay, line) = start(Command::new(&own).arg("relay"), "listening on ")?;
    let mut addresses = line
        .split_whitespace()
        .filter_map(|word| word.parse::<SocketAddr>().ok());
    let (Some(clients), Some(services)) = (addresses.next(), addresses.next()) else {
        bail!("the relay printed {line:?}");
    };
    let (fan_out, line) = start(
        Command::new(&own).args(["fan-out", "--receivers", &CLIENTS.to_string()]),
        "listening on ",
    )?;
    let fan_out_address = line.split_whitespace().find_map(|word| word.parse().ok());
    let fan_out_address = fan_out_address.with_context(|| format!("the fan-out printed {line:?}"))?;
    // Twice each, in turn, so that a slow moment of the computer shows.
    for _ in 0..2 {
        let labwire = view(
            Pair::through_labwire(address, "Camera")?,
            Pair::through_labwire(address, "Small")?,
            options.frames,
        )?;
        let relayed = view(
            Pair::through_relay(clients, services)?,
            Pair::through_relay(clients, services)?,
            options.frames,
        )?;
        for (name, figures) in [("labwire", &labwire), ("relay", &relayed)] {
            println!(
                "{name}: {:.0} MiB/s; small calls beside: p50 {:.2} ms, p99 {:.2} ms",
                figures.mebibytes_per_second, figures.small_p50, figures.small_p99
            );
        }
        println!(
            "{:.2} x the relay's MiB/s, {:.2} x its p99 of small calls",
            labwire.mebibytes_per_second / relayed.mebibytes_per_second,
            labwire.small_p99 / relayed.small_p99
        );
    }
    println!("manager: at most {:.0} MiB after one client", peak(&manager)?);
    for width in EMITTED {
        let frames = if width < WIDTH {
            4 * options.frames
        } else {
            options.frames
        };
        let labwire = Emitter::through_labwire(address)?.emit(width, frames, options.rate)?;
        let bare = Emitter::through_fan_out(fan_out_address)?.emit(width, frames, options.rate)?;
        println!(
            "{CLIENTS} clients, {width} x {width}: {labwire:.1} frames/s of {} asked, {:.0} MiB/s in all, {:.2} x \
             those of a bare fan-out ({bare:.1}); nothing lost; at most {:.0} MiB",
            options.rate,
            labwire * (CLIENTS * frame_size(width)) as f64 / 1_048_576.0,
            labwire / bare,
            peak(&manager)?
        );
    }
    drop((manager, relay, fan_out));
    Ok(())
}
