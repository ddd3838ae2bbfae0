//! Exactly one outcome for each request.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use crate::peer::{Peer, request};

/// The outcomes of some requests of one client.
#[derive(Default)]
pub(crate) struct Outcomes {
    /// By uid, all frames with it.
    by_uid: BTreeMap<String, Vec<Value>>,
}

impl Outcomes {
    /// Sends requests to a service in one write, without waiting; each number is the argument and
    /// the uid of one.
    pub(crate) async fn begin(
        peer: &mut Peer,
        service: &str,
        attribute: &str,
        numbers: Range<usize>,
    ) -> io::Result<Self> {
        let mut outcomes = Self::default();
        let mut lines = Vec::new();
        for number in numbers {
            let args = if attribute == "heat" {
                json!([])
            } else {
                json!([number])
            };
            let uid = format!("{attribute} {number}");
            lines.extend_from_slice(request(service, attribute, &args, &uid).to_string().as_bytes());
            lines.extend_from_slice(b"\r\n");
            outcomes.by_uid.insert(uid, Vec::new());
        }
        peer.send_bytes(&lines).await?;
        Ok(outcomes)
    }

    /// Adds requests of the same client.
    pub(crate) fn add(&mut self, other: Self) {
        self.by_uid.extend(other.by_uid);
    }

    /// Reads until each request has an outcome, or the connection ends. Returns when the last one
    /// arrived.
    pub(crate) async fn read(&mut self, peer: &mut Peer) -> Instant {
        let mut left = self.missing();
        let mut last = Instant::now();
        while left > 0 {
            let Some(frame) = self.take(peer).await else {
                break;
            };
            last = Instant::now();
            left -= usize::from(frame == 1);
        }
        last
    }

    /// Reads further frames until the connection ends.
    pub(crate) async fn read_to_end(&mut self, peer: &mut Peer) {
        while self.take(peer).await.is_some() {}
    }

    /// Expects no further frames for these requests.
    pub(crate) async fn expect_nothing_more(&mut self, peer: &mut Peer) {
        let asked = peer.ask_manager("identity", json!([])).await;
        let frame = asked.expect("the manager answers");
        assert_eq!(frame["uid"], "manager", "something came a second time: {frame}");
    }

    /// Takes the next frame, and returns the number of frames with its uid so far.
    async fn take(&mut self, peer: &mut Peer) -> Option<usize> {
        let line = peer
            .line()
            .await
            .expect("the manager answers or closes the connection")?;
        let frame: Value = serde_json::from_str(&line).expect("the manager writes JSON");
        let uid = frame["uid"].as_str().expect("a frame has a uid");
        let frames = self.by_uid.get_mut(uid);
        let frames = frames.unwrap_or_else(|| panic!("nobody asked for this: {frame}"));
        frames.push(frame);
        Some(frames.len())
    }

    fn missing(&self) -> usize {
        self.by_uid.values().filter(|frames| frames.is_empty()).count()
    }

    /// Expects exactly one outcome for each request. Returns the number of results, and the number
    /// of errors that contain the text.
    pub(crate) fn expect_one_each(&self, error: &str) -> (usize, usize) {
        let (mut results, mut errors) = (0, 0);
        for (uid, frames) in &self.by_uid {
            let [frame] = &frames[..] else {
                panic!("the request {uid:?} has {} outcomes: {frames:?}", frames.len());
            };
            if frame["error"] == false {
                let number: u64 = uid.rsplit_once(' ').unwrap().1.parse().unwrap();
                assert_eq!(
                    frame["result"],
                    2 * number,
                    "the wrong result for {uid:?}: {frame}"
                );
                results += 1;
            } else {
                let message = frame["message"].as_str().unwrap_or_default();
                assert!(message.contains(error), "another error for {uid:?}: {frame}");
                errors += 1;
            }
        }
        (results, errors)
    }
}

/// Formats a duration in milliseconds, for the figures.
pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}
