//! A way to a manager that a test can cut and repair, or on which nothing moves for a while.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How often the way looks whether it was cut.
const LOOK: Duration = Duration::from_millis(5);

/// The state of the way.
#[derive(Default)]
struct State {
    /// Whether connections are refused.
    is_cut: bool,
    /// Whether nothing is forwarded.
    is_stuck: bool,
    has_ended: bool,
    /// Both ends of each connection.
    streams: Vec<TcpStream>,
}

/// A way to a manager, at a port of its own.
pub(crate) struct Way {
    port: u16,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Way {
    /// Opens a way to the manager at this port of this computer.
    pub(crate) fn to(manager: u16) -> Self {
        let listener = listen(0);
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<(Mutex<State>, Condvar)>::default();
        let shared = Arc::clone(&state);
        thread::spawn(move || accept(Some(listener), (port, manager), &shared));
        Self { port, state }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.state.1.notify_all();
    }

    /// Ends all connections, and refuses new ones until [`repair`](Self::repair).
    pub(crate) fn cut(&self) {
        self.change(|state| {
            state.is_cut = true;
            for stream in state.streams.drain(..) {
                // It may have ended already.
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
        // The port is closed once the thread has looked.
        while TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
            thread::sleep(LOOK);
        }
    }

    pub(crate) fn repair(&self) {
        self.change(|state| state.is_cut = false);
    }

    /// Forwards nothing, or goes on with that. The connections stay.
    pub(crate) fn set_stuck(&self, is_stuck: bool) {
        self.change(|state| state.is_stuck = is_stuck);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.change(|state| {
            state.has_ended = true;
            state.is_stuck = false;
            for stream in state.streams.drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
    }
}

fn listen(port: u16) -> TcpListener {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    listener.set_nonblocking(true).unwrap();
    listener
}

fn accept(
    mut listener: Option<TcpListener>,
    (port, manager): (u16, u16),
    shared: &Arc<(Mutex<State>, Condvar)>,
) {
    loop {
        let mut state = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.has_ended {
            return;
        }
        if state.is_cut {
            listener = None;
        } else if let Ok((peer, _)) = listener.get_or_insert_with(|| listen(port)).accept() {
            peer.set_nonblocking(false).unwrap();
            if let Ok(manager) = TcpStream::connect(("127.0.0.1", manager)) {
                for (from, to) in [(&peer, &manager), (&manager, &peer)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let shared = Arc::clone(shared);
                    thread::spawn(move || forward(from, to, &shared));
                }
                state.streams.extend([peer, manager]);
            }
            continue;
        }
        drop(state);
        thread::sleep(LOOK);
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, shared: &(Mutex<State>, Condvar)) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let state = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        let moving = shared.1.wait_while(state, |state| state.is_stuck);
        drop(moving);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
