//! What a person is told of a call that waits for approval.

use labwire_client::{Approval, Call, CallError, Pending};

use crate::moment::localized;
use crate::output::one_line;

/// Returns what a person is told of a call, as in `DMM.read`.
pub(crate) fn line(call: &str, news: &Approval) -> String {
    match news {
        Approval::Waits { id, until } => {
            let id = one_line(id);
            format!(
                "{call} waits for approval as {id} until {}; somebody else lets it go on with: labwire approve {id}",
                one_line(&localized(until))
            )
        }
        Approval::Given { by } => format!("{call} was approved by {}", one_line(by)),
        _ => format!("{call} waits for approval"),
    }
}

/// Returns the name of a call for people.
pub(crate) fn named(service: &str, attribute: &str) -> String {
    one_line(&format!("{service}.{attribute}"))
}

/// Makes a call, and passes what a person is to be told to `say`.
///
/// # Errors
/// Those of the call.
pub(crate) async fn told<T: 'static>(
    call: Call<T>,
    name: &str,
    say: impl Fn(String),
) -> Result<T, CallError> {
    heard(call, |news| say(line(name, news))).await
}

/// Makes a call, and passes what is decided about it meanwhile to `hear`.
///
/// # Errors
/// Those of the call.
pub(crate) async fn heard<T: 'static>(call: Call<T>, hear: impl Fn(&Approval)) -> Result<T, CallError> {
    awaited(call.send().await?, hear).await
}

/// Waits for the outcome of a call, and passes what is decided about it to `hear`, also what was decided before.
///
/// # Errors
/// Those of the call.
pub(crate) async fn awaited<T: 'static>(
    mut pending: Pending<T>,
    hear: impl Fn(&Approval),
) -> Result<T, CallError> {
    let mut approval = pending.approval().await;
    loop {
        tokio::select! {
            outcome = &mut pending => return outcome,
            Some(news) = approval.changed() => hear(&news),
        }
    }
}
