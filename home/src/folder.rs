//! Where the files are.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::local_time::local_time_zone;

/// No folder could be chosen to hold the files.
///
/// ```
/// let error = labwire_home::HomeError;
/// assert!(error.to_string().starts_with("there is no home folder: set LABWIRE_HOME"));
/// ```
#[derive(Debug, Error)]
#[error("there is no home folder: set LABWIRE_HOME to the folder that holds the database, keys and logs")]
pub struct HomeError;

/// Where everything that Labwire keeps on disk lives.
///
/// The layout is that of an MSL-Network installation, so that an existing folder can be used as it is:
/// `manager.sqlite3`, `keys/`, `certs/` and `logs/`.
///
/// ```
/// use std::path::Path;
/// use labwire_home::Home;
///
/// let home = Home::at("/lab");
/// assert_eq!(home.root(), Path::new("/lab"));
/// assert_eq!(home.database(), Path::new("/lab/manager.sqlite3"));
/// assert_eq!(home.key_file(), Path::new("/lab/keys/localhost.key"));
/// assert_eq!(home.certificate_file(), Path::new("/lab/certs/localhost.crt"));
/// assert_eq!(home.key_file_for("lab-pc"), Path::new("/lab/keys/lab-pc.key"));
/// assert_eq!(home.certificate_file_for("lab-pc"), Path::new("/lab/certs/lab-pc.crt"));
/// assert_eq!(home.logs_folder(), Path::new("/lab/logs"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// The folder that `LABWIRE_HOME` names; without it the one that `MSL_NETWORK_HOME` names; without
    /// both `.labwire` in the user's home folder. A variable that is empty counts as not set; a relative
    /// folder is the one below the working folder, so that the paths in the log lead there from anywhere.
    ///
    /// Nothing is created.
    ///
    /// ```
    /// use labwire_home::Home;
    ///
    /// let home = Home::resolve()?;
    /// assert!(home.root().is_absolute());
    /// assert!(!home.root().as_os_str().is_empty());
    /// # Ok::<(), labwire_home::HomeError>(())
    /// ```
    pub fn resolve() -> Result<Self, HomeError> {
        let named = ["LABWIRE_HOME", "MSL_NETWORK_HOME"].map(std::env::var_os);
        let Self { root } = Self::choose(named, std::env::home_dir())?;
        Ok(Self::at(std::path::absolute(&root).unwrap_or(root)))
    }

    /// The given folder, whatever the environment says.
    ///
    /// ```
    /// use labwire_home::Home;
    ///
    /// assert_eq!(Home::at("/lab").database().to_str(), Some("/lab/manager.sqlite3"));
    /// ```
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn choose(named: [Option<OsString>; 2], user: Option<PathBuf>) -> Result<Self, HomeError> {
        let named = named.into_iter().flatten().find(|folder| !folder.is_empty());
        let user = user.filter(|folder| !folder.as_os_str().is_empty());
        named
            .map(PathBuf::from)
            .or_else(|| user.map(|folder| folder.join(".labwire")))
            .map(Self::at)
            .ok_or(HomeError)
    }

    /// The folder itself.
    ///
    /// See the example of [`Home`].
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The database of users, trusted hostnames and connections.
    ///
    /// See the example of [`Home`].
    pub fn database(&self) -> PathBuf {
        self.root.join("manager.sqlite3")
    }

    /// The private key of a manager that was not given a host.
    ///
    /// See the example of [`Home`].
    pub fn key_file(&self) -> PathBuf {
        self.key_file_for("localhost")
    }

    /// The certificate of a manager that was not given a host.
    ///
    /// See the example of [`Home`].
    pub fn certificate_file(&self) -> PathBuf {
        self.certificate_file_for("localhost")
    }

    /// The private key of a manager that was started with `--host`.
    ///
    /// See the example of [`Home`].
    pub fn key_file_for(&self, host: &str) -> PathBuf {
        self.root.join("keys").join(format!("{host}.key"))
    }

    /// The certificate of a manager that was started with `--host`.
    ///
    /// See the example of [`Home`].
    pub fn certificate_file_for(&self, host: &str) -> PathBuf {
        self.root.join("certs").join(format!("{host}.crt"))
    }

    /// The folder of the manager's log files.
    ///
    /// See the example of [`Home`].
    pub fn logs_folder(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// A log file named after the present local time, to the second.
    ///
    /// ```
    /// use labwire_home::Home;
    ///
    /// // Such as /lab/logs/manager-2026-01-31-10-20-30.log
    /// let file = Home::at("/lab").new_log_file();
    /// assert!(file.starts_with("/lab/logs"));
    /// assert_eq!(file.extension().unwrap(), "log");
    /// ```
    pub fn new_log_file(&self) -> PathBuf {
        let now = jiff::Timestamp::now().to_zoned(local_time_zone());
        self.logs_folder()
            .join(format!("manager-{}.log", now.strftime("%Y-%m-%d-%H-%M-%S")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(labwire: &str, msl_network: &str) -> PathBuf {
        let named = [labwire, msl_network].map(|name| Some(OsString::from(name)));
        Home::choose(named, Some("/home/ada".into()))
            .unwrap()
            .root()
            .to_owned()
    }

    #[test]
    fn our_variable_comes_before_the_older_one_and_both_before_the_users_home() {
        assert_eq!(chosen("/ours", "/theirs"), Path::new("/ours"));
        assert_eq!(chosen("", "/theirs"), Path::new("/theirs"));
        assert_eq!(chosen("", ""), Path::new("/home/ada/.labwire"));
    }

    #[test]
    fn without_any_home_the_error_names_the_variable_to_set() {
        let error = Home::choose([None, None], None).unwrap_err();
        assert!(error.to_string().contains("LABWIRE_HOME"), "{error}");
    }

    #[test]
    fn the_layout_is_that_of_an_existing_installation() {
        let home = Home::at("/lab");
        assert_eq!(home.database(), Path::new("/lab/manager.sqlite3"));
        assert_eq!(home.key_file(), Path::new("/lab/keys/localhost.key"));
        assert_eq!(
            home.certificate_file_for("pc-7"),
            Path::new("/lab/certs/pc-7.crt")
        );
        let log = home.new_log_file();
        let name = log.file_name().unwrap().to_str().unwrap();
        assert_eq!(name.len(), "manager-2024-01-31-10-20-30.log".len(), "{name}");
        assert!(log.starts_with("/lab/logs"));
    }
}
