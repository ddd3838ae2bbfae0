//! The whole screen of a terminal, for `status --watch`, `watch --plot` and `top`: enters it, reads
//! keys, draws lines that have changed, and restores the terminal when the command ends or panics.

use std::io::{self, Write};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap, EndSynchronizedUpdate,
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use crossterm::{execute, queue};
use tokio::sync::mpsc;

/// Whether the terminal is in use.
static IS_ENTERED: AtomicBool = AtomicBool::new(false);

/// How often the thread that reads keys checks whether its receiver still exists.
const KEY_TIME: Duration = Duration::from_millis(200);

/// Restores the terminal, if it is in use.
pub(crate) fn restore() {
    if IS_ENTERED.swap(false, Ordering::SeqCst) {
        // The terminal may be gone; there is nothing else to try then.
        let _ = execute!(
            io::stdout(),
            EndSynchronizedUpdate,
            EnableLineWrap,
            Show,
            LeaveAlternateScreen
        );
        let _ = disable_raw_mode();
    }
}

/// The screen. Dropping it restores the terminal. Lines are drawn with [`draw`](Self::draw); `top`
/// draws with ratatui instead.
pub(crate) struct Screen {
    shown: Vec<String>,
    size: (u16, u16),
    is_colored: bool,
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

impl Screen {
    /// Enters the alternate screen in raw mode. Also restores the terminal on panics.
    pub(crate) fn enter() -> io::Result<Self> {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |information| {
            restore();
            before(information);
        }));
        let size = size()?;
        enable_raw_mode()?;
        IS_ENTERED.store(true, Ordering::SeqCst);
        let screen = Self {
            shown: Vec::new(),
            size,
            is_colored: AutoStream::choice(&io::stdout()) != ColorChoice::Never,
        };
        execute!(io::stdout(), EnterAlternateScreen, Hide, DisableLineWrap)?;
        Ok(screen)
    }

    /// Returns the width and the height in characters.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.size.0.into(), self.size.1.into())
    }

    /// Returns whether colours are wanted.
    pub(crate) fn is_colored(&self) -> bool {
        self.is_colored
    }

    /// Sets another size. The next lines are all drawn.
    pub(crate) fn resize(&mut self, size: (u16, u16)) {
        self.size = size;
        self.shown.clear();
    }

    /// Shows these lines. Those that are shown already stay as they are, so nothing flickers.
    pub(crate) fn draw(&mut self, lines: Vec<String>) -> io::Result<()> {
        if self.shown == lines {
            return Ok(());
        }
        let mut output = io::stdout().lock();
        queue!(output, BeginSynchronizedUpdate)?;
        if self.shown.is_empty() {
            queue!(output, Clear(ClearType::All))?;
        }
        for (row, line) in (0_u16..self.size.1).zip(&lines) {
            if self.shown.get(usize::from(row)) != Some(line) {
                // Before the line: behind one as wide as the screen, the cursor is still on its last
                // character, which would be cleared.
                queue!(output, MoveTo(0, row), Clear(ClearType::UntilNewLine))?;
                output.write_all(line.as_bytes())?;
            }
        }
        if lines.len() < self.shown.len().min(self.size.1.into()) {
            let row = u16::try_from(lines.len()).unwrap_or(u16::MAX);
            queue!(output, MoveTo(0, row), Clear(ClearType::FromCursorDown))?;
        }
        queue!(output, EndSynchronizedUpdate)?;
        self.shown = lines;
        output.flush()
    }
}

/// An input at the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// Ctrl-C, which a terminal in raw mode passes on as a key, or the end of the terminal.
    End,
    Key(Key),
    Resize(u16, u16),
}

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Up,
    Down,
    Left,
    Right,
    Enter,
    Escape,
    Tab,
    Backspace,
    Character(char),
}

impl Input {
    /// Returns whether it ends a screen without questions or other views.
    pub(crate) fn ends(self) -> bool {
        matches!(self, Self::End | Self::Key(Key::Escape | Key::Character('q')))
    }
}

/// Reads keys on a thread of its own, until the receiver is dropped.
pub(crate) fn inputs() -> mpsc::UnboundedReceiver<Input> {
    let (sender, receiver) = mpsc::unbounded_channel();
    thread::spawn(move || {
        while !sender.is_closed() {
            let read = match event::poll(KEY_TIME) {
                Ok(true) => event::read(),
                Ok(false) => continue,
                Err(error) => Err(error),
            };
            let Ok(read) = read else {
                // There is no terminal to read from any more.
                let _ = sender.send(Input::End);
                return;
            };
            if let Some(input) = understood(&read)
                && sender.send(input).is_err()
            {
                return;
            }
        }
    });
    receiver
}

fn understood(event: &Event) -> Option<Input> {
    let key = match event {
        Event::Resize(width, height) => return Some(Input::Resize(*width, *height)),
        Event::Key(key) if key.kind != KeyEventKind::Release => key,
        _ => return None,
    };
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(Input::Key(match key.code {
        KeyCode::Char('c' | 'd') if is_control => return Some(Input::End),
        KeyCode::Char(character) if !is_control => Key::Character(character),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Tab | KeyCode::BackTab => Key::Tab,
        KeyCode::Backspace => Key::Backspace,
        _ => return None,
    }))
}
