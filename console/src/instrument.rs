//! `labwire instrument`: instruments that a file describes.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use labwire_home::text_of_file;
use labwire_instrument::{Definition, InstrumentService, Trial, TrialError, Value};
use labwire_service::{RunError, to_json};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::connection::ConnectionArgs;
use crate::failure::Failure;
use crate::output::{OutputArgs, message, one_line, printable, say, say_json, say_result, tell};
use crate::stop::Stop;
use crate::words;

pub(crate) const EXAMPLES: &str = "\
Examples:
  labwire instrument multimeter.toml
  labwire instrument check multimeter.toml
  labwire instrument try multimeter.toml voltage 10";

pub(crate) const AFTER_HELP: &str = "\
Examples:
  labwire instrument multimeter.toml
  labwire instrument run supply.toml --name Supply-2 --address 10.0.0.8:5025
  labwire instrument check multimeter.toml supply.toml
  labwire instrument try multimeter.toml voltage 10
  labwire instrument try supply.toml set_voltage channel=1 volts=3.3

A file describes an instrument with SCPI or another protocol of lines:
  name = \"Multimeter\"
  [connection]
  tcp = \"192.168.1.17:5025\"      # or serial = \"/dev/ttyUSB0\", or
  timeout = \"5s\"                 # usbtmc = \"/dev/usbtmc0\"
  [identification]
  query = \"*IDN?\"
  expect = \"Keysight*,34465A,*\"
  [commands.voltage]
  query = \"MEAS:VOLT:DC? {range}\"
  answer = { type = \"number\", unit = \"V\" }
  arguments.range = { type = \"number\", unit = \"V\", min = 0.1, max = 1000 }
  [polls.voltage]
  arguments = { range = 10 }
  every = \"10s\"

All keys are described in examples/instruments/README.md, beside five files for
real instruments.

run (or only the file) connects to the instrument and registers it as a service
with these commands as methods, until Ctrl-C. Requests are executed one after
the other. While the instrument is not reachable, the service stays registered
and refuses them; it is connected again by itself. Nothing is sent twice. It
waits for a manager that is not there. If another instrument identifies itself
at the start, it ends.

check reads files, and prints all problems with line and column. try needs no
manager: it executes one command, prints on standard error what was sent (>) and
received (<), and the value on standard output. No service may use the
instrument meanwhile.

Exit codes: see `labwire --help`. 5 is an error of the instrument in try.";

#[derive(Args, Debug)]
#[command(subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
pub struct InstrumentArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Run the instrument of a file as a service, until Ctrl-C
    Run(Box<RunArgs>),
    /// Check files, and print all of their problems
    Check {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Execute one command on the instrument itself, without a manager
    Try(TryArgs),
}

#[derive(Args, Debug)]
struct RunArgs {
    /// The file that describes the instrument
    #[arg(required = true, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The name of the service, in place of that of the file
    #[arg(long)]
    name: Option<String>,
    /// Where the instrument is, in place of that of the file: HOST:PORT, or a port or device
    #[arg(long)]
    address: Option<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Args, Debug)]
struct TryArgs {
    /// The file that describes the instrument
    file: PathBuf,
    /// The command to execute
    command: String,
    /// The arguments: values, then KEY=VALUE
    #[arg(value_name = "VALUE", allow_negative_numbers = true)]
    values: Vec<String>,
    /// Where the instrument is, in place of that of the file: HOST:PORT, or a port or device
    #[arg(long)]
    address: Option<String>,
    #[command(flatten)]
    form: OutputArgs,
}

pub(crate) async fn run(arguments: &InstrumentArgs, stop: Stop) -> Result<(), Failure> {
    match &arguments.action {
        None => serve(&arguments.run, stop).await,
        Some(Action::Run(arguments)) => serve(arguments, stop).await,
        Some(Action::Check { files }) => check(files),
        Some(Action::Try(arguments)) => try_command(arguments).await,
    }
}

/// Reads a file, and writes its problems to standard error.
fn read(path: &Path) -> Result<Definition, Failure> {
    let shown = one_line(&path.display().to_string());
    let text = fs::read(path)
        .and_then(|bytes| text_of_file(&bytes))
        .map_err(|error| Failure::Failed(format!("cannot read {shown}: {error}")))?;
    Definition::parse(&text).map_err(|problems| {
        for problem in &problems {
            tell(format_args!("{shown}:{}", printable(&problem.to_string())));
        }
        let count = match problems.len() {
            1 => "1 problem".to_owned(),
            count => format!("{count} problems"),
        };
        tell(format_args!("labwire: {shown} has {count}"));
        Failure::Reported(Box::new(Failure::Failed(count)))
    })
}

fn read_with_address(path: &Path, address: Option<&str>) -> Result<Definition, Failure> {
    let mut definition = read(path)?;
    if let Some(address) = address {
        definition.set_address(address).map_err(Failure::Usage)?;
    }
    Ok(definition)
}

fn check(files: &[PathBuf]) -> Result<(), Failure> {
    let mut outcome = Ok(());
    for path in files {
        match read(path) {
            Ok(definition) => say(format_args!(
                "{}: no problems: {} at {}, commands: {}, polls: {}",
                one_line(&path.display().to_string()),
                one_line(definition.name()),
                one_line(&definition.address()),
                definition.commands().count(),
                definition.polls()
            ))?,
            Err(failure @ Failure::Reported(_)) => outcome = Err(failure),
            Err(failure) => {
                tell(format_args!("labwire: {}", failure.message()));
                outcome = Err(Failure::Reported(Box::new(failure)));
            }
        }
    }
    outcome
}

async fn serve(arguments: &RunArgs, stop: Stop) -> Result<(), Failure> {
    let path = arguments.file.as_deref().unwrap_or(Path::new(""));
    let definition = read_with_address(path, arguments.address.as_deref())?;
    let options = arguments.connection.options()?;
    let address = one_line(&definition.address());
    let started = blocking(move || InstrumentService::start(definition)).await?;
    let service = started.map_err(|error| {
        Failure::Failed(format!(
            "the instrument at {address} cannot be used: {}",
            message(&error.to_string())
        ))
    })?;
    let mut runner = service.runner().options(options).status_lines(true);
    if let Some(name) = &arguments.name {
        runner = runner.name(name);
    }
    let running = runner.connect().await.map_err(failure)?;
    stop.begin()?;
    let handle = running.handle().clone();
    let ended = running.wait();
    tokio::pin!(ended);
    tokio::select! {
        ended = &mut ended => ended.map_err(failure),
        _ = stop.requested() => {
            handle.shut_down();
            ended.await.map_err(failure)
        }
    }
}

fn failure(error: RunError) -> Failure {
    match error {
        RunError::Connect(error) => error.into(),
        RunError::Environment(error) => error.into(),
        error @ (RunError::Closed { .. } | RunError::Lost(_)) => Failure::NoManager(error.to_string()),
        error => Failure::Failed(error.to_string()),
    }
}

/// Runs what blocks on a thread for it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::Failed(format!("the command ended early: {error}")))
}

