//! The options of `labwire start`: typed, from the environment, or from a file.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};
use labwire_manager::LogFormat;
use serde::Deserialize;

use crate::cli::UsageError;

const LONG_ABOUT: &str = "\
Start the manager.

The first start creates a private key, a self-signed certificate and a database in the home folder, and \
prints the certificate's fingerprint. Without one of the three --auth-… options, or --open, the \
manager serves its own computer only.

Every option can also come from the environment (LABWIRE_PORT=8326) or from a TOML file given with --config \
(port = 8326). What is typed counts first, then the environment, then the file. A flag that is on in one \
of the latter is switched off by typing =false, as in --disable-tls=false.";

const EXAMPLES: &str = "\
Examples:
  # the default settings
  labwire start

  # port 8326
  labwire start --port 8326

  # everyone who connects must know a password
  labwire start --auth-password abc 123

  # your own certificate and key
  labwire start --cert-file /path/to/cert.pem --key-file /path/to/key.pem

  # everyone who connects must log in as a user (see: labwire user add)
  labwire start --auth-login

  # the files of an MSL-Network installation
  MSL_NETWORK_HOME=~/.msl/network labwire start

  # settings from a file; with them: port = 8326, auth-login = true
  labwire start --config /etc/labwire.toml

Signals: INT (Ctrl-C) and TERM stop the manager once the requests under way are answered, or after 10 seconds; \
a second one stops it at once. HUP reads certificate, key and trusted hostnames again and opens the log file \
anew, without dropping a connection.

See also: labwire user, labwire hostname, labwire keygen, labwire certgen";

/// Start the manager
#[derive(Args)]
#[command(long_about = LONG_ABOUT, after_help = EXAMPLES)]
pub(crate) struct StartArgs {
    /// A TOML file with options: the long names without the dashes in front, as in `auth-login = true`
    #[arg(long, env = "LABWIRE_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    #[command(flatten)]
    pub(super) options: Options,
}

/// Everything that can be said about how a manager starts. What was not said is `None`.
#[derive(Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Options {
    /// Admit the computers in the table of trusted hostnames only (see: labwire hostname)
    #[arg(long, env = "LABWIRE_AUTH_HOSTNAME", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = flag, help_heading = "Who may connect")]
    pub(crate) auth_hostname: Option<bool>,

    /// Everyone who connects must log in with a username and a password (see: labwire user)
    #[arg(long, env = "LABWIRE_AUTH_LOGIN", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = flag, help_heading = "Who may connect")]
    pub(crate) auth_login: Option<bool>,

    /// Everyone who connects must know this password
    ///
    /// Several words are one password, joined with single spaces. The path of an existing file means the
    /// first line of that file (a path that does not exist is the password itself), and a lone '-' the first
    /// line of standard input. Without a word you are asked for the password.
    #[arg(short = 'P', long, env = "LABWIRE_AUTH_PASSWORD", hide_env_values = true, value_name = "WORD", num_args = 0.., help_heading = "Who may connect")]
    #[serde(deserialize_with = "one_word")]
    pub(crate) auth_password: Option<Vec<String>>,

    /// Admit everyone from everywhere without asking: for a closed laboratory network only
    #[arg(long, env = "LABWIRE_OPEN", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = flag, help_heading = "Who may connect")]
    pub(crate) open: Option<bool>,

    /// The hostname or IP address to listen on [default: all interfaces]
    #[arg(short = 'H', long, env = "LABWIRE_HOST", help_heading = "Where")]
    pub(crate) host: Option<String>,

    /// The port to listen on; 0 lets the system choose one [default: 1875]
    #[arg(short, long, env = "LABWIRE_PORT", value_parser = port, help_heading = "Where")]
    #[serde(deserialize_with = "port_in_file")]
    pub(crate) port: Option<u16>,

    /// Do not encrypt connections
    #[arg(long, env = "LABWIRE_DISABLE_TLS", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = flag, help_heading = "TLS")]
    pub(crate) disable_tls: Option<bool>,

    /// The certificate, in PEM form [default: certs/localhost.crt in the home folder, made if there is none]
    ///
    /// Certificates that lead to its authority follow it in the same file. Without --key-file, the key is
    /// expected there too.
    #[arg(
        short,
        long,
        env = "LABWIRE_CERT_FILE",
        value_name = "FILE",
        help_heading = "TLS"
    )]
    pub(crate) cert_file: Option<PathBuf>,

    /// The private key, in PEM form [default: keys/localhost.key in the home folder, made if there is none]
    ///
    /// Without --cert-file, the default certificate is made anew if it does not belong to this key.
    #[arg(
        short,
        long,
        env = "LABWIRE_KEY_FILE",
        value_name = "FILE",
        help_heading = "TLS"
    )]
    pub(crate) key_file: Option<PathBuf>,

    /// The password of the private key: words, the path of a file, '-', or nothing, as for --auth-password
    #[arg(short = 'D', long, env = "LABWIRE_KEY_FILE_PASSWORD", hide_env_values = true, value_name = "WORD", num_args = 0.., help_heading = "TLS")]
    #[serde(deserialize_with = "one_word")]
    pub(crate) key_file_password: Option<Vec<String>>,

    /// The database of users, trusted hostnames and connections [default: manager.sqlite3 in the home folder]
    #[arg(
        short,
        long,
        env = "LABWIRE_DATABASE",
        value_name = "FILE",
        help_heading = "Database"
    )]
    pub(crate) database: Option<PathBuf>,

    /// How many rows of the table of connections are kept, 0 for all [default: 1000000]
    #[arg(
        long,
        env = "LABWIRE_CONNECTIONS_MAX_ROWS",
        value_name = "ROWS",
        help_heading = "Database"
    )]
    pub(crate) connections_max_rows: Option<u64>,

    /// For how many days rows of the table of connections are kept, 0 for ever [default: 400]
    #[arg(
        long,
        env = "LABWIRE_CONNECTIONS_MAX_DAYS",
        value_name = "DAYS",
        help_heading = "Database"
    )]
    pub(crate) connections_max_days: Option<u64>,

    /// Hash passwords made by MSL-Network more strongly at the next good login
    ///
    /// Instead of 100,000 rounds of PBKDF2 they get 600,000. MSL-Network's own manager cannot check them
    /// any more then.
    #[arg(long, env = "LABWIRE_UPGRADE_PASSWORDS", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = flag, help_heading = "Database")]
    pub(crate) upgrade_passwords: Option<bool>,

    /// How much is logged: TRACE, DEBUG, INFO, WARNING, ERROR or a number as in Python [default: INFO]
    #[arg(
        short = 'G',
        long,
        env = "LABWIRE_LOG_LEVEL",
        value_name = "LEVEL",
        help_heading = "Log"
    )]
    pub(crate) log_level: Option<String>,

    /// The file to log to [default: a new file in logs/ in the home folder]
    #[arg(
        short,
        long,
        env = "LABWIRE_LOG_FILE",
        value_name = "FILE",
        help_heading = "Log"
    )]
    pub(crate) log_file: Option<PathBuf>,

    /// The form of log lines [default: human]
    #[arg(
        long,
        env = "LABWIRE_LOG_FORMAT",
        value_enum,
        value_name = "FORMAT",
        help_heading = "Log"
    )]
    pub(crate) log_format: Option<LogForm>,
}

