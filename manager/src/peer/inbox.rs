//! What a peer sent and what is not routed yet.

use std::collections::VecDeque;

use labwire_wire::LineSplitter;
use tokio::io::AsyncRead;
use tokio::time::{Duration, Instant, timeout_at};

use super::{Departure, FAREWELL};
use crate::outbox::Outbox;
use crate::router::Incoming;
use crate::stream::read_some;

/// How many lines are checked before they are routed, and routed while the registry is locked once. What is
/// known of a line takes more memory than a short line itself does, so a flood of empty ones must not be looked
/// at all at once.
const LINES: usize = 64;

/// How much is read while a line waits for room elsewhere. Reading on is how the end of the connection is
/// noticed meanwhile; reading all of it would be to queue without a limit.
const READ_AHEAD: usize = 64 * 1024;

/// What a peer sent and what is not routed yet.
pub(super) struct Inbox<R> {
    pub(super) reader: R,
    splitter: LineSplitter,
    lines: VecDeque<Incoming>,
    /// How often something was read.
    reads: u64,
    /// How the stream ended, and when that was seen.
    end: Option<(Departure, Instant)>,
}

impl<R: AsyncRead + Unpin> Inbox<R> {
    /// The splitter may hold what came together with the identity.
    pub(super) fn new(reader: R, splitter: LineSplitter) -> Self {
        Self {
            reader,
            splitter,
            lines: VecDeque::new(),
            reads: 0,
            end: None,
        }
    }

    /// The lines that are whole and checked.
    pub(super) fn lines(&mut self) -> &mut VecDeque<Incoming> {
        &mut self.lines
    }

    /// Waits for at least one line; none comes any more when there is none afterwards. Cancel safe.
    pub(super) async fn fill(&mut self) {
        // The place for the lines of a busy moment is given back: an idle connection has none.
        if self.lines.is_empty() {
            self.lines = VecDeque::new();
        }
        loop {
            self.take_lines();
            if !self.lines.is_empty() || self.end.is_some() {
                return;
            }
            self.read().await;
        }
    }

    /// Why no more lines come.
    pub(super) fn take_departure(&mut self) -> Departure {
        self.end
            .take()
            .map_or(Departure::Closed, |(departure, _)| departure)
    }

    /// Waits for room in another peer's queue, or until that peer is cut for it. Ends early when this peer
    /// is gone and has been waited for long enough.
    pub(super) async fn wait(
        &mut self,
        outbox: &Outbox,
        length: usize,
        patience: Duration,
    ) -> Result<(), Departure> {
        let room = outbox.room(length, patience);
        tokio::pin!(room);
        loop {
            if let Some((_, since)) = &self.end {
                return timeout_at(*since + FAREWELL, room)
                    .await
                    .map_err(|_| Departure::Closed);
            }
            if self.splitter.pending() >= READ_AHEAD {
                room.await;
                return Ok(());
            }
            tokio::select! {
                () = &mut room => return Ok(()),
                () = self.read() => {}
            }
        }
    }

    /// How often something was read: what is in hand now was sent before anything that is written now.
    pub(super) fn reads(&self) -> u64 {
        self.reads
    }

    async fn read(&mut self) {
        let departure = match read_some(&mut self.reader, &mut self.splitter).await {
            Ok(0) => Departure::Closed,
            Ok(_) => {
                self.reads += 1;
                return;
            }
            Err(error) => Departure::Failed(error),
        };
        self.end = Some((departure, Instant::now()));
    }

    fn take_lines(&mut self) {
        while self.lines.len() < LINES && !matches!(self.end, Some((Departure::TooLong(_), _))) {
            match self.splitter.next_line() {
                Ok(Some(line)) => self.lines.push_back(Incoming::new(line)),
                Ok(None) => {
                    if matches!(self.end, Some((Departure::Closed, _))) {
                        self.lines
                            .extend(self.splitter.finish().map(Incoming::unterminated));
                    }
                    return;
                }
                Err(error) => self.end = Some((Departure::TooLong(error), Instant::now())),
            }
        }
    }
}
