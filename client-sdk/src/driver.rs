//! The task that owns a client's connection.

use std::sync::Arc;
use std::time::Duration;

use labwire_device::{
    Backoff, ConnectError, Connection, ConnectionReader, ConnectionWriter, Introduction, ReadError, Waits,
    answer_question, connect,
};
use labwire_wire::Line;
use tokio::sync::mpsc::{self, UnboundedReceiver, WeakUnboundedSender};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::core::{ClientCore, Urgency, goodbye};
use crate::error::CallError;
use crate::incoming::Incoming;
use crate::link_core::{LinkCore, make_again};
use crate::notifications::Notification;
use crate::shared::Shared;
use crate::state::{About, Command, Phase};

/// How many requests are written at once. More do not make it faster, and what was taken counts as written.
const BATCH: usize = 256;

/// How many questions of the manager may wait for their answers. It asks one after the other.
const QUESTIONS: usize = 4;

/// How long a client that leaves waits for the manager to read what was sent, and to close the connection; and how long
/// the manager has to say why it reads nothing any more.
const FAREWELL: Duration = Duration::from_secs(4);

/// Why a connection has ended.
enum End {
    /// The client has left, or has no handles any more.
    Left,
    Lost(String),
}

/// Owns a client's connection until the client leaves, or the connection is lost and is not made again.
pub(crate) struct Driver {
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: UnboundedReceiver<Command>,
    /// For what the task itself has to send. Weak: it must not keep the client.
    pub(crate) sender: WeakUnboundedSender<Command>,
}

/// However the task ends, also before it has run for the first time, nobody waits for ever.
impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.close("the runtime of the client has ended");
    }
}

impl Driver {
    pub(crate) async fn run(mut self, mut connection: Connection) {
        let mut waits = self
            .shared
            .options
            .connect
            .backoff()
            .map(|backoff| backoff.waits());
        loop {
            let begin = Instant::now();
            let reason = match self.serve(connection).await {
                End::Lost(reason) if !self.is_leaving() => reason,
                _ => return self.shared.close("the client has disconnected"),
            };
            let Some((backoff, waits)) = self.shared.options.connect.backoff().zip(waits.as_mut()) else {
                debug!("{reason}");
                return self.shared.close(&reason);
            };
            waits.connected_for(begin.elapsed());
            info!("{reason}, connecting again");
            let commands = &mut self.commands;
            self.shared.lose(&reason, || commands.try_recv().ok());
            connection = match self.come_back(waits).await {
                Ok(connection) => connection,
                Err(reason) => return self.shared.close(&reason),
            };
            self.take_up(&connection, backoff);
        }
    }

    /// Whether the client is to leave, or has no handles any more.
    fn is_leaving(&self) -> bool {
        self.shared.is_leaving() || self.sender.strong_count() == 0
    }

    async fn serve(&mut self, connection: Connection) -> End {
        let Connection {
            mut reader,
            mut writer,
            ..
        } = connection;
        let (questions, asked) = mpsc::channel(QUESTIONS);
        let reading = read(&self.shared, &questions, &mut reader);
        tokio::pin!(reading);
        let answering = answer(&self.shared, &self.sender, asked);
        let writing = write(&self.shared, &mut self.commands, &mut writer);
        // A manager that reads nothing must not keep who wants to leave.
        let overdue = async {
            self.shared.leaving().await;
            tokio::time::sleep(FAREWELL).await;
        };
        let written = tokio::select! {
            reason = &mut reading => return End::Lost(reason),
            written = writing => written,
            () = overdue => return End::Left,
            () = answering => unreachable!("the questions come through a channel that lives as long"),
        };
        if let Err(error) = written {
            // What the manager said before it closed the connection says more than the error.
            let reason = tokio::time::timeout(FAREWELL, reading).await;
            return End::Lost(reason.unwrap_or_else(|_| format!("the connection was lost: {error}")));
        }
        // The manager closes the connection once it has read everything.
        let _ = tokio::time::timeout(FAREWELL, reading).await;
        let _ = writer.close().await;
        End::Left
    }

    /// Connects again, however long it takes.
    async fn come_back(&mut self, waits: &mut Waits) -> Result<Connection, String> {
        let introduction = Introduction::client(&self.shared.name);
        loop {
            let shared = &self.shared;
            let attempt = async {
                tokio::time::sleep(waits.next_wait()).await;
                connect(&shared.options.connect, &introduction).await
            };
            tokio::select! {
                connected = attempt => match connected {
                    Ok(connection) => return Ok(connection),
                    Err(error) if error.is_transient() => debug!("not connected again yet: {error}"),
                    Err(error) => {
                        warn!("the connection was lost and cannot be made again: {error}");
                        return Err(error.to_string());
                    }
                },
                () = leaves(shared, &mut self.commands) => return Err("the client has disconnected".to_owned()),
            }
        }
    }

