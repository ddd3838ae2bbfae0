//! The limits of a manager: those that were typed, checked against what they can be, and the usual ones.

use std::fmt::Display;
use std::time::Duration;

use labwire_manager::{Budgets, Limits, LogRotation};

use super::options::Options;
use super::values::{Size, Time};
use crate::cli::UsageError;

const MOMENT: Time = Time(Duration::from_millis(100));
const SECOND: Time = Time(Duration::from_secs(1));
const HOUR: Time = Time(Duration::from_hours(1));

/// What Linux takes is a little more.
const LONGEST_KEEPALIVE: Time = Time(Duration::from_hours(9));

/// An identity, or a request with some arguments.
const SMALLEST_LINE: Size = Size(1024);

/// A line is one run of bytes in memory, so that one peer can make the manager take so much.
const LARGEST_LINE: Size = Size(16 << 30);

/// The least that is of use, and more than any computer has.
const BUDGETS: (Size, Size) = (Size(64 * 1024), Size(usize::MAX >> 8));

/// A log file that is smaller would lose the start before anybody has read it.
const SMALLEST_LOG: Size = Size(64 * 1024);

/// Each time that a log file is full, all old ones get another name.
const MOST_OLD_LOGS: u32 = 1_000;

/// More than any computer has descriptors for.
const MOST_CONNECTIONS: usize = 1_000_000;

/// The limits that the options mean.
pub(super) fn limits(options: &Options) -> Result<Limits, UsageError> {
    let usual = Limits::default();
    let size = |name, chosen: Option<Size>, usual, range| {
        within(name, chosen.unwrap_or(Size(usual)), range).map(|Size(bytes)| bytes)
    };
    let time = |name, chosen: Option<Time>, usual, range| {
        within(name, chosen.unwrap_or(Time(usual)), range).map(|Time(time)| time)
    };
    let count = |name, chosen: Option<usize>, usual, range| within(name, chosen.unwrap_or(usual), range);
    let connections = (1, MOST_CONNECTIONS);
    let lines = (SMALLEST_LINE, LARGEST_LINE);
    Ok(Limits {
        handshake: time("handshake", options.handshake, usual.handshake, (MOMENT, HOUR))?,
        handshake_line: size(
            "handshake-line",
            options.handshake_line,
            usual.handshake_line,
            lines,
        )?,
        identity_line: size("identity-line", options.identity_line, usual.identity_line, lines)?,
        line: size("line", options.line, usual.line, lines)?,
        line_stall: time("line-stall", options.line_stall, usual.line_stall, (MOMENT, HOUR))?,
        nesting: count("nesting", options.nesting, usual.nesting, (4, usual.nesting))?,
        queue: size("queue", options.queue, usual.queue, lines)?,
        stall: time("stall", options.stall, usual.stall, (MOMENT, HOUR))?,
        patience: time("patience", options.patience, usual.patience, (MOMENT, HOUR))?,
        connections: count("connections", options.connections, usual.connections, connections)?,
        unidentified: count(
            "unidentified",
            options.unidentified,
            usual.unidentified,
            connections,
        )?,
        unidentified_per_address: count(
            "unidentified-per-address",
            options.unidentified_per_address,
            usual.unidentified_per_address,
            connections,
        )?,
        in_flight_per_client: count(
            "in-flight",
            options.in_flight,
            usual.in_flight_per_client,
            (1, 10_000_000),
        )?,
        budgets: Budgets {
            lines: size("budget-lines", options.budget_lines, usual.budgets.lines, BUDGETS)?,
            queues: size(
                "budget-queues",
                options.budget_queues,
                usual.budgets.queues,
                BUDGETS,
            )?,
            identities: size(
                "budget-identities",
                options.budget_identities,
                usual.budgets.identities,
                BUDGETS,
            )?,
            in_flight: count(
                "budget-in-flight",
                options.budget_in_flight,
                usual.budgets.in_flight,
                (1_000, 1_000_000_000),
            )?,
        },
        login_failures: within(
            "login-failures",
            options.login_failures.unwrap_or(usual.login_failures),
            (1, 1_000),
        )?,
        login_penalty: time(
            "login-penalty",
            options.login_penalty,
            usual.login_penalty,
            (MOMENT, HOUR),
        )?,
        login_penalty_address: time(
            "login-penalty-address",
            options.login_penalty_address,
            usual.login_penalty_address,
            (MOMENT, HOUR),
        )?,
        login_penalty_user: time(
            "login-penalty-user",
            options.login_penalty_user,
            usual.login_penalty_user,
            (Time(Duration::ZERO), Time(Duration::from_mins(1))),
        )?,
        drain: time("drain", options.drain, usual.drain, (Time(Duration::ZERO), HOUR))?,
        keepalive: time(
            "keepalive",
            options.keepalive,
            usual.keepalive,
            (SECOND, LONGEST_KEEPALIVE),
        )?,
    })
}

