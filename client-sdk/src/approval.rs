//! Calls that wait until somebody approves them.

use labwire_device::payload::from_json;
use tokio::sync::watch;

use crate::value::Value;

/// What the manager tells about a call that somebody must approve before it goes to its service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Approval {
    /// The call waits. Its service has not received it.
    Waits {
        /// The number of the call, for whoever decides: `labwire approve ID`.
        id: String,
        /// When the call ends if nobody has decided: UTC, RFC 3339.
        until: String,
    },
    /// Somebody has approved the call, and the manager has sent it to its service.
    Given {
        /// The name of the user who has approved it.
        by: String,
    },
}

impl Approval {
    /// Reads what the manager has sent as progress of a call.
    pub(crate) fn read(json: &[u8]) -> Option<Self> {
        let Ok(Value::Map(members)) = from_json::<Value>(std::str::from_utf8(json).ok()?) else {
            return None;
        };
        let text = |name| members.get(name)?.as_text().map(str::to_owned);
        if let Some(by) = text("approved_by") {
            return Some(Self::Given { by });
        }
        (text("waits_for")? == "approval").then_some(Self::Waits {
            id: text("id")?,
            until: text("until")?,
        })
    }
}

/// Whether a call waits for approval, and the changes. Created by
/// [`Pending::approval`](crate::Pending::approval).
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::lab(|options| async move {
/// # use labwire_client::Client;
/// # let client = Client::connect("Ada", options).await?;
/// use labwire_client::{Approval, LatestApproval, args};
///
/// let math = client.link("BasicMath").await?;
/// let mut sum = math.call::<f64>("add", args![1, 2]).send().await?;
/// let mut approval: LatestApproval = sum.approval().await;
/// let sum = loop {
///     tokio::select! {
///         sum = &mut sum => break sum?,
///         Some(news) = approval.changed() => match news {
///             Approval::Waits { id, until } => println!("labwire approve {id}, until {until}"),
///             news => println!("{news:?}"),
///         },
///     }
/// };
/// assert_eq!(sum, 3.0);
/// // Nobody had to approve this call.
/// assert_eq!(approval.latest(), None);
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct LatestApproval {
    /// `None` if the call had ended before it was asked about.
    latest: Option<watch::Receiver<Option<Approval>>>,
}

impl LatestApproval {
    pub(crate) fn new(mut latest: Option<watch::Receiver<Option<Approval>>>) -> Self {
        if let Some(latest) = &mut latest {
            latest.mark_changed();
        }
        Self { latest }
    }

    /// Returns what the manager has told last; `None` if the call does not need to be approved, or if
    /// the manager has not told so yet.
    ///
    /// See the example of [`LatestApproval`].
    pub fn latest(&self) -> Option<Approval> {
        self.latest.as_ref()?.borrow().clone()
    }

    /// Waits for something that this handle has not returned here yet. Returns `None` once the call has
    /// ended.
    ///
    /// Cancel safe.
    ///
    /// See the example of [`LatestApproval`].
    pub async fn changed(&mut self) -> Option<Approval> {
        let latest = self.latest.as_mut()?;
        loop {
            latest.changed().await.ok()?;
            let value = latest.borrow_and_update().clone();
            if value.is_some() {
                return value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_manager_tells_is_read_and_anything_else_is_nothing() {
        let waits = br#"{"id":"ab-1","message":"m","until":"2026-11-29T12:00:00Z","waits_for":"approval"}"#;
        assert_eq!(
            Approval::read(waits),
            Some(Approval::Waits {
                id: "ab-1".to_owned(),
                until: "2026-11-29T12:00:00Z".to_owned(),
            })
        );
        let given = br#"{"approved_by":"olga","id":"ab-1","message":"m"}"#;
        assert_eq!(
            Approval::read(given),
            Some(Approval::Given {
                by: "olga".to_owned()
            })
        );
        for other in [
            &b"0.5"[..],
            b"{}",
            br#"{"waits_for":"the lamp"}"#,
            br#"{"waits_for":"approval"}"#,
            b"\xff",
        ] {
            assert_eq!(Approval::read(other), None);
        }
    }
}
