//! The output of the shell: results on standard output, and messages above the line that is being
//! typed.

use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use labwire_client::Notification;
use labwire_home::present;
use labwire_wire::{JsonError, array_elements, scan_object};
use serde::Serialize;
use serde_json::value::RawValue;

use super::above::LinesAbove;
use super::editor::Repaint;
use super::pretty::pretty;
use crate::array;
use crate::failure::Failure;
use crate::long_call;
use crate::moment::moment;
use crate::output::{
    FAINT, STRONG, json_line, json_or_text, one_line, printable, readable, say, say_json, say_result, tell,
};

/// The columns of a line where the width of the terminal is not known.
const COLUMNS: usize = 80;

/// The most columns of a result: longer lines are hard to read.
const WIDEST: usize = 100;

/// The terminal, or the pipes in its place. Clones write to the same.
#[derive(Clone)]
pub(crate) struct Screen(Arc<Inner>);

struct Inner {
    is_json: bool,
    /// Whether notifications are shown.
    shows_notifications: AtomicBool,
    /// The place of messages while a line is typed; `None` without a person.
    typing: Option<Typing>,
}

struct Typing {
    is_now: AtomicBool,
    above: Arc<LinesAbove>,
    prompt: Arc<Mutex<String>>,
    repaint: Repaint,
    /// The progress of the call in flight.
    progress: Mutex<Option<long_call::Display>>,
}

/// The place where the progress of a call is shown until this is dropped. Messages are written above
/// it.
pub(crate) struct CallProgress {
    screen: Screen,
    /// What shows it.
    pub(crate) display: long_call::Display,
}

impl Drop for CallProgress {
    fn drop(&mut self) {
        self.display.finish();
        self.screen.set_progress(None);
    }
}

/// A notification, as an object of JSON.
#[derive(Serialize)]
struct Notified<'a> {
    service: &'a str,
    time: Timestamp,
    notification: Content<'a>,
    /// The number of notifications before it that were lost because they came too fast.
    lost: u64,
}

/// The arguments of a notification; `null` with the text if they are not JSON.
#[derive(Serialize)]
struct Content<'a> {
    args: Option<&'a RawValue>,
    kwargs: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// The result of a word of the shell, as an object of JSON.
#[derive(Serialize)]
struct WordAnswer<'a, T> {
    command: &'a str,
    result: T,
}

impl Screen {
    /// Returns the screen of a script.
    pub(crate) fn of_script(is_json: bool) -> Self {
        Self(Arc::new(Inner {
            is_json,
            shows_notifications: AtomicBool::new(false),
            typing: None,
        }))
    }

    /// Returns the screen of a person. `messages` are shown above the line that is typed, and
    /// `prompt` before it.
    pub(crate) fn of_person(
        is_json: bool,
        messages: SyncSender<String>,
        prompt: Arc<Mutex<String>>,
        repaint: Repaint,
    ) -> Self {
        Self(Arc::new(Inner {
            is_json,
            shows_notifications: AtomicBool::new(true),
            typing: Some(Typing {
                is_now: AtomicBool::new(false),
                above: LinesAbove::shown_by(messages),
                prompt,
                repaint,
                progress: Mutex::default(),
            }),
        }))
    }

    /// Returns whether a person types the lines.
    pub(crate) fn is_of_person(&self) -> bool {
        self.0.typing.is_some()
    }

