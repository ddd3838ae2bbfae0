//! The time within which a vanished peer is noticed, and the socket options for it.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// The most probes that an idle peer may leave unanswered.
const PROBES: u32 = 2;

/// The time within which a vanished peer is noticed.
///
/// Uses these socket options, by their names on each platform:
///
/// | | Linux | macOS | Windows |
/// |---|---|---|---|
/// | idle time before a probe | `TCP_KEEPIDLE` | `TCP_KEEPALIVE` | `TCP_KEEPIDLE` |
/// | time between probes | `TCP_KEEPINTVL` | `TCP_KEEPINTVL` | `TCP_KEEPINTVL` |
/// | probes without an answer | `TCP_KEEPCNT` | `TCP_KEEPCNT` | `TCP_KEEPCNT` |
/// | limit for unacknowledged bytes | `TCP_USER_TIMEOUT` | `TCP_RXT_CONNDROPTIME` | `TCP_MAXRT` |
/// | information about the peer | `TCP_INFO` | `TCP_CONNECTION_INFO` | `SIO_TCP_INFO` |
///
/// The last two are currently used on Linux only.
///
/// ```
/// use std::time::Duration;
/// use labwire_tcp::KeepAlive;
///
/// let keep_alive = KeepAlive::every(Duration::from_secs(30));
/// assert_eq!(keep_alive.limit(), Duration::from_secs(90));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    idle: Duration,
}

impl KeepAlive {
    /// Creates options with this idle time before a keep-alive probe and between probes. Operating
    /// systems count in whole seconds. Pass at least one second: a shorter time is not rejected
    /// here, but setting the options fails on Linux.
    ///
    /// See the example of [`KeepAlive`].
    pub const fn every(idle: Duration) -> Self {
        Self { idle }
    }

    /// Returns the time within which a vanished peer is noticed: three times the idle time.
    ///
    /// See the example of [`KeepAlive`].
    pub const fn limit(self) -> Duration {
        self.idle.saturating_mul(PROBES + 1)
    }

    /// Sets the options of a socket.
    pub(crate) fn apply(self, socket: &SockRef<'_>) -> io::Result<()> {
        let set = socket.set_tcp_keepalive(&self.probes());
        if cfg!(windows) && set.is_err() {
            // Windows before 10 has no option for the number of probes, and sends ten.
            socket.set_tcp_keepalive(&self.intervals())?;
        } else {
            set?;
        }
        set_user_timeout(socket, self.limit())
    }

    /// Returns the options for the operating system's keep-alive probes.
    pub(crate) fn probes(self) -> TcpKeepalive {
        self.intervals().with_retries(PROBES)
    }

    fn intervals(self) -> TcpKeepalive {
        TcpKeepalive::new().with_time(self.idle).with_interval(self.idle)
    }
}

/// Sets how long sent bytes may stay unacknowledged, and how long a peer may accept no more bytes.
/// A time beyond the operating system's range means no limit.
#[cfg(target_os = "linux")]
pub(crate) fn set_user_timeout(socket: &SockRef<'_>, time: Duration) -> io::Result<()> {
    let fits = i32::try_from(time.as_millis()).is_ok();
    socket.set_tcp_user_timeout(fits.then_some(time))
}

/// Does nothing: this crate supports no such option on this platform.
#[cfg(not(target_os = "linux"))]
#[allow(clippy::unnecessary_wraps, reason = "it can fail elsewhere")]
pub(crate) fn set_user_timeout(_socket: &SockRef<'_>, _time: Duration) -> io::Result<()> {
    Ok(())
}
