//! Writes queued frames to a peer.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::Poll;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

use super::departure::Departure;
use super::judge::{Judge, Waits};
use crate::outbox::{Batch, Outbox};

/// The number of pieces in one vectored write. Linux takes 1,024 at once; more than some dozens
/// gain nothing.
const PIECES: usize = 64;

/// The number of bytes written before other tasks run. A reader that keeps up would otherwise take
/// its whole queue at once, and some dozens of megabytes take as many milliseconds.
const TURN_BYTES: usize = 256 * 1024;

/// How often a blocked write checks whether others wait for the reader, within the shorter of the
/// times after which it is given up.
const LOOKS: u32 = 4;

/// Writes queued frames until the queue is closed and empty, then shuts the stream down.
pub(super) async fn write_frames<W: AsyncWrite + Unpin>(
    outbox: &Outbox,
    mut writer: W,
    waits: Waits,
) -> Result<(), Departure> {
    let mut judge = Judge::of(waits, outbox);
    let mut turn = 0;
    while let Some(mut batch) = outbox.next_batch().await {
        while !batch.is_empty() {
            let count = write_pieces(&batch, outbox, &mut writer, &mut judge).await?;
            batch.advance(count);
            let awaited = outbox.written(count, batch.written_in_part(), Instant::now);
            if judge.note(outbox, count, awaited) {
                return Err(Departure::Stalled);
            }
            turn += count;
            if turn >= TURN_BYTES {
                turn = 0;
                yield_now().await;
            }
        }
        // With TLS, what was written may still be in the session's own buffer.
        unless_stalled(outbox, &mut judge, writer.flush()).await?;
    }
    writer.shutdown().await.map_err(Departure::Failed)
}

/// Writes once. Returns the number of bytes.
async fn write_pieces<W: AsyncWrite + Unpin>(
    batch: &Batch,
    outbox: &Outbox,
    writer: &mut W,
    judge: &mut Judge,
) -> Result<usize, Departure> {
    let write = poll_fn(|context| {
        // Rebuilt at each poll, so that a peer that does not read holds no list of pieces.
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let (mut count, mut room) = (0, TURN_BYTES);
        for (piece, segment) in pieces.iter_mut().zip(batch.segments()) {
            let length = segment.len().min(room);
            *piece = IoSlice::new(&segment[..length]);
            count += 1;
            room -= length;
            if room == 0 {
                break;
            }
        }
        let writer = Pin::new(&mut *writer);
        match &pieces[..count] {
            // A single piece, the usual case, is cheaper without a list.
            [piece] => writer.poll_write(context, piece),
            pieces => writer.poll_write_vectored(context, pieces),
        }
    });
    let written = unless_stalled(outbox, judge, write).await?;
    match written {
        0 => Err(Departure::Failed(io::ErrorKind::WriteZero.into())),
        written => Ok(written),
    }
}

/// Waits for a write, unless the reader is too slow for those who wait for it. While nobody waits,
/// a peer that does not read harms only itself.
async fn unless_stalled<T>(
    outbox: &Outbox,
    judge: &mut Judge,
    write: impl Future<Output = io::Result<T>>,
) -> Result<T, Departure> {
    tokio::pin!(write);
    // Most writes complete at once and need no timer.
    let at_once = poll_fn(|context| Poll::Ready(write.as_mut().poll(context))).await;
    if let Poll::Ready(written) = at_once {
        return written.map_err(Departure::Failed);
    }
    let look = judge.waits().shorter() / LOOKS;
    loop {
        match timeout(look, &mut write).await {
            Ok(written) => return written.map_err(Departure::Failed),
            Err(_) if judge.note(outbox, 0, outbox.awaited(Instant::now)) => return Err(Departure::Stalled),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;

    /// Accepts all writes and never flushes, as a TLS session whose peer does not read.
    struct Swallowing;

    impl AsyncWrite for Swallowing {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_reader_that_takes_everything_at_once_leaves_turns_to_others() {
        const QUEUED: usize = 16 * TURN_BYTES;
        let waits = Waits {
            stall: Duration::from_secs(2),
            patience: Duration::from_secs(4),
            disconnects: 0,
            rises: false,
        };
        let outbox = Outbox::alone(QUEUED);
        let frame = Bytes::from(vec![b'x'; QUEUED]);
        outbox.push(QUEUED, |writer| writer.shared(&frame)).unwrap();
        outbox.close();
        let mut turns = 0;
        let others = async {
            loop {
                turns += 1;
                yield_now().await;
            }
        };
        tokio::select! {
            biased;
            written = write_frames(&outbox, tokio::io::sink(), waits) => written.unwrap(),
            () = others => unreachable!("others go on until all is written"),
        }
        assert!(turns >= 16, "others had {turns} turns");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_is_cut_though_what_it_does_not_read_was_taken_by_its_tls_session() {
        let waits = Waits {
            stall: Duration::from_secs(2),
            patience: Duration::from_secs(4),
            disconnects: 0,
            rises: false,
        };
        let outbox = Outbox::alone(4);
        let frame = |writer: &mut crate::outbox::FrameWriter<'_>| writer.copied(b"abcd");
        outbox.push(4, frame).unwrap();
        let sending = async {
            loop {
                if outbox.push(4, frame).is_err() {
                    let permit = outbox.wait_for_room(4);
                    poll_fn(|context| permit.poll_granted(context)).await;
                    permit.push(frame);
                }
            }
        };
        let written = tokio::select! {
            written = write_frames(&outbox, Swallowing, waits) => written,
            () = sending => unreachable!("a sender goes on until the reader is cut"),
        };
        assert!(matches!(written, Err(Departure::Stalled)));
    }
}
