use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::budget::QueueBudget;
use crate::buffers;

impl Outbox {
    /// Closes the outbox. Returns everything that was queued as text.
    pub(crate) async fn close_and_read(&self) -> String {
        self.close();
        let mut bytes = Vec::new();
        while let Some(batch) = self.next_batch().await {
            bytes.extend(batch.segments().flat_map(|segment| segment.to_vec()));
        }
        String::from_utf8(bytes).unwrap()
    }
}

async fn granted(permit: &Permit) {
    poll_fn(|context| permit.poll_granted(context)).await;
}

fn frame(bytes: &[u8]) -> impl FnOnce(&mut FrameWriter<'_>) {
    |writer| writer.copied(bytes)
}

fn push(outbox: &Outbox, bytes: &[u8]) -> Result<(), Full> {
    outbox.push(bytes.len(), |writer| {
        writer.shared(&Bytes::copy_from_slice(bytes));
    })
}

async fn drain(outbox: &Outbox) -> Vec<u8> {
    let batch = outbox.next_batch().await.expect("something is queued");
    let bytes: Vec<u8> = batch.segments().flat_map(|segment| segment.to_vec()).collect();
    outbox.written(bytes.len(), 0, Instant::now);
    bytes
}

#[tokio::test]
async fn frames_come_out_in_order_whether_copied_or_shared() {
    let outbox = Outbox::alone(1 << 20);
    let large = vec![b'x'; COPIED_BYTES + 1];
    for piece in [&b"a"[..], &large, b"b", b"c"] {
        push(&outbox, piece).unwrap();
    }
    let expected = [&b"a"[..], &large, b"bc"].concat();
    assert_eq!(drain(&outbox).await, expected);
}

#[test]
fn a_long_queue_of_small_frames_is_made_of_runs_that_are_never_moved() {
    let outbox = Outbox::alone(1 << 24);
    for _ in 0..100_000 {
        push(&outbox, &[b'x'; 100]).unwrap();
    }
    let state = outbox.state();
    assert_eq!(state.queued, 10_000_000);
    let runs = state.queue.segments.iter().map(Bytes::len);
    assert!(
        runs.chain([state.queue.tail.len()])
            .all(|length| length < buffers::RUN_BYTES + 100)
    );
}

#[tokio::test]
async fn a_full_queue_refuses_until_its_reader_made_room() {
    let outbox = Outbox::alone(10);
    push(&outbox, b"0123456789abcdef").expect("one larger frame is taken by an empty queue");
    assert!(push(&outbox, b"x").is_err());
    assert!(outbox.is_full());

    let permit = outbox.wait_for_room(1);
    assert!(!permit.is_granted());
    let waiting = tokio::spawn(async move {
        granted(&permit).await;
        permit.push(frame(b"x"));
    });
    tokio::task::yield_now().await;
    drain(&outbox).await;
    waiting.await.unwrap();
    assert_eq!(drain(&outbox).await, b"x");
}

#[tokio::test]
async fn room_is_granted_in_the_order_of_waiting_whatever_the_size() {
    let outbox = Outbox::alone(10);
    push(&outbox, b"0123456789").unwrap();
    let large = outbox.wait_for_room(100);
    let small = outbox.wait_for_room(1);
    outbox.written(9, 0, Instant::now);
    assert!(!large.is_granted(), "it fits into an empty queue only");
    assert!(!small.is_granted(), "the large frame came first");
    assert!(push(&outbox, b"x").is_err(), "others wait");
    outbox.written(1, 0, Instant::now);
    assert!(large.is_granted() && !small.is_granted());
    large.push(frame(&[b'x'; 100]));
    assert!(!small.is_granted());
    outbox.written(91, 0, Instant::now);
    assert!(small.is_granted());
    assert!(push(&outbox, b"x").is_err(), "what is granted is reserved");
    drop(small);
    assert!(push(&outbox, b"x").is_ok());
}

#[tokio::test]
async fn whoever_gives_up_its_place_lets_the_next_one_in() {
    let outbox = Outbox::alone(10);
    push(&outbox, b"0123456789").unwrap();
    let permits = [100, 1, 1].map(|length| outbox.wait_for_room(length));
    outbox.written(2, 0, Instant::now);
    let [large, first, second] = permits;
    assert!(!first.is_granted());
    drop(large);
    assert!(first.is_granted() && second.is_granted());
    drop(first);
    second.push(frame(b"x"));
    assert_eq!(outbox.queued(), 9);
    assert!(push(&outbox, b"y").is_ok());
}

