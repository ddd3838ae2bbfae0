use std::time::Duration;

use labwire_wire::{FrameView, LineSplitter};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::*;
use crate::conversions::Conversions;
use crate::router::{Conversion, Step};
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
        let mut inbox = Inbox::new(
            lines.as_bytes(),
            LineSplitter::new(1 << 20),
            1 << 16,
            (false, false),
        );
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
    let mut inbox = Inbox::new(&b""[..], LineSplitter::new(1 << 20), 1 << 16, (false, false));
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
        let mut inbox = Inbox::new(reader, LineSplitter::new(1 << 20), 1 << 16, (false, false));
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

/// Returns an inbox of a peer with a session and the feature `binary`, which has received these bytes.
async fn binary_inbox(bytes: &[u8]) -> Inbox<&[u8]> {
    let mut inbox = Inbox::new(bytes, LineSplitter::new(1 << 20), 1 << 16, (true, true));
    assert_eq!(inbox.read().await, bytes.len());
    inbox
}

const LINE: &str = "{\"buffers\":[{\"dtype\":\"|u1\",\"shape\":[10],\"bytes\":10}],\"uid\":\"1\"}\r\n";
const RAW: &str = "\n\n\n{\n\n\n\n\n\n\n";

#[tokio::test]
async fn a_frame_is_handled_once_its_buffers_have_arrived_and_it_is_taken() {
    let frame = [LINE, RAW].concat();
    let all = [&frame, "next\r\n"].concat();
    for cut in 1..frame.len() {
        let mut inbox = binary_inbox(&all.as_bytes()[..cut]).await;
        assert!(!inbox.look().await);
        assert_eq!(inbox.handled(), 0);
        inbox.reader = &all.as_bytes()[cut..];
        while !inbox.look().await {
            assert!(inbox.read().await > 0);
        }
        assert_eq!(inbox.handled(), 0);
        let taken = inbox.take_front().unwrap();
        assert_eq!(taken.frame.payload().unwrap().bytes(), RAW);
        assert_eq!(inbox.handled(), frame.len() as u64);
        while !inbox.look().await {
            assert!(inbox.read().await > 0);
        }
        assert_eq!(inbox.take_front().unwrap().frame.content(), b"next");
        assert_eq!(inbox.handled(), all.len() as u64);
    }
}

#[tokio::test]
async fn buffers_are_discarded_also_while_their_line_waits_and_the_next_line_is_not() {
    let wrong = LINE.replace("[10]", "[11]");
    let frame = [&wrong, RAW].concat();
    let all = [&frame, "next\r\n"].concat();
    for cut in wrong.len()..=all.len() {
        for waits in [false, true] {
            let mut inbox = binary_inbox(&all.as_bytes()[..cut]).await;
            assert!(inbox.look().await);
            inbox.reader = &all.as_bytes()[cut..];
            while waits && !inbox.reader.is_empty() {
                assert!(inbox.read().await > 0);
            }
            assert!(matches!(inbox.take_front().unwrap().kind, Kind::Broken(_)));
            let is_over = waits || cut >= frame.len();
            assert_eq!(inbox.handled(), if is_over { frame.len() as u64 } else { 0 });
            while !inbox.look().await {
                assert!(inbox.read().await > 0);
            }
            assert_eq!(inbox.handled(), frame.len() as u64);
            assert_eq!(inbox.take_front().unwrap().frame.content(), b"next");
            assert_eq!(inbox.handled(), all.len() as u64);
        }
    }
}

#[tokio::test]
async fn a_frame_that_is_thrown_away_is_handled_once_its_buffers_have_arrived() {
    let all = [LINE, RAW, "next\r\n"].concat();
    let frame = LINE.len() + RAW.len();
    let mut inbox = binary_inbox(&all.as_bytes()[..LINE.len() + 3]).await;
    assert!(!inbox.look().await);
    inbox.throw_line_away();
    assert_eq!(inbox.handled(), 0);
    inbox.reader = &all.as_bytes()[LINE.len() + 3..];
    while !inbox.look().await {
        assert!(inbox.read().await > 0);
    }
    assert_eq!(inbox.handled(), frame as u64);
    assert_eq!(inbox.take_front().unwrap().frame.content(), b"next");
}

/// Returns the lines that are taken from these bytes, up to the end of input, and the inbox.
async fn lines_of(bytes: &[u8]) -> (Vec<Incoming>, Inbox<&[u8]>) {
    let mut inbox = binary_inbox(bytes).await;
    let mut lines = Vec::new();
    loop {
        while inbox.look().await {
            lines.extend(inbox.take_front());
        }
        if inbox.has_ended() || inbox.read().await == 0 {
            while inbox.look().await {
                lines.extend(inbox.take_front());
            }
            return (lines, inbox);
        }
    }
}

