//! A network that breaks: a proxy between peers and their manager.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::generator::{Task, run, spawn};

/// An address of its own: no connection to elsewhere can have the port while nobody listens.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 77, 1);

/// Pause between attempts to listen again.
const AGAIN: Duration = Duration::from_millis(5);

/// What the proxy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// It forwards everything.
    Up,
    /// All connections are closed, and new ones are refused.
    Cut,
    /// Connections are accepted and stay, and nothing is forwarded.
    Silent,
}

/// A proxy. Its connections end when this is dropped.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    network: watch::Sender<Network>,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
    _accepting: Task<()>,
}

impl Proxy {
    /// Starts to forward connections to a manager.
    pub(crate) fn start(manager: SocketAddr) -> Self {
        let (network, state) = watch::channel(Network::Up);
        let connections = Arc::<Mutex<Vec<_>>>::default();
        let listener = run(async { TcpListener::bind((ADDRESS, 0)).await });
        let listener = listener.expect("loopback addresses are here");
        let port = listener.local_addr().expect("it listens").port();
        let accepting = spawn(accept(listener, manager, state, Arc::clone(&connections)));
        Self {
            port,
            network,
            connections,
            _accepting: accepting,
        }
    }

    /// Changes the state of the network.
    pub(crate) fn set(&self, network: Network) {
        self.network.send_replace(network);
    }

    /// Closes all connections.
    pub(crate) fn close_all(&self) {
        let mut connections = self.connections.lock().unwrap();
        connections.drain(..).for_each(|connection| connection.abort());
    }

    /// Closes one of the connections, if there are any.
    pub(crate) fn close_one(&self, number: usize) {
        let mut connections = self.connections.lock().unwrap();
        connections.retain(|connection| !connection.is_finished());
        if !connections.is_empty() {
            let index = number % connections.len();
            connections.swap_remove(index).abort();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.close_all();
    }
}

async fn accept(
    listener: TcpListener,
    manager: SocketAddr,
    mut network: watch::Receiver<Network>,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
) {
    let address = listener.local_addr().expect("it listens");
    let mut listener = Some(listener);
    loop {
        if *network.borrow_and_update() == Network::Cut {
            drop(listener.take());
            if network.changed().await.is_err() {
                return;
            }
            continue;
        }
        let Some(listening) = &listener else {
            listener = TcpListener::bind(address).await.ok();
            if listener.is_none() {
                tokio::time::sleep(AGAIN).await;
            }
            continue;
        };
        tokio::select! {
            changed = network.changed() => if changed.is_err() {
                return;
            },
            accepted = listening.accept() => if let Ok((near, _)) = accepted {
                let forwarding = tokio::spawn(forward(near, manager, network.clone()));
                connections.lock().unwrap().push(forwarding.abort_handle());
            },
        }
    }
}

/// Forwards one connection until either side closes it, or the network is cut.
async fn forward(near: TcpStream, manager: SocketAddr, network: watch::Receiver<Network>) {
    let connect = async {
        let far = TcpStream::connect(manager).await?;
        far.set_nodelay(true)?;
        near.set_nodelay(true)?;
        io::Result::Ok(far)
    };
    let Ok(far) = connect.await else {
        return;
    };
    let (near_reader, near_writer) = near.into_split();
    let (far_reader, far_writer) = far.into_split();
    tokio::select! {
        () = pump(near_reader, far_writer, network.clone()) => {}
        () = pump(far_reader, near_writer, network.clone()) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut network: watch::Receiver<Network>) {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        match network
            .wait_for(|state| *state != Network::Silent)
            .await
            .as_deref()
        {
            Ok(Network::Up) => {}
            _ => return,
        }
        let count = tokio::select! {
            biased;
            _ = network.changed() => continue,
            read = from.read(&mut bytes) => match read {
                Ok(count @ 1..) => count,
                _ => return,
            },
        };
        let is_cut = async {
            let _ = network.wait_for(|state| *state == Network::Cut).await;
        };
        tokio::select! {
            biased;
            () = is_cut => return,
            written = to.write_all(&bytes[..count]) => if written.is_err() {
                return;
            },
        }
    }
}
