//! The options of `labwire start`: typed, from the environment, or from a file.

use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;

use super::budgets;
use super::values::{LogForm, RecordWhat, Size, Time, flag, level_in_file, one_word, port, port_in_file};

const LONG_ABOUT: &str = "\
Start the manager.

The first start creates a private key, a self-signed certificate and a database in the home folder, and \
prints the certificate's fingerprint. Without one of the four --auth-… options, or --open, the \
manager serves its own computer only.

Every option can also come from the environment (LABWIRE_PORT=8326) or from a TOML file given with --config \
(port = 8326). The command line has precedence over the environment, and the environment over the file. \
With =false, as in --disable-tls=false, the command line switches off a flag of the other two.";

const EXAMPLES: &str = "\
Examples:
  # the default settings
  labwire start

  # port 8326
  labwire start --port 8326

  # every peer must send a password
  labwire start --auth-password abc 123

  # your own certificate and key
  labwire start --cert-file /path/to/cert.pem --key-file /path/to/key.pem

  # every peer must log in as a user (see: labwire user add)
  labwire start --auth-login

  # every peer must present a certificate (see: labwire certgen --ca)
  labwire start --auth-certificate --client-ca ca.crt --client-crl ca.crl

  # the files of an MSL-Network installation
  MSL_NETWORK_HOME=~/.msl/network labwire start

  # would it start with these settings?
  labwire start --check --config /etc/labwire.toml

  # settings from a file; with them: port = 8326, auth-login = true
  labwire start --config /etc/labwire.toml

Signals: INT (Ctrl-C) and TERM stop the manager once the requests in flight are
answered, or after 10 seconds (see --drain); a second signal stops it at once.
HUP reloads certificate, key, trusted hostnames, authorities and lists of
revoked client certificates, and reopens the log file. It drops no connection,
except of peers whose certificate is revoked.

To let systemd start it at each boot: labwire systemd install

See also: labwire user, labwire hostname, labwire keygen, labwire certgen";

/// The heading of the limits on the help page.
const LIMITS: &str = "Limits (BYTES: 65536, 64KiB, 1GiB; TIME: 10, 10s, 500ms, 2min)";

/// Start the manager
#[derive(Args)]
#[command(long_about = LONG_ABOUT, after_help = EXAMPLES)]
pub(crate) struct StartArgs {
    /// A TOML file with options: the long names without the leading dashes, as in
    /// `auth-login = true`
    #[arg(long, env = "LABWIRE_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    /// Check whether the manager would start, and print the problems; change nothing
    ///
    /// The check covers configuration, certificate, key, database, authentication, log file and
    /// port. The exit code is 0 when the manager would start, 1 when it would not, and 2 when an
    /// option is typed wrongly.
    #[arg(long)]
    pub(super) check: bool,

    #[command(flatten)]
    pub(super) options: Options,
}

