use labwire_wire::{FrameView, LineSplitter};
use tokio::io::AsyncWriteExt;

use super::*;
use crate::router::Step;
use crate::work::TURN_WORK;

/// Routes the lines that have arrived, each with `work` units. Returns their number.
async fn route(inbox: &mut Inbox<&[u8]>, work: usize) -> usize {
    let mut lines = 0;
    let router = |_: FrameView<'_>, _: &Kind| {
        lines += 1;
        (Step::Next, work)
    };
    let mut router = Some(router);
    let (step, may_have_more) = inbox
        .read_and_route(|| router.take().expect("it is asked for once"))
        .await;
    assert!(matches!(step, Step::Next) && may_have_more);
    lines
}

#[tokio::test]
async fn a_turn_ends_after_so_much_work_and_not_only_after_so_many_lines() {
    let lines = "x\n".repeat(2 * TURN_WORK);
    for (work, expected) in [(1, TURN_WORK), (TURN_WORK / 4, 4), (10 * TURN_WORK, 1)] {
        let mut inbox = Inbox::new(lines.as_bytes(), LineSplitter::new(1 << 20), 1 << 16, false);
        assert_eq!(route(&mut inbox, work).await, expected);
        assert!(inbox.turn_is_over());
        inbox.begin_turn();
        assert!(!inbox.turn_is_over(), "it is counted anew");
        assert!(inbox.look().await, "the next line waits");
    }
}

#[tokio::test]
async fn a_peer_that_sends_little_at_a_time_has_its_turn_until_that_is_much() {
    let mut turns = 0;
    let mut inbox = Inbox::new(&b""[..], LineSplitter::new(1 << 20), 1 << 16, false);
    for _ in 0..100 {
        inbox.reader = b"x\ny\nz";
        assert_eq!(inbox.read().await, 5);
        while inbox.look().await {
            inbox.take_front();
            inbox.note_work(TURN_WORK / 8);
        }
        if inbox.turn_is_over() {
            inbox.begin_turn();
            turns += 1;
        }
    }
    assert!((20..=40).contains(&turns), "{turns}");
}

#[tokio::test]
async fn a_peer_that_waits_for_its_next_bytes_begins_a_new_turn() {
    for routes_at_once in [true, false] {
        let (mut peer, reader) = tokio::io::duplex(64);
        let mut inbox = Inbox::new(reader, LineSplitter::new(1 << 20), 1 << 16, false);
        inbox.note_work(TURN_WORK);
        assert!(inbox.turn_is_over());
        let read = async {
            if routes_at_once {
                let router = |_: FrameView<'_>, _: &Kind| (Step::Next, 1);
                inbox.read_and_route(|| router).await;
            } else {
                inbox.read().await;
            }
        };
        tokio::join!(biased; read, async { peer.write_all(b"x\n").await.unwrap() });
        assert!(!inbox.turn_is_over());
    }
}
