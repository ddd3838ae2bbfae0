//! The commands of the `labwire` program for people who use a manager: list the services, describe
//! one, call it.
//!
//! The program adds [`Command`] to its own subcommands and passes it to [`run`]. The commands are
//! clients of the manager as any other: they use the client SDK, and work with MSL-Network too.
//!
//! Every command has a readable form and, with `--json`, one JSON object per line. Errors go to
//! standard error. The exit code tells the kind of the failure; `labwire --help` lists the codes.

mod admin;
mod call;
mod connection;
mod describe;
mod failure;
mod near;
mod output;
mod profile;
mod profiles;
mod services;
mod words;

use std::process::ExitCode;

use clap::Subcommand;
use tokio::runtime::Builder;

use failure::Failure;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the services of the network
    #[command(after_help = services::EXAMPLES, after_long_help = services::AFTER_HELP)]
    Services(services::ServicesArgs),
    /// Show a service: its attributes, their signatures and documentation
    #[command(after_help = describe::EXAMPLES, after_long_help = describe::AFTER_HELP)]
    Describe(describe::DescribeArgs),
    /// Call a method of a service, or read a value
    #[command(after_help = call::EXAMPLES, after_long_help = call::AFTER_HELP)]
    Call(call::CallArgs),
    /// Send the manager an administrator's request
    #[command(after_help = admin::EXAMPLES, after_long_help = admin::AFTER_HELP)]
    Admin(admin::AdminArgs),
    /// Keep the settings of connections under names
    #[command(after_help = profile::AFTER_HELP)]
    Profile(profile::ProfileArgs),
}

/// Runs a command to its end and returns the exit code of the process. Results go to standard
/// output, an error to standard error.
pub fn run(command: &Command) -> ExitCode {
    match run_in_runtime(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::tell(format_args!(
                "labwire: {}",
                output::printable(&failure.to_string())
            ));
            failure.exit_code()
        }
    }
}

fn run_in_runtime(command: &Command) -> Result<(), Failure> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
    let done = runtime.block_on(async {
        let running = async {
            match command {
                Command::Services(arguments) => services::run(arguments).await,
                Command::Describe(arguments) => describe::run(arguments).await,
                Command::Call(arguments) => call::run(arguments).await,
                Command::Admin(arguments) => admin::run(arguments).await,
                Command::Profile(arguments) => profile::run(arguments),
            }
        };
        tokio::select! {
            done = running => done,
            _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
        }
    });
    // A lookup of a name may still be under way on a thread of the runtime; it is not awaited.
    runtime.shutdown_background();
    done
}
