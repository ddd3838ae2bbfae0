//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, Parser, Subcommand};

use crate::camera::CameraOptions;
use crate::compare::options::CompareOptions;
use crate::dialect::Dialect;
use crate::launch::LaunchOptions;
use crate::payload::{Content, Payload};
use crate::process::Process;
use crate::session::Target;
use crate::{call, large, notify, tls};

/// Measures a network manager on this computer.
///
/// Every reply and every notification is checked: a run in which one is lost, duplicated, changed
/// or out of order fails and prints no figures.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measures requests and replies
    Call(CallOptions),
    /// Measures notifications of one service to many clients
    Notify(NotifyOptions),
    /// Measures one large call, and small calls of other clients beside it
    Large(LargeOptions),
    /// Measures idle clients, which are connected, identified and linked
    Idle(IdleOptions),
    /// Measures frames of a camera, as raw bytes, through Labwire and a relay
    Camera(CameraOptions),
    /// Starts Labwire and the installed peers, measures all of them, and prints which rules are met
    Compare(CompareOptions),
    /// Runs a relay, which copies bytes without reading them
    Relay(RelayOptions),
    /// Runs a fan-out, which copies the bytes of one connection to others
    FanOut(FanOutOptions),
    /// Runs a mux, which reads only the members needed for routing, and checks nothing
    Mux(MuxOptions),
    /// Runs a program on one core until the parent process ends
    #[command(hide = true)]
    Launch(LaunchOptions),
}

/// The broker to measure.
#[derive(Debug, Args)]
pub(crate) struct BrokerOptions {
    /// Address of the broker
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:1875")]
    to: SocketAddr,
    /// Address of the broker for services, if it is another one
    #[arg(long, value_name = "ADDRESS:PORT")]
    services_to: Option<SocketAddr>,
    /// Wire protocol of the broker
    #[arg(long, default_value = "lines")]
    dialect: Dialect,
    /// Connect with TLS, and trust only the certificates in this file (PEM)
    #[arg(long, value_name = "FILE")]
    tls: Option<PathBuf>,
    /// Process of the broker, whose CPU time and memory are measured
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
    /// Number of services
    #[arg(long, default_value_t = 4)]
    services: usize,
    /// Number of clients that send requests
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// Number of requests in flight per client
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
    /// Size of the JSON payload of each request and reply, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    size: usize,
    /// Content of the payload
    #[arg(long, default_value = "text")]
    content: Content,
    /// Duration of the measurement, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    seconds: f64,
    /// Number of additional clients that are connected and idle
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
    /// Number of clients that receive the notifications
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Size of the JSON payload of each notification, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 256)]
    size: usize,
    /// Content of the payload
    #[arg(long, default_value = "text")]
    content: Content,
    /// Duration of the measurement, in seconds
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
    /// Size of the payload of the large call in each direction, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    mebibytes: usize,
    /// Content of the payload
    #[arg(long, default_value = "text")]
    content: Content,
    /// Number of clients that make small calls beside it, one at a time each
    #[arg(long, default_value_t = 4)]
    small_clients: usize,
    /// Forward the large call while it arrives, by a manager with the feature cut-through
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
    /// Number of clients
    #[arg(long, default_value_t = 2_000)]
    pub(crate) clients: usize,
}

#[derive(Debug, Args)]
pub(crate) struct MuxOptions {
    /// Address to listen on; for port 0 the system chooses a port, which is printed
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
}

#[derive(Debug, Args)]
pub(crate) struct FanOutOptions {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Number of connections that receive
    #[arg(long, default_value_t = 3)]
    pub(crate) receivers: usize,
}

#[derive(Debug, Args)]
pub(crate) struct RelayOptions {
    /// Address to listen on for clients; for port 0 the system chooses a port, which is printed
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Address to listen on for services
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub(crate) listen_services: SocketAddr,
}
