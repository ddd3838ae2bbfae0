//! Lines of a service that are discarded, and that have ended a request.

use tokio::io::AsyncRead;

use super::inbox::Inbox;
use super::session::Session;
use crate::router::Rest;

/// Such a line, and the position before it.
#[derive(Debug)]
pub(super) struct UnhandledRest {
    rest: Rest,
    begin: u64,
}

impl Session<'_> {
    /// Notes that the line at position `begin` is discarded, and that it has ended a request. The reply
    /// is owed until the line is handled.
    pub(super) fn begin_rest<R: AsyncRead + Unpin>(
        &mut self,
        inbox: &Inbox<R>,
        rest: Option<Rest>,
        begin: u64,
    ) {
        if let Some(rest) = rest {
            self.rests.push(UnhandledRest { rest, begin });
            self.end_rests(inbox);
        }
    }

    /// Takes the notes of the discarded lines that are handled: they are not sent again.
    pub(super) fn end_rests<R: AsyncRead + Unpin>(&mut self, inbox: &Inbox<R>) {
        let handled = inbox.handled();
        for UnhandledRest { rest, .. } in self.rests.extract_if(.., |rest| rest.begin < handled) {
            self.attachment
                .with_router(|router, from| router.end_rest(from, &rest));
        }
    }
}
