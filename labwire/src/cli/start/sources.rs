//! The sources of options: the command line and the environment, completed by the file.

use std::ops::Range;
use std::path::Path;

use anyhow::Context;
use clap::{Args, Command};
use labwire_home::{nearest, read_text};
use toml::de::DeTable;

use super::options::{Options, StartArgs};
use crate::cli::UsageError;

impl StartArgs {
    /// Returns the options from the command line and the environment, completed by the file.
    pub(super) fn complete(self) -> anyhow::Result<Options> {
        match &self.config {
            None => Ok(self.options),
            Some(path) => Ok(self.options.or(Options::from_file(path)?)),
        }
    }
}

impl Options {
    /// Reads a file with options.
    ///
    /// # Errors
    /// If it cannot be read or is wrong. The error contains no value, which might be a password.
    pub(crate) fn from_file(path: &Path) -> anyhow::Result<Self> {
        let text = &read_text(path).with_context(|| {
            format!(
                "cannot read the configuration {} (name another one with --config or LABWIRE_CONFIG)",
                path.display()
            )
        })?;
        let wrong = |span: Option<Range<usize>>, reason: &str| {
            let place = span.map_or_else(String::new, |span| {
                let before = text.get(..span.start).unwrap_or_default();
                format!(", line {}", before.matches('\n').count() + 1)
            });
            UsageError(format!(
                "the configuration {}{place} is wrong: {reason}",
                path.display()
            ))
        };
        if let Some((span, key)) = unknown_key(text) {
            return Err(wrong(Some(span), &no_option(&key)).into());
        }
        // The whole error would contain the line, which may contain a password.
        Ok(toml::from_str(text).map_err(|error| wrong(error.span(), error.message()))?)
    }

    /// Returns these options, completed by the others.
    fn or(self, other: Self) -> Self {
        Self {
            auth_hostname: self.auth_hostname.or(other.auth_hostname),
            auth_login: self.auth_login.or(other.auth_login),
            auth_password: self.auth_password.or(other.auth_password),
            auth_certificate: self.auth_certificate.or(other.auth_certificate),
            roles: self.roles.or(other.roles),
            open: self.open.or(other.open),
            host: self.host.or(other.host),
            port: self.port.or(other.port),
            disable_tls: self.disable_tls.or(other.disable_tls),
            cert_file: self.cert_file.or(other.cert_file),
            key_file: self.key_file.or(other.key_file),
            key_file_password: self.key_file_password.or(other.key_file_password),
            client_ca: self.client_ca.or(other.client_ca),
            client_crl: self.client_crl.or(other.client_crl),
            database: self.database.or(other.database),
            connections_max_rows: self.connections_max_rows.or(other.connections_max_rows),
            connections_max_days: self.connections_max_days.or(other.connections_max_days),
            upgrade_passwords: self.upgrade_passwords.or(other.upgrade_passwords),
            record: self.record.or(other.record),
            record_file: self.record_file.or(other.record_file),
            record_max_days: self.record_max_days.or(other.record_max_days),
            record_max_size: self.record_max_size.or(other.record_max_size),
            log_level: self.log_level.or(other.log_level),
            log_file: self.log_file.or(other.log_file),
            log_format: self.log_format.or(other.log_format),
            log_max_size: self.log_max_size.or(other.log_max_size),
            log_old_files: self.log_old_files.or(other.log_old_files),
            handshake: self.handshake.or(other.handshake),
            handshake_line: self.handshake_line.or(other.handshake_line),
            identity_line: self.identity_line.or(other.identity_line),
            line: self.line.or(other.line),
            line_stall: self.line_stall.or(other.line_stall),
            convert: self.convert.or(other.convert),
            nesting: self.nesting.or(other.nesting),
            queue: self.queue.or(other.queue),
            stall: self.stall.or(other.stall),
            patience: self.patience.or(other.patience),
            connections: self.connections.or(other.connections),
            unidentified: self.unidentified.or(other.unidentified),
            unidentified_per_address: self.unidentified_per_address.or(other.unidentified_per_address),
            in_flight: self.in_flight.or(other.in_flight),
            budget_lines: self.budget_lines.or(other.budget_lines),
            budget_queues: self.budget_queues.or(other.budget_queues),
            budget_identities: self.budget_identities.or(other.budget_identities),
            budget_in_flight: self.budget_in_flight.or(other.budget_in_flight),
            budget_sessions: self.budget_sessions.or(other.budget_sessions),
            session_grace_limit: self.session_grace_limit.or(other.session_grace_limit),
            session_kept: self.session_kept.or(other.session_kept),
            away: self.away.or(other.away),
            login_failures: self.login_failures.or(other.login_failures),
            login_penalty: self.login_penalty.or(other.login_penalty),
            login_penalty_address: self.login_penalty_address.or(other.login_penalty_address),
            login_penalty_user: self.login_penalty_user.or(other.login_penalty_user),
            drain: self.drain.or(other.drain),
            keepalive: self.keepalive.or(other.keepalive),
        }
    }
}

