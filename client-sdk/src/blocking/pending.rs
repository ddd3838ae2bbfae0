//! The blocking form of a call in flight.

use super::background::Background;
use crate::error::CallError;

/// A call in flight, sent with [`Link::start`](super::Link::start). If it is dropped, the reply is
/// ignored.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::blocking_lab(|options| {
/// # use labwire_client::blocking::Client;
/// # let client = Client::connect("Ada", options)?;
/// use labwire_client::{args, blocking::Pending};
///
/// let math = client.link("BasicMath")?;
/// let pending: Pending<f64> = math.start("add", args![1, 2])?;
/// // … something else …
/// assert_eq!(pending.approval(), None, "nobody has to approve this call");
/// assert_eq!(pending.wait()?, 3.0);
/// # Ok(())
/// # });
/// ```
#[derive(Debug)]
#[must_use = "the result of the call is ignored when this is dropped"]
pub struct Pending<T> {
    pending: crate::Pending<T>,
    background: Background,
}

impl<T> Pending<T> {
    pub(super) fn new(pending: crate::Pending<T>, background: Background) -> Self {
        Self { pending, background }
    }

    /// Returns the call, and what runs it.
    pub(super) fn parts(&self) -> (&crate::Pending<T>, &Background) {
        (&self.pending, &self.background)
    }

    /// Waits for the result.
    ///
    /// See the example of [`Pending`].
    pub fn wait(self) -> Result<T, CallError> {
        self.background.wait(self.pending)
    }
}
