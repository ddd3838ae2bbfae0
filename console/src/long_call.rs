//! A call that may take long: it shows its progress and its items, and Ctrl-C can cancel it.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use labwire_client::{
    Approval, Call, CallError, CancelOutcome, Canceller, Executed, Following, LatestApproval, ProgressValue,
};
use tokio::time::timeout;

use crate::approval;
use crate::failure::Failure;
use crate::in_flight::in_flight;
use crate::output::{one_line, tell};
use crate::stop::{EndSignal, Stop};

/// How a call ends that Ctrl-C has cancelled.
const AGAIN: &str = "press Ctrl-C again to stop waiting for it";

/// The longest message of a service that is shown, in characters.
const LONGEST_MESSAGE: usize = 60;

/// How long the manager's answer is waited for after Ctrl-C while a call waits for approval.
const LAST_WORD: Duration = Duration::from_secs(1);

/// How a call that may take long is made.
pub(crate) struct LongCall {
    /// What is called, for people.
    pub(crate) name: String,
    /// Set if its progress is shown, and its items are printed.
    pub(crate) display: Option<Display>,
    /// The end of the command.
    pub(crate) stop: Stop,
    /// Whether Ctrl-C cancels the call and lets it end. Otherwise it ends the command; a call that waits
    /// for approval is cancelled all the same.
    pub(crate) cancels: bool,
}

/// Why a call has no result.
pub(crate) enum Unanswered {
    Error(CallError),
    /// This signal has cancelled the call.
    Cancelled(CallError, EndSignal),
    /// An item could not be shown, or Ctrl-C came.
    Failure(Failure),
}

impl LongCall {
    /// Makes a call, and passes each item to `show`. Returns the result, and the signal that has
    /// cancelled the call before it came.
    pub(crate) async fn make(
        &self,
        call: Call<String>,
        show: impl FnMut(&str) -> Result<(), Failure>,
    ) -> Result<(String, Option<EndSignal>), Unanswered> {
        in_flight(self.run(call, show)).await
    }

    async fn run(
        &self,
        call: Call<String>,
        show: impl FnMut(&str) -> Result<(), Failure>,
    ) -> Result<(String, Option<EndSignal>), Unanswered> {
        // From here on Ctrl-C cancels the call.
        if self.cancels {
            self.stop.begin().map_err(Unanswered::Failure)?;
        }
        let Some(display) = &self.display else {
            let pending = call.send().await.map_err(Unanswered::Error)?;
            let (canceller, approval) = (pending.canceller(), pending.approval().await);
            let outcome = async { pending.await.map_err(Unanswered::Error) };
            return self.until_ended(outcome, &canceller, approval).await;
        };
        let mut following = call.follow().await.map_err(Unanswered::Error)?;
        let (canceller, approval) = (following.canceller(), following.approval().await);
        let outcome = self.until_ended(shown(&mut following, display, show), &canceller, approval);
        let outcome = outcome.await;
        display.finish();
        outcome
    }

    /// Waits for the end of a call, which the first signal cancels. Its items are shown to the end: they
    /// belong to what the service has done.
    async fn until_ended(
        &self,
        outcome: impl Future<Output = Result<String, Unanswered>>,
        canceller: &Canceller,
        mut approval: LatestApproval,
    ) -> Result<(String, Option<EndSignal>), Unanswered> {
        let asking = self.cancel_when_asked(canceller);
        tokio::pin!(outcome, asking);
        let outcome = loop {
            tokio::select! {
                outcome = &mut outcome => break outcome,
                Some(news) = approval.changed() => self.tell_approval(&news),
                sent = &mut asking, if self.cancels => {
                    sent.map_err(Unanswered::Error)?;
                    break outcome.await;
                }
                signal = self.stop.requested(), if !self.cancels && self.stop.has_begun() => {
                    let is_waiting = matches!(approval.latest(), Some(Approval::Waits { .. }));
                    if !is_waiting {
                        return Err(Unanswered::Failure(signal.failure()));
                    }
                    return withdrawn(outcome, canceller, signal).await;
                }
            }
        };
        // The end of a cancelled call may come before the manager's answer to the cancellation.
        let signal = self.stop.asked().filter(|_| self.cancels);
        match (outcome, signal) {
            (Err(Unanswered::Error(error)), Some(signal)) if error.is_cancelled() => {
                Err(Unanswered::Cancelled(error, signal))
            }
            (outcome, signal) => Ok((outcome?, signal)),
        }
    }

    /// Tells that the call waits for approval, or was approved.
    fn tell_approval(&self, news: &Approval) {
        // From here on a signal does not end the command before the call is cancelled. If one has come
        // already, the command is ending.
        let _ = self.stop.begin();
        let line = approval::line(&self.name, news);
        let say = || tell(format_args!("labwire: {line}"));
        match &self.display {
            Some(display) => display.above(say),
            None => say(),
        }
    }

