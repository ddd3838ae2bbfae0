//! The keyword arguments of a program that is started from another computer.

use std::ffi::OsString;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::options::ConnectOptions;
use crate::payload::{DecodeError, from_json};

/// The argument that precedes the keyword arguments.
const FLAG: &str = "--kwargs";

/// The reason why the keyword arguments of a program cannot be read.
///
/// ```
/// use labwire_device::{KeywordArgumentsError, PeerArguments, keyword_arguments_from};
///
/// let error = keyword_arguments_from::<PeerArguments>(["--kwargs", "port=1876"]).unwrap_err();
/// assert_eq!(error, KeywordArgumentsError::NoObject);
///
/// let error = keyword_arguments_from::<PeerArguments>(["--kwargs", r#"{"port": "x"}"#]).unwrap_err();
/// assert!(matches!(error, KeywordArgumentsError::Unusable(_)));
/// assert!(error.to_string().starts_with("what follows --kwargs cannot be used: "));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeywordArgumentsError {
    /// `--kwargs` is not followed by a JSON object.
    #[error("after --kwargs there must be a JSON object, such as --kwargs '{{\"port\": 1876}}'")]
    NoObject,
    /// The object after `--kwargs` does not match the program's type.
    #[error("what follows --kwargs cannot be used: {0}")]
    Unusable(#[from] DecodeError),
}

/// Reads the keyword arguments that this program was started with: `--kwargs '{"port": 1876}'`, as
/// passed by `ssh::start_manager` of Labwire's clients and of MSL-Network. Without `--kwargs` the
/// object is empty.
///
/// [`PeerArguments`] is the type for connect options; a program with other arguments defines its
/// own type.
///
/// ```
/// # use labwire_device::{KeywordArgumentsError, keyword_arguments};
/// #[derive(serde::Deserialize)]
/// struct Arguments {
///     #[serde(default)]
///     channels: u8,
/// }
///
/// let arguments: Arguments = keyword_arguments()?;
/// assert_eq!(arguments.channels, 0);
/// # Ok::<(), KeywordArgumentsError>(())
/// ```
pub fn keyword_arguments<T: DeserializeOwned>() -> Result<T, KeywordArgumentsError> {
    keyword_arguments_from(std::env::args_os().skip(1))
}

/// Reads keyword arguments from the given command line, which begins after the program's name.
///
/// ```
/// # use labwire_device::{PeerArguments, keyword_arguments_from};
/// let line = ["--verbose", "--kwargs", r#"{"host": "raspberrypi", "disable_tls": true}"#];
/// let arguments: PeerArguments = keyword_arguments_from(line).unwrap();
/// assert_eq!(arguments.connect_options().address(), "raspberrypi:1875");
/// ```
pub fn keyword_arguments_from<T: DeserializeOwned>(
    line: impl IntoIterator<Item = impl Into<OsString>>,
) -> Result<T, KeywordArgumentsError> {
    let mut line = line
        .into_iter()
        .map(|argument| argument.into().to_string_lossy().into_owned());
    while let Some(argument) = line.next() {
        let rest = argument.strip_prefix(FLAG);
        let text = match rest {
            Some("") => line.next().unwrap_or_default(),
            Some(rest) => match rest.strip_prefix('=') {
                Some(text) => text.to_owned(),
                None => continue,
            },
            None => continue,
        };
        // Other JSON, such as a list, could be decoded into many types, too.
        if !text.trim_start().starts_with('{') {
            return Err(KeywordArgumentsError::NoObject);
        }
        return Ok(from_json(&text)?);
    }
    Ok(from_json("{}")?)
}

