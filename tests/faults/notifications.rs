//! A flood of notifications, and a client that does not read them.

use std::io;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::generator::{run, spawn};
use crate::observed::{IDLE_MEMORY, MIB, Subject};
use crate::peer::{Peer, Target, is_close};
use crate::runner::scaled;
use crate::support::DEADLINE;

const READERS: usize = 4;

/// The default capacity of a peer's queue.
const QUEUE: u64 = 64 * MIB;

/// The bytes before and after the number in a notification.
const START: &str = r#"{"error": false, "result": [["#;
const END: &str = "], {\"unit\": \"1/min\"}], \"service\": \"Heart\", \"uid\": \"notification\"}\r\n";

/// The number of notifications received, and the beginning of the next one.
#[derive(Default)]
struct Beats {
    count: usize,
    partial: Vec<u8>,
}

impl Beats {
    /// Adds received bytes. Each line must be the next notification.
    fn take(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, others) = rest.split_at(end + 1);
            if self.partial.is_empty() {
                self.expect_next(line);
            } else {
                self.partial.extend_from_slice(line);
                let line = std::mem::take(&mut self.partial);
                self.expect_next(&line);
            }
            rest = others;
        }
        self.partial.extend_from_slice(rest);
    }

    fn expect_next(&mut self, line: &[u8]) {
        let number = line.strip_prefix(START.as_bytes());
        let number = number.and_then(|rest| rest.strip_suffix(END.as_bytes()));
        let number = number.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        let came = String::from_utf8_lossy(line);
        assert_eq!(
            number,
            Some(self.count),
            "this is not the next notification: {came}"
        );
        self.count += 1;
    }
}

/// Reads notifications until there are so many, or the connection ends.
async fn read(peer: &mut Peer, number: usize) -> Beats {
    let mut beats = Beats::default();
    let mut chunk = vec![0; 256 * 1024];
    while beats.count < number {
        match timeout(DEADLINE, peer.reader.read(&mut chunk))
            .await
            .expect("something comes or the end")
        {
            Ok(0) => break,
            Ok(count) => beats.take(&chunk[..count]),
            Err(error) if is_close(&error) => break,
            Err(error) => panic!("{error}"),
        }
    }
    beats
}

async fn beat(heart: &mut Peer, number: usize) -> io::Result<()> {
    let mut lines = String::new();
    for beat in 0..number {
        lines += START;
        lines += &beat.to_string();
        lines += END;
        if lines.len() > 64 * 1024 || beat + 1 == number {
            heart.writer.write_all(lines.as_bytes()).await?;
            lines.clear();
        }
    }
    heart.writer.flush().await
}

async fn linked(target: &Target, name: &str) -> Peer {
    let mut peer = Peer::client(target, name).await.expect("the manager serves");
    peer.link("Heart").await.expect("there is room for a link");
    peer
}

pub(crate) fn a_stuck_reader_of_a_flood_is_cut_and_the_others_miss_nothing() -> String {
    // Enough to fill the stuck reader's queue in the short form, too.
    let (number, queue, queue_bytes) = scaled((150_000, "4MiB", 4 * MIB), (1_000_000, "64MiB", QUEUE));
    let mut subject = Subject::start(&["--disable-tls", "--queue", queue]);
    let target = subject.target.clone();
    let (mut heart, readers, mut stuck) = run(async move {
        let heart = Peer::service(&target, "Heart").await.expect("the manager serves");
        let mut readers = Vec::new();
        for _ in 0..READERS {
            readers.push(linked(&target, "reader").await);
        }
        (heart, readers, linked(&target, "stuck").await)
    });
    let begun = Instant::now();
    let reading: Vec<_> = readers
        .into_iter()
        .map(|mut peer| spawn(async move { (read(&mut peer, number).await, peer) }))
        .collect();
    let heart = spawn(async move {
        beat(&mut heart, number)
            .await
            .expect("the manager takes every notification");
        heart
    });
    for task in reading {
        let (beats, _peer) = task.join();
        assert_eq!(beats.count, number, "a reader was cut");
    }
    let took = begun.elapsed();
    let heart = heart.join();
    assert_eq!(subject.statistic("cut"), 1, "the stuck reader alone is cut");
    let prefix = run(async move { read(&mut stuck, usize::MAX).await });
    assert!(prefix.count < number, "the stuck reader got all");
    run(async move { drop(heart) });
    let figures = format!(
        "{number} notifications to {READERS} readers without a gap, {} deliveries/s; the stuck one was cut after a \
         prefix of {}",
        (number * READERS) as u128 * 1_000 / took.as_millis().max(1),
        prefix.count
    );
    // The queues of all linked clients may be full at the same time, and each may reserve as much
    // again, as it grows by doubling.
    let most = IDLE_MEMORY + (READERS as u64 + 1) * 2 * queue_bytes;
    subject.finish(&figures, most)
}
