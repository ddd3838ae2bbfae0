//! A session: reads lines and executes them, until the input ends.

use std::io;
use std::sync::mpsc as done;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use labwire_client::{Backoff, Client, ConnectOptions};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::editor::{Editor, Refresh};
use super::grammar::{Meaning, parse, unknown_word};
use super::history::PrivateHistory;
use super::input::Input;
use super::known::Known;
use super::links::Shared;
use super::monitor::watch;
use super::questions::Questions;
use super::screen::Screen;
use super::{ShellArgs, is_for_person};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::{message, one_line, tell};
use crate::questions;
use crate::seconds::Seconds;
use crate::stop::{EndSignal, EndSignals, Stop, next_of};

/// The longest time that a completion waits for the list of services.
const REFRESH_TIME: Duration = Duration::from_millis(500);

/// The longest time to wait until the links are back with a connection.
const LINK_TIME: Duration = Duration::from_secs(1);

/// A session.
pub(crate) struct ShellSession {
    pub(super) name: String,
    pub(super) options: ConnectOptions,
    pub(super) connection: Connection,
    /// The connection for requests to the manager. They may need a login, and a wrong password ends
    /// their connection, which must not cost links and locks.
    pub(super) administration: Option<Administration>,
    /// The options of such a connection after a login that was accepted.
    pub(super) login: Option<ConnectOptions>,
    pub(super) shared: Shared,
    input: Input,
    /// Completions that wait for the list of services.
    refreshes: mpsc::UnboundedReceiver<done::Sender<()>>,
    /// The manager's questions to the person.
    pub(super) questions: Questions,
    /// The task that watches the connection.
    monitor: AbortHandle,
    /// What a signal asks of the line that is executed.
    pub(super) stop: Stop,
    /// The time limit of calls.
    pub(super) limit: Option<Duration>,
    keeps_going: bool,
}

/// The connection for requests to the manager.
pub(crate) struct Administration {
    pub(super) connection: Connection,
    pub(super) options: ConnectOptions,
}

/// Whether the session goes on after a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    On,
    End,
}

impl ShellSession {
    /// Connects to the manager.
    pub(crate) async fn start(arguments: &ShellArgs) -> Result<Self, Failure> {
        let known = Arc::new(Mutex::new(Known::default()));
        let questions = Questions::default();
        let (requests, refreshes) = mpsc::unbounded_channel();
        let options = arguments.connection.options()?;
        let (input, screen, options) = if is_for_person() {
            let (editor, screen) = editor(arguments.output.json, &known, requests)?;
            let options = questions.answered(options, screen.clone());
            (Input::Person(editor), screen, options)
        } else {
            (
                Input::script()?,
                Screen::of_script(arguments.output.json),
                options,
            )
        };
        let name = arguments.client_name();
        let reconnecting = options.clone().reconnect(Backoff::new());
        let connection = Connection::open(&name, reconnecting).await?;
        let shared = Shared::new(screen, known);
        let monitor = tokio::spawn(watch(connection.client().clone(), shared.clone()));
        Ok(Self {
            name,
            options,
            connection,
            administration: None,
            login: None,
            shared,
            input,
            refreshes,
            questions,
            monitor: monitor.abort_handle(),
            stop: Stop::default(),
            limit: arguments.timeout.map(Seconds::duration),
            keeps_going: arguments.keep_going,
        })
    }

    /// Executes lines until the input ends, and disconnects.
    ///
    /// # Errors
    /// In a script, the failure of the first line that failed.
    pub(crate) async fn run(mut self, signals: Option<EndSignals>) -> Result<(), Failure> {
        if self.shared.screen.is_of_person() {
            let client = self.connection.client();
            tell(format_args!(
                "connected to {} as {}\nType help for the words of this shell; Tab completes, Ctrl-D ends it.",
                one_line(&client.manager()),
                one_line(&client.network_name())
            ));
            // Without the list, completion asks for it again.
            let _ = timeout(REFRESH_TIME, self.refresh()).await;
        }
        let outcome = self.lines(signals).await;
        self.shared.screen.set_typing(false);
        // From here on the end of the connection is expected.
        self.monitor.abort();
        if self.shared.screen.is_of_person() && matches!(outcome, Err(Failure::Signalled(_))) {
            // The prompt is still on the line.
            drop(self.input);
            tell("");
        }
        self.connection.disconnect().await;
        outcome
    }