#[tokio::test]
async fn no_line_is_taken_from_raw_bytes_whose_number_is_unknown_or_never_reached() {
    let buffer = |count: &str| format!("{{\"dtype\":\"|u1\",\"shape\":[{count}],\"bytes\":{count}}}");
    let (most, half) = (u64::MAX.to_string(), (1_u64 << 63).to_string());
    for (description, is_known) in [
        (buffer(&most), true),
        (buffer("18446744073709551614"), true),
        (buffer("18446744073709551616"), false),
        ([&*buffer(&half), &buffer(&half)].join(","), false),
        ([&*buffer(&most), &buffer(&most)].join(","), false),
        (buffer("4.0"), false),
        (buffer("-1"), false),
        ("5".to_owned(), false),
        (buffer("4") + &" ".repeat(70_000), false),
    ] {
        let bytes = format!(
            "{{\"buffers\":[{description}],\"service\":\"S\",\"attribute\":\"a\",\"uid\":\"1\"}}\r\n\
             {{\"service\":\"S\",\"attribute\":\"fire\",\"uid\":\"2\"}}\r\n"
        );
        let (lines, mut inbox) = lines_of(bytes.as_bytes()).await;
        let [line] = &lines[..] else {
            panic!("{} lines: {description:.100}", lines.len());
        };
        assert!(matches!(line.kind, Kind::Broken(_)), "{description:.100}");
        let departure = inbox.take_departure();
        assert_eq!(
            departure.is_unsplittable(),
            !is_known,
            "{departure:?} {description:.100}"
        );
    }
}

#[tokio::test]
async fn no_line_is_taken_after_buffers_of_another_length_than_their_frame_says() {
    let bytes = [LINE, "0123456789X", "{\"attribute\":\"fire\"}\r\n"].concat();
    let (lines, mut inbox) = lines_of(bytes.as_bytes()).await;
    assert_eq!(lines.len(), 0);
    assert!(inbox.take_departure().is_unsplittable());
}

#[tokio::test]
async fn no_line_is_taken_after_a_discarded_line_with_raw_bytes_of_unknown_number() {
    for skims in [true, false] {
        let bytes = b"{\"buffers\":[5],\"uid\":\"1\"";
        let mut inbox = binary_inbox(bytes).await;
        assert!(!inbox.look().await);
        if skims {
            inbox.skim();
        } else {
            inbox.throw_line_away();
        }
        inbox.reader = b"}\r\n{\"attribute\":\"fire\"}\r\n";
        assert!(inbox.read().await > 0);
        assert!(!inbox.look().await);
        assert!(inbox.take_departure().is_unsplittable());
    }
}

#[tokio::test]
async fn the_line_after_buffers_that_are_being_discarded_is_not_a_part_of_them() {
    let rest = [RAW, "next\r\n"].concat();
    for arrived in [0, 3] {
        let begun = [LINE, &rest[..arrived]].concat();
        let mut inbox = binary_inbox(begun.as_bytes()).await;
        assert!(!inbox.look().await);
        assert!(inbox.is_amid_line());
        assert!(inbox.discard_raw().is_some());
        // They do not arrive for longer.
        assert!(!inbox.is_amid_line() && inbox.skips_raw());
        inbox.throw_line_away();
        inbox.reader = &rest.as_bytes()[arrived..];
        while !inbox.look().await {
            assert!(inbox.read().await > 0);
        }
        assert!(!inbox.skips_raw());
        assert_eq!(inbox.take_front().unwrap().frame.content(), b"next");
    }
}

/// Returns the inbox of a peer whose frame has this many references to a buffer of this many bytes.
async fn with_references(count: usize, length: usize, limit: usize) -> Inbox<&'static [u8]> {
    let references = vec!["{\"$buffer\":0}"; count].join(",");
    let line = format!(
        "{{\"buffers\":[{{\"dtype\":\"|u1\",\"shape\":[{length}],\"bytes\":{length}}}],\"args\":[{references}]}}\r\n"
    );
    let mut splitter = LineSplitter::new(limit);
    splitter.extend(line.as_bytes());
    splitter.extend(&vec![b'z'; length]);
    splitter.extend(b"\n");
    let mut inbox = Inbox::new(&b""[..], splitter, 1 << 16, (true, false));
    assert!(inbox.look().await);
    inbox
}

#[tokio::test(start_paused = true)]
async fn buffers_are_converted_without_waiting_for_those_of_another_size() {
    for (count, length, size) in [
        (1, 10, None),
        (1, 300_000, None),
        (3, 100_000, None),
        (1, 1 << 20, Some(0)),
        (60, 20_000, Some(0)),
        (1, 4 << 20, Some(1)),
        (3_000, 20_000, Some(2)),
    ] {
        let (own, others): (Vec<usize>, Vec<usize>) = (0..3).partition(|other| Some(*other) == size);
        for (taken, converts) in [(others, true), (own, size.is_none())] {
            let mut inbox = with_references(count, length, 1 << 23).await;
            let conversions = Conversions::all_but(&taken);
            let converting = inbox.convert(Conversion::Instead, 1 << 26, &conversions);
            let converted = timeout(Duration::from_mins(1), converting).await;
            let what = format!("{count} references to {length} bytes, {taken:?} are taken");
            assert_eq!(converted.is_ok(), converts, "{what}");
            let front = inbox.take_front().expect("it is converted, or still there");
            assert_eq!(front.frame.payload().is_none(), converts, "{what}");
        }
    }
}
