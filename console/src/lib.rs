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
mod csv;
mod describe;
mod failure;
mod feed;
mod key;
mod narrator;
mod near;
mod output;
mod profile;
mod profiles;
mod record;
mod services;
mod session;
mod stop;
mod watch;
mod words;

use std::process::ExitCode;
use std::thread;

use clap::Subcommand;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use failure::Failure;
use stop::Stop;
pub use words::protect_numbers;

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
    /// Print the notifications of a service as they come, or plot them
    #[command(after_help = watch::EXAMPLES, after_long_help = watch::AFTER_HELP)]
    Watch(watch::WatchArgs),
    /// Record notifications and repeated calls of services in a file
    #[command(after_help = record::EXAMPLES, after_long_help = record::AFTER_HELP)]
    Record(record::RecordArgs),
    /// Send the manager an administrator's request
    #[command(after_help = admin::EXAMPLES, after_long_help = admin::AFTER_HELP)]
    Admin(admin::AdminArgs),
    /// Keep the settings of connections under names
    #[command(after_help = profile::AFTER_HELP)]
    Profile(profile::ProfileArgs),
}

/// Runs a command to its end and returns the exit code of the process. Results go to standard
/// output, an error to standard error. Ctrl-C ends it at once, whatever it waits for; a command that
/// runs until it is stopped has time to write what it has.
pub fn run(command: Command) -> ExitCode {
    let done = run_in_runtime(command);
    // A command that did not end in time may still have the terminal.
    watch::restore();
    match done {
        Ok(()) | Err(Failure::Closed) => ExitCode::SUCCESS,
        Err(failure) => {
            output::tell(format_args!("labwire: {}", output::message(&failure.to_string())));
            failure.exit_code()
        }
    }
}

fn run_in_runtime(command: Command) -> Result<(), Failure> {
    let runtime = || {
        let runtime = Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| Failure::Failed(format!("cannot start: {error}")))
    };
    let (commands, waiting) = (runtime()?, runtime()?);
    let (stopping, stop) = Stop::new();
    let is_endless = matches!(command, Command::Watch(_) | Command::Record(_));
    let done = async {
        let (ended, end) = oneshot::channel();
        // The command has a thread and a runtime of its own: reading a file or writing to a pipe may
        // block them, and Ctrl-C must be noticed meanwhile.
        thread::spawn(move || {
            let _ = ended.send(commands.block_on(execute(&command, stop)));
        });
        end.await
            .unwrap_or_else(|_| Err(Failure::Failed("the command ended early".to_owned())))
    };
    waiting.block_on(async {
        tokio::pin!(done);
        // The command begins once signals are listened to.
        if is_endless {
            tokio::select! {
                biased;
                () = stop::signalled() => stopping.send_replace(true),
                done = &mut done => return done,
            };
        }
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
            () = tokio::time::sleep(stop::GRACE), if is_endless => Err(Failure::Interrupted),
            done = &mut done => done,
        }
    })
}

async fn execute(command: &Command, stop: Stop) -> Result<(), Failure> {
    match command {
        Command::Services(arguments) => services::run(arguments).await,
        Command::Describe(arguments) => describe::run(arguments).await,
        Command::Call(arguments) => call::run(arguments).await,
        Command::Watch(arguments) => watch::run(arguments, stop).await,
        Command::Record(arguments) => record::run(arguments, stop).await,
        Command::Admin(arguments) => admin::run(arguments).await,
        Command::Profile(arguments) => profile::run(arguments),
    }
}
