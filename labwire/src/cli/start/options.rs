//! The options of `labwire start`: typed, from the environment, or from a file.

use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;

use super::budgets;
use super::values::{LogForm, Size, Time, flag, level_in_file, one_word, port, port_in_file};

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

  # would it start with these settings?
  labwire start --check --config /etc/labwire.toml

  # settings from a file; with them: port = 8326, auth-login = true
  labwire start --config /etc/labwire.toml

Signals: INT (Ctrl-C) and TERM stop the manager once the requests under way are answered, or after 10 seconds; \
a second one stops it at once. HUP reads certificate, key and trusted hostnames again and opens the log file \
anew, without dropping a connection.

See also: labwire user, labwire hostname, labwire keygen, labwire certgen";

/// The heading of the limits on the help page.
const LIMITS: &str = "Limits (BYTES: 65536, 64KiB, 1GiB; TIME: 10s, 500ms, 2min, a bare number is seconds)";

/// Start the manager
#[derive(Args)]
#[command(long_about = LONG_ABOUT, after_help = EXAMPLES)]
pub(crate) struct StartArgs {
    /// A TOML file with options: the long names without the dashes in front, as in `auth-login = true`
    #[arg(long, env = "LABWIRE_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    /// Look whether the manager would start, say what would be wrong, and change nothing
    ///
    /// Configuration, certificate, key, database, authentication, log file and port are looked at. The exit code
    /// is 0 when the manager would start, 1 when it would not, and 2 when an option is typed wrongly.
    #[arg(long)]
    pub(super) check: bool,

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
    /// first line of that file (a path that does not exist is the password itself, with a warning), and a lone '-' the
    /// first line of standard input. Without a word you are asked for the password.
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
    #[serde(deserialize_with = "level_in_file")]
    pub(crate) log_level: Option<String>,

    /// The file to log to [default: a new file in logs/ in the home folder]
    ///
    /// A log that exists is continued. A file that holds anything else is refused.
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

