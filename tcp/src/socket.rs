//! A connection's socket, shared by its stream, its watch and its handles.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;

use crate::Watch;
use crate::signs::{self, Signs};

/// Everything was acknowledged and nothing was written since: no check is needed.
const IDLE: u8 = 0;
/// The connection is on the list of its watch.
const LISTED: u8 = 1;
/// It is on the list, and something was written since the last check.
const WRITTEN: u8 = 2;

/// A connection's socket.
#[derive(Debug)]
pub(crate) struct Shared {
    half: OwnedWriteHalf,
    watch: Watch,
    activity: AtomicU8,
    has_vanished: AtomicBool,
    vanished: Notify,
}

impl Shared {
    pub(crate) fn new(half: OwnedWriteHalf, watch: Watch) -> Self {
        Self {
            half,
            watch,
            activity: AtomicU8::new(IDLE),
            has_vanished: AtomicBool::new(false),
            vanished: Notify::new(),
        }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.half.as_ref()
    }

    pub(crate) fn socket(&self) -> SockRef<'_> {
        SockRef::from(self.stream())
    }

    pub(crate) fn signs(&self) -> io::Result<Signs> {
        signs::read(self.stream())
    }

    pub(crate) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Notes that something was written.
    #[inline]
    pub(crate) fn note_written(self: &Arc<Self>) {
        if self.activity.load(Ordering::Relaxed) != WRITTEN
            && self.activity.swap(WRITTEN, Ordering::SeqCst) == IDLE
        {
            self.watch.add(Arc::downgrade(self));
        }
    }

    /// Returns whether something was written since the last check, and starts a new check.
    pub(crate) fn begin_look(&self) -> bool {
        self.activity.swap(LISTED, Ordering::SeqCst) == WRITTEN
    }

    /// Takes the connection off the list, unless something was written since the last check.
    /// Returns whether it did.
    pub(crate) fn leave_list(&self) -> bool {
        let left = self
            .activity
            .compare_exchange(LISTED, IDLE, Ordering::SeqCst, Ordering::SeqCst);
        left.is_ok()
    }

    /// Ends the connection because its peer has vanished. Readers, writers and
    /// [`WatchedSocket::vanished`] are notified.
    pub(crate) fn vanish(&self) {
        self.has_vanished.store(true, Ordering::SeqCst);
        let socket = self.socket();
        // Queued data is dropped, since the peer cannot read it. A peer that comes back is notified
        // by a reset. Both calls fail only if the connection has already ended.
        let _ = socket.set_linger(Some(Duration::ZERO));
        let _ = socket.shutdown(std::net::Shutdown::Both);
        self.vanished.notify_one();
    }

    pub(crate) fn has_vanished(&self) -> bool {
        self.has_vanished.load(Ordering::SeqCst)
    }

    /// Returns the error for readers and writers after that.
    pub(crate) fn error(&self) -> io::Error {
        let limit = self.watch.keep_alive().limit().as_secs_f64();
        io::Error::new(
            io::ErrorKind::TimedOut,
            format!("nothing that was sent was acknowledged, for up to {limit} s"),
        )
    }
}

/// A handle on the socket of a [`WatchedStream`](crate::WatchedStream). It does not keep the
/// connection open.
///
/// ```
/// use std::time::Duration;
/// use labwire_tcp::{KeepAlive, Presence, Watch, WatchedSocket, WatchedStream};
/// use tokio::net::{TcpListener, TcpStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// # let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
/// # let peer = TcpStream::connect(listener.local_addr()?).await?;
/// # let (stream, _) = listener.accept().await?;
/// let watch = Watch::new(KeepAlive::every(Duration::from_secs(30)));
/// let stream = WatchedStream::new(stream, &watch);
/// let socket: WatchedSocket = stream.socket();
/// drop(stream);
/// assert_eq!(socket.probe(Duration::from_secs(2)).await, Presence::Left);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct WatchedSocket {
    shared: Weak<Shared>,
}

impl WatchedSocket {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::downgrade(shared),
        }
    }

    pub(crate) fn upgrade(&self) -> Option<Arc<Shared>> {
        self.shared.upgrade()
    }

    /// Waits until the connection was ended because its peer has vanished, for a task that may be
    /// busy with something other than reading or writing. Only one task may wait. Cancel safe.
    ///
    /// Does not return if the operating system notices first: then the next read fails.
    pub async fn vanished(&self) {
        match self.upgrade() {
            Some(shared) => shared.vanished.notified().await,
            None => std::future::pending().await,
        }
    }
}

/// Returns whether an error of a connection means that the peer, or the network to it, has
/// vanished.
///
/// ```
/// use std::io::{Error, ErrorKind};
///
/// assert!(labwire_tcp::has_vanished(&Error::from(ErrorKind::TimedOut)));
/// assert!(!labwire_tcp::has_vanished(&Error::from(ErrorKind::ConnectionReset)));
/// ```
pub fn has_vanished(error: &io::Error) -> bool {
    use io::ErrorKind::{HostUnreachable, NetworkDown, NetworkUnreachable, TimedOut};
    // If a router or this computer knows that the peer is unreachable, the operating system reports
    // that instead of a timeout.
    matches!(
        error.kind(),
        TimedOut | HostUnreachable | NetworkUnreachable | NetworkDown
    )
}