    /// Returns whether results are objects of JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.0.is_json
    }

    /// Returns whether notifications are shown.
    pub(crate) fn shows_notifications(&self) -> bool {
        self.0.shows_notifications.load(Ordering::Relaxed)
    }

    /// Shows notifications from now on, or not.
    pub(crate) fn show_notifications(&self, are_shown: bool) {
        self.0.shows_notifications.store(are_shown, Ordering::Relaxed);
    }

    /// Tells the screen that a line is typed from now on, or no longer.
    pub(crate) fn set_typing(&self, is_typing: bool) {
        if let Some(typing) = &self.0.typing {
            typing.is_now.store(is_typing, Ordering::Relaxed);
        }
    }

    /// Returns whether a line is being typed.
    pub(crate) fn is_typing(&self) -> bool {
        let typing = self.0.typing.as_ref();
        typing.is_some_and(|typing| typing.is_now.load(Ordering::Relaxed))
    }

    /// Returns a place for the progress of a call.
    pub(crate) fn call_progress(&self) -> CallProgress {
        let display = long_call::Display::new();
        self.set_progress(Some(display.clone()));
        CallProgress {
            screen: self.clone(),
            display,
        }
    }

    fn set_progress(&self, display: Option<long_call::Display>) {
        if let Some(typing) = &self.0.typing {
            *typing.progress.lock().unwrap_or_else(PoisonError::into_inner) = display;
        }
    }

    /// Writes above the progress of a call, if it is shown.
    fn above_progress<T>(&self, write: impl FnOnce() -> T) -> T {
        let progress = self.0.typing.as_ref().map(|typing| &typing.progress);
        let progress = progress.map(|progress| progress.lock().unwrap_or_else(PoisonError::into_inner));
        match progress.as_deref() {
            Some(Some(display)) => display.above(write),
            _ => write(),
        }
    }

    /// Changes the prompt, also before a line that is being typed.
    pub(crate) fn set_prompt(&self, text: String) {
        let Some(typing) = &self.0.typing else { return };
        let mut prompt = typing.prompt.lock().unwrap_or_else(PoisonError::into_inner);
        if *prompt != text {
            *prompt = text;
            drop(prompt);
            (typing.repaint)();
        }
    }

    /// Writes a message for people to standard error, above the line that is being typed.
    pub(crate) fn message(&self, text: impl Display) {
        if !self.above_the_line(format!("{FAINT}{text}{FAINT:#}")) {
            self.above_progress(|| tell(text));
        }
    }

    /// Shows a notification, if notifications are shown.
    pub(crate) fn notification(&self, notification: &Notification) {
        if !self.shows_notifications() {
            return;
        }
        let line = if self.is_json() {
            notification_object(notification)
        } else {
            Ok(notification_line(notification))
        };
        let Ok(line) = line else { return };
        if !self.above_the_line(line.clone()) {
            // The next result reports a closed pipe.
            let _ = self.above_progress(|| say(line));
        }
    }

    /// Writes a line above the one that is being typed. Returns `false` if none is, and no earlier
    /// line waits to be shown.
    fn above_the_line(&self, line: String) -> bool {
        let Some(typing) = &self.0.typing else {
            return false;
        };
        let has_styles = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
        let line = if has_styles {
            line
        } else {
            anstream::adapter::strip_str(&line).to_string()
        };
        typing.above.add(line, typing.is_now.load(Ordering::Relaxed))
    }

    /// Writes the result of a word: as an object of JSON, or as text for people, if there is any.
    pub(crate) fn answer(
        &self,
        command: &str,
        result: impl Serialize,
        text: impl Display,
    ) -> Result<(), Failure> {
        if self.is_json() {
            return say_json(&WordAnswer { command, result });
        }
        let text = text.to_string();
        if text.is_empty() {
            return Ok(());
        }
        say(text)
    }

    /// Writes the result of a word that is JSON text.
    pub(crate) fn json_answer(&self, command: &str, json: &str) -> Result<(), Failure> {
        if !self.is_json() {
            return say_result_of_request(json);
        }
        let (result, _) = json_or_text(json);
        say_json(&WordAnswer { command, result })
    }
}

/// The marks around a short array. JSON has no such characters in its texts.
const ARRAY: (&str, &str) = ("\"\u{1}", "\u{1}\"");

/// Writes the result of a request, which is JSON text: indented for a terminal.
pub(crate) fn say_result_of_request(json: &str) -> Result<(), Failure> {
    if !io::stdout().is_terminal() {
        return say_result(json);
    }
    if serde_json::from_str::<String>(json).is_ok() {
        return say(readable(json, true));
    }
    // Arrays are short. As long as the text is laid out, they are texts of JSON.
    let shortened = array::shortened(json, ARRAY);
    let text = pretty(&shortened, columns());
    say(printable(&text.replace(ARRAY.0, "").replace(ARRAY.1, "")))
}

/// Returns the columns for a result.
fn columns() -> usize {
    let size = terminal_size::terminal_size_of(io::stdout());
    size.map_or(COLUMNS, |(width, _)| usize::from(width.0).min(WIDEST))
}

/// Returns a notification as a line for people: the values as they are typed.
fn notification_line(notification: &Notification) -> String {
    let values = values(notification.positional_json(), notification.keywords_json());
    let lost = match notification.lost() {
        0 => String::new(),
        lost => format!(" ({lost} before it are lost)"),
    };
    let time = moment(present());
    let service = one_line(notification.service());
    format!(
        "{FAINT}{time}{FAINT:#} {STRONG}{service}{STRONG:#} {}{FAINT}{lost}{FAINT:#}",
        one_line(&values)
    )
}

/// Returns arguments as they are typed: `1 "two" unit="V"`.
fn values(args: &str, kwargs: &str) -> String {
    let text = |value: &[u8]| array::shortened(&String::from_utf8_lossy(value), ("", "")).into_owned();
    let positional = array_elements(args.as_bytes()).unwrap_or_default();
    let mut values: Vec<_> = positional.into_iter().map(text).collect();
    // After an error, the values before it are shown.
    let _ = scan_object(kwargs.as_bytes(), |key, value| {
        let key = key.decode().unwrap_or_default();
        values.push(format!("{key}={}", array::shortened(&kwargs[value], ("", ""))));
        Ok::<_, JsonError>(())
    });
    values.join(" ")
}

fn notification_object(notification: &Notification) -> Result<String, Failure> {
    let (args, kwargs) = (notification.positional_json(), notification.keywords_json());
    let (args, kwargs) = (json_or_text(args).0, json_or_text(kwargs).0);
    let text = (args.is_none() || kwargs.is_none()).then(|| {
        format!(
            "[{},{}]",
            notification.positional_json(),
            notification.keywords_json()
        )
    });
    json_line(&Notified {
        service: notification.service(),
        time: present(),
        notification: Content { args, kwargs, text },
        lost: notification.lost(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_of_a_notification_are_shown_as_they_are_typed() {
        assert_eq!(
            values("[1, \"a b\",[2,NaN]]", "{\"unit\": \"V\",\"n\":1.10}"),
            "1 \"a b\" [2,NaN] unit=\"V\" n=1.10"
        );
        assert_eq!(values("[]", "{}"), "");
    }
}
