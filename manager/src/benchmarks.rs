//! The routing step alone, for benchmarks: the time of a request and its reply between reading and
//! writing.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use labwire_wire::Identity;
use tokio::time::Instant;

use crate::outbox::Outbox;
use crate::router::{Rig, Step};

/// A client and a service without connections, whose requests and replies are routed.
pub struct RoutingStep {
    rig: Rig,
    requests: Vec<Vec<u8>>,
    replies: Vec<Vec<u8>>,
}

impl RoutingStep {
    /// Creates a client with `burst` requests, up to 1,000, and the replies to them, as
    /// MSL-Network's peers write them. `payload` is JSON text: the argument of each request, and
    /// each result.
    ///
    /// # Panics
    /// Never: the client's name is valid.
    pub fn new(burst: usize, payload: &str) -> Self {
        let rig = Rig::new(&Identity::client("c").expect("it is a name"));
        let request = |uid| {
            format!(
                "{{\"args\": [{payload}], \"attribute\": \"echo\", \"error\": false, \"kwargs\": {{}}, \
                 \"service\": \"S\", \"uid\": \"{uid:016}\"}}\r\n"
            )
        };
        let reply = |uid| {
            format!(
                "{{\"error\": false, \"requester\": \"c[h:2]\", \"result\": {payload}, \"uid\": \"{uid:016}\"}}\r\n"
            )
        };
        Self {
            rig,
            requests: (0..burst).map(|uid| request(uid).into_bytes()).collect(),
            replies: (0..burst).map(|uid| reply(uid).into_bytes()).collect(),
        }
    }

    /// Routes all requests, then all replies, and takes them from the queues. Returns their number
    /// of bytes.
    ///
    /// # Panics
    /// If one of them is not routed.
    pub fn route(&mut self) -> usize {
        let requests = self.requests.iter().map(Vec::as_slice);
        assert!(matches!(self.rig.client_says_all(requests), Step::Next));
        let asked = take(self.rig.services_queue());
        let replies = self.replies.iter().map(Vec::as_slice);
        assert!(matches!(self.rig.service_says_all(replies), Step::Next));
        asked + take(self.rig.clients_queue())
    }
}

/// Takes everything that is queued, like a writer that writes it at once.
fn take(queue: &Outbox) -> usize {
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready(Some(mut batch)) = pin!(queue.next_batch()).poll(&mut context) else {
        panic!("nothing was routed");
    };
    let count = batch.segments().map(bytes::Bytes::len).sum();
    batch.advance(count);
    queue.written(count, 0, Instant::now);
    count
}
