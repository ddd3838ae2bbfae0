//! The editor of lines. It has a thread of its own, which waits for the person; meanwhile the
//! connection is served.

use std::borrow::Cow;
use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use reedline::{
    Color, ColumnarMenu, Completer, CompletionResult, DefaultHinter, Emacs, ExternalPrinter, Highlighter,
    KeyCode, KeyModifiers, MenuBuilder, Prompt, PromptEditMode, PromptHistorySearch,
    PromptHistorySearchStatus, Reedline, ReedlineEvent, ReedlineMenu, Signal, Span, StyledText, Suggestion,
    default_emacs_keybindings,
};
use tokio::sync::mpsc as results;

use super::complete::completions;
use super::history::PrivateHistory;
use super::known::Known;
use crate::output::STRONG;

/// The longest time to wait for the end of the editor, which restores the terminal.
const END_TIME: Duration = Duration::from_secs(1);

const MENU: &str = "completions";

/// The separator between the prompt and the line.
const INDICATOR: &str = "> ";

/// The result of reading a line.
#[derive(Debug)]
pub(crate) enum Read {
    Line(String),
    /// Ctrl-C: the line was discarded.
    Interrupted,
    /// Ctrl-D.
    End,
    /// The terminal cannot be read.
    Failed(io::Error),
}

/// The editor. Dropping it restores the terminal.
pub(crate) struct Editor {
    /// Asks for a line. `None` ends the thread.
    requests: Option<mpsc::Sender<()>>,
    lines: results::UnboundedReceiver<Read>,
    /// Cancels reading a line.
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// The channels from the rest of the shell to the editor.
pub(crate) struct Outside {
    /// Hands a message over when the editor shows it: it has no capacity.
    pub(crate) messages: SyncSender<String>,
    pub(crate) prompt: Arc<Mutex<String>>,
    pub(crate) repaint: Repaint,
}

/// Asks the editor to redraw the prompt.
pub(crate) type Repaint = Box<dyn Fn() + Send + Sync>;

/// Updates the list of services before a completion.
pub(crate) type Refresh = Box<dyn FnMut() + Send>;

impl Editor {
    /// Starts the editor.
    pub(crate) fn start(
        history: PrivateHistory,
        known: Arc<Mutex<Known>>,
        refresh: Refresh,
    ) -> io::Result<(Self, Outside)> {
        let (requests, asked) = mpsc::channel();
        let (read, lines) = results::unbounded_channel();
        let stop = Arc::new(AtomicBool::new(false));
        let printer = ExternalPrinter::new(0);
        let (messages, prompt) = (printer.sender(), Arc::new(Mutex::new(String::new())));
        let mut editor = editor(history, known, refresh)
            .with_external_printer(printer)
            .with_break_signal(Arc::clone(&stop));
        let repaint = editor.repaint_signal();
        let shown = ShownPrompt(Arc::clone(&prompt));
        let thread = thread::Builder::new().name("editor".to_owned());
        let thread = thread.spawn(move || {
            while asked.recv().is_ok() {
                let line = match editor.read_line(&shown) {
                    Ok(Signal::Success(line)) => Read::Line(line),
                    Ok(Signal::CtrlC) => Read::Interrupted,
                    Ok(_) => Read::End,
                    Err(error) => Read::Failed(error),
                };
                if read.send(line).is_err() {
                    return;
                }
            }
        })?;
        let editor = Self {
            requests: Some(requests),
            lines,
            stop,
            thread: Some(thread),
        };
        let outside = Outside {
            messages,
            prompt,
            repaint: Box::new(move || repaint.request_repaint()),
        };
        Ok((editor, outside))
    }

