//! The modes of the terminal, which are restored at the end. The editor and the questions restore
//! what they change, unless the shell ends while a question is open.

/// The modes of the terminal at a time. Dropping it restores them.
#[cfg(unix)]
pub(crate) struct Modes(Option<rustix::termios::Termios>);

#[cfg(unix)]
impl Modes {
    /// Returns the present modes.
    pub(crate) fn present() -> Self {
        Self(rustix::termios::tcgetattr(std::io::stdin()).ok())
    }
}

#[cfg(unix)]
impl Drop for Modes {
    fn drop(&mut self) {
        if let Some(modes) = &self.0 {
            // If the terminal is gone, so are its modes.
            let _ =
                rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Now, modes);
        }
    }
}

/// A console that is closed has no modes to restore, and the shell ends in no other way while a
/// question is open.
#[cfg(not(unix))]
pub(crate) struct Modes;

#[cfg(not(unix))]
impl Modes {
    /// Returns nothing to restore.
    pub(crate) fn present() -> Self {
        Self
    }
}
