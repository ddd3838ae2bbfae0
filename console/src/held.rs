//! The locks that `labwire lock` holds on this computer, as `labwire unlock` finds them.
//!
//! A lock belongs to the connection that acquired it, so its process must run for as long as it is
//! held. Up to three files in the folder `held` of the home folder describe each lock, named after
//! the computer, since several may share a home folder, and the process id: `.json` contains the service and the manager, `.lock` is locked by the process
//! while it runs, and `.release` requests the release. Only the same user can create files there.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use labwire_home::{
    Existing, Home, Readers, create_private_file, hostname, local_addresses, write_whole_file,
};
use serde::{Deserialize, Serialize};
use tokio::net::lookup_host;
use tokio::time::{Instant, sleep, timeout};

use crate::failure::Failure;

/// The interval between two checks of the files.
const LOOK: Duration = Duration::from_millis(100);

/// The timeout for the other process to release its lock.
const RELEASE_TIME: Duration = Duration::from_secs(15);

/// The longest time to look up an address.
const RESOLVE_TIME: Duration = Duration::from_secs(2);

/// The largest file that is read, in bytes. A name has 256 bytes at most.
const LARGEST: u64 = 64 * 1024;

/// The lock of a process.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Held {
    /// The name of the service.
    pub(crate) service: String,
    /// The address of the manager, as it was given: `HOST:PORT`.
    pub(crate) manager: String,
}

/// The files of one process.
#[derive(Debug)]
struct Files {
    /// The path without its extension.
    stem: PathBuf,
}

impl Files {
    fn path(&self, extension: &str) -> PathBuf {
        self.stem.with_extension(extension)
    }

    fn remove(&self) {
        self.remove_some(&["json", "release", "lock"]);
    }

    fn remove_some(&self, extensions: &[&str]) {
        for extension in extensions {
            // After a failure, the next `labwire unlock` removes the files.
            let _ = fs::remove_file(self.path(extension));
        }
    }
}

/// Returns the beginning of the names of this computer's files.
fn prefix() -> String {
    let name = hostname();
    let is_plain = |character: char| character.is_alphanumeric() || character == '-';
    let name: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    format!("{name}_")
}

/// Returns whether a file describes a process of this computer.
fn is_of_this_computer(path: &Path) -> bool {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let number = stem.strip_prefix(&*prefix());
    number.is_some_and(|number| number.parse::<u32>().is_ok())
}

/// The folder of the files.
fn folder() -> Result<PathBuf, Failure> {
    let home = Home::resolve().map_err(|error| Failure::Failed(error.to_string()))?;
    Ok(home.root().join("held"))
}

/// The announcement of the lock of this process. Dropping it removes the files.
#[derive(Debug)]
pub(crate) struct Announcement {
    files: Files,
    is_released: bool,
    /// Locked until it is closed.
    _lock: File,
}

impl Announcement {
    /// Announces the lock of this process.
    pub(crate) fn new(held: &Held) -> Result<Self, Failure> {
        Self::within(&folder()?, held)
    }

