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
mod shell;
mod words;

use std::process::ExitCode;
use std::thread;

use clap::Subcommand;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use failure::Failure;
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
    /// Type calls to services, with completion, history and help
    #[command(after_help = shell::EXAMPLES, after_long_help = shell::AFTER_HELP)]
    Shell(shell::ShellArgs),
    /// Send the manager an administrator's request
    #[command(after_help = admin::EXAMPLES, after_long_help = admin::AFTER_HELP)]
    Admin(admin::AdminArgs),
    /// Keep the settings of connections under names
    #[command(after_help = profile::AFTER_HELP)]
    Profile(profile::ProfileArgs),
}

/// Runs a command to its end and returns the exit code of the process. Results go to standard
/// output, an error to standard error. Ctrl-C ends it at once, whatever it waits for.
pub fn run(command: Command) -> ExitCode {
    match run_in_runtime(command) {
        Ok(()) | Err(Failure::Closed) => ExitCode::SUCCESS,
        Err(failure @ Failure::Told(_)) => failure.exit_code(),
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
    let (ended, end) = oneshot::channel();
    // A person at the shell gives up a call with Ctrl-C, not the shell.
    let ends_at_interrupt = !(matches!(command, Command::Shell(_)) && shell::is_for_person());
    // The command has a thread and a runtime of its own: reading a file or writing to a pipe may
    // block them, and Ctrl-C must be noticed meanwhile.
    thread::spawn(move || {
        let _ = ended.send(commands.block_on(execute(&command)));
    });
    waiting.block_on(async {
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c(), if ends_at_interrupt => Err(Failure::Interrupted),
            done = end => done.unwrap_or_else(|_| Err(Failure::Failed("the command ended early".to_owned()))),
        }
    })
}

async fn execute(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Services(arguments) => services::run(arguments).await,
        Command::Describe(arguments) => describe::run(arguments).await,
        Command::Call(arguments) => call::run(arguments).await,
        Command::Shell(arguments) => shell::run(arguments).await,
        Command::Admin(arguments) => admin::run(arguments).await,
        Command::Profile(arguments) => profile::run(arguments),
    }
}
