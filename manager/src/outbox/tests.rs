use bytes::Bytes;

use super::*;
use crate::memory;

fn push(outbox: &Outbox, bytes: &[u8]) -> Result<(), Full> {
    outbox.push(bytes.len(), |writer| {
        writer.shared(&Bytes::copy_from_slice(bytes));
    })
}

async fn drain(outbox: &Outbox) -> Vec<u8> {
    let batch = outbox.next_batch().await.expect("something is queued");
    let bytes: Vec<u8> = batch.segments().flat_map(|segment| segment.to_vec()).collect();
    outbox.written(bytes.len());
    bytes
}

#[tokio::test]
async fn frames_come_out_in_order_whether_copied_or_shared() {
    let outbox = Outbox::new(1 << 20);
    let large = vec![b'x'; COPIED_BYTES + 1];
    for piece in [&b"a"[..], &large, b"b", b"c"] {
        push(&outbox, piece).unwrap();
    }
    let expected = [&b"a"[..], &large, b"bc"].concat();
    assert_eq!(drain(&outbox).await, expected);
}

#[test]
fn a_long_queue_of_small_frames_is_made_of_runs_that_are_never_moved() {
    let outbox = Outbox::new(1 << 24);
    for _ in 0..100_000 {
        push(&outbox, &[b'x'; 100]).unwrap();
    }
    let state = outbox.state();
    assert_eq!(state.queued, 10_000_000);
    let runs = state.queue.segments.iter().map(Bytes::len);
    assert!(
        runs.chain([state.queue.tail.len()])
            .all(|length| length < memory::RUN_BYTES + 100)
    );
}

const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_full_queue_refuses_until_its_reader_made_room() {
    let outbox = Outbox::new(10);
    push(&outbox, b"0123456789abcdef").expect("one larger frame is taken by an empty queue");
    assert!(push(&outbox, b"x").is_err());
    assert!(!outbox.has_room(1));

    let waiting = {
        let outbox = Arc::clone(&outbox);
        tokio::spawn(async move { outbox.room(1, PATIENCE).await })
    };
    while outbox.state().held == 0 {
        tokio::task::yield_now().await;
    }
    drain(&outbox).await;
    waiting.await.unwrap();
    assert!(push(&outbox, b"x").is_ok());
}

/// A frame that fits only into an empty queue waits until it is empty, and does not spin before.
#[tokio::test(start_paused = true)]
async fn a_large_frame_waits_for_the_room_that_it_needs() {
    let outbox = Outbox::new(10);
    push(&outbox, b"abc").unwrap();
    assert!(push(&outbox, b"0123456789").is_err());
    let waited = timeout(Duration::from_secs(1), outbox.room(10, PATIENCE)).await;
    assert!(waited.is_err(), "there is no room for ten bytes beside three");
    drain(&outbox).await;
    outbox.room(10, PATIENCE).await;
    assert!(push(&outbox, b"0123456789").is_ok());
}

#[tokio::test]
async fn what_others_queue_comes_behind_a_frame_that_is_still_arriving() {
    let outbox = Outbox::new(1 << 20);
    push(&outbox, b"before\n").unwrap();
    assert!(outbox.begin_arriving(|frame| frame.copied(b"be")));
    assert!(!outbox.begin_arriving(|frame| frame.copied(b"another")));
    push(&outbox, b"behind\n").unwrap();
    assert_eq!(drain(&outbox).await, b"before\nbe");
    assert!(outbox.kept_waiting().frames);
    let large = vec![b'x'; COPIED_BYTES + 1];
    outbox.go_on_arriving(|frame| frame.shared(&Bytes::from(large.clone())));
    outbox.end_arriving(|frame| frame.copied(b"gun\n"));
    outbox.go_on_arriving(|frame| frame.copied(b"too late"));
    assert_eq!(drain(&outbox).await, [&large[..], b"gun\nbehind\n"].concat());
    assert_eq!(outbox.state().queued, 0);
}

#[tokio::test]
async fn a_frame_that_is_still_arriving_is_broken_off_when_the_queue_is_closed() {
    let outbox = Outbox::new(1 << 20);
    assert!(outbox.begin_arriving(|frame| frame.copied(b"begun")));
    push(&outbox, b"behind\n").unwrap();
    outbox.close();
    outbox.go_on_arriving(|frame| frame.copied(b" and gone on"));
    outbox.end_arriving(|frame| frame.copied(b"\n"));
    assert_eq!(drain(&outbox).await, b"begun\x18\r\nbehind\n");
    assert!(outbox.next_batch().await.is_none());
}

#[tokio::test]
async fn a_reader_that_lags_behind_gets_frames_when_they_are_whole() {
    let outbox = Outbox::new(1 << 30);
    push(&outbox, &vec![b'x'; KEEPS_UP_BYTES + 1]).unwrap();
    assert!(!outbox.begin_arriving(|frame| frame.copied(b"begun")));
}

