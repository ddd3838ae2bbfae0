//! The options of a comparison.

use std::path::PathBuf;

use clap::Args;

use super::kind::Kind;

#[derive(Debug, Args)]
pub(crate) struct CompareOptions {
    /// Labwire's program [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    pub(super) labwire: Option<PathBuf>,
    /// MSL-Network's program
    #[arg(long, value_name = "FILE", default_value = "msl-network")]
    pub(super) msl_network: PathBuf,
    /// NATS' server
    #[arg(long, value_name = "FILE", default_value = "nats-server")]
    pub(super) nats_server: PathBuf,
    /// Mosquitto
    #[arg(long, value_name = "FILE", default_value = "mosquitto")]
    pub(super) mosquitto: PathBuf,
    /// How often each figure is measured; the table holds medians
    #[arg(long, default_value_t = 5)]
    pub(super) repeats: usize,
    /// How many seconds each is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    pub(super) seconds: f64,
    /// Measure once, a second each
    #[arg(long, conflicts_with_all = ["repeats", "seconds"])]
    pub(super) quick: bool,
    /// Only rows whose name holds this text, e.g. TLS
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(super) only: String,
    /// Only these peers beside Labwire; a peer that is not there is left out in any case
    #[arg(long, value_delimiter = ',', value_name = "PEER")]
    pub(super) peers: Option<Vec<Kind>>,
}
