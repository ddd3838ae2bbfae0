//! The blocking form of a call whose progress and items are followed.

use labwire_device::payload::IntoArguments;
use serde::de::DeserializeOwned;

use super::background::Background;
use super::link::Link;
use super::pending::Pending;
use crate::approval::Approval;
use crate::cancel::CancelOutcome;
use crate::error::CallError;
use crate::progress_value::ProgressValue;

/// A call in flight whose progress and items are followed: the blocking form of
/// [`labwire_client::Following`](crate::Following). Created by [`Link::follow`].
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::blocking_lab(|options| {
/// # use labwire_client::blocking::Client;
/// # let client = Client::connect("Ada", options)?;
/// use labwire_client::{args, blocking::Following};
///
/// let math = client.link("BasicMath")?;
/// let mut sum: Following<f64> = math.follow("add", args![1, 2])?;
/// for item in sum.items::<f64>() {
///     println!("{}, {:?}", item?, sum.latest());
/// }
/// // This service sends no items.
/// assert_eq!(sum.wait()?, 3.0);
/// # Ok(())
/// # });
/// ```
#[derive(Debug)]
#[must_use = "the result of the call is ignored when this is dropped"]
pub struct Following<T> {
    following: crate::Following<T>,
    background: Background,
}

impl<T> Following<T> {
    /// Returns the items as they come, each decoded; the iterator waits for the next one, and ends
    /// with the call.
    ///
    /// See the example of [`Following`].
    pub fn items<I: DeserializeOwned>(&mut self) -> Items<I> {
        Items {
            items: self.following.items(),
            background: self.background.clone(),
        }
    }

    /// Returns the latest progress; `None` if there was none.
    ///
    /// See the example of [`Following`].
    pub fn latest(&self) -> Option<ProgressValue> {
        self.following.progress().latest()
    }

    /// Returns what the manager has told about the call's approval; `None` if it does not need any, or
    /// if the manager has not told so yet.
    pub fn approval(&self) -> Option<Approval> {
        self.background.wait(self.following.approval()).latest()
    }

    /// Cancels the call: see [`Canceller::cancel`](crate::Canceller::cancel).
    ///
    /// # Errors
    /// Those of [`Canceller::cancel`](crate::Canceller::cancel).
    pub fn cancel(&self, reason: Option<&str>) -> Result<CancelOutcome, CallError> {
        self.background.wait(self.following.canceller().cancel(reason))
    }

    /// Waits for the result.
    ///
    /// See the example of [`Following`].
    ///
    /// # Errors
    /// Those of the call.
    pub fn wait(self) -> Result<T, CallError> {
        self.background.wait(self.following)
    }
}

/// The items of a call, as they come: the blocking form of [`labwire_client::Items`](crate::Items).
///
/// See the example of [`Following`].
#[derive(Debug)]
pub struct Items<I> {
    items: crate::Items<I>,
    background: Background,
}

impl<I> Iterator for Items<I> {
    type Item = Result<I, CallError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.background.wait(self.items.next())
    }
}

impl Link {
    /// Sends a call whose progress and items are followed. See [`Call::follow`](crate::Call::follow).
    ///
    /// See the example of [`Following`].
    ///
    /// # Errors
    /// Those of [`Call::follow`](crate::Call::follow).
    pub fn follow<T: DeserializeOwned + 'static>(
        &self,
        attribute: &str,
        arguments: impl IntoArguments,
    ) -> Result<Following<T>, CallError> {
        let (link, background) = self.parts();
        Ok(Following {
            following: background.wait(link.call(attribute, arguments).follow())?,
            background: background.clone(),
        })
    }
}

impl<T> Pending<T> {
    /// Returns what the manager has told about the call's approval; `None` if it does not need any, or
    /// if the manager has not told so yet.
    ///
    /// See the example of [`Pending`].
    pub fn approval(&self) -> Option<Approval> {
        let (pending, background) = self.parts();
        background.wait(pending.approval()).latest()
    }

    /// Cancels the call: see [`Canceller::cancel`](crate::Canceller::cancel). [`wait`](Self::wait)
    /// then returns how it has ended.
    ///
    /// # Errors
    /// Those of [`Canceller::cancel`](crate::Canceller::cancel).
    pub fn cancel(&self, reason: Option<&str>) -> Result<CancelOutcome, CallError> {
        let (pending, background) = self.parts();
        background.wait(pending.canceller().cancel(reason))
    }
}