/// A client that does not read its replies does not hold up the service for its other clients.
#[tokio::test]
async fn replies_go_beyond_the_limit_up_to_a_bound() {
    let outbox = Outbox::alone(10);
    push(&outbox, b"0123456789").unwrap();
    assert!(!outbox.is_awaited(), "nobody waits");
    let notification = outbox.wait_for_room(1);
    for _ in 0..3 {
        assert!(outbox.push_owed(10, frame(b"0123456789")).is_ok());
    }
    assert!(outbox.push_owed(1, frame(b"x")).is_err());
    let reply = outbox.wait_for_owed_room(1);
    drop(notification);
    assert!(!reply.is_granted());
    outbox.written(1, 0, Instant::now);
    assert!(reply.is_granted());
    drop(reply);
    assert!(outbox.is_awaited(), "others do without the memory that it uses");
    outbox.written(29, 0, Instant::now);
    assert_eq!(outbox.queued(), 10);
    assert!(!outbox.is_awaited());
}

#[test]
fn one_large_reply_keeps_nobody_waiting() {
    let outbox = Outbox::alone(10);
    outbox.push_owed(1_000, frame(&[b'x'; 1_000])).unwrap();
    assert!(outbox.is_full() && !outbox.is_awaited());
}

#[tokio::test]
async fn what_others_queue_comes_behind_a_frame_that_is_still_arriving() {
    let outbox = Outbox::alone(1 << 20);
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
    let outbox = Outbox::alone(1 << 20);
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
    let outbox = Outbox::alone(1 << 30);
    push(&outbox, &vec![b'x'; KEEPS_UP_BYTES + 1]).unwrap();
    assert!(!outbox.begin_arriving(|frame| frame.copied(b"begun")));
}

#[tokio::test]
async fn a_reader_is_not_to_blame_for_a_frame_that_does_not_arrive() {
    let outbox = Outbox::alone(4);
    assert!(outbox.begin_arriving(|frame| frame.copied(b"begun")));
    drain(&outbox).await;
    push(&outbox, b"abcd").unwrap();
    assert!(!outbox.kept_waiting().producers);
    let _waiting = outbox.wait_for_room(1);
    assert!(outbox.kept_waiting().producers);
    assert!(!outbox.is_awaited(), "it has read all that there was");
    outbox.end_arriving(|frame| frame.copied(b" and ended"));
    assert!(outbox.is_awaited());
}

#[test]
fn a_reader_is_awaited_while_others_wait_for_room_or_for_its_end() {
    let outbox = Outbox::alone(4);
    push(&outbox, b"abcd").unwrap();
    assert!(!outbox.is_awaited());
    let waiting = outbox.wait_for_room(2);
    assert!(outbox.is_awaited());
    assert_eq!(outbox.written(1, 0, Instant::now), Waiters::Producers);
    assert!(outbox.is_awaited(), "one byte is not enough");
    drop(waiting);
    assert_eq!(outbox.written(1, 0, Instant::now), Waiters::Nobody);
    outbox.close();
    assert!(outbox.is_awaited());
    outbox.written(2, 0, Instant::now);
    assert!(!outbox.is_awaited());
}

#[tokio::test]
async fn a_closed_queue_gives_what_it_has_and_frees_its_producers() {
    let outbox = Outbox::alone(4);
    push(&outbox, b"last").unwrap();
    let waiting = outbox.wait_for_room(1);
    outbox.close();
    granted(&waiting).await;
    waiting.push(frame(b"lost"));
    push(&outbox, b"lost").unwrap();
    assert_eq!(drain(&outbox).await, b"last");
    assert!(outbox.next_batch().await.is_none());
}

