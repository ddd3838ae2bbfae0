//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, Parser, Subcommand};

use crate::compare::options::CompareOptions;
use crate::dialect::Dialect;
use crate::launch::LaunchOptions;
use crate::payload::{Content, Payload};
use crate::process::Process;
use crate::session::Target;
use crate::{call, large, notify, tls};

/// Measures a network manager on this computer.
///
/// Every reply and every notification is checked: a run in which one is lost, doubled, changed or out of turn fails
/// and gives no figures.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Requests and replies
    Call(CallOptions),
    /// Notifications of one service to many clients
    Notify(NotifyOptions),
    /// One large call, and small calls of others beside it
    Large(LargeOptions),
    /// Clients that are connected, identified and linked, and do nothing more
    Idle(IdleOptions),
    /// Starts Labwire and the peers that are installed, measures all of them, and says which figures are met
    Compare(CompareOptions),
    /// Runs a relay, which copies bytes and looks at nothing
    Relay(RelayOptions),
    /// Runs a mux, which finds the members that say where a line goes, and checks nothing
    Mux(MuxOptions),
    /// Runs a program on one core, until this one's parent ends
    #[command(hide = true)]
    Launch(LaunchOptions),
}

/// Which broker is measured.
#[derive(Debug, Args)]
pub(crate) struct BrokerOptions {
    /// Where the broker listens
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:1875")]
    to: SocketAddr,
    /// Where it listens for services, if that is another port
    #[arg(long, value_name = "ADDRESS:PORT")]
    services_to: Option<SocketAddr>,
    /// What it speaks
    #[arg(long, default_value = "lines")]
    dialect: Dialect,
    /// Connect with TLS, and trust the certificates in this file (PEM) and no others
    #[arg(long, value_name = "FILE")]
    tls: Option<PathBuf>,
    /// Its process, whose use of the processor and of memory is measured
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
}

impl BrokerOptions {
    pub(crate) fn target(&self) -> anyhow::Result<Target> {
        Ok(Target {
            address: self.to,
            services: self.services_to.unwrap_or(self.to),
            dialect: self.dialect,
            tls: self.tls.as_deref().map(tls::trusting).transpose()?,
        })
    }

    pub(crate) fn process(&self) -> anyhow::Result<Option<Process>> {
        self.pid.map(Process::new).transpose()
    }
}

/// Converts a number of seconds to the duration of a measurement.
fn seconds(seconds: f64) -> anyhow::Result<Duration> {
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => bail!("{seconds} is no number of seconds that can be measured"),
    }
}

fn at_least_one(count: usize, what: &str) -> anyhow::Result<usize> {
    if count == 0 {
        bail!("there must be one {what} at least");
    }
    Ok(count)
}

#[derive(Debug, Args)]
pub(crate) struct CallOptions {
    #[command(flatten)]
    pub(crate) broker: BrokerOptions,
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

impl CallOptions {
    pub(crate) fn plan(&self) -> anyhow::Result<call::Plan> {
        Ok(call::Plan {
            services: at_least_one(self.services, "service")?,
            clients: at_least_one(self.clients, "client")?,
            in_flight: at_least_one(self.in_flight, "request in flight")?,
            payload: Payload::new(self.content, self.size)?,
            time: seconds(self.seconds)?,
            idle: self.idle,
            drain: call::DRAIN,
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct NotifyOptions {
    #[command(flatten)]
    pub(crate) broker: BrokerOptions,
    /// How many clients listen
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// How many bytes of JSON each notification carries
    #[arg(long, value_name = "BYTES", default_value_t = 256)]
    size: usize,
    /// What these bytes are
    #[arg(long, default_value = "text")]
    content: Content,
    /// How many seconds it is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    seconds: f64,
}

impl NotifyOptions {
    pub(crate) fn plan(&self) -> anyhow::Result<notify::Plan> {
        Ok(notify::Plan {
            clients: at_least_one(self.clients, "client")?,
            payload: Payload::new(self.content, self.size)?,
            time: seconds(self.seconds)?,
            drain: notify::DRAIN,
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct LargeOptions {
    #[command(flatten)]
    pub(crate) broker: BrokerOptions,
    /// How many MiB the large call carries, there and back
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    mebibytes: usize,
    /// What these bytes are
    #[arg(long, default_value = "text")]
    content: Content,
    /// How many clients make small calls beside it, one at a time each
    #[arg(long, default_value_t = 4)]
    small_clients: usize,
    /// Has it go on while it arrives, as a manager with the feature cut-through can
    #[arg(long)]
    cut_through: bool,
}

impl LargeOptions {
    pub(crate) fn plan(&self) -> anyhow::Result<large::Plan> {
        Ok(large::Plan {
            size: at_least_one(self.mebibytes, "MiB")? * 1_048_576,
            content: self.content,
            small_clients: at_least_one(self.small_clients, "small client")?,
            cut_through: self.cut_through,
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct IdleOptions {
    #[command(flatten)]
    pub(crate) broker: BrokerOptions,
    /// How many clients there are
    #[arg(long, default_value_t = 2_000)]
    pub(crate) clients: usize,
}

#[derive(Debug, Args)]
pub(crate) struct MuxOptions {
    /// Where to listen; with port 0 the system chooses one, which is told
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
}

#[derive(Debug, Args)]
pub(crate) struct RelayOptions {
    /// Where to listen for clients; with port 0 the system chooses one, which is told
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Where to listen for services
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub(crate) listen_services: SocketAddr,
}