/// How large the options let the log file become, and how many old ones they keep.
pub(super) fn log_rotation(options: &Options) -> Result<LogRotation, UsageError> {
    let usual = LogRotation::default();
    let max_size = match options.log_max_size {
        None => usual.max_size,
        Some(Size(0)) => 0,
        Some(size) if size < SMALLEST_LOG => {
            return Err(UsageError(format!(
                "--log-max-size can be {SMALLEST_LOG} or more, or 0 for any size, it cannot be {size}"
            )));
        }
        Some(Size(bytes)) => bytes as u64,
    };
    let old_files = options.log_old_files.unwrap_or(usual.old_files);
    Ok(LogRotation {
        max_size,
        old_files: within("log-old-files", old_files, (0, MOST_OLD_LOGS))?,
    })
}

fn within<T: PartialOrd + Display>(name: &str, value: T, (least, most): (T, T)) -> Result<T, UsageError> {
    if value < least || value > most {
        return Err(UsageError(format!(
            "--{name} can be {least} to {most}, it cannot be {value} (typed, in the configuration, or in LABWIRE_{})",
            name.to_uppercase().replace('-', "_")
        )));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::super::options::StartArgs;
    use super::*;

    /// The limits on the help page: each option, and the default that the page gives it.
    fn shown() -> Vec<(String, String)> {
        let command = StartArgs::augment_args(Command::new("start"));
        let limits = command.get_arguments().filter(|argument| {
            argument
                .get_help_heading()
                .is_some_and(|heading| heading.starts_with("Limits"))
        });
        limits
            .map(|argument| {
                let help = argument
                    .get_help()
                    .expect("every option is explained")
                    .to_string();
                let (_, default) = help.split_once("[default: ").expect("every limit has a default");
                let name = argument.get_long().expect("every limit has a name");
                (name.to_owned(), default.trim_end_matches(']').to_owned())
            })
            .collect()
    }

    fn typed<'a>(options: impl IntoIterator<Item = (&'a str, &'a str)>) -> Options {
        let words = options
            .into_iter()
            .flat_map(|(name, value)| [format!("--{name}"), value.to_owned()]);
        let command = StartArgs::augment_args(Command::new("start"));
        let matches = command
            .try_get_matches_from(std::iter::once("start".to_owned()).chain(words))
            .unwrap();
        StartArgs::from_arg_matches(&matches).unwrap().options
    }

    #[test]
    fn the_help_page_shows_the_defaults_that_count() {
        let shown = shown();
        assert_eq!(shown.len(), 23);
        let options = typed(shown.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        assert_eq!(limits(&options).unwrap(), Limits::default());
        assert_eq!(limits(&Options::default()).unwrap(), Limits::default());
    }

    #[test]
    fn the_log_file_has_the_size_and_the_old_files_that_are_typed() {
        let rotation = |options: &[(&str, &str)]| log_rotation(&typed(options.iter().copied()));
        assert_eq!(rotation(&[]).unwrap(), LogRotation::default());
        let shown = [("log-max-size", "16MiB"), ("log-old-files", "4")];
        assert_eq!(rotation(&shown).unwrap(), LogRotation::default());
        let chosen = rotation(&[("log-max-size", "64KiB"), ("log-old-files", "0")]).unwrap();
        assert_eq!((chosen.max_size, chosen.old_files), (65_536, 0));
        assert_eq!(rotation(&[("log-max-size", "0")]).unwrap().max_size, 0);
        for (option, value) in [("log-max-size", "1KiB"), ("log-old-files", "1001")] {
            let error = rotation(&[(option, value)]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("--{option} can be ")), "{error}");
        }
    }

    #[test]
    fn every_limit_is_taken_up_and_one_out_of_its_range_is_refused_by_name() {
        for (name, default) in shown() {
            let options = typed([(name.as_str(), "2000")]);
            let changed = limits(&options).map_or(true, |limits| limits != Limits::default());
            assert!(changed, "--{name} changes nothing");
            let too_much = if default.ends_with("iB") {
                "999999999GiB"
            } else {
                "4000000000"
            };
            let error = limits(&typed([(name.as_str(), too_much)]))
                .unwrap_err()
                .to_string();
            assert!(error.starts_with(&format!("--{name} can be ")), "{error}");
        }
    }
}
