//! A way to a manager that breaks when a test wants it, also in the middle of a line.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The state of the way.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    /// The number of breaks. A connection ends when it changes.
    breaks: u64,
    /// Whether new connections are dropped.
    is_down: bool,
    /// Whether new connections are refused.
    is_refusing: bool,
    /// How many more bytes pass to the device before the connection breaks.
    limit: Option<u64>,
}

pub(crate) struct Proxy {
    port: u16,
    way: watch::Sender<Way>,
    /// The bytes that the devices have sent.
    up: Arc<Mutex<Vec<u8>>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let way = watch::Sender::new(Way::default());
        let up = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let (seen, log) = (way.clone(), Arc::clone(&up));
        tasks.spawn(async move {
            let mut passing = JoinSet::new();
            let mut changes = seen.subscribe();
            let mut listener = Some(listener);
            loop {
                let Some(open) = listener.take_if(|_| !seen.borrow().is_refusing) else {
                    drop(listener.take());
                    changes.wait_for(|way| !way.is_refusing).await.unwrap();
                    listener = Some(TcpListener::bind(("127.0.0.1", own)).await.unwrap());
                    continue;
                };
                let accepted = tokio::select! {
                    accepted = open.accept() => accepted,
                    _ = changes.wait_for(|way| way.is_refusing) => continue,
                };
                listener = Some(open);
                let Ok((device, _)) = accepted else { return };
                if !seen.borrow().is_down {
                    let address = SocketAddr::from(([127, 0, 0, 1], port));
                    passing.spawn(pass(device, address, seen.clone(), Arc::clone(&log)));
                }
            }
        });
        Self {
            port: own,
            way,
            up,
            _tasks: tasks,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Breaks all connections. New ones break, too, until [`repair`](Self::repair).
    pub(crate) fn cut(&self) {
        self.way.send_modify(|way| {
            way.breaks += 1;
            way.is_down = true;
        });
    }

    /// Breaks all connections. New ones are refused until [`repair`](Self::repair), as if no
    /// manager listened.
    pub(crate) fn refuse(&self) {
        self.way.send_modify(|way| {
            way.breaks += 1;
            way.is_refusing = true;
        });
    }

    pub(crate) fn repair(&self) {
        self.way.send_modify(|way| {
            way.is_down = false;
            way.is_refusing = false;
        });
    }

    /// Breaks the connection after so many more bytes to the device; new ones work.
    pub(crate) fn cut_after(&self, bytes: u64) {
        self.way.send_modify(|way| way.limit = Some(bytes));
    }

    /// Returns how often the devices have sent this text.
    pub(crate) fn count(&self, text: &str) -> usize {
        let up = self.up.lock().unwrap();
        String::from_utf8_lossy(&up).matches(text).count()
    }
}

async fn pass(device: TcpStream, manager: SocketAddr, way: watch::Sender<Way>, log: Arc<Mutex<Vec<u8>>>) {
    let Ok(manager) = TcpStream::connect(manager).await else {
        return;
    };
    let (mut from_device, mut to_device) = device.into_split();
    let (mut from_manager, mut to_manager) = manager.into_split();
    let begun = way.borrow().breaks;
    let mut changes = way.subscribe();
    let up = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from_device.read(&mut buffer).await {
            log.lock().unwrap().extend_from_slice(&buffer[..count]);
            if to_manager.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    let down = async {
        let mut buffer = vec![0; 4 * 1024];
        while let Ok(count @ 1..) = from_manager.read(&mut buffer).await {
            let mut passes = count;
            way.send_if_modified(|way| {
                if let Some(limit) = &mut way.limit {
                    passes = passes.min(usize::try_from(*limit).unwrap());
                    *limit -= passes as u64;
                    if *limit == 0 {
                        way.limit = None;
                        way.breaks += 1;
                    }
                }
                false
            });
            if to_device.write_all(&buffer[..passes]).await.is_err() || passes < count {
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
        _ = changes.wait_for(|way| way.breaks != begun) => {}
    }
}
