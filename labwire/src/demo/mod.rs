//! `labwire demo`: runs a manager, services and clients in one program, and prints each step.

mod oven;
mod session;
mod story;

use std::time::Duration;

use anyhow::Context;
use labwire_client::{ClientOptions, ConnectOptions};
use labwire_device::StopSignals;
use labwire_examples::{BasicMath, Echo, heartbeat};
use labwire_home::{Home, fingerprint_sha256};
use labwire_pki::load_chain;

use crate::cli::say;
use crate::run_services::{ManagerOptions, RunningServices, Services};
use oven::Oven;
use story::Story;

/// Duration of a second in the slow service: six calls of one to six seconds take 1.5 s in
/// parallel, and 5.25 s in sequence.
const SECOND: Duration = Duration::from_millis(250);

/// Show what a manager does: links, calls, locks and notifications
///
/// Runs a manager, a few services and two clients in this program, over TLS on a free port, with
/// the files in a temporary folder. It takes less than fifteen seconds.
#[derive(clap::Args)]
pub(crate) struct DemoArgs {
    /// Keep the manager and its services running afterwards, and print the next commands to type;
    /// Ctrl-C ends them
    #[arg(long)]
    keep: bool,
    /// The port to listen on; with 0 the system chooses one
    #[arg(short, long, default_value_t = 0)]
    port: u16,
}

/// Runs the demo.
pub(crate) fn run(arguments: &DemoArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(show(arguments))
}

async fn show(arguments: &DemoArgs) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let story = Story::begin();
    let demo = Demo::start(Home::at(folder.path()), arguments.port, &story).await?;
    session::play(&demo, &story).await?;
    say("\nThat is all. What it promises is in README.md, the wire in protocol.md.")?;
    if arguments.keep {
        demo.tell_what_to_type()?;
        // Not only for Ctrl-C: the temporary folder must be removed when the system ends the
        // program, too.
        let mut signals = StopSignals::listen().context("cannot wait for Ctrl-C")?;
        signals.next().await;
    }
    demo.running.shut_down().await?;
    Ok(())
}

/// The manager and the services of the demo.
struct Demo {
    running: RunningServices,
    oven: Oven,
    home: Home,
}

impl Demo {
    async fn start(home: Home, port: u16, story: &Story) -> anyhow::Result<Self> {
        Story::chapter("A manager and four services")?;
        let services = Services::new()
            .with(Echo)
            .with(BasicMath::with_second(SECOND))
            .with_runner(heartbeat::runner());
        let options = ManagerOptions::new().port(port).home(home.clone());
        let running = services.connect(options).await?;
        let certificate = load_chain(&home.certificate_file()).context("cannot read the certificate")?;
        let fingerprint = certificate
            .first()
            .map(|certificate| fingerprint_sha256(certificate));
        story.tell(
            "manager",
            format_args!("listens on port {}, over TLS", running.port()),
        )?;
        story.tell(
            "manager",
            format_args!("its certificate is {}", fingerprint.unwrap_or_default()),
        )?;
        let options = connect_options(&home, running.port());
        let oven = Oven::start(options.clone()).await?;
        for service in ["Echo", "BasicMath", "Heartbeat", "Oven"] {
            story.tell(service, "is registered")?;
        }
        Ok(Self { running, oven, home })
    }

    /// Returns the options with which the clients connect to the manager.
    fn options(&self) -> ClientOptions {
        connect_options(&self.home, self.running.port()).into()
    }

    fn tell_what_to_type(&self) -> anyhow::Result<()> {
        let (port, certificate) = (self.running.port(), self.home.certificate_file());
        let certificate = certificate.display();
        say(format_args!(
            "\nThe manager, Echo, BasicMath and Heartbeat go on running. In another terminal, by hand:\n\n  \
             openssl s_client -quiet -connect localhost:{port} -CAfile {certificate}\n  \
             client Me\n  identity\n  Echo echo hello x=1.1\n  exit\n\n\
             Or with the Python package (pip install msl-network):\n\n  \
             from msl.network import connect\n  \
             cxn = connect(port={port}, cert_file='{certificate}')\n  \
             cxn.link('BasicMath').add(1, 2)\n\n\
             Or from a shell:\n\n  \
             labwire call --host localhost:{port} --cert-file {certificate} BasicMath add 1 2\n\n\
             Ctrl-C ends it."
        ))
    }
}

fn connect_options(home: &Home, port: u16) -> ConnectOptions {
    ConnectOptions::new()
        .port(port)
        .certificate_file(home.certificate_file())
}