    fn within(folder: &Path, held: &Held) -> Result<Self, Failure> {
        let files = Files {
            stem: folder.join(format!("{}{}", prefix(), process::id())),
        };
        let failed = |error| {
            Failure::Failed(format!(
                "cannot announce the lock in {}: {error}",
                folder.display()
            ))
        };
        let text = serde_json::to_vec(held).map_err(|error| Failure::Failed(error.to_string()))?;
        // Left behind by a killed process with the same id.
        files.remove();
        labwire_home::create_private_folder(folder).map_err(failed)?;
        check_private(folder)?;
        let lock = create_private_file(&files.path("lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        write_whole_file(&files.path("json"), &text, Readers::Owner, Existing::Replace).map_err(failed)?;
        Ok(Self {
            files,
            is_released: false,
            _lock: lock,
        })
    }

    /// Notes that the manager has released the lock, as `labwire unlock` reports it.
    pub(crate) fn released(&mut self) {
        self.is_released = true;
    }

    /// Waits until `labwire unlock` asks for the release. Cancel safe.
    pub(crate) async fn release_requested(&self) {
        while !self.files.path("release").exists() {
            sleep(LOOK).await;
        }
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        if self.is_released {
            self.files.remove();
        } else {
            // An unanswered request for the release remains: see `release_one`.
            self.files.remove_some(&["json", "lock"]);
        }
    }
}

/// Asks the processes of this user that hold this lock to release it, and waits until they have.
/// Returns their number.
pub(crate) async fn release(held: &Held) -> Result<usize, Failure> {
    release_within(&folder()?, held).await
}

async fn release_within(folder: &Path, held: &Held) -> Result<usize, Failure> {
    let Ok(entries) = fs::read_dir(folder) else {
        // Nothing was ever held.
        return Ok(0);
    };
    check_private(folder)?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut count = 0;
    // Only what this command writes: a pipe would block it, and a link may lead anywhere.
    let is_entry = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "json")
            && is_of_this_computer(path)
            && path
                .symlink_metadata()
                .is_ok_and(|data| data.is_file() && data.len() <= LARGEST)
    };
    for path in paths.filter(is_entry) {
        let files = Files {
            stem: path.with_extension(""),
        };
        let text = fs::read(&path).unwrap_or_default();
        if let Ok(other) = serde_json::from_slice::<Held>(&text)
            && other.service == held.service
            && is_same_manager(&other.manager, &held.manager).await
            && release_one(&files).await?
        {
            count += 1;
        }
    }
    Ok(count)
}

/// Where a manager is: a port of this computer, whatever its address, or of another one.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Here(u16),
    At(SocketAddr),
}

impl Place {
    fn of(address: SocketAddr, own: &[IpAddr]) -> Self {
        let ip = address.ip().to_canonical();
        if ip.is_loopback() || own.contains(&ip) {
            Self::Here(address.port())
        } else {
            Self::At(SocketAddr::new(ip, address.port()))
        }
    }
}

/// Returns whether two addresses, `HOST:PORT`, are those of one manager: they are equal, or lead to
/// one address of the network, or to this computer, as `localhost`, `127.0.0.1` and the computer's name
/// do.
async fn is_same_manager(one: &str, other: &str) -> bool {
    async fn resolved(address: &str) -> Vec<Place> {
        match timeout(RESOLVE_TIME, lookup_host(address)).await {
            Ok(Ok(addresses)) => {
                let own = local_addresses();
                addresses.map(|address| Place::of(address, &own)).collect()
            }
            // Then only an equal text counts.
            _ => Vec::new(),
        }
    }

    if one == other {
        return true;
    }
    let (one, other) = tokio::join!(resolved(one), resolved(other));
    one.iter().any(|place| other.contains(place))
}

/// Checks that only this user can write to the folder: a file there releases a lock.
///
/// # Errors
/// If another user can. The text contains the remedy.
#[cfg(unix)]
fn check_private(folder: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::MetadataExt;

    let shown = folder.display();
    let data = folder
        .symlink_metadata()
        .map_err(|error| Failure::Failed(format!("cannot read {shown}: {error}")))?;
    let problem = if !data.is_dir() {
        "is not a folder"
    } else if data.uid() != rustix::process::geteuid().as_raw() {
        "belongs to another user"
    } else if data.mode() & 0o022 != 0 {
        "can be changed by other users"
    } else {
        return Ok(());
    };
    Err(Failure::Failed(format!(
        "{shown} {problem}, who could release your locks; remove it, or make it yours with: chmod 700 {shown}"
    )))
}

/// Checks nothing: the folders of a user are private.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "as where there is something to check")]
fn check_private(_folder: &Path) -> Result<(), Failure> {
    Ok(())
}

