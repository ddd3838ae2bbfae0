//! Passwords, read at the terminal without showing them.

use std::io;

/// Reads a line at the terminal that controls this process, without showing it.
///
/// The terminal is as before when this returns, and also when the person presses a key that asks
/// the program to end or to pause: Ctrl-C restores the terminal first, and then sends the signal
/// `INT` as the terminal itself would. If the program handles that signal, this returns an error of
/// the kind [`Interrupted`](io::ErrorKind::Interrupted). A program that is ended by another signal
/// meanwhile has to call [`restore_terminal`] first.
///
/// Blocks until the line is complete.
///
/// # Errors
/// If there is no terminal, if it is closed, or if the person gave up with Ctrl-C or Ctrl-D.
///
/// ```no_run
/// let password = labwire_device::read_password("Password: ")?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn read_password(prompt: &str) -> io::Result<String> {
    system::read_password(prompt)
}

/// Makes the terminal as it was before [`read_password`], if a password is being read. For programs
/// that end meanwhile.
///
/// ```
/// // After a signal that ends the program:
/// labwire_device::restore_terminal();
/// ```
pub fn restore_terminal() {
    system::restore_terminal();
}

#[cfg(unix)]
mod system {
    use std::fs::File;
    use std::io::{self, ErrorKind, Read, Write};
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use rustix::process::{Signal, kill_current_process_group};
    use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

    /// The longest line, in bytes.
    const LONGEST: usize = 64 * 1024;

    /// The key that erases the line up to the word before it. Here it erases all.
    const ERASE_WORD: u8 = 0x17;

    /// The code of a control character that the terminal does not have, `_POSIX_VDISABLE`. On Linux
    /// it is also what Ctrl-Space sends.
    const DISABLED: u8 = if cfg!(any(target_os = "linux", target_os = "android")) {
        0
    } else {
        0xff
    };

    /// Returns whether a key is the control character with that code.
    fn is_control(key: u8, code: u8) -> bool {
        key == code && code != DISABLED
    }

    /// A terminal that shows nothing, with its modes before.
    struct Hidden {
        terminal: File,
        before: Termios,
    }

    static HIDDEN: Mutex<Option<Hidden>> = Mutex::new(None);

    /// Held while a password is read: two questions at once would read each other's keys.
    static READING: Mutex<()> = Mutex::new(());

    fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn restore_terminal() {
        if let Some(Hidden { terminal, before }) = locked(&HIDDEN).take() {
            // If the terminal is gone, so are its modes.
            let _ = tcsetattr(&terminal, OptionalActions::Now, &before);
        }
    }

    /// Restores the terminal on drop.
    struct Restored;

    impl Drop for Restored {
        fn drop(&mut self) {
            restore_terminal();
        }
    }

    /// Makes the terminal show nothing and pass each key at once. Returns its modes before.
    fn hide(terminal: &File) -> io::Result<Termios> {
        let before = tcgetattr(terminal)?;
        let mut modes = before.clone();
        modes
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        let copy = terminal.try_clone()?;
        let mut hidden = locked(&HIDDEN);
        tcsetattr(terminal, OptionalActions::Now, &modes)?;
        *hidden = Some(Hidden {
            terminal: copy,
            before: before.clone(),
        });
        Ok(before)
    }

    pub(super) fn read_password(prompt: &str) -> io::Result<String> {
        let _reading = locked(&READING);
        let mut terminal = File::options().read(true).write(true).open("/dev/tty")?;
        terminal.write_all(prompt.as_bytes())?;
        let before = hide(&terminal)?;
        let _restored = Restored;
        let typed = read_line(&mut terminal, prompt, &before);
        restore_terminal();
        terminal.write_all(b"\n")?;
        let typed = typed.inspect_err(|error| {
            if error.kind() == ErrorKind::Interrupted {
                // The signal of Ctrl-C, for the whole job as from a terminal. By default it ends this
                // process here; an error means the same as a signal that is ignored.
                let _ = kill_current_process_group(Signal::INT);
            }
        })?;
        String::from_utf8(typed)
            .map_err(|_| io::Error::new(ErrorKind::InvalidData, "what was typed is not UTF-8 text"))
    }

    /// Reads keys up to the end of the line.
    fn read_line(terminal: &mut File, prompt: &str, before: &Termios) -> io::Result<Vec<u8>> {
        let is = |key, index| is_control(key, before.special_codes[index]);
        let mut line = Vec::new();
        loop {
            let mut key = [0];
            match terminal.read(&mut key) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                // Another signal was handled.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            match key[0] {
                b'\n' | b'\r' => return Ok(line),
                key if is(key, SpecialCodeIndex::VINTR) || is(key, SpecialCodeIndex::VQUIT) => {
                    return Err(ErrorKind::Interrupted.into());
                }
                key if is(key, SpecialCodeIndex::VSUSP) => {
                    restore_terminal();
                    let _ = kill_current_process_group(Signal::TSTP);
                    // The job goes on.
                    hide(terminal)?;
                    line.clear();
                    terminal.write_all(format!("\n{prompt}").as_bytes())?;
                }
                key if is(key, SpecialCodeIndex::VEOF) => {
                    if line.is_empty() {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                }
                key if is(key, SpecialCodeIndex::VKILL) || key == ERASE_WORD => line.clear(),
                key if is(key, SpecialCodeIndex::VERASE) || key == 0x08 || key == 0x7f => {
                    // The last character, which may have several bytes.
                    while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
                }
                key if line.len() < LONGEST => line.push(key),
                _ => return Err(io::Error::new(ErrorKind::InvalidData, "the line is too long")),
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_control_character_that_is_disabled_is_no_key() {
            assert!(is_control(3, 3));
            assert!(!is_control(3, 4));
            assert!(!is_control(DISABLED, DISABLED));
        }
    }
}

#[cfg(not(unix))]
mod system {
    use std::io;

    pub(super) fn read_password(prompt: &str) -> io::Result<String> {
        rpassword::prompt_password(prompt)
    }

    /// The console is restored by the system when its program ends.
    pub(super) fn restore_terminal() {}
}
