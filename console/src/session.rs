//! Runs a command that shows or records events until it is stopped.

use std::convert::Infallible;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use labwire_client::{ConnectOptions, Link};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::client_name::client_name;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::feed::{Events, Heard};
use crate::following::{Forbidden, follow, keep_connected};
use crate::following_topics;

/// The capacity of the channel of events to the viewer.
const WAITING: usize = 32;

/// A connection, and the tasks that follow services over it.
pub(crate) struct Session {
    reconnect: bool,
    tasks: JoinSet<Result<Infallible, Failure>>,
    events: Events,
    heard: mpsc::Receiver<Heard>,
    connections: watch::Receiver<Option<Connection>>,
}

/// Why a command ended without a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended<T> {
    /// It was stopped, for this reason.
    Stopped(T),
    /// Everything that was requested was shown.
    Shown,
}

impl Session {
    /// Starts to connect as the client of a command. With `reconnect`, retries until it succeeds, and
    /// after a loss.
    pub(crate) fn new(command: &str, options: ConnectOptions, reconnect: bool) -> Self {
        let (events, heard) = mpsc::channel(WAITING);
        let (current, connections) = watch::channel(None);
        let mut tasks = JoinSet::new();
        tasks.spawn(keep_connected(
            client_name(command),
            options,
            reconnect,
            current,
            events.clone(),
        ));
        Self {
            reconnect,
            tasks,
            events,
            heard,
            connections,
        }
    }

    /// Follows a service. Returns the link with it, while there is one.
    pub(crate) fn follow(
        &mut self,
        service: Arc<str>,
        forbidden: Forbidden,
    ) -> watch::Receiver<Option<Link>> {
        let (sender, links) = watch::channel(None);
        let (connections, events) = (self.connections(), self.events.clone());
        self.tasks.spawn(follow(
            service,
            self.reconnect,
            forbidden,
            connections,
            sender,
            events,
        ));
        links
    }

    /// Follows the topics of a pattern.
    pub(crate) fn follow_topics(&mut self, pattern: Arc<str>, forbidden: Forbidden) {
        let (connections, events) = (self.connections(), self.events.clone());
        self.tasks.spawn(following_topics::follow(
            pattern,
            self.reconnect,
            forbidden,
            connections,
            events,
        ));
    }

    /// Returns the connection, while there is one.
    pub(crate) fn connections(&self) -> watch::Receiver<Option<Connection>> {
        self.connections.clone()
    }

    /// Adds a task whose failure ends the command.
    pub(crate) fn spawn<T>(&mut self, task: impl FnOnce(Events) -> T)
    where
        T: Future<Output = Result<Infallible, Failure>> + Send + 'static,
    {
        self.tasks.spawn(task(self.events.clone()));
    }

    /// Passes the events to a viewer on a thread of its own, since writing its output may block.
    /// Ends when the viewer ends, when a task fails, or when `stop` is ready. In the latter two
    /// cases the viewer has the time `last_words` for the events that are still queued.
    pub(crate) async fn run<T>(
        self,
        viewer: impl FnOnce(mpsc::Receiver<Heard>) -> Result<(), Failure> + Send + 'static,
        stop: impl Future<Output = T>,
        last_words: Duration,
    ) -> Result<Ended<T>, Failure> {
        let Self {
            mut tasks,
            events,
            heard,
            connections,
            ..
        } = self;
        drop(events);
        let (shown, mut end) = oneshot::channel();
        thread::spawn(move || {
            let _ = shown.send(viewer(heard));
        });
        let broken = |_| Err(Failure::Failed("the output ended early".to_owned()));
        let ended = tokio::select! {
            biased;
            done = &mut end => Ok(done.unwrap_or_else(broken).map(|()| Ended::Shown)),
            reason = stop => Err(Ok(reason)),
            Some(done) = tasks.join_next() => Err(Err(match done {
                Ok(Err(failure)) => failure,
                Ok(Ok(never)) => match never {},
                Err(_) => Failure::Failed("the connection ended early".to_owned()),
            })),
        };
        let connection = connections.borrow().clone();
        // The viewer ends after the last event.
        tasks.shutdown().await;
        let done = match ended {
            Ok(done) => done,
            Err(failure) => match (timeout(last_words, end).await, failure) {
                (Ok(done), Ok(reason)) => done.unwrap_or_else(broken).map(|()| Ended::Stopped(reason)),
                (Err(_), Ok(_)) => Err(Failure::Failed(
                    "what was received last could not be written in time".to_owned(),
                )),
                (Ok(Ok(Err(unwritten))), _) => Err(unwritten),
                (_, Err(failure)) => Err(failure),
            },
        };
        if let Some(connection) = connection {
            connection.disconnect().await;
        }
        done
    }
}
