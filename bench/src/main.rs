//! `labwire-bench`: measures a network manager, and the baselines and peers that it is compared
//! with.

// Counts become figures here, of which only about four digits matter.
#![allow(clippy::cast_precision_loss)]

mod beside;
mod call;
mod camera;
mod compare;
mod connection;
mod dialect;
mod driver;
mod fan_out;
mod idle;
mod large;
mod launch;
mod mux;
mod notify;
mod options;
mod payload;
mod process;
mod relay;
mod report;
mod session;
#[cfg(test)]
mod tests;
mod tls;

use anyhow::Context as _;
use clap::Parser as _;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::options::{Cli, Command};

fn main() -> anyhow::Result<()> {
    let command = Cli::parse().command;
    raise_descriptor_limit()?;
    match command {
        Command::Call(options) => {
            let broker = &options.broker;
            let figures = call::run(broker.target()?, &options.plan()?, broker.process()?)?;
            println!("{figures}");
        }
        Command::Notify(options) => {
            let broker = &options.broker;
            let figures = notify::run(broker.target()?, &options.plan()?, broker.process()?)?;
            println!("{figures}");
        }
        Command::Large(options) => {
            let broker = &options.broker;
            let figures = large::run(broker.target()?, &options.plan()?, broker.process()?)?;
            println!("{figures}");
        }
        Command::Idle(options) => {
            let broker = &options.broker;
            let figures = idle::run(broker.target()?, options.clients, broker.process()?)?;
            println!("{figures}");
        }
        Command::Camera(options) => camera::run(&options)?,
        Command::Compare(options) => compare::run(&options)?,
        Command::Relay(options) => relay::run(options.listen, options.listen_services)?,
        Command::FanOut(options) => fan_out::run(options.listen, options.receivers)?,
        Command::Mux(options) => mux::run(options.listen)?,
        Command::Launch(options) => launch::run(&options)?,
    }
    Ok(())
}

/// Raises the limit of descriptors to the maximum that the system allows: each client needs one.
fn raise_descriptor_limit() -> anyhow::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("cannot raise the limit of open descriptors")
}