    /// How large the log file becomes before a new one is begun, 0 for any size [default: 16MiB]
    ///
    /// The old file gets the ending .1, and those before it .2, .3 and so on. Choose 0 if another program, such as
    /// logrotate, moves it aside and sends HUP.
    #[arg(
        long,
        env = "LABWIRE_LOG_MAX_SIZE",
        value_name = "BYTES",
        help_heading = "Log"
    )]
    pub(crate) log_max_size: Option<Size>,

    /// How many old log files are kept; with 0 a full file is emptied [default: 4]
    #[arg(
        long,
        env = "LABWIRE_LOG_OLD_FILES",
        value_name = "COUNT",
        help_heading = "Log"
    )]
    pub(crate) log_old_files: Option<u32>,

    /// From the accepted connection to the accepted identity, TLS and login included [default: 10s]
    #[arg(long, env = "LABWIRE_HANDSHAKE", value_name = "TIME", help_heading = LIMITS)]
    pub(crate) handshake: Option<Time>,

    /// The longest line until the peer has authenticated [default: 64KiB]
    #[arg(long, env = "LABWIRE_HANDSHAKE_LINE", value_name = "BYTES", help_heading = LIMITS)]
    pub(crate) handshake_line: Option<Size>,

    /// The longest identity of a peer that has authenticated, or needs not; of a service with its attributes [default: 4MiB]
    #[arg(long, env = "LABWIRE_IDENTITY_LINE", value_name = "BYTES", help_heading = LIMITS)]
    pub(crate) identity_line: Option<Size>,

    /// The longest line afterwards [default: 1GiB]
    #[arg(long, env = "LABWIRE_LINE", value_name = "BYTES", help_heading = LIMITS)]
    pub(crate) line: Option<Size>,

    /// How long a line may not grow before its end has come; what has come is thrown away then [default: 10s]
    #[arg(long, env = "LABWIRE_LINE_STALL", value_name = "TIME", help_heading = LIMITS)]
    pub(crate) line_stall: Option<Time>,

    /// How deep arrays and objects of a line may be nested, the outermost object included [default: 1024]
    #[arg(long, env = "LABWIRE_NESTING", value_name = "LEVELS", help_heading = LIMITS)]
    pub(crate) nesting: Option<usize>,

    /// What may wait to be written to one peer; replies that it asked for may take four times as much, and one larger frame
    /// is taken when nothing waits [default: 64MiB]
    #[arg(long, env = "LABWIRE_QUEUE", value_name = "BYTES", help_heading = LIMITS)]
    pub(crate) queue: Option<Size>,

    /// How long a peer may read nothing while others wait for room in its queue, before it is disconnected [default: 2s]
    #[arg(long, env = "LABWIRE_STALL", value_name = "TIME", help_heading = LIMITS)]
    pub(crate) stall: Option<Time>,

    /// In what time a peer must read 1 MiB while others wait for room in its queue, else it is disconnected [default: 5s]
    #[arg(long, env = "LABWIRE_PATIENCE", value_name = "TIME", help_heading = LIMITS)]
    pub(crate) patience: Option<Time>,

    /// Connections in all [default: 10000]
    #[arg(long, env = "LABWIRE_CONNECTIONS", value_name = "COUNT", help_heading = LIMITS)]
    pub(crate) connections: Option<usize>,

    /// Connections that have not identified themselves, in all [default: 1000]
    #[arg(long, env = "LABWIRE_UNIDENTIFIED", value_name = "COUNT", help_heading = LIMITS)]
    pub(crate) unidentified: Option<usize>,

    /// Connections that have not identified themselves, from one address [default: 100]
    #[arg(long, env = "LABWIRE_UNIDENTIFIED_PER_ADDRESS", value_name = "COUNT", help_heading = LIMITS)]
    pub(crate) unidentified_per_address: Option<usize>,

    /// Requests of one client that wait for their reply [default: 65536]
    #[arg(long, env = "LABWIRE_IN_FLIGHT", value_name = "COUNT", help_heading = LIMITS)]
    pub(crate) in_flight: Option<usize>,

    /// Bytes of the lines of all peers whose end has not come
    #[arg(long, env = "LABWIRE_BUDGET_LINES", value_name = "BYTES", help_heading = LIMITS, help = budgets::lines_help())]
    pub(crate) budget_lines: Option<Size>,

    /// Bytes that wait to be written, of all peers
    #[arg(long, env = "LABWIRE_BUDGET_QUEUES", value_name = "BYTES", help_heading = LIMITS, help = budgets::queues_help())]
    pub(crate) budget_queues: Option<Size>,

    /// Bytes of the identities of all services
    #[arg(long, env = "LABWIRE_BUDGET_IDENTITIES", value_name = "BYTES", help_heading = LIMITS, help = budgets::identities_help())]
    pub(crate) budget_identities: Option<Size>,

    /// Requests of all clients that wait for their reply
    #[arg(long, env = "LABWIRE_BUDGET_IN_FLIGHT", value_name = "COUNT", help_heading = LIMITS, help = budgets::in_flight_help())]
    pub(crate) budget_in_flight: Option<usize>,

    /// Failed logins after which an address must wait before it may try again [default: 5]
    #[arg(long, env = "LABWIRE_LOGIN_FAILURES", value_name = "COUNT", help_heading = LIMITS)]
    pub(crate) login_failures: Option<u32>,

    /// How long it must wait at first; each further failed login doubles that time [default: 1s]
    #[arg(long, env = "LABWIRE_LOGIN_PENALTY", value_name = "TIME", help_heading = LIMITS)]
    pub(crate) login_penalty: Option<Time>,

    /// How long it must wait at most [default: 1min]
    #[arg(long, env = "LABWIRE_LOGIN_PENALTY_ADDRESS", value_name = "TIME", help_heading = LIMITS)]
    pub(crate) login_penalty_address: Option<Time>,

    /// How long the answer to a wrong password is delayed at most, after --login-failures failed logins with that username,
    /// from whatever addresses; a right password is answered without delay [default: 2s]
    #[arg(long, env = "LABWIRE_LOGIN_PENALTY_USER", value_name = "TIME", help_heading = LIMITS)]
    pub(crate) login_penalty_user: Option<Time>,

    /// How long a manager that stops waits until requests are answered and queues are written [default: 10s]
    #[arg(long, env = "LABWIRE_DRAIN", value_name = "TIME", help_heading = LIMITS)]
    pub(crate) drain: Option<Time>,

    /// Idle time before TCP probes whether a peer is there; without an answer for three times as long, idle or with bytes
    /// in flight, the peer is gone [default: 30s]
    #[arg(long, env = "LABWIRE_KEEPALIVE", value_name = "TIME", help_heading = LIMITS)]
    pub(crate) keepalive: Option<Time>,
}
