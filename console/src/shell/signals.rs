//! Signals that end the shell.

/// Waits for SIGTERM or SIGHUP in an interactive shell, which must restore the terminal. Waits for
/// ever in a script.
#[cfg(unix)]
pub(super) async fn asked_to_end(is_of_person: bool) {
    use tokio::signal::unix::{SignalKind, signal};

    // Listening to a signal would replace its default action, which ends a script.
    if is_of_person
        && let Ok(mut terminate) = signal(SignalKind::terminate())
        && let Ok(mut hang_up) = signal(SignalKind::hangup())
    {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    } else {
        std::future::pending::<()>().await;
    }
}

/// Waits for ever: a console that is closed ends its programs.
#[cfg(not(unix))]
pub(super) async fn asked_to_end(_is_of_person: bool) {
    std::future::pending::<()>().await;
}
