//! Services whose options come from the arguments of the program.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use labwire_device::{PeerArguments, keyword_arguments_from};
use labwire_manager::Authentication;
use serde::Deserialize;

use super::error::RunServicesError;
use super::options::ManagerOptions;
use super::services::Services;
use crate::cli::secret;

/// Runs a manager and services with options from the program's arguments, until the last service
/// has ended. Call it in the `main` of a program that Labwire's clients (`ssh::start_manager`) or
/// MSL-Network start on another computer.
///
/// The arguments have the form `--kwargs '{"port": 1876, "disable_tls": true}'`, with the names of
/// MSL-Network's `run_services`. Unknown names are left to the program. Errors are written to
/// standard error.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/support/example.rs")); }
/// use std::process::ExitCode;
/// use labwire::{Services, run_services_from_arguments};
/// use labwire_service::service;
///
/// struct Thermometer;
///
/// #[service]
/// impl Thermometer {
///     pub fn read(&self) -> f64 {
///         20.0
///     }
///     pub fn shutdown_service(&self) {}
/// }
///
/// fn main() -> ExitCode {
/// #     let arguments = ["--kwargs", r#"{"port": 0, "disable_tls": true}"#];
/// #     let look = |options: labwire_client::ConnectOptions, _: &std::path::Path| {
/// #         let thermometer = labwire_client::blocking::LinkedClient::connect("Thermometer", options)?;
/// #         assert_eq!(thermometer.call::<f64>("read", ())?, 20.0);
/// #         thermometer.shutdown_service::<()>(())?;
/// #         Ok(())
/// #     };
/// #     if support::ran_as_a_program(&arguments, look) { return ExitCode::SUCCESS }
///     // `thermometer --kwargs '{"port": 1876, "disable_tls": true}'` on the other computer.
///     run_services_from_arguments(Services::new().with(Thermometer))
/// }
/// ```
pub fn run_services_from_arguments(services: Services) -> ExitCode {
    let run = || services.start(ManagerOptions::from_arguments(std::env::args_os().skip(1))?);
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If nobody reads standard error, there is no other place to report it.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The options of a manager, with the names of MSL-Network's keyword arguments.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ManagerArguments {
    host: Option<String>,
    port: Option<u16>,
    auth_hostname: Option<bool>,
    auth_login: Option<bool>,
    auth_password: Option<Words>,
    password_manager: Option<Words>,
    database: Option<PathBuf>,
    disable_tls: Option<bool>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    key_file_password: Option<Words>,
    log_level: Option<String>,
    log_file: Option<PathBuf>,
}

/// A secret: one text, or several words.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    One(String),
    Many(Vec<String>),
}

impl Words {
    /// Returns the secret; the path of a file means its first line.
    fn resolve(self) -> anyhow::Result<String> {
        let text = match self {
            Self::One(text) => text,
            Self::Many(words) => words.join(" "),
        };
        secret::resolve(&[text], "")
    }
}

impl ManagerArguments {
    /// Returns the method by which peers are admitted, if one was given.
    fn authentication(&mut self) -> Result<Option<Authentication>, RunServicesError> {
        let password = self.auth_password.take().or(self.password_manager.take());
        let chosen: Vec<_> = [
            ("auth_hostname", self.auth_hostname == Some(true)),
            ("auth_login", self.auth_login == Some(true)),
            ("auth_password", password.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, is_chosen)| is_chosen.then_some(name))
        .collect();
        if chosen.len() > 1 {
            return Err(RunServicesError::Authentication(chosen.join(" and ")));
        }
        Ok(match (chosen.first(), password) {
            (_, Some(words)) => Some(Authentication::Password(words.resolve()?)),
            (Some(&"auth_login"), None) => Some(Authentication::Login),
            (Some(_), None) => Some(Authentication::Hostname),
            (None, None) => None,
        })
    }
}

impl ManagerOptions {
    /// Reads the options from the arguments of a program, without its name:
    /// `--kwargs '{"port": 1876}'`. The names are those of MSL-Network's `run_services`: `host`,
    /// `port`, `auth_hostname`, `auth_login` with `username` and `password`, `auth_password` or
    /// `password_manager`, `database`, `disable_tls`, `cert_file`, `key_file`, `key_file_password`,
    /// `log_level`, `log_file`, and `timeout` and `read_limit` for the services. Unknown names are
    /// left to the program.
    ///
    /// ```
    /// use labwire::ManagerOptions;
    ///
    /// let options = ManagerOptions::from_arguments(["--kwargs", r#"{"port": 1876}"#])?;
    /// assert!(format!("{options:?}").contains("1876"));
    /// # Ok::<(), labwire::RunServicesError>(())
    /// ```
    pub fn from_arguments(
        line: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Result<Self, RunServicesError> {
        let line: Vec<OsString> = line.into_iter().map(Into::into).collect();
        let peers: PeerArguments = keyword_arguments_from(line.iter())?;
        let mut arguments: ManagerArguments = keyword_arguments_from(line.iter())?;
        let mut options = Self::new().connect_options(peers.connect_options());
        if let Some(authentication) = arguments.authentication()? {
            options.authentication = authentication;
        }
        if let Some(host) = arguments.host {
            options = options.host(host);
        }
        if let Some(port) = arguments.port {
            options = options.port(port);
        }
        if let Some(path) = arguments.database {
            options = options.database(path);
        }
        if arguments.disable_tls == Some(true) {
            options = options.without_tls();
        }
        if let Some(path) = arguments.cert_file {
            options = options.certificate_file(path);
        }
        if let Some(path) = arguments.key_file {
            options = options.key_file(path);
        }
        if let Some(words) = arguments.key_file_password {
            options = options.key_password(words.resolve()?);
        }
        if let Some(level) = arguments.log_level {
            options = options.log_level(level);
        }
        if let Some(path) = arguments.log_file {
            options = options.log_file(path);
        }
        Ok(options)
    }
}