/// Connect options with the names of MSL-Network's keyword arguments. Other names are ignored.
///
/// ```
/// # use labwire_device::{PeerArguments, payload::from_json};
/// let arguments: PeerArguments = from_json(r#"{"port": 1876, "timeout": 2.5, "auth_login": true}"#).unwrap();
/// assert_eq!(arguments.connect_options().address(), "localhost:1876");
/// ```
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct PeerArguments {
    /// The manager's host.
    pub host: Option<String>,
    /// The manager's port.
    pub port: Option<u16>,
    /// The time limit for connecting, in seconds.
    pub timeout: Option<f64>,
    /// The user to log in as.
    pub username: Option<String>,
    /// The password of that user.
    pub password: Option<String>,
    /// The password of the manager itself.
    pub password_manager: Option<String>,
    /// The longest line that the manager may send, in bytes.
    pub read_limit: Option<usize>,
    /// Whether to connect without TLS.
    pub disable_tls: Option<bool>,
    /// The file with the certificate to trust.
    pub cert_file: Option<std::path::PathBuf>,
    /// Whether the certificate must name the host.
    pub assert_hostname: Option<bool>,
}

impl std::fmt::Debug for PeerArguments {
    /// Omits passwords.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("PeerArguments")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("disable_tls", &self.disable_tls)
            .finish_non_exhaustive()
    }
}

impl PeerArguments {
    /// Converts the arguments into options; missing ones have the defaults of
    /// [`ConnectOptions::new`]. An invalid timeout counts as missing.
    ///
    /// ```
    /// use std::time::Duration;
    /// use labwire_device::PeerArguments;
    ///
    /// let arguments = PeerArguments { host: Some("lab-pc".to_owned()), timeout: Some(2.5), ..Default::default() };
    /// let options = arguments.connect_options();
    /// assert_eq!(options.address(), "lab-pc:1875");
    /// assert_eq!(options.connect_timeout(), Duration::from_millis(2500));
    /// ```
    pub fn connect_options(&self) -> ConnectOptions {
        let mut options = ConnectOptions::new();
        if let Some(host) = &self.host {
            options = options.host(host);
        }
        if let Some(port) = self.port {
            options = options.port(port);
        }
        if let Some(timeout) = self
            .timeout
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        {
            options = options.timeout(timeout);
        }
        if let Some(username) = &self.username {
            options = options.username(username);
        }
        if let Some(password) = &self.password {
            options = options.password(password);
        }
        if let Some(password) = &self.password_manager {
            options = options.manager_password(password);
        }
        if let Some(bytes) = self.read_limit {
            options = options.read_limit(bytes);
        }
        if let Some(file) = &self.cert_file {
            options = options.certificate_file(file);
        }
        if self.disable_tls == Some(true) {
            options = options.without_tls();
        }
        options.check_hostname(self.assert_hostname.unwrap_or(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &[&str]) -> Result<PeerArguments, KeywordArgumentsError> {
        keyword_arguments_from(line.iter().copied())
    }

    #[test]
    fn keyword_arguments_are_found_anywhere_and_may_be_absent() {
        assert_eq!(read(&["--kwargs", r#"{"port": 1}"#, "x"]).unwrap().port, Some(1));
        assert_eq!(read(&["x", r#"--kwargs={"port": 2}"#]).unwrap().port, Some(2));
        assert_eq!(read(&["x", "--kwargs2", "3"]).unwrap().port, None);
        assert_eq!(read(&[]).unwrap().port, None);
    }

    #[test]
    fn keyword_arguments_that_cannot_be_read_say_what_is_expected() {
        assert_eq!(read(&["--kwargs"]).unwrap_err(), KeywordArgumentsError::NoObject);
        assert_eq!(
            read(&["--kwargs", "[]"]).unwrap_err(),
            KeywordArgumentsError::NoObject
        );
        for text in ["{", r#"{"port": "x"}"#] {
            let error = read(&["--kwargs", text]).unwrap_err();
            assert!(matches!(error, KeywordArgumentsError::Unusable(_)), "{error}");
        }
    }

    #[test]
    fn what_python_gives_as_none_counts_as_not_given() {
        let arguments = read(&[
            "--kwargs",
            r#"{"host": null, "timeout": -1, "password": "engine"}"#,
        ])
        .unwrap();
        assert_eq!(arguments.connect_options().address(), "localhost:1875");
        assert!(!format!("{arguments:?}").contains("engine"));
    }
}