    /// Cancels the call when a signal comes.
    async fn cancel_when_asked(&self, canceller: &Canceller) -> Result<(), CallError> {
        let signal = self.stop.requested().await;
        if canceller.cancel(Some(signal.name())).await? == CancelOutcome::Asked {
            let say = || tell(format_args!("labwire: the service is asked to stop; {AGAIN}"));
            match &self.display {
                Some(display) => display.above(say),
                None => say(),
            }
        }
        Ok(())
    }
}

/// Cancels a call that waits for approval, and returns what the manager says about it: it may have been
/// approved just now.
async fn withdrawn(
    outcome: impl Future<Output = Result<String, Unanswered>>,
    canceller: &Canceller,
    signal: EndSignal,
) -> Result<(String, Option<EndSignal>), Unanswered> {
    let last_word = async {
        match canceller.cancel(Some(signal.name())).await {
            // The end of the call has come before this answer.
            Ok(CancelOutcome::Ended | CancelOutcome::Over) => Some(outcome.await),
            _ => None,
        }
    };
    match timeout(LAST_WORD, last_word).await {
        Ok(Some(Ok(result))) => Ok((result, Some(signal))),
        Ok(Some(Err(Unanswered::Error(error)))) if error.executed() == Executed::No => {
            Err(Unanswered::Cancelled(error, signal))
        }
        _ => Err(Unanswered::Failure(signal.failure())),
    }
}

/// Shows progress and items until the call has ended.
async fn shown(
    following: &mut Following<String>,
    display: &Display,
    mut show: impl FnMut(&str) -> Result<(), Failure>,
) -> Result<String, Unanswered> {
    let (mut items, mut progress) = (following.raw_items(), following.progress());
    let (mut has_items, mut has_progress) = (true, true);
    while has_items || has_progress {
        tokio::select! {
            biased;
            value = progress.changed(), if has_progress => match value {
                Some(value) => display.progress(&value),
                None => has_progress = false,
            },
            item = items.next(), if has_items => match item {
                Some(Ok(item)) => display.above(|| show(&item)).map_err(Unanswered::Failure)?,
                Some(Err(error)) => return Err(Unanswered::Error(error)),
                None => has_items = false,
            },
        }
    }
    following.await.map_err(Unanswered::Error)
}

/// Shows progress on standard error: as a bar at a terminal, otherwise as lines. It is cleared when it
/// is dropped. Clones show the same.
#[derive(Clone)]
pub(crate) struct Display {
    bar: Option<ProgressBar>,
    /// Whether there was progress. Until then there is no bar to draw again.
    has_progress: Arc<AtomicBool>,
}

impl Display {
    /// Creates a display for one call. Nothing is shown before its progress comes.
    pub(crate) fn new() -> Self {
        let bar = || ProgressBar::no_length().with_finish(ProgressFinish::AndClear);
        Self {
            bar: io::stderr().is_terminal().then(bar),
            has_progress: Arc::default(),
        }
    }

    /// Returns whether the service has sent progress.
    pub(crate) fn has_progress(&self) -> bool {
        self.has_progress.load(Ordering::Relaxed)
    }

    fn progress(&self, value: &ProgressValue) {
        // That is the manager's, and has a line of its own.
        if value.approval().is_some() {
            return;
        }
        self.has_progress.store(true, Ordering::Relaxed);
        let text = value.message().map(|text| shortened(&text));
        let Some(bar) = &self.bar else {
            let ratio = value.ratio().map(|ratio| format!("{:.0} %", 100.0 * ratio));
            let line = match (ratio, text) {
                (Some(ratio), Some(text)) => format!("{ratio}, {text}"),
                (Some(text), None) | (None, Some(text)) => text,
                (None, None) => shortened(value.json()),
            };
            return tell(format_args!("progress: {line}"));
        };
        let template = match value.ratio() {
            Some(_) => "{bar:30} {percent} % {msg}",
            None => "{spinner} {elapsed} {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        if let Some(ratio) = value.ratio() {
            const STEPS: f64 = 1_000.0;
            bar.set_length(1_000);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a ratio is from 0 to 1"
            )]
            bar.set_position((STEPS * ratio) as u64);
        }
        bar.set_message(match (text, value.ratio()) {
            (Some(text), _) => text,
            (None, Some(_)) => String::new(),
            (None, None) => shortened(value.json()),
        });
    }

    /// Writes above the bar.
    pub(crate) fn above<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) if self.has_progress() => bar.suspend(write),
            _ => write(),
        }
    }

    /// Clears it.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Returns the beginning of a service's text, on one line.
fn shortened(text: &str) -> String {
    let text = one_line(text);
    match text.char_indices().nth(LONGEST_MESSAGE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_services_text_is_shown_on_one_short_line() {
        assert_eq!(shortened("filter\n3"), one_line("filter\n3"));
        assert_eq!(shortened(&"é".repeat(100)).chars().count(), LONGEST_MESSAGE + 1);
    }
}