/// The options of a start. An option that is not set is `None`.
#[derive(Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Options {
    /// Admit only the computers in the table of trusted hostnames (see: labwire hostname)
    #[arg(long, env = "LABWIRE_AUTH_HOSTNAME", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = flag, help_heading = "Who may connect")]
    pub(crate) auth_hostname: Option<bool>,

    /// Require a login with username and password from every peer (see: labwire user)
    #[arg(long, env = "LABWIRE_AUTH_LOGIN", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = flag, help_heading = "Who may connect")]
    pub(crate) auth_login: Option<bool>,

    /// Require this password from every peer
    ///
    /// Several words are one password, joined with single spaces. If the text is the path of a
    /// file, the password is the first line of the file; if no such file exists, the text itself is
    /// the password, with a warning if it looks like a path. A lone '-' reads the first line of standard input. Without a
    /// word, a prompt asks for the password.
    #[arg(short = 'P', long, env = "LABWIRE_AUTH_PASSWORD", hide_env_values = true, value_name = "WORD", num_args = 0.., help_heading = "Who may connect")]
    #[serde(deserialize_with = "one_word")]
    pub(crate) auth_password: Option<Vec<String>>,

    /// Admit only peers with a certificate of --client-ca for a user (see: labwire user)
    #[arg(long, env = "LABWIRE_AUTH_CERTIFICATE", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = flag, help_heading = "Who may connect")]
    pub(crate) auth_certificate: Option<bool>,

    /// Let peers do only what is granted to them (see: labwire grant)
    ///
    /// Without this flag, everybody who is admitted may do everything, except the requests of
    /// administrators. Use it with --auth-login: a peer that has not logged in as a user may do
    /// what is granted to the group 'everyone'.
    #[arg(long, env = "LABWIRE_ROLES", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = flag, help_heading = "Who may connect")]
    pub(crate) roles: Option<bool>,

    /// Admit every peer from every computer without authentication; for closed laboratory networks
    /// only
    #[arg(long, env = "LABWIRE_OPEN", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = flag, help_heading = "Who may connect")]
    pub(crate) open: Option<bool>,

    /// The hostname or IP address to listen on [default: all interfaces]
    #[arg(short = 'H', long, env = "LABWIRE_HOST", help_heading = "Where")]
    pub(crate) host: Option<String>,

    /// The port to listen on; 0 lets the system choose one [default: 1875]
    #[arg(short, long, env = "LABWIRE_PORT", value_parser = port, help_heading = "Where")]
    #[serde(deserialize_with = "port_in_file")]
    pub(crate) port: Option<u16>,

    /// Disable the encryption of connections
    #[arg(long, env = "LABWIRE_DISABLE_TLS", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = flag, help_heading = "TLS")]
    pub(crate) disable_tls: Option<bool>,

    /// The certificate, in PEM form [default: certs/localhost.crt in the home folder,
    /// created if missing]
    ///
    /// The same file may also contain the certificates of the chain up to its authority, and must
    /// contain the key unless --key-file is set.
    #[arg(
        short,
        long,
        env = "LABWIRE_CERT_FILE",
        value_name = "FILE",
        help_heading = "TLS"
    )]
    pub(crate) cert_file: Option<PathBuf>,

    /// The private key, in PEM form [default: keys/localhost.key in the home folder,
    /// created if missing]
    ///
    /// If --cert-file is not set, the default certificate is created again if it does not belong to
    /// this key.
    #[arg(
        short,
        long,
        env = "LABWIRE_KEY_FILE",
        value_name = "FILE",
        help_heading = "TLS"
    )]
    pub(crate) key_file: Option<PathBuf>,

    /// The password of the private key: words, the path of a file, '-', or nothing, as for
    /// --auth-password
    #[arg(short = 'D', long, env = "LABWIRE_KEY_FILE_PASSWORD", hide_env_values = true, value_name = "WORD", num_args = 0.., help_heading = "TLS")]
    #[serde(deserialize_with = "one_word")]
    pub(crate) key_file_password: Option<Vec<String>>,

    /// The authorities of client certificates, in PEM form (see: labwire certgen --ca)
    ///
    /// Peers are asked for a certificate. One that is valid logs its peer in as the user whose name
    /// is the common name of its subject, in place of what the manager would ask for otherwise. A
    /// peer without a certificate is admitted as without this option. HUP reads the file again.
    #[arg(long, env = "LABWIRE_CLIENT_CA", value_name = "FILE", help_heading = "TLS")]
    pub(crate) client_ca: Option<PathBuf>,

    /// The lists of revoked client certificates, in PEM form (see: labwire certgen --crl)
    ///
    /// Each authority needs a list, and a list that is overdue lets nobody in. HUP reads the file
    /// again, and disconnects peers whose certificate is revoked.
    #[arg(long, env = "LABWIRE_CLIENT_CRL", value_name = "FILE", help_heading = "TLS")]
    pub(crate) client_crl: Option<PathBuf>,

    /// The database of users, trusted hostnames and connections
    /// [default: manager.sqlite3 in the home folder]
    #[arg(
        short,
        long,
        env = "LABWIRE_DATABASE",
        value_name = "FILE",
        help_heading = "Database"
    )]
    pub(crate) database: Option<PathBuf>,

    /// Maximum number of rows in the table of connections, 0 for no limit [default: 1000000]
    #[arg(
        long,
        env = "LABWIRE_CONNECTIONS_MAX_ROWS",
        value_name = "ROWS",
        help_heading = "Database"
    )]
    pub(crate) connections_max_rows: Option<u64>,

    /// Maximum age of rows in the table of connections in days, 0 for no limit [default: 400]
    #[arg(
        long,
        env = "LABWIRE_CONNECTIONS_MAX_DAYS",
        value_name = "DAYS",
        help_heading = "Database"
    )]
    pub(crate) connections_max_days: Option<u64>,

    /// Hash passwords of MSL-Network with more rounds at the next successful login
    ///
    /// The number of PBKDF2 rounds grows from 100,000 to 600,000. MSL-Network's own manager can no
    /// longer check such a password.
    #[arg(long, env = "LABWIRE_UPGRADE_PASSWORDS", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = flag, help_heading = "Database")]
    pub(crate) upgrade_passwords: Option<bool>,

    /// What to record: who did what and when (see: labwire history) [default: except-calls]
    ///
    /// The record is a file that only its owner can read. By default it contains which peers came
    /// and went, links, locks, logins, what was refused, and what administrators requested. With
    /// calls, it also tells who called what, when, how long that took and whether it failed. It
    /// never contains a password or a result, and arguments only of the methods whose service asks
    /// for that.
    #[arg(
        long,
        env = "LABWIRE_RECORD",
        value_enum,
        value_name = "WHAT",
        help_heading = "Record"
    )]
    pub(crate) record: Option<RecordWhat>,

    /// The file of the record [default: beside the database, manager.record.sqlite3]
    #[arg(
        long,
        env = "LABWIRE_RECORD_FILE",
        value_name = "FILE",
        help_heading = "Record"
    )]
    pub(crate) record_file: Option<PathBuf>,

    /// Maximum age of entries of the record in days, 0 for no limit [default: 400]
    #[arg(
        long,
        env = "LABWIRE_RECORD_MAX_DAYS",
        value_name = "DAYS",
        help_heading = "Record"
    )]
    pub(crate) record_max_days: Option<u64>,

    /// Maximum size of the record, 0 for no limit; beyond it the oldest entries are removed
    /// [default: 256MiB]
    #[arg(
        long,
        env = "LABWIRE_RECORD_MAX_SIZE",
        value_name = "BYTES",
        help_heading = "Record"
    )]
    pub(crate) record_max_size: Option<Size>,

    /// The log level: TRACE, DEBUG, INFO, WARNING, ERROR or a number as in Python [default: INFO]
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
    /// New lines are appended to an existing log. A file that contains something other than a log
    /// is refused.
    #[arg(
        short,
        long,
        env = "LABWIRE_LOG_FILE",
        value_name = "FILE",
        help_heading = "Log"
    )]
    pub(crate) log_file: Option<PathBuf>,

    /// The format of log lines [default: human]
    #[arg(
        long,
        env = "LABWIRE_LOG_FORMAT",
        value_enum,
        value_name = "FORMAT",
        help_heading = "Log"
    )]
    pub(crate) log_format: Option<LogForm>,

    /// Maximum size of the log file before a new one is begun, 0 for no limit [default: 16MiB]
    ///
    /// The full file is renamed with the ending .1, and older ones with .2, .3 and so on. Set 0 if
    /// another program, such as logrotate, moves the file and sends HUP.
    #[arg(
        long,
        env = "LABWIRE_LOG_MAX_SIZE",
        value_name = "BYTES",
        help_heading = "Log"
    )]
    pub(crate) log_max_size: Option<Size>,

    /// Number of old log files to keep; with 0 a full file is emptied [default: 4]
    #[arg(
        long,
        env = "LABWIRE_LOG_OLD_FILES",
        value_name = "COUNT",
        help_heading = "Log"
    )]
    pub(crate) log_old_files: Option<u32>,

    /// Timeout from the accepted connection to the accepted identity, including TLS and login
    /// [default: 10s]
    #[arg(long, env = "LABWIRE_HANDSHAKE", value_name = "TIME", help_heading = LIMITS)]
    pub(crate) handshake: Option<Time>,

    /// Longest line before the peer has authenticated [default: 64KiB]
    #[arg(long, env = "LABWIRE_HANDSHAKE_LINE", value_name = "BYTES", help_heading = LIMITS)]
    pub(crate) handshake_line: Option<Size>,

    /// Longest identity, including a service's attributes, once the peer has authenticated or if it
    /// need not [default: 4MiB]
    #[arg(long, env = "LABWIRE_IDENTITY_LINE", value_name = "BYTES", help_heading = LIMITS)]
    pub(crate) identity_line: Option<Size>,

    /// Longest line after the identity [default: 1GiB]
    #[arg(long, env = "LABWIRE_LINE", value_name = "BYTES", help_heading = LIMITS)]
    pub(crate) line: Option<Size>,

    /// Timeout for an unfinished line that does not grow; the line is then discarded [default: 10s]
    #[arg(long, env = "LABWIRE_LINE_STALL", value_name = "TIME", help_heading = LIMITS)]
    pub(crate) line_stall: Option<Time>,

    /// Maximum size of the arrays in a frame that is converted to base64 for peers without the
    /// feature binary [default: 64MiB]
    #[arg(long, env = "LABWIRE_CONVERT", value_name = "BYTES", help_heading = LIMITS)]
    pub(crate) convert: Option<Size>,

    /// Maximum depth of arrays and objects in a line, including the outermost object
    /// [default: 1024]
    #[arg(long, env = "LABWIRE_NESTING", value_name = "LEVELS", help_heading = LIMITS)]
    pub(crate) nesting: Option<usize>,

    /// Capacity of the queue of one peer; replies may use four times as much, and an empty queue
    /// accepts one larger frame [default: 64MiB]
    #[arg(long, env = "LABWIRE_QUEUE", value_name = "BYTES", help_heading = LIMITS)]
    pub(crate) queue: Option<Size>,

    /// How long a peer may read nothing while others wait for capacity in its queue, before it is
    /// disconnected [default: 2s]
    #[arg(long, env = "LABWIRE_STALL", value_name = "TIME", help_heading = LIMITS)]
    pub(crate) stall: Option<Time>,

    /// Time in which a peer must read 1 MiB while others wait for capacity in its queue, else it is
    /// disconnected [default: 5s]
    #[arg(long, env = "LABWIRE_PATIENCE", value_name = "TIME", help_heading = LIMITS)]
    pub(crate) patience: Option<Time>,

    /// Maximum number of connections [default: 10000]
    #[arg(long, env = "LABWIRE_CONNECTIONS", value_name = "COUNT", help_heading = LIMITS)]
    pub(crate) connections: Option<usize>,

    /// Maximum number of connections without an identity [default: 1000]
    #[arg(long, env = "LABWIRE_UNIDENTIFIED", value_name = "COUNT", help_heading = LIMITS)]
    pub(crate) unidentified: Option<usize>,

    /// Maximum number of connections without an identity from one address [default: 100]
    #[arg(long, env = "LABWIRE_UNIDENTIFIED_PER_ADDRESS", value_name = "COUNT", help_heading = LIMITS)]
    pub(crate) unidentified_per_address: Option<usize>,

    /// Maximum number of requests in flight of one client [default: 65536]
    #[arg(long, env = "LABWIRE_IN_FLIGHT", value_name = "COUNT", help_heading = LIMITS)]
    pub(crate) in_flight: Option<usize>,

    /// Bytes of unfinished lines of all peers together
    #[arg(long, env = "LABWIRE_BUDGET_LINES", value_name = "BYTES", help_heading = LIMITS, help = budgets::lines_help())]
    pub(crate) budget_lines: Option<Size>,

    /// Bytes in the queues of all peers together
    #[arg(long, env = "LABWIRE_BUDGET_QUEUES", value_name = "BYTES", help_heading = LIMITS, help = budgets::queues_help())]
    pub(crate) budget_queues: Option<Size>,

    /// Bytes of the identities of all services together
    #[arg(long, env = "LABWIRE_BUDGET_IDENTITIES", value_name = "BYTES", help_heading = LIMITS, help = budgets::identities_help())]
    pub(crate) budget_identities: Option<Size>,

    /// Requests in flight of all clients together
    #[arg(long, env = "LABWIRE_BUDGET_IN_FLIGHT", value_name = "COUNT", help_heading = LIMITS, help = budgets::in_flight_help())]
    pub(crate) budget_in_flight: Option<usize>,

    /// Longest time for which the place of a peer is kept after a broken connection, and its locks
    /// after a restart of the manager, if the peer asks for it; one that names no time has 30s
    /// [default: 1h]
    #[arg(long, env = "LABWIRE_SESSION_GRACE_LIMIT", value_name = "TIME", help_heading = LIMITS)]
    pub(crate) session_grace_limit: Option<Time>,

    /// Bytes kept for a peer with a session: those that it has not confirmed, and those that wait
    /// while it is away [default: 1MiB]
    #[arg(long, env = "LABWIRE_SESSION_KEPT", value_name = "BYTES", help_heading = LIMITS)]
    pub(crate) session_kept: Option<Size>,

    /// Maximum number of peers that are away; beyond it, a broken connection ends the session
    /// [default: 1000]
    #[arg(long, env = "LABWIRE_AWAY", value_name = "COUNT", help_heading = LIMITS)]
    pub(crate) away: Option<usize>,

    /// Bytes kept for all peers with sessions together
    #[arg(long, env = "LABWIRE_BUDGET_SESSIONS", value_name = "BYTES", help_heading = LIMITS, help = budgets::sessions_help())]
    pub(crate) budget_sessions: Option<Size>,

    /// Number of failed logins after which an address must wait before it retries [default: 5]
    #[arg(long, env = "LABWIRE_LOGIN_FAILURES", value_name = "COUNT", help_heading = LIMITS)]
    pub(crate) login_failures: Option<u32>,

    /// First waiting time of such an address; each further failed login doubles it [default: 1s]
    #[arg(long, env = "LABWIRE_LOGIN_PENALTY", value_name = "TIME", help_heading = LIMITS)]
    pub(crate) login_penalty: Option<Time>,

    /// Longest waiting time of such an address [default: 1min]
    #[arg(long, env = "LABWIRE_LOGIN_PENALTY_ADDRESS", value_name = "TIME", help_heading = LIMITS)]
    pub(crate) login_penalty_address: Option<Time>,

    /// Longest delay of the answer to a wrong password, after --login-failures failed logins with
    /// that username from any addresses; a right password is answered without delay [default: 2s]
    #[arg(long, env = "LABWIRE_LOGIN_PENALTY_USER", value_name = "TIME", help_heading = LIMITS)]
    pub(crate) login_penalty_user: Option<Time>,

    /// How long a stopping manager waits for replies and for its queues to be written
    /// [default: 10s]
    #[arg(long, env = "LABWIRE_DRAIN", value_name = "TIME", help_heading = LIMITS)]
    pub(crate) drain: Option<Time>,

    /// Idle time before a TCP keep-alive probe; a peer that does not answer for three times as
    /// long, idle or with bytes in flight, is disconnected [default: 30s]
    #[arg(long, env = "LABWIRE_KEEPALIVE", value_name = "TIME", help_heading = LIMITS)]
    pub(crate) keepalive: Option<Time>,
}
