use std::future::poll_fn;

use tokio::time::Instant;

use super::*;
use crate::outbox::Full;

const REGISTERED: &[u8] = b"registered\n";

/// Returns the queue of a peer with a session, which keeps up to `limit` bytes, and the budget of
/// all. The peer has received its first frame.
async fn queue(limit: usize, budget: usize) -> (Arc<Outbox>, Arc<SessionBudget>) {
    let outbox = Outbox::alone(1 << 20);
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