/// The forms of log lines, as they are typed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogForm {
    /// One line for a person to read.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

impl From<LogForm> for LogFormat {
    fn from(form: LogForm) -> Self {
        match form {
            LogForm::Human => Self::Human,
            LogForm::Json => Self::Json,
        }
    }
}

const WRONG_PORT: &str = "a port is a number from 0 to 65535";

/// Reads a port as it is typed.
fn port(text: &str) -> Result<u16, &'static str> {
    text.parse().map_err(|_| WRONG_PORT)
}

fn port_in_file<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    let port = u16::deserialize(deserializer).map_err(|_| serde::de::Error::custom(WRONG_PORT))?;
    Ok(Some(port))
}

/// Reads what a flag is set to. Whatever is neither yes nor no is an error: a misspelt word must not decide
/// who may connect.
fn flag(text: &str) -> Result<bool, &'static str> {
    match text.to_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err("write true or false"),
    }
}

/// A secret in the file is one text; on the command line it is words.
fn one_word<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    // The deserializer's own error would show the value.
    let wrong = |_| serde::de::Error::custom("a password is a text between quotes");
    let text = String::deserialize(deserializer).map_err(wrong)?;
    Ok(Some(vec![text]))
}

impl StartArgs {
    /// What was typed or is in the environment, completed by the file.
    pub(super) fn complete(self) -> anyhow::Result<Options> {
        match &self.config {
            None => Ok(self.options),
            Some(path) => Ok(self.options.or(Options::from_file(path)?)),
        }
    }
}

impl Options {
    fn from_file(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration {}", path.display()))?;
        let options = toml::from_str(&text).map_err(|error| {
            // The error would show the whole line, which may hold a password.
            let place = error.span().map_or_else(String::new, |span| {
                let before = text.get(..span.start).unwrap_or_default();
                format!(", line {}", before.matches('\n').count() + 1)
            });
            let reason = error.message();
            UsageError(format!(
                "the configuration {}{place} is wrong: {reason}",
                path.display()
            ))
        })?;
        Ok(options)
    }

    /// These options, and where they say nothing, the others.
    fn or(self, other: Self) -> Self {
        Self {
            auth_hostname: self.auth_hostname.or(other.auth_hostname),
            auth_login: self.auth_login.or(other.auth_login),
            auth_password: self.auth_password.or(other.auth_password),
            open: self.open.or(other.open),
            host: self.host.or(other.host),
            port: self.port.or(other.port),
            disable_tls: self.disable_tls.or(other.disable_tls),
            cert_file: self.cert_file.or(other.cert_file),
            key_file: self.key_file.or(other.key_file),
            key_file_password: self.key_file_password.or(other.key_file_password),
            database: self.database.or(other.database),
            connections_max_rows: self.connections_max_rows.or(other.connections_max_rows),
            connections_max_days: self.connections_max_days.or(other.connections_max_days),
            upgrade_passwords: self.upgrade_passwords.or(other.upgrade_passwords),
            log_level: self.log_level.or(other.log_level),
            log_file: self.log_file.or(other.log_file),
            log_format: self.log_format.or(other.log_format),
        }
    }
}

#[cfg(test)]
mod tests {
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
