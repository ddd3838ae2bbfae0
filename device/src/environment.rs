//! Options from environment variables.

use std::ffi::OsString;

use labwire_home::parse_duration;
use thiserror::Error;

use crate::backoff::Backoff;
use crate::options::{ConnectOptions, FirstUse};

/// An environment variable has an invalid value.
///
/// ```
/// use labwire_device::EnvironmentError;
///
/// // What `ConnectOptions::from_environment` says to LABWIRE_DISABLE_TLS=maybe:
/// let error = EnvironmentError { variable: "LABWIRE_DISABLE_TLS", expected: "true or false" };
/// assert_eq!(
///     error.to_string(),
///     "the environment variable LABWIRE_DISABLE_TLS must be true or false"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the environment variable {variable} must be {expected}")]
pub struct EnvironmentError {
    /// The variable.
    pub variable: &'static str,
    /// A description of the valid values.
    pub expected: &'static str,
}

/// Reads a setting that is on or off: `true`, `yes`, `on` or `1`, and `false`, `no`, `off` or `0`, in
/// any case. Returns `None` for any other text.
///
/// All of Labwire reads its variables in this way, so that one environment means the same to a
/// manager and to its clients.
///
/// ```
/// assert_eq!(labwire_device::parse_flag("Yes"), Some(true));
/// assert_eq!(labwire_device::parse_flag("0"), Some(false));
/// assert_eq!(labwire_device::parse_flag("maybe"), None);
/// ```
pub fn parse_flag(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

impl ConnectOptions {
    /// Reads options from the environment. Missing ones have the defaults of [`new`](Self::new).
    ///
    /// | variable | meaning |
    /// |---|---|
    /// | `LABWIRE_MANAGER` | the manager's address: `HOST`, `HOST:PORT` or `[IPv6]:PORT` |
    /// | `LABWIRE_DISABLE_TLS` | `true` to connect without TLS |
    /// | `LABWIRE_CERT_FILE` | the file with the certificate to trust |
    /// | `LABWIRE_CLIENT_CERT`, `LABWIRE_CLIENT_KEY` | the files of the certificate to [present](Self::client_certificate), and of its key (the same file by default) |
    /// | `LABWIRE_FIRST_USE` | what to do with an unknown certificate: `ask`, `save` or `refuse` |
    /// | `LABWIRE_USERNAME`, `LABWIRE_PASSWORD` | the user to log in as |
    /// | `LABWIRE_MANAGER_PASSWORD` | the password of the manager itself |
    /// | `LABWIRE_RECONNECT` | `true` to reconnect when the connection is lost, `false` to end; by default services reconnect, and clients only [return to their session](Self::session) |
    /// | `LABWIRE_SESSION` | `false` to lose links, locks and requests in flight when the connection breaks; by default the manager [keeps the session](Self::session) |
    /// | `LABWIRE_SESSION_GRACE` | for how long it keeps the session: `30` (seconds), `2min` or `1h`, in whole seconds, rounded up; the default is 30 s |
    /// | `LABWIRE_KEEP_CALLERS` | `true` to let the callers of a service wait while it is away; by default they are told at once |
    ///
    /// A variable that is empty counts as not set.
    ///
    /// # Errors
    ///
    /// If a variable has another form, or is not UTF-8.
    ///
    /// ```
    /// # use labwire_device::ConnectOptions;
    /// let options = ConnectOptions::from_environment()?;
    /// // Unless LABWIRE_MANAGER says otherwise:
    /// # if std::env::var_os("LABWIRE_MANAGER").is_none() {
    /// assert_eq!(options.address(), "localhost:1875");
    /// # }
    /// # Ok::<_, labwire_device::EnvironmentError>(())
    /// ```
    pub fn from_environment() -> Result<Self, EnvironmentError> {
        Self::from_variables(std::env::var_os)
    }

    fn from_variables(variable: impl Fn(&'static str) -> Option<OsString>) -> Result<Self, EnvironmentError> {
        let read = |name| match variable(name).filter(|value| !value.is_empty()) {
            None => Ok(None),
            Some(value) => value.into_string().map(Some).map_err(|_| EnvironmentError {
                variable: name,
                expected: "text in UTF-8",
            }),
        };
        let mut options = Self::new();
        if let Some(address) = read("LABWIRE_MANAGER")? {
            options = options.manager(&address).ok_or(EnvironmentError {
                variable: "LABWIRE_MANAGER",
                expected: "HOST, HOST:PORT or [IPv6]:PORT, and no URL",
            })?;
        }
        let flag = |variable| {
            let expected = "true or false";
            let wrong = EnvironmentError { variable, expected };
            read(variable)?
                .map(|text| parse_flag(&text).ok_or(wrong))
                .transpose()
        };
        if flag("LABWIRE_DISABLE_TLS")? == Some(true) {
            options = options.without_tls();
        }
        match flag("LABWIRE_RECONNECT")? {
            Some(true) => options = options.reconnect(Backoff::new()),
            Some(false) => options = options.without_reconnect(),
            None => {}
        }
        if let Some(keeps_session) = flag("LABWIRE_SESSION")? {
            options = options.session(keeps_session);
        }
        if let Some(keeps_callers) = flag("LABWIRE_KEEP_CALLERS")? {
            options = options.keep_callers(keeps_callers);
        }
        if let Some(text) = read("LABWIRE_SESSION_GRACE")? {
            let grace = parse_duration(&text).filter(|grace| !grace.is_zero());
            options = options.session_grace(grace.ok_or(EnvironmentError {
                variable: "LABWIRE_SESSION_GRACE",
                expected: "a time above 0: 30 (seconds), 500ms, 2min, 1h or 1d",
            })?);
        }
        if let Some(file) = read("LABWIRE_CERT_FILE")? {
            options = options.certificate_file(file);
        }
        if let Some(file) = read("LABWIRE_CLIENT_CERT")? {
            options = options.client_certificate_file(file);
        }
        if let Some(file) = read("LABWIRE_CLIENT_KEY")? {
            options = options.client_key_file(file);
        }
        options = options.first_use(match read("LABWIRE_FIRST_USE")?.as_deref() {
            None | Some("ask") => FirstUse::Ask,
            Some("save") => FirstUse::Save,
            Some("refuse") => FirstUse::Refuse,
            Some(_) => {
                return Err(EnvironmentError {
                    variable: "LABWIRE_FIRST_USE",
                    expected: "ask, save or refuse",
                });
            }
        });
        if let Some(username) = read("LABWIRE_USERNAME")? {
            options = options.username(username);
        }
        if let Some(password) = read("LABWIRE_PASSWORD")? {
            options = options.password(password);
        }
        if let Some(password) = read("LABWIRE_MANAGER_PASSWORD")? {
            options = options.manager_password(password);
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<ConnectOptions, EnvironmentError> {
        ConnectOptions::from_variables(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).into())
        })
    }

    #[test]
    fn an_address_is_a_host_with_or_without_a_port() {
        for (text, expected) in [
            ("lab-pc", "lab-pc:1875"),
            ("lab-pc:80", "lab-pc:80"),
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("::1", "[::1]:1875"),
            ("[::1]", "[::1]:1875"),
            ("[::1]:80", "[::1]:80"),
            ("", "localhost:1875"),
        ] {
            let options = read(&[("LABWIRE_MANAGER", text)]).unwrap();
            assert_eq!(options.address(), expected, "{text}");
        }
        for text in [":80", "lab-pc:x", "lab-pc:70000", "[::1", "[::1]80"] {
            assert!(read(&[("LABWIRE_MANAGER", text)]).is_err(), "{text}");
        }
    }

    #[test]
    fn a_service_reconnects_unless_the_environment_forbids_it_and_a_client_only_if_it_demands_it() {
        for (text, client, service) in [("", false, true), ("true", true, true), ("false", false, false)] {
            let options = read(&[("LABWIRE_RECONNECT", text)]).unwrap();
            assert_eq!(options.backoff().is_some(), client, "{text}");
            let options = options.reconnect_by_default(Backoff::new());
            assert_eq!(options.backoff().is_some(), service, "{text}");
        }
    }

    #[test]
    fn a_session_is_kept_unless_the_environment_forbids_it() {
        for (variables, expected) in [
            (&[][..], Some(30)),
            (&[("LABWIRE_SESSION", "true")], Some(30)),
            (&[("LABWIRE_SESSION", "false")], None),
            (&[("LABWIRE_SESSION_GRACE", "300")], Some(300)),
            (&[("LABWIRE_SESSION_GRACE", "2min")], Some(120)),
            (&[("LABWIRE_SESSION_GRACE", "1.5")], Some(2)),
            (&[("LABWIRE_RECONNECT", "false")], None),
        ] {
            let kept = read(variables).unwrap().kept_session();
            assert_eq!(kept, expected.map(Duration::from_secs), "{variables:?}");
        }
        for wrong in ["0", "-1", "0min", "soon"] {
            let error = read(&[("LABWIRE_SESSION_GRACE", wrong)]).unwrap_err();
            assert_eq!(error.variable, "LABWIRE_SESSION_GRACE");
        }
        assert!(read(&[("LABWIRE_SESSION", "maybe")]).is_err());
        assert!(!read(&[]).unwrap().keeps_callers());
        assert!(read(&[("LABWIRE_KEEP_CALLERS", "true")]).unwrap().keeps_callers());
        assert!(read(&[("LABWIRE_KEEP_CALLERS", "maybe")]).is_err());
    }

    #[test]
    fn what_makes_no_sense_is_told_with_the_variables_name() {
        assert!(!read(&[("LABWIRE_DISABLE_TLS", "true")]).unwrap().tls);
        assert!(read(&[("LABWIRE_DISABLE_TLS", "false")]).unwrap().tls);
        assert!(!read(&[("LABWIRE_DISABLE_TLS", "1")]).unwrap().tls);
        assert!(read(&[("LABWIRE_DISABLE_TLS", "No")]).unwrap().tls);
        let error = read(&[("LABWIRE_DISABLE_TLS", "maybe")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the environment variable LABWIRE_DISABLE_TLS must be true or false"
        );
        assert!(read(&[("LABWIRE_FIRST_USE", "yes")]).is_err());
        let error = read(&[("LABWIRE_RECONNECT", "maybe")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the environment variable LABWIRE_RECONNECT must be true or false"
        );
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStringExt;
            let not_text = |name| (name == "LABWIRE_CERT_FILE").then(|| OsString::from_vec(vec![b'/', 0xff]));
            let error = ConnectOptions::from_variables(not_text).unwrap_err();
            assert_eq!(error.variable, "LABWIRE_CERT_FILE");
        }
    }
}
