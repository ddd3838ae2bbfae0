//! The folder for Labwire's files.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::local_time::{local_time_zone, present};

/// There is no home folder for the files.
///
/// ```
/// let error = labwire_home::HomeError;
/// assert!(error.to_string().starts_with("there is no home folder: set LABWIRE_HOME"));
/// ```
#[derive(Debug, Error)]
#[error("there is no home folder: set LABWIRE_HOME to the folder that holds the database, keys and logs")]
pub struct HomeError;

/// The folder for everything that Labwire stores on disk.
///
/// Its layout is that of an MSL-Network installation, so that an existing folder can be used:
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
    /// Returns the folder in `LABWIRE_HOME`, or else the one in `MSL_NETWORK_HOME`, or else
    /// `.labwire` in the user's home folder. An empty variable counts as not set. A relative path
    /// is resolved against the working folder, so that paths in the log are valid from anywhere.
    ///
    /// Creates nothing.
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
        let Self { root } = Self::choose(named_in_environment(), std::env::home_dir())?;
        Ok(Self::at(std::path::absolute(&root).unwrap_or(root)))
    }

    /// Uses the given folder, regardless of the environment.
    ///
    /// ```
    /// use labwire_home::Home;
    ///
    /// assert_eq!(Home::at("/lab").database().to_str(), Some("/lab/manager.sqlite3"));
    /// ```
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Returns this user's MSL-Network folder, `~/.msl/network`, if this home ignores it although
    /// it is in use: this home is the default one, has neither a database nor a key yet, and no
    /// environment variable names a folder.
    ///
    /// ```
    /// use labwire_home::Home;
    ///
    /// // A folder that was chosen passes over nothing.
    /// assert_eq!(Home::at("/lab").overlooked_installation(), None);
    /// ```
    pub fn overlooked_installation(&self) -> Option<PathBuf> {
        let is_default = named_in_environment().iter().flatten().next().is_none();
        if is_default {
            self.overlooked_in(&std::env::home_dir()?)
        } else {
            None
        }
    }

    /// Does the same as [`overlooked_installation`](Self::overlooked_installation), for the user
    /// with this home folder.
    fn overlooked_in(&self, user: &Path) -> Option<PathBuf> {
        let other = Self::at(user.join(".msl").join("network"));
        let is_default = self.root == user.join(".labwire");
        let is_used = |home: &Self| home.database().exists() || home.key_file().exists();
        (is_default && !is_used(self) && is_used(&other)).then_some(other.root)
    }

    fn choose(named: [Option<OsString>; 2], user: Option<PathBuf>) -> Result<Self, HomeError> {
        let named = named.into_iter().flatten().next();
        let user = user.filter(|folder| !folder.as_os_str().is_empty());
        named
            .map(PathBuf::from)
            .or_else(|| user.map(|folder| folder.join(".labwire")))
            .map(Self::at)
            .ok_or(HomeError)
    }

    /// Returns the folder itself.
    ///
    /// See the example of [`Home`].
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the path of the database of users, trusted hostnames and connections.
    ///
    /// See the example of [`Home`].
    pub fn database(&self) -> PathBuf {
        self.root.join("manager.sqlite3")
    }

    /// Returns the path of the private key of a manager without `--host`.
    ///
    /// See the example of [`Home`].
    pub fn key_file(&self) -> PathBuf {
        self.key_file_for("localhost")
    }

    /// Returns the path of the certificate of a manager without `--host`.
    ///
    /// See the example of [`Home`].
    pub fn certificate_file(&self) -> PathBuf {
        self.certificate_file_for("localhost")
    }

    /// Returns the path of the private key of a manager that was started with `--host`.
    ///
    /// See the example of [`Home`].
    pub fn key_file_for(&self, host: &str) -> PathBuf {
        self.root.join("keys").join(format!("{host}.key"))
    }

    /// Returns the path of the certificate of a manager that was started with `--host`.
    ///
    /// See the example of [`Home`].
    pub fn certificate_file_for(&self, host: &str) -> PathBuf {
        self.root.join("certs").join(format!("{host}.crt"))
    }

    /// Returns the path of the certificate by which this user's programs trust the manager at a host
    /// and a port. It is apart from the certificates of managers that have their files in this
    /// folder.
    ///
    /// ```
    /// use std::path::Path;
    /// use labwire_home::Home;
    ///
    /// let home = Home::at("/lab");
    /// let trusted = |host, port| home.trusted_certificate_file(host, port);
    /// assert_eq!(trusted("Lab-PC", 1875), Path::new("/lab/certs/lab-pc_1875.crt"));
    /// // Windows allows no colons in the names of files.
    /// assert_eq!(trusted("fe80::1", 80), Path::new("/lab/certs/fe80--1_80.crt"));
    /// ```
    pub fn trusted_certificate_file(&self, host: &str, port: u16) -> PathBuf {
        let host = host.to_ascii_lowercase().replace(':', "-");
        self.certificate_file_for(&format!("{host}_{port}"))
    }

    /// Returns the host, and the port if there is one, of the manager to which a file of `certs/`
    /// belongs: the reverse of [`trusted_certificate_file`](Self::trusted_certificate_file) and
    /// [`certificate_file_for`](Self::certificate_file_for). Returns `None` for any other file.
    ///
    /// ```
    /// use std::path::Path;
    /// use labwire_home::Home;
    ///
    /// let manager = |file| Home::manager_of_certificate(Path::new(file));
    /// assert_eq!(manager("certs/lab-pc_1876.crt"), Some(("lab-pc".to_owned(), Some(1876))));
    /// assert_eq!(manager("certs/fe80--1_80.crt"), Some(("fe80::1".to_owned(), Some(80))));
    /// assert_eq!(manager("certs/lab_pc.crt"), Some(("lab_pc".to_owned(), None)));
    /// assert_eq!(manager("certs/notes.txt"), None);
    /// ```
    pub fn manager_of_certificate(file: &Path) -> Option<(String, Option<u16>)> {
        let name = file.file_name()?.to_str()?.strip_suffix(".crt")?;
        let with_port = name
            .rsplit_once('_')
            .and_then(|(host, port)| Some((host, Some(port.parse().ok()?))));
        let (host, port) = with_port.unwrap_or((name, None));
        let address = host.replace('-', ":");
        let is_address = address.parse::<std::net::Ipv6Addr>().is_ok();
        Some((if is_address { address } else { host.to_owned() }, port))
    }

    /// Returns the folder that the Python package MSL-Network uses: the one in `MSL_NETWORK_HOME`,
    /// or else `.msl/network` in the user's home folder. Returns `None` if there is no home folder.
    ///
    /// ```
    /// use labwire_home::Home;
    ///
    /// let home = Home::of_msl_network();
    /// assert!(home.is_none_or(|home| !home.root().as_os_str().is_empty()));
    /// ```
    pub fn of_msl_network() -> Option<Self> {
        let [_, named] = named_in_environment();
        let named = named.map(PathBuf::from);
        let root = named.or_else(|| {
            let user = std::env::home_dir().filter(|folder| !folder.as_os_str().is_empty())?;
            Some(user.join(".msl").join("network"))
        })?;
        Some(Self::at(std::path::absolute(&root).unwrap_or(root)))
    }

    /// Returns the folder of the manager's log files.
    ///
    /// See the example of [`Home`].
    pub fn logs_folder(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Returns the path of a new log file, named after the current local time to the second.
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
        let now = present().to_zoned(local_time_zone());
        self.logs_folder()
            .join(format!("manager-{}.log", now.strftime("%Y-%m-%d-%H-%M-%S")))
    }
}

