//! The commands of the `labwire` program that use a manager, such as `status`, `call`, `watch` and
//! `record`.
//!
//! The program adds [`Command`] to its own subcommands and passes it to [`run`]. The commands are
//! ordinary clients of the manager: they use the client SDK, and work with MSL-Network too.
//!
//! Results are text for people. Most commands have `--json`, for one JSON object per line. Errors go to
//! standard error. The exit code is that of the kind of failure; `labwire --help` lists the codes.

mod admin;
mod approval;
mod approve;
mod array;
mod batch;
mod bench;
mod breaks;
mod call;
mod candidates;
mod client_name;
mod connection;
mod counted;
mod csv;
mod describe;
mod doctor;
mod failure;
mod feed;
mod following;
mod following_topics;
mod held;
mod history;
mod hold;
mod in_flight;
mod instrument;
mod key;
mod linking;
mod lock;
mod long_call;
mod manager_requests;
mod moment;
mod names;
mod narrator;
mod near;
mod npy;
mod numbers;
mod other_options;
mod output;
mod permission;
mod ping;
mod profile;
mod profiles;
mod publish;
mod questions;
mod record;
mod repeat;
mod report;
mod result_file;
mod saved;
mod screen;
mod seconds;
mod services;
mod session;
mod settings;
mod shell;
mod shortened;
mod spelling;
mod status;
mod stop;
mod subscribe;
mod times;
mod toml_file;
mod top;
mod trust;
mod variables;
mod watch;
mod words;

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Subcommand;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

pub use candidates::{argument_names, attribute_names, profile_names, service_names};
use failure::Failure;
use stop::{EndSignals, Stop, next_of};
pub use variables::misspelt_variables;
pub use words::protect_numbers;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show who is connected, what they do, and who holds which lock
    #[command(alias = "stats", after_help = status::EXAMPLES, after_long_help = status::AFTER_HELP)]
    Status(status::StatusArgs),
    /// Watch calls, latencies and slow peers on the whole screen
    #[command(after_help = top::EXAMPLES, after_long_help = top::AFTER_HELP)]
    Top(top::TopArgs),
    /// List the services of the network
    #[command(alias = "list", after_help = services::EXAMPLES, after_long_help = services::AFTER_HELP)]
    Services(services::ServicesArgs),
    /// Show a service: attributes, signatures, documentation, clients
    #[command(after_help = describe::EXAMPLES, after_long_help = describe::AFTER_HELP)]
    Describe(describe::DescribeArgs),
    /// Show who did what and when: links, locks, logins, refusals
    #[command(after_help = history::EXAMPLES, after_long_help = history::AFTER_HELP)]
    History(history::HistoryArgs),
    /// Call a method of a service, or read a value
    #[command(after_help = call::EXAMPLES, after_long_help = call::AFTER_HELP)]
    Call(call::CallArgs),
    /// Link with a service, to see that it works or to keep a place
    #[command(after_help = hold::LINK_EXAMPLES, after_long_help = hold::LINK_AFTER_HELP)]
    Link(hold::LinkArgs),
    /// Lock a service for yourself, until Ctrl-C or labwire unlock
    #[command(after_help = lock::EXAMPLES, after_long_help = lock::AFTER_HELP)]
    Lock(lock::LockArgs),
    /// Release a lock that labwire lock holds on this computer
    #[command(after_help = hold::UNLOCK_EXAMPLES, after_long_help = hold::UNLOCK_AFTER_HELP)]
    Unlock(hold::UnlockArgs),
    /// Measure how fast the manager or a service answers
    #[command(after_help = ping::EXAMPLES, after_long_help = ping::AFTER_HELP)]
    Ping(ping::PingArgs),
    /// Measure how many calls a service answers
    #[command(after_help = bench::EXAMPLES, after_long_help = bench::AFTER_HELP)]
    Bench(bench::BenchArgs),
    /// Print the notifications of a service as they come, or plot them
    #[command(after_help = watch::EXAMPLES, after_long_help = watch::AFTER_HELP)]
    Watch(watch::WatchArgs),
    /// Print the values of topics as they are published
    #[command(after_help = subscribe::EXAMPLES, after_long_help = subscribe::AFTER_HELP)]
    Subscribe(subscribe::SubscribeArgs),
    /// Publish a value to a topic
    #[command(after_help = publish::EXAMPLES, after_long_help = publish::AFTER_HELP)]
    Publish(publish::PublishArgs),
    /// Record notifications and repeated calls of services in a file
    #[command(after_help = record::EXAMPLES, after_long_help = record::AFTER_HELP)]
    Record(record::RecordArgs),
    /// Type calls to services, with completion, history and help
    #[command(after_help = shell::EXAMPLES, after_long_help = shell::AFTER_HELP)]
    Shell(shell::ShellArgs),
    /// Send the manager an administrator's request
    #[command(after_help = admin::EXAMPLES, after_long_help = admin::after_help())]
    Admin(admin::AdminArgs),
    /// Approve calls that wait for your approval, or refuse them
    #[command(after_help = approve::EXAMPLES, after_long_help = approve::AFTER_HELP)]
    Approve(approve::ApproveArgs),
    /// Run an instrument that a file describes as a service
    #[command(after_help = instrument::EXAMPLES, after_long_help = instrument::AFTER_HELP)]
    Instrument(Box<instrument::InstrumentArgs>),
    /// Find out why a connection fails, and what to do about it
    #[command(after_help = doctor::EXAMPLES, after_long_help = doctor::AFTER_HELP)]
    Doctor(doctor::DoctorArgs),
    /// Show the certificate of a manager, and save it as trusted
    #[command(after_help = trust::EXAMPLES, after_long_help = trust::AFTER_HELP)]
    Trust(trust::TrustArgs),
    /// Keep the settings of connections under names
    #[command(after_help = profile::AFTER_HELP)]
    Profile(profile::ProfileArgs),
}

