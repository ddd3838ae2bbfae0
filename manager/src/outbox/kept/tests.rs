use std::collections::HashSet;
use std::future::poll_fn;
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::budget::QueueBudget;
use crate::outbox::Full;

const REGISTERED: &[u8] = b"registered\n";

/// Returns the queue of a peer with a session, which keeps up to `limit` bytes, and the budget of
/// all. The peer has received its first frame.
async fn queue(limit: usize, budget: usize) -> (Arc<Outbox>, Arc<SessionBudget>) {
    queue_of(Outbox::alone(1 << 20), limit, budget).await
}

/// As [`queue`], of a peer with the feature `binary`.
async fn binary_queue(limit: usize) -> Arc<Outbox> {
    let all = QueueBudget::new(usize::MAX, Duration::MAX);
    queue_of(Outbox::of_peer(1 << 20, &all, true), limit, 1 << 20)
        .await
        .0
}

async fn queue_of(outbox: Arc<Outbox>, limit: usize, budget: usize) -> (Arc<Outbox>, Arc<SessionBudget>) {
    let budget = Arc::new(SessionBudget::new(budget));
    outbox.begin_session(&Bytes::from_static(REGISTERED), limit, &budget);
    assert_eq!(take(&outbox).await, REGISTERED);
    (outbox, budget)
}

fn push(outbox: &Outbox, bytes: &[u8]) -> Result<(), Full> {
    outbox.push(bytes.len(), |frame| frame.copied(bytes))
}

/// Takes and writes the next batch.
async fn take(outbox: &Outbox) -> Vec<u8> {
    let batch = outbox.next_batch().await.expect("something is queued");
    let bytes: Vec<u8> = batch.segments().flat_map(|segment| segment.to_vec()).collect();
    outbox.written(bytes.len(), 0, Instant::now);
    bytes
}

/// Takes and writes everything.
async fn take_all(outbox: &Outbox) -> Vec<u8> {
    let mut all = Vec::new();
    while !outbox.is_written() {
        all.extend(take(outbox).await);
    }
    all
}

#[tokio::test]
async fn a_peer_goes_on_at_the_byte_that_it_has_not_received() {
    let (outbox, budget) = queue(1_000, 1 << 20).await;
    push(&outbox, b"one\n").unwrap();
    assert_eq!(take(&outbox).await, b"one\n");
    push(&outbox, b"two\n").unwrap();
    // The writer has taken it and not written it.
    let batch = outbox.next_batch().await;
    drop(batch);
    push(&outbox, b"three\n").unwrap();
    outbox.go_away();
    push(&outbox, b"four\n").unwrap();
    assert_eq!(budget.used(), REGISTERED.len() + 19);
    assert_eq!(outbox.come_back(2), Ok(Resumption { from: 2 }));
    assert_eq!(outbox.queued(), 17);
    assert_eq!(take_all(&outbox).await, b"e\ntwo\nthree\nfour\n");
    assert_eq!(outbox.queued(), 0);
    // And once more, after a confirmation.
    outbox.confirm(8).unwrap();
    outbox.go_away();
    assert_eq!(outbox.come_back(19), Ok(Resumption { from: 19 }));
    assert_eq!(take_all(&outbox).await, b"");
    assert_eq!(outbox.queued(), 0);
}

#[tokio::test]
async fn what_was_never_sent_cannot_have_been_received() {
    let (outbox, _) = queue(1_000, 1 << 20).await;
    push(&outbox, b"one\n").unwrap();
    assert_eq!(outbox.confirm(1), Err(NeverSent));
    take(&outbox).await;
    assert_eq!(outbox.confirm(4), Ok(()));
    assert_eq!(outbox.confirm(u64::MAX), Err(NeverSent));
    outbox.go_away();
    assert_eq!(outbox.come_back(5), Err(NeverSent));
    assert_eq!(outbox.come_back(4), Ok(Resumption { from: 4 }));
}

#[tokio::test]
async fn beyond_the_limit_the_oldest_lines_are_dropped_and_the_rest_begins_with_a_line() {
    let (outbox, budget) = queue(1_000, 1 << 20).await;
    for number in 0..5 {
        let line = [vec![b'0' + number; 299], vec![b'\n']].concat();
        push(&outbox, &line).unwrap();
        take(&outbox).await;
    }
    assert!(budget.used() <= 1_000);
    outbox.go_away();
    // It has received the first line only.
    assert_eq!(outbox.come_back(300), Ok(Resumption { from: 600 }));
    let rest = take_all(&outbox).await;
    assert!(rest.starts_with(b"2222") && rest.ends_with(b"444\n"), "{rest:?}");
    assert!(budget.dropped() >= 600);
}

#[tokio::test]
async fn nobody_waits_for_a_peer_that_is_away() {
    let (outbox, budget) = queue(100, 1 << 20).await;
    outbox.confirm(0).unwrap();
    push(&outbox, &[&vec![b'x'; (1 << 20) - 1][..], b"\n"].concat()).unwrap();
    let permit = outbox.wait_for_room(10);
    assert!(!permit.is_granted());
    outbox.go_away();
    poll_fn(|context| permit.poll_granted(context)).await;
    permit.push(|frame| frame.copied(b"012345678\n"));
    // What was queued was too long to be kept.
    assert_eq!(outbox.queued(), 10);
    assert!(outbox.keeps(90) && !outbox.keeps(91));
    assert!(push(&outbox, &[b'y'; 91]).is_ok(), "it is dropped");
    assert_eq!(outbox.queued(), 10);
    assert_eq!(budget.dropped(), (1 << 20) + 91);
    outbox.push_always(|frame| frame.copied(b"error\n"));
    outbox.come_back(0).unwrap();
    assert_eq!(take_all(&outbox).await, b"012345678\nerror\n");
}