/// Returns the first key of a file that is not the name of an option, and its position; `None` if
/// the file is not valid TOML.
fn unknown_key(text: &str) -> Option<(Range<usize>, String)> {
    let table = DeTable::parse(text).ok()?;
    let known = names();
    let unknown = table
        .get_ref()
        .keys()
        .filter(|key| !known.iter().any(|name| name == key.get_ref()));
    let first = unknown.min_by_key(|key| key.span().start)?;
    Some((first.span(), first.get_ref().to_string()))
}

/// Returns the names of the options that a file may contain.
fn names() -> Vec<String> {
    let command = Options::augment_args(Command::new("start"));
    let names = command.get_arguments().filter_map(|argument| argument.get_long());
    names.map(str::to_owned).collect()
}

/// The error for an unknown option, with the most similar name.
fn no_option(key: &str) -> String {
    let plain = key.to_lowercase().replace('_', "-");
    let known = names();
    let known = || known.iter().map(String::as_str);
    let meant = known()
        .find(|name| *name == plain)
        .or_else(|| nearest(&plain, known()));
    match meant {
        Some(name) => format!("there is no option `{key}`, did you mean `{name}`?"),
        None => format!("there is no option `{key}`; `labwire start --help` lists them"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::values::LogForm;
    use super::*;

    #[test]
    fn what_is_typed_counts_before_the_file() {
        let file = r#"
            port = 8326
            host = "127.0.0.1"
            auth-password = "abc 123"
            disable-tls = true
            auth-login = true
            log-format = "json"
        "#;
        let file: Options = toml::from_str(file).unwrap();
        let typed = Options {
            port: Some(1),
            auth_login: Some(false),
            ..Options::default()
        };
        let both = typed.or(file);
        assert_eq!(both.port, Some(1));
        assert_eq!(both.host.as_deref(), Some("127.0.0.1"));
        assert_eq!(both.auth_password, Some(vec!["abc 123".to_owned()]));
        assert_eq!((both.disable_tls, both.auth_login), (Some(true), Some(false)));
        assert_eq!(both.log_format, Some(LogForm::Json));
    }

    #[test]
    fn a_mistake_in_the_file_is_told_with_its_line_and_without_what_may_be_a_password() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labwire.toml");
        for line in [
            "auth-pasword = \"12345\"",
            "auth-password = 12345",
            "auth-password = [\"12345\"]",
            "key-file-password = \"12345",
        ] {
            std::fs::write(&path, format!("port = 1\n{line}\n")).unwrap();
            let error = Options::from_file(&path).err().expect(line).to_string();
            assert!(error.contains("labwire.toml, line 2 is wrong"), "{error}");
            assert!(!error.contains("12345"), "{error}");
        }
    }

    #[test]
    fn a_file_with_an_unknown_option_is_refused() {
        assert!(toml::from_str::<Options>("prot = 8326").is_err());
        assert!(toml::from_str::<Options>("port = \"8326\"").is_err());
    }
}