impl Command {
    /// Returns what becomes of a request in flight when Ctrl-C ends the command, and what to do.
    fn when_given_up(&self) -> Option<&'static str> {
        match self {
            Self::Call(call) => Some(call.when_given_up()),
            _ => None,
        }
    }
}

/// Runs a command to its end and returns the exit code of the process. Results go to standard
/// output, an error to standard error. Ctrl-C ends the command at once, whatever it waits for. A
/// command that runs until it is stopped shuts down first, and ends at once with the second Ctrl-C.
pub fn run(command: Command) -> ExitCode {
    let hint = command.when_given_up();
    let done = run_in_runtime(command);
    // A command that did not end in time may have left the terminal in raw mode, and a question may
    // be open.
    screen::restore();
    labwire_client::restore_terminal();
    result_file::remove_unwritten();
    match done {
        Ok(()) | Err(Failure::Closed) => ExitCode::SUCCESS,
        Err(failure @ (Failure::Reported(_) | Failure::Signalled(_))) => failure.exit_code(),
        Err(failure) => {
            let mut text = failure.message();
            if let (Failure::GivenUp, Some(hint)) = (&failure, hint) {
                text = output::message(&format!("{text}\n{hint}"));
            }
            output::tell(format_args!("labwire: {text}"));
            failure.exit_code()
        }
    }
}

/// How long after a question was given up its signal is waited for.
const A_MOMENT: Duration = Duration::from_millis(100);

/// How long a command that ends early may take to close its connections.
const FAREWELL: Duration = Duration::from_millis(300);