    /// Takes up on a new connection what was lost with the old one.
    fn take_up(&self, connection: &Connection, backoff: Backoff) {
        info!(
            "connected to {} again, as {}",
            connection.manager, connection.network_name
        );
        let links = self.shared.state().live_links();
        // Ahead of all calls: who is not linked may not call a service that limits its clients.
        for link in links {
            if let Ok(ticket) = ClientCore::send_now(link.link_request(), Urgency::First, None) {
                make_again(&link, ticket, backoff);
            }
        }
        let mut state = self.shared.state();
        state.about = About::new(connection);
        state.phase = Phase::Connected;
        if let Some(sender) = self.sender.upgrade() {
            for (uid, frame) in state.take_kept(|request| request.through.is_none()) {
                let command = Command::Request {
                    uid,
                    frame,
                    room: None,
                    insist: false,
                };
                // This task holds the receiver.
                let _ = sender.send(command);
            }
        }
        drop(state);
        self.shared.publish(Phase::Connected);
    }
}

/// Waits until the client is to leave. What else is commanded while there is no connection is void.
async fn leaves(shared: &Shared, commands: &mut UnboundedReceiver<Command>) {
    let no_handles = async { while !matches!(commands.recv().await, None | Some(Command::Disconnect)) {} };
    tokio::select! {
        () = no_handles => {}
        // The command itself may have been taken for one of the connection that was just lost.
        () = shared.leaving() => {}
    }
}

/// Writes what is commanded, as much at once as there is. `Ok` when the client leaves.
async fn write(
    shared: &Shared,
    commands: &mut UnboundedReceiver<Command>,
    writer: &mut ConnectionWriter,
) -> std::io::Result<()> {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let no_handles = commands.recv_many(&mut batch, BATCH).await == 0;
        let (mut frames, leave) = shared.take_frames(&mut batch);
        if leave || no_handles {
            frames.push(goodbye(&shared.name));
            return writer.write(&frames).await;
        }
        if !frames.is_empty() {
            writer.write(&frames).await?;
        }
    }
}

/// Reads what the manager sends until the connection ends. Gives the reason.
async fn read(shared: &Arc<Shared>, questions: &mpsc::Sender<Line>, reader: &mut ConnectionReader) -> String {
    loop {
        match reader.next_line().await {
            Ok(Some(line)) => dispatch(shared, questions, line),
            Ok(None) => return "the manager closed the connection".to_owned(),
            Err(ReadError::Io(error)) => return format!("the connection to the manager was lost: {error}"),
            Err(error @ (ReadError::Vanished(_) | ReadError::TooLong(_))) => return error.to_string(),
        }
    }
}

fn dispatch(shared: &Arc<Shared>, questions: &mpsc::Sender<Line>, line: Line) {
    match Incoming::read(&line) {
        Some(Incoming::Result { uid, result }) => shared.succeed(&uid, result),
        Some(Incoming::Failure { uid, failure }) => shared.fail(&uid, failure),
        Some(Incoming::Notification { service, result }) => {
            if let (Some(link), Some(notification)) =
                (find_link(shared, &service), Notification::new(&service, &result))
            {
                link.notify(&notification);
            }
        }
        Some(Incoming::Request { attribute, argument }) => match attribute.as_str() {
            "registered" => shared.state().about.network_name = argument,
            "unlinked" => unlinked(shared, &argument),
            _ => {
                if questions.try_send(line).is_err() {
                    warn!("the manager asks more before it was answered");
                }
            }
        },
        None => warn!(
            "the manager sent a line that means nothing: {} bytes",
            line.content().len()
        ),
    }
}

fn find_link(shared: &Shared, service: &str) -> Option<Arc<LinkCore>> {
    shared.state().links.get(service)?.upgrade()
}

/// A service has left. A client that reconnects goes on asking for it.
fn unlinked(shared: &Shared, service: &str) {
    let Some(link) = find_link(shared, service) else {
        return;
    };
    if link.waits() {
        // It is asked for already.
        return;
    }
    debug!("the service '{service}' has left");
    link.is_away();
    if let Some(backoff) = shared.options.connect.backoff()
        && let Ok(ticket) = ClientCore::send_now(link.link_request(), Urgency::Normal, None)
    {
        make_again(&link, ticket, backoff);
    }
}

/// Answers the manager's questions, one after the other and beside everything else: a person may have to type. What
/// is answered after the connection has ended goes nowhere: the next one has not asked.
async fn answer(shared: &Shared, sender: &WeakUnboundedSender<Command>, mut questions: mpsc::Receiver<Line>) {
    while let Some(line) = questions.recv().await {
        match answer_question(&shared.options.connect, &line).await {
            Some(Ok(frame)) => {
                let (taken, when_taken) = oneshot::channel();
                if let Some(sender) = sender.upgrade() {
                    // Without the task there is no connection, and nobody who asks.
                    let _ = sender.send(Command::Answer { frame, taken });
                }
                // A manager that asks and never reads gets no more answers to keep here.
                let _ = when_taken.await;
            }
            Some(Err(ConnectError::NoAnswer(missing))) => {
                shared.fail_question(CallError::NoAnswer(missing));
            }
            Some(Err(error)) => warn!("the manager's question cannot be answered: {error}"),
            None => debug!("the manager sent a request that means nothing to a client"),
        }
    }
}
