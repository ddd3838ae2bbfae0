//! Messages to the program that supervises this one: systemd, or another one that implements its
//! protocol [`sd_notify`](https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html).
//!
//! The supervisor names a socket in `NOTIFY_SOCKET`. It is told when the manager is ready, reloads
//! its files or stops. With `WATCHDOG_USEC` it also expects a sign of life in each such period, and
//! restarts a manager that sends none.

use std::env;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use labwire_manager::ManagerHandle;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, warn};

use socket::Socket;

/// Time beyond the drain that a stopping manager may need: for the last frames of its connections, and
/// to close its files.
const BEYOND_DRAIN: Duration = Duration::from_secs(20);

/// Tells a supervisor about this process.
#[derive(Debug)]
pub(super) struct Notifier {
    socket: Socket,
    /// How often the supervisor expects a sign of life at least; `None` if it expects none.
    watchdog: Option<Duration>,
    is_stopping: AtomicBool,
}

impl Notifier {
    /// Returns the notifier for the supervisor that the environment names. Logs a warning if the
    /// socket cannot be used.
    pub(super) fn from_environment() -> Option<Self> {
        let address = env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty())?;
        match Socket::to(&address) {
            Ok(socket) => Some(Self {
                socket,
                watchdog: watchdog(),
                is_stopping: AtomicBool::new(false),
            }),
            Err(error) => {
                warn!(
                    "cannot tell the supervisor of this process that the manager is ready: NOTIFY_SOCKET={}: {error}",
                    address.display()
                );
                None
            }
        }
    }

    /// Tells that the manager serves. `status` is shown by `systemctl status`.
    pub(super) fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// Tells that the manager reads its files again. Does nothing if it stops.
    pub(super) fn reloading(&self) {
        if !self.is_stopping.load(Ordering::SeqCst) {
            self.send(&format!(
                "RELOADING=1\nMONOTONIC_USEC={}",
                socket::monotonic_usec()
            ));
        }
    }

    /// Tells that the manager serves again, after [`reloading`](Self::reloading). Does nothing if it stops.
    pub(super) fn reloaded(&self) {
        if !self.is_stopping.load(Ordering::SeqCst) {
            self.send("READY=1");
        }
    }

    /// Tells that the manager stops, which takes not much more than `drain`. Does nothing if that was
    /// told before.
    pub(super) fn stopping(&self, drain: Duration) {
        if !self.is_stopping.swap(true, Ordering::SeqCst) {
            let longest = drain.saturating_add(BEYOND_DRAIN).as_micros();
            self.send(&format!(
                "STOPPING=1\nSTATUS=shutting down\nEXTEND_TIMEOUT_USEC={longest}"
            ));
        }
    }

    /// Tells when the manager begins to stop, and sends the signs of life. Returns when the manager has
    /// ended.
    pub(super) async fn attend(&self, manager: &ManagerHandle, drain: Duration) {
        let stopping = async {
            manager.asked_to_stop().await;
            self.stopping(drain);
        };
        tokio::join!(stopping, self.send_signs_of_life(manager));
    }

    /// Sends a sign of life twice in each period, as long as the routing thread takes its turns.
    async fn send_signs_of_life(&self, manager: &ManagerHandle) {
        let Some(period) = self.watchdog else {
            return;
        };
        let mut pause = interval(period / 2);
        pause.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pause.tick().await;
            // While the routing thread is stuck, this waits, and the supervisor hears nothing.
            if !manager.takes_turns().await {
                return;
            }
            self.send("WATCHDOG=1");
        }
    }

    fn send(&self, message: &str) {
        match self.socket.send(message) {
            Ok(()) => debug!("told the supervisor {message:?}"),
            Err(error) => warn!("cannot tell the supervisor of this process {message:?}: {error}"),
        }
    }
}

/// Returns how often the supervisor expects a sign of life from this process.
fn watchdog() -> Option<Duration> {
    let number = |name| env::var(name).ok()?.parse::<u64>().ok();
    let is_for_another = env::var_os("WATCHDOG_PID").is_some()
        && number("WATCHDOG_PID") != Some(u64::from(std::process::id()));
    let period = Duration::from_micros(number("WATCHDOG_USEC")?);
    // Half of less than a millisecond would keep a thread busy.
    (!is_for_another && period >= Duration::from_millis(1)).then_some(period)
}

#[cfg(target_os = "linux")]
mod socket {
    //! Datagrams to a socket of a path or an abstract name.

    use std::ffi::OsStr;
    use std::io;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    /// How long a supervisor that reads nothing can hold up a thread of the manager.
    const LONGEST_SEND: Duration = Duration::from_millis(500);

    #[derive(Debug)]
    pub(super) struct Socket {
        socket: UnixDatagram,
        address: SocketAddr,
    }

    impl Socket {
        /// `address` is a path, or `@` and an abstract name.
        pub(super) fn to(address: &OsStr) -> io::Result<Self> {
            let address = match address.as_bytes() {
                [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
                [b'/', ..] => SocketAddr::from_pathname(address)?,
                _ => return Err(io::Error::other("it is neither a path nor an abstract socket")),
            };
            let socket = UnixDatagram::unbound()?;
            socket.set_write_timeout(Some(LONGEST_SEND))?;
            Ok(Self { socket, address })
        }

        pub(super) fn send(&self, message: &str) -> io::Result<()> {
            self.socket.send_to_addr(message.as_bytes(), &self.address)?;
            Ok(())
        }
    }

    /// Returns the time of the monotonic clock, in microseconds.
    pub(super) fn monotonic_usec() -> i64 {
        let now = clock_gettime(ClockId::Monotonic);
        now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
    }
}

#[cfg(not(target_os = "linux"))]
mod socket {
    //! There is no supervisor with this protocol on other systems.

    use std::ffi::OsStr;
    use std::io;

    #[derive(Debug)]
    pub(super) struct Socket;

    impl Socket {
        pub(super) fn to(_address: &OsStr) -> io::Result<Self> {
            Err(io::Error::other("this system has no systemd"))
        }

        #[allow(clippy::unused_self, reason = "it stands for the one of Linux")]
        pub(super) fn send(&self, _message: &str) -> io::Result<()> {
            Ok(())
        }
    }

    pub(super) fn monotonic_usec() -> i64 {
        0
    }
}
