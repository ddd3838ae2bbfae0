//! `labwire-bench`: measures a network manager, and the floors and peers that it is compared with.

mod call;
mod connection;
mod dialect;
mod driver;
mod mux;
mod payload;
mod process;
mod relay;
mod report;
mod session;

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::dialect::Dialect;
use crate::payload::{Content, Payload};
use crate::process::Process;
use crate::session::Target;

/// Measures a network manager on this computer.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Requests and replies
    Call(CallOptions),
    /// Runs a relay, which copies bytes and looks at nothing
    Relay,
    /// Runs a mux, which finds the members that say where a line goes, and checks nothing
    Mux,
}

/// Which broker is measured.
#[derive(Debug, Args)]
struct BrokerOptions {
    /// Where the broker listens
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:1875")]
    to: SocketAddr,
    /// Where it listens for services, if that is another port
    #[arg(long, value_name = "HOST:PORT")]
    services_to: Option<SocketAddr>,
    /// What it speaks
    #[arg(long, default_value = "lines")]
    dialect: Dialect,
    /// Its process, whose use of the processor and of memory is measured
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
}

impl BrokerOptions {
    fn target(&self) -> Target {
        Target {
            address: self.to,
            services: self.services_to.unwrap_or(self.to),
            dialect: self.dialect,
            tls: None,
        }
    }

    fn process(&self) -> anyhow::Result<Option<Process>> {
        self.pid.map(Process::new).transpose()
    }
}

#[derive(Debug, Args)]
struct CallOptions {
    #[command(flatten)]
    broker: BrokerOptions,
    /// How many services answer
    #[arg(long, default_value_t = 4)]
    services: usize,
    /// How many clients ask
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// How many requests each client has under way
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
    /// How many bytes of JSON each request and reply carries
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    size: usize,
    /// What these bytes are
    #[arg(long, default_value = "text")]
    content: Content,
    /// How many seconds it is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    seconds: f64,
    /// How many clients beside are connected and do nothing
    #[arg(long, default_value_t = 0)]
    idle: usize,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Call(options) => {
            let plan = call::Plan {
                services: options.services,
                clients: options.clients,
                in_flight: options.in_flight,
                payload: Payload::new(options.content, options.size)?,
                time: Duration::from_secs_f64(options.seconds),
                idle: options.idle,
            };
            let figures = call::run(options.broker.target(), &plan, options.broker.process()?)?;
            println!("{figures}");
            Ok(())
        }
        Command::Relay => relay::run(),
        Command::Mux => mux::run(),
    }
}
