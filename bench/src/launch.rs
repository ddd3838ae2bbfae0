//! Starts a program on one core, and ends it together with its parent process.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use clap::Args;
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::process::run_on_core;

#[derive(Debug, Args)]
pub(crate) struct LaunchOptions {
    /// Number of the core
    #[arg(long)]
    core: usize,
    /// Program to run
    program: PathBuf,
    /// Arguments of the program
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Replaces this process with that program.
///
/// # Errors
///
/// If it cannot be started.
pub(crate) fn run(options: &LaunchOptions) -> anyhow::Result<()> {
    run_on_core(options.core)?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let error = Command::new(&options.program).args(&options.arguments).exec();
    Err(error).with_context(|| format!("cannot start {}", options.program.display()))
}