#[test]
fn a_batch_forgets_what_was_written_across_pieces() {
    let mut batch = Batch::new([Bytes::from("abc"), Bytes::from("de")].into());
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

/// Frames of one byte each, written one at a time.
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
async fn deferred_frames_come_at_their_place_and_count_at_once() {
    let outbox = Outbox::alone(100);
    push(&outbox, b"a").unwrap();
    outbox.push_deferred(3, Box::new(Counting(b'0'..b'3')));
    push(&outbox, b"b").unwrap();
    push(&outbox, b"c").unwrap();
    // The announced number of bytes may be wrong.
    for (bytes, range) in [(9, b'3'..b'5'), (0, b'5'..b'6')] {
        outbox.push_deferred(bytes, Box::new(Counting(range)));
    }
    push(&outbox, b"d").unwrap();
    let mut queued = outbox.state().queued;
    assert_eq!(queued, 1 + 3 + 2 + 9 + 1);
    let mut batches = Vec::new();
    while !outbox.state().queue.is_empty() {
        batches.push(String::from_utf8(drain(&outbox).await).unwrap());
        let left = outbox.state().queued;
        assert!(left <= queued, "{left} after {queued}");
        queued = left;
    }
    assert_eq!(batches, ["a", "0", "1", "2", "bc", "3", "4", "5", "d"]);
    assert_eq!(queued, 0);
}

#[tokio::test]
async fn deferred_frames_wait_for_the_end_of_a_frame_that_is_arriving() {
    let outbox = Outbox::alone(100);
    assert!(outbox.begin_arriving(|frame| frame.copied(b"<")));
    push(&outbox, b"a").unwrap();
    outbox.push_deferred(2, Box::new(Counting(b'0'..b'2')));
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

/// Returns two queues that each could use up a budget, and that budget.
fn sharing(budget: usize) -> ([Arc<Outbox>; 2], Arc<QueueBudget>) {
    let budget = QueueBudget::new(budget, Duration::from_secs(2));
    ([(); 2].map(|()| Outbox::new(1 << 30, &budget)), budget)
}

impl Outbox {
    fn is_awaited(&self) -> bool {
        self.awaited(Instant::now) != Waiters::Nobody
    }
}

const KIB: usize = 1024;

fn fill(outbox: &Outbox, length: usize) -> Result<(), Full> {
    let frame = Bytes::from(vec![b'x'; length]);
    outbox.push(length, |writer| writer.shared(&frame))
}

#[tokio::test]
async fn a_queue_waits_for_room_that_others_have_and_gets_it_when_they_are_written() {
    let ([long, other], budget) = sharing(1_024 * KIB);
    fill(&long, 900 * KIB).unwrap();
    assert!(fill(&long, 50 * KIB).is_err());
    assert!(fill(&other, 200 * KIB).is_err());
    fill(&other, 20 * KIB).unwrap();
    let permit = other.wait_for_room(200 * KIB);
    assert!(!permit.is_granted());
    assert!(long.is_awaited(), "it has more than its share");
    assert!(!other.is_awaited(), "nobody waits for its reader");
    assert_eq!(budget.waits(), 1);
    long.next_batch().await.unwrap();
    long.written(300 * KIB, 0, Instant::now);
    assert!(permit.is_granted());
    assert!(!long.is_awaited(), "nobody waits any more");
    drop(permit);
    drop((long, other));
    assert_eq!(budget.used(), 0);
}

#[tokio::test]
async fn memory_counts_until_the_whole_piece_is_written() {
    let ([reader, _other], budget) = sharing(1_024 * KIB);
    fill(&reader, 512 * KIB).unwrap();
    let mut batch = reader.next_batch().await.unwrap();
    batch.advance(500 * KIB);
    reader.written(500 * KIB, batch.written_in_part(), Instant::now);
    assert_eq!(budget.used(), 512 * KIB);
    batch.advance(12 * KIB);
    reader.written(12 * KIB, batch.written_in_part(), Instant::now);
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_queue_that_is_dropped_gives_its_share_to_those_that_wait() {
    let ([long, other], _budget) = sharing(1_024 * KIB);
    fill(&long, 1_024 * KIB).unwrap();
    let permit = other.wait_for_room(200 * KIB);
    assert!(!permit.is_granted());
    drop(long);
    assert!(permit.is_granted());
}

#[test]
fn the_managers_own_words_count_and_whoever_does_not_read_them_is_answered_no_more() {
    let ([asking, other], budget) = sharing(1_024 * KIB);
    fill(&other, 700 * KIB).unwrap();
    let answer = Bytes::from(vec![b'x'; 100 * KIB]);
    let mut answers = 0;
    while !asking.is_full() {
        asking.push_always(|writer| writer.shared(&answer));
        answers += 1;
    }
    assert!((1..=3).contains(&answers), "{answers}");
    asking.push_always(|writer| writer.shared(&answer));
    assert!(budget.used() > 1_000 * KIB);
    let permit = asking.wait_for_room(1);
    assert!(!permit.is_granted());
    assert!(other.is_awaited(), "it has more than its share");
    assert!(!asking.is_awaited());
}
