//! Repeats a call on its schedule.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use labwire_client::{Approval, CallError, Link};
use labwire_home::present;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::sources::Poll;
use crate::approval;
use crate::failure::Failure;
use crate::feed::{Event, Events, Outcome, Polled, send};
use crate::near::did_you_mean;
use crate::output::one_line;

/// Calls on schedule, and sends each outcome as an event. One call is in flight at a time; calls
/// that are due meanwhile are left out.
pub(super) async fn poll(
    poll: Poll,
    mut links: watch::Receiver<Option<Link>>,
    events: Events,
) -> Result<Infallible, Failure> {
    // The schedule begins with the first link.
    if links.wait_for(Option::is_some).await.is_err() {
        // The sender was dropped: the command is ending.
        std::future::pending::<()>().await;
    }
    let mut due = Instant::now();
    loop {
        sleep_until(due).await;
        let link = links.borrow_and_update().clone();
        let is_linked = link.is_some();
        if let Some(link) = link {
            call(&poll, &link, &mut links, &events).await;
        }
        due += poll.every;
        let skipped = missed(due, poll.every);
        due += poll.every * skipped;
        // While the service was away, the recording has a gap.
        if skipped > 0 && is_linked && links.borrow().is_some() {
            let count = skipped.into();
            tell(&poll, &events, Outcome::Skipped { count }).await;
        }
    }
}

/// Returns the number of times from `due` on that have passed.
fn missed(due: Instant, every: Duration) -> u32 {
    let late = Instant::now().saturating_duration_since(due);
    u32::try_from(late.as_nanos().div_ceil(every.as_nanos().max(1))).unwrap_or(u32::MAX)
}

async fn tell(poll: &Poll, events: &Events, outcome: Outcome) {
    told(poll, events, present(), outcome).await;
}

async fn told(poll: &Poll, events: &Events, time: Timestamp, outcome: Outcome) {
    let call = Arc::clone(&poll.call);
    send(
        events,
        Some(&poll.service),
        Event::Polled(Polled { call, time, outcome }),
    )
    .await;
}

/// Calls once. A reply after the timeout still counts: until then the service is busy, and further
/// calls would only queue up.
async fn call(poll: &Poll, link: &Link, links: &mut watch::Receiver<Option<Link>>, events: &Events) {
    let (time, begun) = (present(), Instant::now());
    let request = link.call::<()>(&poll.attribute, poll.arguments.clone()).raw();
    // What it waited for; it does so once.
    let waiting = OnceLock::new();
    let replied = approval::heard(request, |news| {
        if let Approval::Waits { id, .. } = news {
            let id = one_line(id);
            let _ = waiting.set(format!(
                "it waits for approval as {id}; somebody else lets it go on with: labwire approve {id}; "
            ));
        }
    });
    let reply = async {
        tokio::select! {
            biased;
            reply = replied => reply.map_err(|error| explained(poll, link, &error)),
            // A manager that does not report departures does not end the calls in flight either.
            _ = links.wait_for(Option::is_none) => Err("the service left before it replied".to_owned()),
        }
    };
    tokio::pin!(reply);
    let reply = if let Ok(reply) = timeout(poll.timeout, &mut reply).await {
        reply
    } else {
        let message = format!(
            "no reply within {} s; {}the next calls wait for it",
            poll.timeout.as_secs_f64(),
            waiting.get().map_or("", String::as_str)
        );
        let late = Outcome::Error {
            message,
            took: begun.elapsed(),
        };
        told(poll, events, time, late).await;
        reply.await
    };
    let took = begun.elapsed();
    let outcome = match reply {
        Ok(result) => Outcome::Result { result, took },
        Err(message) => Outcome::Error { message, took },
    };
    told(poll, events, time, outcome).await;
}

/// Returns the reason of a failure. An unknown attribute gets a suggestion.
fn explained(poll: &Poll, link: &Link, error: &CallError) -> String {
    let identity = link.identity();
    let known = identity.attributes.keys().map(String::as_str);
    let is_unknown =
        matches!(error, CallError::Service { .. }) && !identity.attributes.contains_key(&poll.attribute);
    match did_you_mean(&poll.attribute, known).filter(|_| is_unknown) {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    }
}