/// A command that was tried, as an object of JSON.
#[derive(Serialize)]
struct TriedCommand<'a> {
    command: &'a str,
    seconds: f64,
    value: Option<&'a RawValue>,
    /// What the value is if it is not JSON, such as `NaN`.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    unit: Option<&'a str>,
}

async fn try_command(arguments: &TryArgs) -> Result<(), Failure> {
    let TryArgs { command, form, .. } = arguments;
    let definition = read_with_address(&arguments.file, arguments.address.as_deref())?;
    let given = words::arguments(&arguments.values)?;
    let (args, kwargs) = given
        .finish()
        .map_err(|error| Failure::Usage(error.to_string()))?;
    let trial = Trial::new(definition, command, &args, &kwargs).map_err(tried)?;
    let done = blocking(move || trial.run(|passed| tell(passed)))
        .await?
        .map_err(tried)?;
    let result = to_json(&done.value).map_err(|error| Failure::Failed(error.to_string()))?;
    if form.json {
        let (value, text) = crate::output::json_or_text(&result);
        return say_json(&TriedCommand {
            command,
            seconds: done.time.as_secs_f64(),
            value,
            text,
            unit: done.unit.as_deref(),
        });
    }
    if done.value != Value::Nothing {
        say_result(&result)?;
    }
    let milliseconds = done.time.as_secs_f64() * 1e3;
    let unit = done
        .unit
        .map_or_else(String::new, |unit| format!("in {}, ", one_line(&unit)));
    tell(format_args!("{unit}after {milliseconds:.1} ms"));
    Ok(())
}

fn tried(error: TrialError) -> Failure {
    match error {
        TrialError::Usage(text) => Failure::Usage(text),
        TrialError::Timeout(text) => Failure::TimedOut(text),
        TrialError::Command(text) => Failure::Service(text),
        other => Failure::Failed(other.to_string()),
    }
}
