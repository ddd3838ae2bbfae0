//! State that methods share and change.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use labwire_service::{IntoService, service};
use serde_json::json;
use tokio::sync::Barrier;

use crate::peer::{Peer, serve};

struct Counter {
    values: Vec<u64>,
    writing: AtomicUsize,
    barrier: Arc<Barrier>,
}

#[service]
impl Counter {
    pub fn push(&mut self, value: u64) -> usize {
        assert_eq!(
            self.writing.fetch_add(1, Ordering::SeqCst),
            0,
            "a method is not alone"
        );
        std::thread::yield_now();
        self.values.push(value);
        self.writing.fetch_sub(1, Ordering::SeqCst);
        self.values.len()
    }

    pub async fn push_later(&mut self, value: u64) {
        assert_eq!(
            self.writing.fetch_add(1, Ordering::SeqCst),
            0,
            "a method is not alone"
        );
        tokio::task::yield_now().await;
        self.values.push(value);
        self.writing.fetch_sub(1, Ordering::SeqCst);
    }

    pub fn values(&self) -> &[u64] {
        &self.values
    }

    /// Comes back only when two are here at once.
    pub async fn meet(&self) -> bool {
        self.barrier.wait().await;
        true
    }

    #[property]
    pub fn length(&self) -> usize {
        self.values.len()
    }

    pub fn break_down(&mut self) {
        self.values.clear();
        panic!("half-way");
    }
}

fn counter() -> Counter {
    Counter {
        values: Vec::new(),
        writing: AtomicUsize::new(0),
        barrier: Arc::new(Barrier::new(2)),
    }
}

#[tokio::test]
async fn methods_that_change_the_state_are_alone_and_in_the_order_of_the_requests() {
    let (manager, _running) = serve(counter()).await;
    let mut peer = Peer::connect(&manager).await;
    for n in 0..200 {
        let attribute = if n % 3 == 0 { "push_later" } else { "push" };
        peer.send("Counter", attribute, &format!("[{n}]"), "{}", "").await;
    }
    for _ in 0..200 {
        assert_eq!(peer.receive().await["error"], false);
    }
    let values = peer.call("Counter", "values", json!([])).await.unwrap();
    assert_eq!(values, json!((0..200).collect::<Vec<_>>()));
    assert_eq!(peer.call("Counter", "length", json!([])).await, Ok(json!(200)));
}

#[tokio::test]
async fn methods_that_read_the_state_are_side_by_side() {
    let (manager, _running) = serve(counter()).await;
    let mut peer = Peer::connect(&manager).await;
    peer.send("Counter", "meet", "[]", "{}", "1").await;
    peer.send("Counter", "meet", "[]", "{}", "2").await;
    assert_eq!(peer.receive().await["result"], true);
    assert_eq!(peer.receive().await["result"], true);
}

#[tokio::test]
async fn a_panic_leaves_the_service_usable() {
    let (manager, _running) = serve(counter()).await;
    let mut peer = Peer::connect(&manager).await;
    assert_eq!(
        peer.call("Counter", "break_down", json!([])).await,
        Err("RuntimeError: the service panicked: half-way".to_owned())
    );
    assert_eq!(peer.call("Counter", "push", json!([1])).await, Ok(json!(1)));
}

#[tokio::test]
async fn the_program_can_reach_the_state_too() {
    let counter = counter().into_service();
    let (manager, _running) = serve(counter.clone()).await;
    counter.state().await.values.push(7);
    let mut peer = Peer::connect(&manager).await;
    assert_eq!(peer.call("Counter", "values", json!([])).await, Ok(json!([7])));
}

/// What drivers of instruments are like: it can be sent to a thread, but not shared among threads.
struct Port {
    sent: Cell<u32>,
}

#[service]
impl Port {
    pub const SPEED: u32 = 9_600;

    pub fn send(&mut self) -> u32 {
        self.sent.set(self.sent.get() + 1);
        self.sent.get()
    }

    pub async fn send_later(&mut self) -> u32 {
        tokio::task::yield_now().await;
        self.send()
    }

    #[property]
    pub fn sent(&mut self) -> Result<u32, std::io::Error> {
        Ok(self.sent.get())
    }
}

#[tokio::test]
async fn a_state_that_cannot_be_shared_among_threads_needs_no_more_than_mutable_methods() {
    let (manager, _running) = serve(Port { sent: Cell::new(0) }).await;
    let mut peer = Peer::connect(&manager).await;
    assert_eq!(peer.link("Port").await["attributes"]["sent"], 0);
    assert_eq!(peer.call("Port", "send", json!([])).await, Ok(json!(1)));
    assert_eq!(peer.call("Port", "send_later", json!([])).await, Ok(json!(2)));
    assert_eq!(peer.call("Port", "sent", json!([])).await, Ok(json!(2)));
}

struct Sensor<T> {
    reading: T,
}

#[service(name = "Any Sensor")]
impl<T: serde::Serialize + Clone + Send + Sync + 'static> Sensor<T> {
    pub fn read(&self) -> T {
        self.reading.clone()
    }
}

#[tokio::test]
async fn a_service_can_be_generic() {
    let (manager, _running) = serve(Sensor { reading: vec![1.5] }).await;
    let mut peer = Peer::connect(&manager).await;
    assert_eq!(peer.call("Any Sensor", "read", json!([])).await, Ok(json!([1.5])));
}