fn run_in_runtime(command: Command) -> Result<(), Failure> {
    let runtime = || {
        let runtime = Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| Failure::Failed(format!("cannot start: {error}")))
    };
    let (commands, waiting) = (runtime()?, runtime()?);
    let stop = Stop::default();
    let stopping = stop.clone();
    // A call that is cancelled ends when its service confirms that, or with a second Ctrl-C.
    let has_grace = !matches!(command, Command::Call(_));
    // An interactive shell listens itself: there, Ctrl-C cancels a call and does not end the shell.
    let is_shell = matches!(command, Command::Shell(_)) && shell::is_for_person();
    let (abort, aborted) = oneshot::channel();
    let done = async {
        let (ended, end) = oneshot::channel();
        // The command has a thread and a runtime of its own: reading a file or writing to a pipe
        // may block them, and Ctrl-C must be noticed meanwhile.
        thread::spawn(move || {
            let outcome = commands.block_on(async {
                tokio::select! {
                    outcome = execute(&command, stop) => outcome,
                    Ok(()) = aborted => Err(Failure::Interrupted),
                }
            });
            // Drops the connections, which tells the manager to keep no session for them. Waits for
            // no read of standard input.
            commands.shutdown_background();
            let _ = ended.send(outcome);
        });
        end.await
            .unwrap_or_else(|_| Err(Failure::Failed("the command ended early".to_owned())))
    };
    waiting.block_on(async {
        tokio::pin!(done);
        // The command begins once signals are listened to.
        let mut signals = if is_shell {
            None
        } else {
            Some(EndSignals::listen())
        };
        let first = tokio::select! {
            biased;
            signal = next_of(&mut signals) => signal,
            done = &mut done => {
                // Ctrl-C at a question is noticed by the question, and here a moment later.
                if questions::is_unanswered()
                    && let Ok(signal) = tokio::time::timeout(A_MOMENT, next_of(&mut signals)).await
                {
                    return Err(signal.failure());
                }
                return done;
            }
        };
        // At a question there is nothing to shut down either.
        if !stopping.ask(first) || questions::is_unanswered() {
            return abandoned(abort, done, first.failure()).await;
        }
        let failure = tokio::select! {
            biased;
            second = next_of(&mut signals) => second.failure(),
            () = tokio::time::sleep(stop::GRACE), if has_grace => first.failure(),
            done = &mut done => return done,
        };
        abandoned(abort, done, failure).await
    })
}

/// Ends a command early, and gives its connections [`FAREWELL`] to close. Returns `failure`.
async fn abandoned(
    abort: oneshot::Sender<()>,
    done: impl Future<Output = Result<(), Failure>>,
    failure: Failure,
) -> Result<(), Failure> {
    // An error means that the command has just ended.
    let _ = abort.send(());
    let _ = tokio::time::timeout(FAREWELL, done).await;
    Err(failure)
}

async fn execute(command: &Command, stop: Stop) -> Result<(), Failure> {
    match command {
        Command::Status(arguments) => status::run(arguments, stop).await,
        Command::Top(arguments) => top::run(arguments, stop).await,
        Command::Services(arguments) => services::run(arguments).await,
        Command::Describe(arguments) => describe::run(arguments).await,
        Command::History(arguments) => history::run(arguments, stop).await,
        Command::Call(arguments) => call::run(arguments, stop).await,
        Command::Watch(arguments) => watch::run(arguments, stop).await,
        Command::Record(arguments) => record::run(arguments, stop).await,
        Command::Subscribe(arguments) => subscribe::run(arguments, stop).await,
        Command::Publish(arguments) => publish::run(arguments).await,
        Command::Link(arguments) => hold::link_service(arguments, stop).await,
        Command::Lock(arguments) => lock::lock_service(arguments, stop).await,
        Command::Unlock(arguments) => hold::unlock_service(arguments).await,
        Command::Ping(arguments) => ping::run(arguments, stop).await,
        Command::Bench(arguments) => bench::run(arguments, stop).await,
        Command::Shell(arguments) => Box::pin(shell::run(arguments)).await,
        Command::Admin(arguments) => admin::run(arguments).await,
        Command::Approve(arguments) => approve::run(arguments, stop).await,
        Command::Instrument(arguments) => instrument::run(arguments, stop).await,
        Command::Doctor(arguments) => doctor::run(arguments).await,
        Command::Trust(arguments) => trust::run(arguments).await,
        Command::Profile(arguments) => profile::run(arguments),
    }
}