    /// Waits for a line. Not cancel safe: a line that is typed later is lost.
    pub(crate) async fn read(&mut self) -> Read {
        let asked = self.requests.as_ref().map(|requests| requests.send(()));
        if !matches!(asked, Some(Ok(()))) {
            return Read::End;
        }
        self.lines.recv().await.unwrap_or(Read::End)
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        self.requests = None;
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It restores the terminal. If the terminal is gone, it does not end.
            let end = Instant::now() + END_TIME;
            while !thread.is_finished() && Instant::now() < end {
                // A thread cannot be joined with a time limit.
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

fn has_colours() -> bool {
    anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
}

fn editor(history: PrivateHistory, known: Arc<Mutex<Known>>, refresh: Refresh) -> Reedline {
    let mut keys = default_emacs_keybindings();
    let complete = vec![ReedlineEvent::Menu(MENU.to_owned()), ReedlineEvent::MenuNext];
    keys.add_binding(
        KeyModifiers::NONE,
        KeyCode::Tab,
        ReedlineEvent::UntilFound(complete),
    );
    keys.add_binding(KeyModifiers::SHIFT, KeyCode::BackTab, ReedlineEvent::MenuPrevious);
    // The colours of the terminal itself are readable on any background.
    let menu = ColumnarMenu::default()
        .with_name(MENU)
        .with_marker(INDICATOR)
        .with_text_style(Color::Default.normal())
        .with_selected_text_style(Color::Default.reverse())
        .with_description_text_style(Color::Default.dimmed())
        .with_match_text_style(Color::Default.bold())
        .with_selected_match_text_style(Color::Default.reverse().bold());
    let hinter = DefaultHinter::default().with_style(Color::Default.dimmed());
    let completer = ShellCompleter { known, refresh };
    Reedline::create()
        .with_history(Box::new(history))
        .with_history_exclusion_prefix(Some(" ".to_owned()))
        .with_completer(Box::new(completer))
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu)))
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_edit_mode(Box::new(Emacs::new(keys)))
        .with_hinter(Box::new(hinter))
        .with_highlighter(Box::new(Plain))
        .with_ansi_colors(has_colours())
}

/// Reads one line without a history, for the answer to a question. `None` if the person gave up.
pub(crate) fn ask(question: &str) -> Option<String> {
    if !io::stdin().is_terminal() {
        return None;
    }
    let prompt = ShownPrompt(Arc::new(Mutex::new(question.to_owned())));
    match Reedline::create()
        .with_ansi_colors(has_colours())
        .read_line(&prompt)
    {
        Ok(Signal::Success(line)) => Some(line.trim().to_owned()),
        _ => None,
    }
}

/// Shows the line in the terminal's own colour. The editor's default is white.
struct Plain;

impl Highlighter for Plain {
    fn highlight(&self, line: &str, _: usize) -> StyledText {
        let mut text = StyledText::new();
        text.push((Color::Default.normal(), line.to_owned()));
        text
    }
}

struct ShellCompleter {
    known: Arc<Mutex<Known>>,
    refresh: Refresh,
}

impl Completer for ShellCompleter {
    fn complete(&mut self, line: &str, position: usize) -> CompletionResult {
        (self.refresh)();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let suggestions = completions(line, position, &known);
        let suggestions = suggestions.into_iter().map(|found| Suggestion {
            value: found.text,
            description: found.hint,
            span: Span::new(found.replaces.start, found.replaces.end),
            append_whitespace: found.is_whole,
            ..Suggestion::default()
        });
        CompletionResult::fresh(suggestions.collect::<Vec<_>>())
    }
}

/// The prompt, which changes while a line is typed.
struct ShownPrompt(Arc<Mutex<String>>);

impl ShownPrompt {
    fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Prompt for ShownPrompt {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        let text = self.text();
        if has_colours() {
            Cow::Owned(format!("{STRONG}{text}{STRONG:#}"))
        } else {
            Cow::Owned(text)
        }
    }

    /// Returns blanks. Before the editor writes a message above the line, it computes the rows of
    /// the line with the bytes of this prompt and three more, where the prompt on the left should
    /// count.
    fn render_prompt_right(&self) -> Cow<'_, str> {
        let columns = self.text().chars().count();
        Cow::Owned(" ".repeat(columns.saturating_sub(1)))
    }

    fn render_prompt_indicator(&self, _: PromptEditMode) -> Cow<'_, str> {
        Cow::Borrowed(INDICATOR)
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        Cow::Borrowed("| ")
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        let failing = match search.status {
            PromptHistorySearchStatus::Passing => "",
            PromptHistorySearchStatus::Failing => "nothing found, ",
        };
        Cow::Owned(format!(" ({failing}search: {}) ", search.term))
    }

    fn get_prompt_color(&self) -> Color {
        Color::Default
    }

    fn get_prompt_multiline_color(&self) -> Color {
        Color::Default
    }

    fn get_indicator_color(&self) -> Color {
        Color::Default
    }

    fn get_prompt_right_color(&self) -> Color {
        Color::Default
    }
}
