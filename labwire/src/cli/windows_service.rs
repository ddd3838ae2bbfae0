//! `labwire windows-service`: the manager as a service of Windows.

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use super::{Command, parse_words, start, tell};
use crate::system::run_service;

/// The word that stands in place of `start` in the command of a service.
const WORD: &str = "windows-service";

/// Runs the manager if this process is to be a service: the command of the service has this word in place
/// of `start`, and then options of `labwire start`. Returns `None` for any other command.
pub(super) fn answer() -> Option<ExitCode> {
    if env::args_os().nth(1)? != WORD {
        return None;
    }
    Some(match run_service(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(format_args!(
                "labwire: cannot run as a service: {error}; this command is for the service manager of Windows, as in: \
                 sc.exe create labwire binPath= \"C:\\labwire\\labwire.exe {WORD}\""
            ));
            ExitCode::FAILURE
        }
    })
}

/// Runs `labwire start` with the options of the service. Returns whether it has succeeded.
fn serve() -> bool {
    let options = env::args_os().skip(2);
    let words: Vec<OsString> = ["labwire".into(), "start".into()]
        .into_iter()
        .chain(options)
        .collect();
    match parse_words(&words) {
        Ok(Command::Start(arguments)) => start::run(*arguments).is_ok(),
        _ => false,
    }
}