/// Returns the folders in the environment variables, the preferred one first. An empty variable
/// counts as not set.
fn named_in_environment() -> [Option<OsString>; 2] {
    ["LABWIRE_HOME", "MSL_NETWORK_HOME"].map(|variable| not_empty(std::env::var_os(variable)))
}

fn not_empty(folder: Option<OsString>) -> Option<OsString> {
    folder.filter(|folder| !folder.is_empty())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn chosen(labwire: &str, msl_network: &str) -> PathBuf {
        let named = [labwire, msl_network].map(|name| not_empty(Some(name.into())));
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
    fn an_installation_is_overlooked_only_by_a_default_home_that_is_new() {
        let user = tempfile::tempdir().unwrap();
        let (user, theirs) = (user.path(), user.path().join(".msl/network"));
        let ours = Home::at(user.join(".labwire"));
        fs::create_dir_all(&theirs).unwrap();
        assert_eq!(ours.overlooked_in(user), None, "nothing is in it");
        fs::write(theirs.join("manager.sqlite3"), "").unwrap();
        assert_eq!(ours.overlooked_in(user), Some(theirs.clone()));
        assert_eq!(Home::at(&theirs).overlooked_in(user), None, "it is this one");
        assert_eq!(Home::at(user.join("chosen")).overlooked_in(user), None);
        // Certificates of other managers that a client saved there.
        fs::create_dir_all(ours.root().join("certs")).unwrap();
        assert_eq!(ours.overlooked_in(user), Some(theirs));
        fs::write(ours.database(), "").unwrap();
        assert_eq!(ours.overlooked_in(user), None, "it has its own database");
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
