//! The connection to an SSH agent, which each operating system has in another form.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(super) use unix::{Stream, connect};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(super) use windows::{Stream, connect};