#[tokio::test]
async fn a_frame_that_is_arriving_goes_on_or_is_broken_off() {
    for (limit, expected) in [(1_000, &b"begun and gone on\nbehind\n"[..]), (15, b"behind\n")] {
        let (outbox, _) = queue(limit, 1 << 20).await;
        outbox.confirm(0).unwrap();
        assert!(outbox.begin_arriving(|frame| frame.copied(b"begun")));
        let batch = outbox.next_batch().await;
        drop(batch);
        outbox.go_away();
        outbox.go_on_arriving(|frame| frame.copied(b" and gone on"));
        assert_eq!(outbox.is_arriving(), limit == 1_000);
        outbox.push_always(|frame| frame.copied(b"behind\n"));
        outbox.end_arriving(|frame| frame.copied(b"\n"));
        outbox.come_back(0).unwrap();
        let received = take_all(&outbox).await;
        if limit == 1_000 {
            assert_eq!(received, expected);
        } else {
            assert!(received.ends_with(b"\x18\r\nbehind\n"), "{received:?}");
        }
    }
}

/// Returns the line of a frame with a buffer of that many bytes.
fn announcing(count: usize) -> String {
    format!("{{\"buffers\":[{{\"dtype\":\"|u1\",\"shape\":[{count}],\"bytes\":{count}}}],\"result\":1}}\r\n")
}

#[tokio::test]
async fn a_frame_is_dropped_whole_whatever_line_ends_its_buffers_have() {
    for (raw, received) in [(290, 0), (290, 100), (290, 400), (0, 90)] {
        let outbox = binary_queue(1_000).await;
        let frame = [announcing(raw).as_bytes(), &vec![b'\n'; raw], b"\n"].concat();
        let frames = 1_600 / frame.len();
        for _ in 0..frames {
            // The line, the buffers and their end are pieces of their own.
            let (line, raw) = frame.split_at(announcing(raw).len());
            outbox
                .push(frame.len(), |writer| {
                    writer.referenced(&Bytes::copy_from_slice(line));
                    writer.referenced(&Bytes::copy_from_slice(raw));
                })
                .unwrap();
            take(&outbox).await;
        }
        outbox.go_away();
        let Resumption { from } = outbox.come_back(received).unwrap();
        let from = usize::try_from(from).unwrap();
        assert!(from > 0 && from % frame.len() == 0, "{from}");
        assert_eq!(take_all(&outbox).await, frame.repeat(frames - from / frame.len()));
    }
}

#[tokio::test]
async fn a_frame_whose_buffers_arrive_goes_on_or_is_broken_off() {
    let line = announcing(100);
    let mut outcomes = HashSet::new();
    for (limit, received) in [(10_000, 0), (10_000, 70), (130, 0), (75, 0), (75, 70), (20, 70)] {
        let outbox = binary_queue(limit).await;
        outbox.confirm(0).unwrap();
        assert!(outbox.begin_arriving_with(100, |frame| frame.copied(line.as_bytes())));
        outbox.go_on_arriving_with(20, |frame| frame.copied(&[b'\n'; 20]));
        take(&outbox).await;
        outbox.go_away();
        outbox.go_on_arriving_with(50, |frame| frame.copied(&[b'\n'; 50]));
        let is_whole = outbox.is_arriving();
        outbox.push_always(|frame| frame.copied(b"behind\n"));
        outbox.go_on_arriving_with(30, |frame| frame.copied(&[b'\n'; 30]));
        outbox.end_arriving(|frame| frame.copied(b"\n"));
        assert!(!outbox.is_arriving());
        let from = outbox.come_back(received).unwrap().from;
        let rest = take_all(&outbox).await;
        let (rest, behind) = rest.split_at(rest.len() - b"behind\n".len());
        assert_eq!(behind, b"behind\n");
        let from = usize::try_from(from).unwrap();
        if from != usize::try_from(received).unwrap() {
            assert_eq!(rest, b"", "nothing is left of a frame whose beginning is lost");
        } else if is_whole {
            let whole = [line.as_bytes(), &[b'\n'; 101]].concat();
            assert_eq!(rest, &whole[from..]);
        } else {
            // The receiver goes on in the frame, and finds its end.
            let missing = line.len() + 100 - from;
            assert_eq!(rest.len(), missing + 3, "{limit} {received}");
            assert!(rest.ends_with(b"\0\x18\r\n"));
        }
        outcomes.insert((from == usize::try_from(received).unwrap(), is_whole));
        assert_eq!(outbox.queued(), 0);
    }
    assert_eq!(outcomes.len(), 4);
}

#[tokio::test]
async fn who_has_most_of_the_budget_loses_its_oldest_bytes_first() {
    let (greedy, budget) = queue(1 << 20, 200_000).await;
    let modest = Outbox::alone(1 << 20);
    modest.begin_session(&Bytes::from_static(REGISTERED), 1 << 20, &budget);
    for _ in 0..20 {
        push(&greedy, &vec![b'x'; 19_999]).unwrap();
        take(&greedy).await;
    }
    push(&modest, &vec![b'y'; 20_000]).unwrap();
    take_all(&modest).await;
    assert!(budget.used() <= 200_000);
    modest.go_away();
    modest.come_back(0).unwrap();
    assert_eq!(take_all(&modest).await, vec![b'y'; 20_000]);
    assert!(budget.dropped() > 200_000);
    drop(greedy);
    drop(modest);
    assert_eq!(budget.used(), 0);
}