#[tokio::test(start_paused = true)]
async fn a_reader_is_not_to_blame_for_a_frame_that_does_not_arrive() {
    let stall = Duration::from_secs(2);
    let outbox = Outbox::new(4);
    assert!(outbox.begin_arriving(|frame| frame.copied(b"begun")));
    drain(&outbox).await;
    push(&outbox, b"abcd").unwrap();
    assert_eq!(outbox.kept_waiting().producers_since, None);
    assert!(!outbox.has_room(1));
    assert_eq!(outbox.kept_waiting().producers_since, Some(Instant::now()));
    outbox.room(1, PATIENCE).await;
    assert!(!outbox.is_stalled(stall), "it has read all that there was");
    let waiting = outbox.room(1, PATIENCE);
    tokio::pin!(waiting);
    assert!(timeout(Duration::from_secs(3), &mut waiting).await.is_err());
    outbox.end_arriving(|frame| frame.copied(b" and ended"));
    waiting.await;
    assert!(
        !outbox.is_stalled(stall),
        "there was something to read for two seconds only"
    );
    outbox.room(1, PATIENCE).await;
    assert!(outbox.is_stalled(stall));
}

#[tokio::test(start_paused = true)]
async fn a_reader_is_stalled_when_it_reads_nothing_while_others_are_refused() {
    let stall = Duration::from_secs(2);
    let outbox = Outbox::new(4);
    push(&outbox, b"abcd").unwrap();
    tokio::time::advance(stall).await;
    assert!(!outbox.is_stalled(stall), "nobody was refused");
    assert!(!outbox.has_room(1));
    tokio::time::advance(stall / 2).await;
    assert!(!outbox.is_stalled(stall));
    outbox.written(1);
    assert!(!outbox.has_room(2));
    tokio::time::advance(stall / 2).await;
    assert!(!outbox.is_stalled(stall), "it read something meanwhile");
    tokio::time::advance(stall / 2).await;
    assert!(outbox.is_stalled(stall));
}

#[tokio::test(start_paused = true)]
async fn a_reader_is_stalled_when_one_producer_waited_too_long_however_it_sips() {
    let outbox = Outbox::new(1_000);
    push(&outbox, &[0; 1_000]).unwrap();
    let sipping = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            outbox.written(1);
        }
    };
    tokio::select! {
        () = outbox.room(900, PATIENCE) => {}
        () = sipping => {}
    }
    assert!(outbox.is_stalled(Duration::from_secs(2)));
}

#[tokio::test]
async fn a_closed_queue_gives_what_it_has_and_frees_its_producers() {
    let outbox = Outbox::new(4);
    push(&outbox, b"last").unwrap();
    outbox.close();
    outbox.room(1, PATIENCE).await;
    push(&outbox, b"lost").unwrap();
    assert_eq!(drain(&outbox).await, b"last");
    assert!(outbox.next_batch().await.is_none());
}

#[test]
fn a_batch_forgets_what_was_written_across_pieces() {
    let mut batch = Batch {
        segments: [Bytes::from("abc"), Bytes::from("de")].into(),
    };
    batch.advance(4);
    assert_eq!(
        batch
            .segments()
            .map(|segment| segment.to_vec())
            .collect::<Vec<_>>(),
        [b"e"]
    );
    batch.advance(1);
    assert!(batch.is_empty());
}

/// So many frames, one at a time.
#[derive(Debug)]
struct Counting(std::ops::Range<u8>);

impl Deferred for Counting {
    fn write(&mut self, frame: &mut FrameWriter<'_>) -> bool {
        if let Some(number) = self.0.next() {
            frame.copied(&[number]);
        }
        !self.0.is_empty()
    }
}

#[tokio::test]
async fn deferred_frames_come_at_their_place_and_count_when_they_are_put_together() {
    let outbox = Outbox::new(10);
    push(&outbox, b"a").unwrap();
    outbox.push_deferred(Box::new(Counting(b'0'..b'3')));
    push(&outbox, b"b").unwrap();
    push(&outbox, b"c").unwrap();
    for range in [b'3'..b'5', b'5'..b'6'] {
        outbox.push_deferred(Box::new(Counting(range)));
    }
    push(&outbox, b"d").unwrap();
    assert_eq!(outbox.state().queued, 4);
    let mut batches = Vec::new();
    while !outbox.state().queue.is_empty() {
        batches.push(String::from_utf8(drain(&outbox).await).unwrap());
        assert!(outbox.state().queued <= 4);
    }
    assert_eq!(batches, ["a", "0", "1", "2", "bc", "3", "4", "5", "d"]);
    assert_eq!(outbox.state().queued, 0);
}

#[tokio::test]
async fn deferred_frames_wait_for_the_end_of_a_frame_that_is_arriving() {
    let outbox = Outbox::new(100);
    assert!(outbox.begin_arriving(|frame| frame.copied(b"<")));
    push(&outbox, b"a").unwrap();
    outbox.push_deferred(Box::new(Counting(b'0'..b'2')));
    push(&outbox, b"b").unwrap();
    assert!(outbox.kept_waiting().frames);
    outbox.end_arriving(|frame| frame.copied(b">"));
    push(&outbox, b"c").unwrap();
    let mut text = Vec::new();
    while !outbox.state().queue.is_empty() {
        text.extend(drain(&outbox).await);
    }
    assert_eq!(text, b"<>a01bc");
    assert_eq!(outbox.state().queued, 0);
}
