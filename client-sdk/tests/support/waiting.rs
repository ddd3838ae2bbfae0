//! Waiting for what nothing announces.

use std::time::{Duration, Instant};

/// How long may take what a healthy system does within a moment.
const DEADLINE: Duration = Duration::from_secs(10);

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(5);

/// Looks until it is so, and fails with what was waited for if it never is.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !is_so().await {
            tokio::time::sleep(LOOK).await;
        }
    };
    within_the_deadline(what, looking).await;
}

/// The same without async.
pub(crate) fn until_blocking(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < DEADLINE, "{}", missed(what));
        std::thread::sleep(LOOK);
    }
}

/// Waits for something, and fails with what it was if it takes too long.
pub(crate) async fn within_the_deadline<F: Future>(what: &str, future: F) -> F::Output {
    let waited = tokio::time::timeout(DEADLINE, future).await;
    waited.unwrap_or_else(|_| panic!("{}", missed(what)))
}

fn missed(what: &str) -> String {
    format!("it was waited {} s until {what}", DEADLINE.as_secs())
}
