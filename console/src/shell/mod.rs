//! `labwire shell`: calls that a person types one after another, or a script of them.
//!
//! The lines have the terminal grammar ([`grammar`]). A person has an editor with completion and a
//! history ([`editor`]), and sees notifications and losses of the connection while typing
//! ([`monitor`]). A script is read without a prompt and ends at the first error.

mod above;
mod complete;
mod editor;
mod execute;
mod grammar;
mod help;
mod history;
mod input;
mod known;
mod links;
mod locking;
mod modes;
mod monitor;
mod of_connection;
mod pretty;
mod questions;
mod requests;
mod saving;
mod screen;
mod session;
mod signature;
mod split;
mod terms;
mod vocabulary;

use std::io::{self, IsTerminal};

use clap::Args;

use crate::client_name::client_name;
use crate::connection::ConnectionArgs;
use crate::failure::Failure;
use crate::output::OutputArgs;
use crate::seconds::Seconds;
use crate::stop::{EndSignals, next_of};
use modes::Modes;
use session::ShellSession;
pub(crate) use signature::{missing, parameters};
pub(crate) use split::{is_unclosed, split, split_key, typed_name};

pub(crate) const EXAMPLES: &str = "\
Examples:
  labwire shell
  labwire shell --host lab-pc --name Ada
  labwire shell < measurement.txt";

pub(crate) const AFTER_HELP: &str = "\
Examples:
  labwire shell
  labwire shell --host lab-pc --name Ada
  labwire shell < measurement.txt
  echo 'BasicMath add 1 2' | labwire shell --json

A line is a call, in the grammar of a person at netcat, or one of the words that
help lists. The short form needs a selected service:
  BasicMath add 1 y=2.5
  use BasicMath
  add 1 y=2.5
A result is saved in a file, an array also in NumPy's format:
  Camera image > image.npy
  DMM samples 100 > samples.json
A lock may have terms, as of labwire lock:
  lock BasicMath wait=60 ttl=30 reason=\"calibration until 4 pm\"

At a terminal, Tab completes services, attributes and the names of arguments,
and help DMM.read shows the documentation. The prompt shows the selected service
with its link and lock. Notifications of linked services are shown between the
lines, and the progress and the items of a call while it lasts. Ctrl-C asks the
service of a call to stop, and a second one does not wait until it has; a
service that cannot stop may still execute the call. Ctrl-D ends the shell.
Lines are kept in the file shell-history of the home folder, but for
those that begin with a blank or may hold a password.

Without a terminal, lines are read without a prompt and the first error ends the
shell with the exit code of its kind. With --keep-going the others are executed
too; the exit code is that of the first error. Notifications are shown after the
line: notifications on.

With --json, a call is one object as of labwire call, services and describe are
as of these commands, and another word is an object with command and result. The
object of a call whose result is saved has file in the place of result. A
notification is an object: service, time, notification (with args and kwargs)
and lost (how many before it came too fast). Errors are text on standard error.

When the connection breaks, the shell returns to its session: links, locks and
calls in flight are kept for 30 s (LABWIRE_SESSION_GRACE). Later, or after a
restart of the manager, links come back, but locks and calls in flight are lost.

Exit codes: see `labwire --help`.";

#[derive(Args, Debug)]
pub struct ShellArgs {
    /// The name of the shell on the network [default: labwire shell (your user name)]
    #[arg(long)]
    name: Option<String>,
    /// The longest time to wait for each reply: 5, 500ms, 10m [default: no limit]
    #[arg(long, value_name = "TIME")]
    timeout: Option<Seconds>,
    /// In a script: execute the rest after an error
    #[arg(long)]
    keep_going: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl ShellArgs {
    /// Returns the name of the client.
    fn client_name(&self) -> String {
        self.name.clone().unwrap_or_else(|| client_name("shell"))
    }
}

/// Returns whether a person types the lines, and sees the prompt.
pub(crate) fn is_for_person() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

pub(crate) async fn run(arguments: &ShellArgs) -> Result<(), Failure> {
    let _restored = is_for_person().then(Modes::present);
    // A signal ends a script without the shell's help.
    let mut signals = is_for_person().then(EndSignals::listen);
    let session = ShellSession::start(arguments);
    let session = tokio::select! {
        // A password prompt at the start can be cancelled.
        signal = next_of(&mut signals) => return Err(signal.failure()),
        session = session => session?,
    };
    // On the heap: it is large.
    Box::pin(session.run(signals)).await
}
