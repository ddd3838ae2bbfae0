//! The limits of a manager, from the options and the defaults.

use std::fmt::Display;

use labwire_manager::{Budgets, Limit, LimitError, Limits, LogRotation, SessionLimits};

use super::options::Options;
use super::values::{Size, Time};
use crate::cli::UsageError;

/// Smallest size of a log file. In a smaller one, rotation would remove the lines of the start
/// before anyone has read them.
const SMALLEST_LOG: Size = Size(64 * 1024);

/// Maximum number of old log files: each rotation renames all of them.
const MOST_OLD_LOGS: u32 = 1_000;

/// Returns the limits that the options set.
pub(super) fn limits(options: &Options) -> Result<Limits, UsageError> {
    let usual = Limits::default();
    let size = |chosen: Option<Size>, usual| chosen.map_or(usual, |Size(bytes)| bytes);
    let time = |chosen: Option<Time>, usual| chosen.map_or(usual, |Time(time)| time);
    let limits = Limits {
        handshake: time(options.handshake, usual.handshake),
        handshake_line: size(options.handshake_line, usual.handshake_line),
        identity_line: size(options.identity_line, usual.identity_line),
        line: size(options.line, usual.line),
        line_stall: time(options.line_stall, usual.line_stall),
        convert: size(options.convert, usual.convert),
        nesting: options.nesting.unwrap_or(usual.nesting),
        queue: size(options.queue, usual.queue),
        stall: time(options.stall, usual.stall),
        patience: time(options.patience, usual.patience),
        connections: options.connections.unwrap_or(usual.connections),
        unidentified: options.unidentified.unwrap_or(usual.unidentified),
        unidentified_per_address: options
            .unidentified_per_address
            .unwrap_or(usual.unidentified_per_address),
        in_flight_per_client: options.in_flight.unwrap_or(usual.in_flight_per_client),
        budgets: Budgets {
            lines: size(options.budget_lines, usual.budgets.lines),
            queues: size(options.budget_queues, usual.budgets.queues),
            identities: size(options.budget_identities, usual.budgets.identities),
            in_flight: options.budget_in_flight.unwrap_or(usual.budgets.in_flight),
            sessions: size(options.budget_sessions, usual.budgets.sessions),
        },
        sessions: SessionLimits {
            grace: time(options.session_grace_limit, usual.sessions.grace),
            kept: size(options.session_kept, usual.sessions.kept),
            away: options.away.unwrap_or(usual.sessions.away),
        },
        login_failures: options.login_failures.unwrap_or(usual.login_failures),
        login_penalty: time(options.login_penalty, usual.login_penalty),
        login_penalty_address: time(options.login_penalty_address, usual.login_penalty_address),
        login_penalty_user: time(options.login_penalty_user, usual.login_penalty_user),
        drain: time(options.drain, usual.drain),
        keepalive: time(options.keepalive, usual.keepalive),
    };
    limits.check().map_err(refused)?;
    Ok(limits)
}

/// Names the option of the limit, and formats the values as they are typed.
fn refused(error: LimitError) -> UsageError {
    match error {
        LimitError::Time {
            limit,
            value,
            least,
            most,
        } => out_of_range(option(limit), &Time(value), &Time(least), &Time(most)),
        LimitError::Bytes {
            limit,
            value,
            least,
            most,
        } => out_of_range(option(limit), &Size(value), &Size(least), &Size(most)),
        LimitError::Count {
            limit,
            value,
            least,
            most,
        } => out_of_range(option(limit), &value, &least, &most),
    }
}

/// Returns the option that sets a limit, without the leading dashes.
fn option(limit: Limit) -> &'static str {
    match limit {
        Limit::Handshake => "handshake",
        Limit::HandshakeLine => "handshake-line",
        Limit::IdentityLine => "identity-line",
        Limit::Line => "line",
        Limit::LineStall => "line-stall",
        Limit::Convert => "convert",
        Limit::Nesting => "nesting",
        Limit::Queue => "queue",
        Limit::Stall => "stall",
        Limit::Patience => "patience",
        Limit::Connections => "connections",
        Limit::Unidentified => "unidentified",
        Limit::UnidentifiedPerAddress => "unidentified-per-address",
        Limit::InFlightPerClient => "in-flight",
        Limit::BudgetLines => "budget-lines",
        Limit::BudgetQueues => "budget-queues",
        Limit::BudgetIdentities => "budget-identities",
        Limit::BudgetInFlight => "budget-in-flight",
        Limit::BudgetSessions => "budget-sessions",
        Limit::SessionGrace => "session-grace-limit",
        Limit::SessionKept => "session-kept",
        Limit::Away => "away",
        Limit::LoginFailures => "login-failures",
        Limit::LoginPenalty => "login-penalty",
        Limit::LoginPenaltyAddress => "login-penalty-address",
        Limit::LoginPenaltyUser => "login-penalty-user",
        Limit::Drain => "drain",
        Limit::Keepalive => "keepalive",
    }
}

/// Returns the maximum size of the log file, and the number of old ones to keep, from the options.
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
    if old_files > MOST_OLD_LOGS {
        return Err(out_of_range("log-old-files", &old_files, &0, &MOST_OLD_LOGS));
    }
    Ok(LogRotation { max_size, old_files })
}

fn out_of_range(name: &str, value: &dyn Display, least: &dyn Display, most: &dyn Display) -> UsageError {
    UsageError(format!(
        "--{name} can be {least} to {most}, it cannot be {value} (typed, in the configuration, or in LABWIRE_{})",
        name.to_uppercase().replace('-', "_")
    ))
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::super::options::StartArgs;
    use super::*;

    /// Returns the limits on the help page: each option, with its default there.
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
        assert_eq!(shown.len(), 28);
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
