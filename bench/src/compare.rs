//! Measures Labwire and its peers side by side, and prints which rules are met.

use std::env;
use std::time::Duration;

use anyhow::{Context as _, bail};

use self::broker::Programs;
use self::cell::{Cell, Cores};
use self::kind::Kind;
use self::options::CompareOptions;
use self::table::Results;
use crate::process::{cores, run_on_core};

mod broker;
mod cell;
mod kind;
pub(crate) mod options;
mod rule;
mod table;

/// Program of Labwire [default: the one beside this program]
/// Program of MSL-Network
/// Program of the NATS server
/// Program of Mosquitto
/// Number of measurements of each figure; the table shows medians
/// Duration of each measurement, in seconds
/// Measure each figure once, for one second
/// Measure only rows whose name contains this text, e.g. TLS
/// Measure only these peers beside Labwire; a peer that is not installed is always left out
/// The core of the broker, and that of the load generator.
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