    async fn lines(&mut self, mut signals: Option<EndSignals>) -> Result<(), Failure> {
        let is_of_person = self.shared.screen.is_of_person();
        let mut first_failure = None;
        let mut number = 0;
        while let Some(text) = self.next_lines(&mut signals).await? {
            number += 1;
            // Pasted text may have several lines.
            for line in text.lines() {
                let stop = Stop::default();
                self.stop = stop.clone();
                let outcome = until_given_up(self.line(line), &stop, &mut signals).await;
                if let Err(Failure::Signalled(_)) = outcome {
                    return outcome.map(|_| ());
                }
                // A request that is given up may leave its question behind.
                until_end(self.questions.closed(), &mut signals).await?;
                match outcome {
                    Ok(Flow::On) => {}
                    Ok(Flow::End) => return first_failure.map_or(Ok(()), Err),
                    Err(Failure::Closed) => return Err(Failure::Closed),
                    Err(failure) if is_of_person => tell_person(&failure),
                    Err(failure) if failure.is_interruption() => return Err(failure),
                    Err(failure) if !self.keeps_going => return Err(failure.in_line(number)),
                    Err(failure) => {
                        let failure = failure.in_line(number);
                        tell(format_args!("labwire: {}", failure.message()));
                        first_failure.get_or_insert(Failure::Reported(Box::new(failure)));
                    }
                }
            }
        }
        first_failure.map_or(Ok(()), Err)
    }

    /// Waits for the next lines, and meanwhile updates the list of services for completions. `None`
    /// at the end.
    async fn next_lines(&mut self, signals: &mut Option<EndSignals>) -> Result<Option<String>, Failure> {
        self.shared.refresh_prompt(self.connection.client());
        questions::forget();
        self.shared.screen.set_typing(true);
        let Self {
            input,
            refreshes,
            connection,
            shared,
            ..
        } = self;
        let next = input.next();
        tokio::pin!(next);
        let next = loop {
            tokio::select! {
                biased;
                next = &mut next => break next,
                signal = next_of(signals) => match signal {
                    // The editor takes Ctrl-C as a key.
                    EndSignal::Interrupt => {}
                    signal => return Err(signal.failure()),
                },
                Some(done) = refreshes.recv() => {
                    if let Ok(Ok(identities)) = timeout(REFRESH_TIME, connection.identities()).await {
                        shared.known().learn(identities);
                    }
                    // The completion may have given up waiting.
                    let _ = done.send(());
                }
            }
        };
        self.shared.screen.set_typing(false);
        next
    }

    async fn line(&mut self, line: &str) -> Result<Flow, Failure> {
        let is_unknown = unknown_word(line, &self.shared.known()).is_some();
        if is_unknown {
            self.ready().await?;
            self.refresh().await?;
        }
        let meaning = parse(line, &self.shared.known())?;
        if !matches!(
            meaning,
            Meaning::Nothing
                | Meaning::Exit
                | Meaning::Status
                | Meaning::WhoAmI
                | Meaning::Timeout(_)
                | Meaning::Notifications(_)
                | Meaning::Help(None)
        ) {
            self.ready().await?;
        }
        self.execute(meaning).await
    }

    /// Asks for the list of services.
    pub(super) async fn refresh(&self) -> Result<(), Failure> {
        let identities = self.connection.identities().await?;
        self.shared.known().learn(identities);
        Ok(())
    }

    /// Waits for the connection, if it is just lost, and connects again, if it has ended.
    async fn ready(&mut self) -> Result<(), Failure> {
        let client = self.connection.client();
        if timeout(Duration::ZERO, client.closed()).await.is_ok() {
            return self.reopen().await;
        }
        if client.is_connected() {
            return Ok(());
        }
        if self.shared.screen.is_of_person() {
            self.shared
                .screen
                .message("waiting for the connection; Ctrl-C gives up");
        }
        match timeout(self.connection.limit(), client.connected()).await {
            Ok(true) => self.wait_for_links().await,
            Ok(false) => return self.reopen().await,
            Err(_) => {
                return Err(Failure::NoManager(
                    "there is no connection with the manager; it is tried again".to_owned(),
                ));
            }
        }
        Ok(())
    }