/// Asks one process to release its lock, and waits until it has. Returns `false` if the process has
/// ended.
async fn release_one(files: &Files) -> Result<bool, Failure> {
    let is_running = || match File::open(files.path("lock")) {
        Ok(lock) => matches!(lock.try_lock(), Err(TryLockError::WouldBlock)),
        Err(_) => false,
    };
    if !is_running() {
        files.remove();
        return Ok(false);
    }
    match create_private_file(&files.path("release")) {
        Ok(_) => {}
        // Another process has asked, and its time may have passed.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Failure::Failed(format!("cannot ask for the release: {error}"))),
    }
    let end = Instant::now() + RELEASE_TIME;
    while is_running() {
        if Instant::now() >= end {
            return Err(Failure::TimedOut(format!(
                "the process {} has not released the lock within {} s",
                files.stem.file_name().unwrap_or_default().display(),
                RELEASE_TIME.as_secs()
            )));
        }
        sleep(LOOK).await;
    }
    // The process removes the request once the manager has released the lock.
    if files.path("release").exists() {
        files.remove();
        return Err(Failure::Failed(format!(
            "the process {} has ended, but the manager has not confirmed the release of the lock",
            files.stem.file_name().unwrap_or_default().display()
        )));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(service: &str) -> Held {
        Held {
            service: service.to_owned(),
            manager: "localhost:1875".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_process_is_asked_to_release_and_its_files_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let mut announcement = Announcement::within(folder.path(), &held("A")).unwrap();
        assert_eq!(release_within(folder.path(), &held("B")).await.unwrap(), 0);
        let holder = async move {
            announcement.release_requested().await;
            announcement.released();
            drop(announcement);
        };
        let (held_a, path) = (held("A"), folder.path());
        let (released, ()) = tokio::join!(release_within(path, &held_a), holder);
        assert_eq!(released.unwrap(), 1);
        assert_eq!(fs::read_dir(path).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_release_that_failed_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let announcement = Announcement::within(folder.path(), &held("A")).unwrap();
        let holder = async move {
            announcement.release_requested().await;
            drop(announcement);
        };
        let (held_a, path) = (held("A"), folder.path());
        let (released, ()) = tokio::join!(release_within(path, &held_a), holder);
        assert!(matches!(released, Err(Failure::Failed(_))));
        assert_eq!(fs::read_dir(path).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn the_files_of_another_computer_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let json = serde_json::to_vec(&held("A")).unwrap();
        for name in ["another-pc_1.json", "1.json"] {
            fs::write(folder.path().join(name), &json).unwrap();
        }
        assert_eq!(release_within(folder.path(), &held("A")).await.unwrap(), 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[tokio::test]
    async fn a_manager_is_the_same_by_its_name_and_by_its_address() {
        assert!(is_same_manager("localhost:1875", "127.0.0.1:1875").await);
        assert!(!is_same_manager("localhost:1875", "127.0.0.1:1876").await);
        assert!(is_same_manager("localhost:1875", "[::1]:1875").await);
        for own in local_addresses() {
            let address = SocketAddr::new(own, 1875).to_string();
            // One of a link has a zone, which its text lacks.
            if !own.is_loopback() && own.is_ipv4() {
                assert!(is_same_manager("localhost:1875", &address).await, "{address}");
                assert!(!is_same_manager("localhost:1876", &address).await, "{address}");
            }
        }
        assert!(!is_same_manager("localhost:1875", "192.0.2.1:1875").await);
        assert!(is_same_manager("no.such.host.invalid:1", "no.such.host.invalid:1").await);
        assert!(!is_same_manager("no.such.host.invalid:1", "localhost:1").await);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_folder_that_others_can_change_is_not_used() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let error = Announcement::within(folder.path(), &held("A")).unwrap_err();
        assert!(error.to_string().contains("chmod 700"), "{error}");
        assert!(release_within(folder.path(), &held("A")).await.is_err());
    }

    #[tokio::test]
    async fn the_files_of_a_process_that_was_killed_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let stem = folder.path().join(format!("{}1", prefix()));
        fs::write(
            stem.with_extension("json"),
            serde_json::to_vec(&held("A")).unwrap(),
        )
        .unwrap();
        fs::write(stem.with_extension("lock"), "").unwrap();
        assert_eq!(release_within(folder.path(), &held("A")).await.unwrap(), 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
