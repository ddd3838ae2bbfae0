//! Measures Labwire and its peers side by side, and prints which rules are met.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;

use self::broker::Programs;
use self::cell::{Cell, Cores};
use self::kind::Kind;
use self::table::Results;
use crate::process::{cores, run_on_core};

mod broker;
mod cell;
mod kind;
mod rule;
mod table;

#[derive(Debug, Args)]
pub(crate) struct CompareOptions {
    /// Labwire's program [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    labwire: Option<PathBuf>,
    /// MSL-Network's program
    #[arg(long, value_name = "FILE", default_value = "msl-network")]
    msl_network: PathBuf,
    /// NATS' server
    #[arg(long, value_name = "FILE", default_value = "nats-server")]
    nats_server: PathBuf,
    /// Mosquitto
    #[arg(long, value_name = "FILE", default_value = "mosquitto")]
    mosquitto: PathBuf,
    /// How often each figure is measured; the table holds medians
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    /// How many seconds each is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    seconds: f64,
    /// Measure once, a second each
    #[arg(long, conflicts_with_all = ["repeats", "seconds"])]
    quick: bool,
    /// Only rows whose name holds this text, e.g. TLS
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Only these peers beside Labwire; a peer that is not there is left out in any case
    #[arg(long, value_delimiter = ',', value_name = "PEER")]
    peers: Option<Vec<Kind>>,
}

/// Measures everything. Prints the table on standard output and the progress on standard error.
///
/// # Errors
///
/// If Labwire is missing or has failed. A failure of Labwire or a peer is printed and left out of
/// the table, and the other measurements continue.
pub(crate) fn run(options: &CompareOptions) -> anyhow::Result<()> {
    let (repeats, seconds) = if options.quick {
        (1, 1.0)
    } else {
        (options.repeats, options.seconds)
    };
    let time = Duration::try_from_secs_f64(seconds).context("--seconds is no time that can be measured")?;
    let labwire = match &options.labwire {
        Some(file) => file.clone(),
        None => env::current_exe()?.with_file_name("labwire"),
    };
    let (programs, left_out) = Programs::find(labwire, options)?;
    let is_wanted =
        |kind: Kind| kind.is_labwire() || options.peers.as_ref().is_none_or(|peers| peers.contains(&kind));
    let cells = cell::all(time);
    let cells: Vec<&Cell> = cells
        .iter()
        .filter(|cell| cell.name.contains(&options.only))
        .collect();
    if cells.is_empty() || repeats == 0 {
        bail!(
            "there is nothing to measure: no row's name holds '{}'",
            options.only
        );
    }
    let found = cores()?;
    let Some(&broker) = found.first() else {
        bail!("there is no core to run on");
    };
    let cores = Cores {
        broker,
        generator: *found.get(1).unwrap_or(&broker),
    };
    run_on_core(cores.generator)?;

    let mut results = Results::default();
    for repeat in 1..=repeats {
        for cell in &cells {
            let kinds = cell.kinds.iter().copied().filter(|kind| is_wanted(*kind));
            for kind in kinds.filter(|kind| programs.have(*kind)) {
                eprintln!("{repeat}/{repeats}: {}, {kind}", cell.name);
                match cell.measure(kind, &programs, cores) {
                    Ok(figures) => results.add(cell.name, kind, repeat, &figures),
                    Err(error) => {
                        eprintln!("{kind} failed at {}: {error:#}", cell.name);
                        results.fail(cell.name, kind, &error);
                    }
                }
            }
        }
    }
    for (program, why) in left_out {
        println!("{program} was left out: {why}");
    }
    print!("{}", results.table(&cells));
    if results.labwire_failed() {
        bail!("Labwire failed; what it said is below the table");
    }
    Ok(())
}