    async fn wait_for_links(&self) {
        let links: Vec<_> = self
            .shared
            .links()
            .values()
            .map(|held| held.link.clone())
            .collect();
        let linked = async {
            for link in links {
                // If a link does not come back, its next call fails.
                let _ = link.linked().await;
            }
        };
        let _ = timeout(LINK_TIME, linked).await;
    }

    /// Connects again after the connection has ended for good, and links again.
    async fn reopen(&mut self) -> Result<(), Failure> {
        let options = self.options.clone().reconnect(Backoff::new());
        self.connection = Connection::open(&self.name, options).await?;
        let client: &Client = self.connection.client();
        self.shared.screen.message(format_args!(
            "connected again, as {}",
            one_line(&client.network_name())
        ));
        self.monitor.abort();
        self.monitor = tokio::spawn(watch(client.clone(), self.shared.clone())).abort_handle();
        let services: Vec<_> = self.shared.links().keys().cloned().collect();
        for service in services {
            self.shared.forget(&service);
            match self.connection.link(&service).await {
                Ok(link) => self.shared.keep(link),
                Err(failure) => self.shared.screen.message(format_args!(
                    "the link with '{}' is not back: {}",
                    one_line(&service),
                    failure.message()
                )),
            }
        }
        Ok(())
    }
}

/// Executes a line until a signal gives it up. The first Ctrl-C cancels a call that can be cancelled, and
/// the line goes on until it has ended.
async fn until_given_up(
    line: impl Future<Output = Result<Flow, Failure>>,
    stop: &Stop,
    signals: &mut Option<EndSignals>,
) -> Result<Flow, Failure> {
    tokio::pin!(line);
    let signal = tokio::select! {
        biased;
        signal = next_of(signals) => signal,
        outcome = &mut line => return outcome,
    };
    if signal != EndSignal::Interrupt || !stop.ask(signal) {
        // Looks for requests in flight before the line is given up.
        return Err(signal.failure());
    }
    tokio::select! {
        biased;
        signal = next_of(signals) => Err(signal.failure()),
        outcome = &mut line => outcome,
    }
}

/// Waits for something, until a signal other than Ctrl-C asks the shell to end.
async fn until_end<T>(
    waited: impl Future<Output = T>,
    signals: &mut Option<EndSignals>,
) -> Result<T, Failure> {
    tokio::pin!(waited);
    loop {
        tokio::select! {
            done = &mut waited => return Ok(done),
            signal = next_of(signals) => match signal {
                EndSignal::Interrupt => {}
                signal => return Err(signal.failure()),
            },
        }
    }
}

/// Tells a person about a failure.
fn tell_person(failure: &Failure) {
    if failure.is_interruption() {
        // The terminal has shown ^C in the line.
        tell("");
    }
    tell(format_args!("error: {}", failure.message()));
}

/// Starts the editor for a person.
fn editor(
    is_json: bool,
    known: &Arc<Mutex<Known>>,
    requests: mpsc::UnboundedSender<done::Sender<()>>,
) -> Result<(Editor, Screen), Failure> {
    let history = PrivateHistory::open().unwrap_or_else(|error| {
        tell(format_args!("labwire: no history is kept: {}", message(&error)));
        PrivateHistory::in_memory()
    });
    let refreshed = Arc::clone(known);
    let refresh: Refresh = Box::new(move || {
        let is_stale = refreshed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_stale();
        let (done, wait) = done::channel();
        if is_stale && requests.send(done).is_ok() {
            // Without an answer the completion uses the last list.
            let _ = wait.recv_timeout(REFRESH_TIME);
        }
    });
    let started = Editor::start(history, Arc::clone(known), refresh);
    let (editor, outside) =
        started.map_err(|error: io::Error| Failure::Failed(format!("cannot start: {error}")))?;
    let screen = Screen::of_person(is_json, outside.messages, outside.prompt, outside.repaint);
    Ok((editor, screen))
}
