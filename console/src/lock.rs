//! `labwire lock`.

use std::time::Duration;

use clap::Args;
use labwire_client::{CallError, Client, Executed, Lock, LockGuard, LockOptions, SessionState};
use tokio::time::{Instant, sleep, timeout};

use crate::breaks::{Breaks, RETURNING};
use crate::client_name::client_name;
use crate::connection::{Connection, ConnectionArgs};
use crate::failure::Failure;
use crate::held::{Announcement, Held};
use crate::hold::{Cause, Happened, note, show};
use crate::linking::{explained, link, not_alone};
use crate::output::{OutputArgs, one_line, shell_argument, tell};
use crate::report::is_reported;
use crate::seconds::Seconds;
use crate::stop::Stop;

pub(crate) const EXAMPLES: &str = "\
Examples:
  labwire lock DMM
  labwire lock DMM --wait 60 --reason 'calibration until 4 pm'
  labwire lock DMM --ttl 30
  labwire unlock DMM";

pub(crate) const AFTER_HELP: &str = "\
Examples:
  labwire lock DMM                 no other client can link with it
  labwire lock DMM --shared        the clients that are linked stay
  labwire lock DMM --wait 60       wait a minute for it if it is in use, also if
                                   the manager is restarted meanwhile
  labwire lock DMM --ttl 30        it ends 30 s after this computer is cut off
  labwire lock DMM --reason 'calibration until 4 pm'
  labwire unlock DMM               in another terminal

The holder is this command alone: other programs are kept away, also those of
yours. A lock in a program of yours is one that it requests itself.
A lock lasts while this command runs. It ends with Ctrl-C, with `labwire unlock`
on the same computer, and when the service is lost; the last is an error. When
the connection breaks, the manager keeps the lock for 30 s
(LABWIRE_SESSION_GRACE), and this command returns to it; if it cannot, that is
an error, too. A manager that is restarted keeps the lock in the same way.
Others are told who holds it (--name) and why (--reason). Those who wait have
their turn in the order of their requests. Without --shared, no other client may
be linked: end their links first, also those of `labwire watch` and `labwire
record`. With --ttl, the lock is renewed three times within this time; without,
a manager that cannot see that this computer is gone keeps the lock for longer.
An administrator ends a lock with: labwire admin break_lock DMM

With --json, each change is one object: event (locked, away, back, released,
lost), service and time. locked has clients: the names of all that hold a lock.
away says that the connection broke (cause is connection); then follows back,
with cause and seconds, or locked after a restart of the manager, or lost.

Exit codes: see `labwire --help`. A lock that is lost is 3, one that has expired
or was broken 4; Ctrl-C is 0.";

/// How often a service that is in use is tried again at a manager without a queue.
const TRY_AGAIN: Duration = Duration::from_millis(500);

#[derive(Args, Debug)]
pub struct LockArgs {
    /// The name of the service
    service: String,
    /// Share the service with the other clients that are linked now
    #[arg(long)]
    shared: bool,
    /// If the service is in use, wait for this time: 30, 10m, 2h [default: fail at once]
    #[arg(long, value_name = "TIME")]
    wait: Option<Seconds>,
    /// End the lock when it could not be renewed for this time: 30, 10m [default: never]
    #[arg(long, value_name = "TIME")]
    ttl: Option<Seconds>,
    /// Why you hold it, for others
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The name of the holder, for others [default: labwire lock (your user name)]
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    form: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// How much before its time a wait may end that a manager which is being stopped has not cut short.
const EARLY: Duration = Duration::from_millis(100);

/// The beginning of the refusals of a manager that is being stopped.
const STOPPING: &str = "ConnectionError: the manager is shutting down";

/// Returns whether a manager that is being stopped has ended a request.
fn is_stopping(error: &CallError) -> bool {
    matches!(error, CallError::Manager { message, executed: Executed::No, .. } if message.starts_with(STOPPING))
}

/// Returns whether the manager has ended a wait, as at the end of its time.
fn is_timeout(error: &CallError) -> bool {
    matches!(error, CallError::Manager { message, .. } if message.starts_with("TimeoutError: "))
}

fn stopping() -> Failure {
    Failure::NoManager("the manager is being stopped".to_owned())
}

impl LockArgs {
    /// Returns the name of the client.
    fn client_name(&self) -> String {
        self.name.clone().unwrap_or_else(|| client_name("lock"))
    }

    fn kind(&self) -> Lock {
        if self.shared {
            Lock::Shared
        } else {
            Lock::Exclusive
        }
    }

    /// Requests the lock, with a link, and waits for it for that time.
    async fn request(&self, connection: &Connection, wait: Duration) -> Result<LockGuard, CallError> {
        let mut options = LockOptions::new(self.kind()).wait(wait);
        if let Some(ttl) = self.ttl {
            options = options.ttl(ttl.duration());
        }
        if let Some(reason) = &self.reason {
            options = options.reason(reason);
        }
        connection.client().lock(&self.service, options).await
    }

    /// As [`request`](Self::request), but the manager must answer in time.
    async fn request_in_time(
        &self,
        connection: &Connection,
        wait: Duration,
    ) -> Result<Result<LockGuard, CallError>, Failure> {
        let limit = connection.limit() + wait;
        timeout(limit, self.request(connection, wait)).await.map_err(|_| {
            let and_wait = if wait.is_zero() { "" } else { " and --wait" };
            Failure::TimedOut(format!(
                "the manager has not answered within {} s (--connect-timeout{and_wait})",
                limit.as_secs_f64()
            ))
        })
    }

    /// Returns the failure of a lock that was refused. It names the cause and the remedy.
    async fn refused(&self, connection: &Connection, error: CallError) -> Failure {
        let others_are_linked = error.lock().is_some_and(|lock| lock.holder.is_none());
        let failure = Failure::from(error).map_text(|text| self.without_queue(text));
        match failure {
            Failure::Refused(text) if others_are_linked => {
                let text = not_alone(connection, &self.service, text).await;
                let argument = shell_argument(&self.service);
                Failure::Refused(text).with_hint(Some(format!(
                    "share it with: labwire lock {argument} --shared; or wait until no other client is linked: \
                     labwire lock {argument} --wait TIME"
                )))
            }
            refused @ Failure::Refused(_) => explained(connection, &self.service, refused).await,
            failure => failure,
        }
    }

    /// Returns the manager's text about a lock that was requested without a wait, without the time and the place
    /// in the queue.
    fn without_queue(&self, text: String) -> String {
        match text.split_once(" in the queue, ") {
            Some((beginning, obstacle)) if beginning.contains(" within 0 s as number ") => {
                format!("'{}' cannot be locked now: {obstacle}", one_line(&self.service))
            }
            _ => text,
        }
    }

    /// Returns the failure of a lock that was refused for as long as it may wait.
    fn waited(&self, failure: &Failure) -> Failure {
        let seconds = self.wait.map_or(0.0, |time| time.duration().as_secs_f64());
        let text = failure.to_string();
        let reason = text.lines().next().unwrap_or_default();
        Failure::Refused(format!("{reason}; it was waited for {seconds} s")).with_hint(Some(format!(
            "wait longer with a higher --wait; if the lock is yours, release it with: labwire unlock {}",
            shell_argument(&self.service)
        )))
    }

    /// Says that the command waits, and why.
    fn tell_wait(failure: &Failure, position: usize) {
        let text = failure.message();
        let reason = text.lines().next().unwrap_or_default();
        let queue = match position {
            0 | 1 => String::new(),
            position => format!(" as number {position} in the queue"),
        };
        tell(format_args!("labwire: {reason}; waiting for it{queue}"));
    }

    /// Starts to report breaks of the connection until the service is locked. Who waits for it keeps
    /// waiting, so they need no more than one line.
    fn breaks(&self, client: &Client) -> Breaks {
        match self.wait {
            Some(_) => Breaks::tell(client, self.still_waiting()),
            None => Breaks::report(client),
        }
    }

    /// Returns what a person who waits is told when the connection breaks.
    fn still_waiting(&self) -> String {
        format!(
            "the connection broke; the wait for '{}' goes on when the manager is back",
            one_line(&self.service)
        )
    }

    /// Locks, and waits for as long as it may, also over a restart of the manager.
    async fn lock(&self, connection: &Connection) -> Result<LockGuard, Failure> {
        let client = connection.client();
        let begun = Instant::now();
        let mut left = self.wait.map(Seconds::duration);
        let mut is_again = false;
        loop {
            let failure = match self.lock_within(connection, left, is_again).await {
                Ok(guard) => return Ok(guard),
                Err(failure) => failure,
            };
            left = self
                .wait
                .map(|wait| wait.duration().saturating_sub(begun.elapsed()));
            let Some(rest) = left.filter(|rest| !rest.is_zero()) else {
                return Err(failure);
            };
            match &failure {
                // A request that was lost with its connection holds nothing.
                Failure::NoManager(_) if timeout(Duration::ZERO, client.closed()).await.is_err() => {
                    // A manager that is stopped ends the wait before the connection.
                    sleep(TRY_AGAIN.min(rest)).await;
                    // A session has told it already: see `breaks`.
                    if client.session() == SessionState::None {
                        tell(format_args!("labwire: {}", self.still_waiting()));
                    }
                    if !matches!(timeout(rest, client.connected()).await, Ok(true)) {
                        return Err(failure);
                    }
                    is_again = true;
                }
                // The service comes back after the manager.
                Failure::Refused(_) if is_again => sleep(TRY_AGAIN.min(rest)).await,
                _ => return Err(failure),
            }
            left = self
                .wait
                .map(|wait| wait.duration().saturating_sub(begun.elapsed()));
        }
    }

    /// Locks, and waits for this time while the service is in use. Says so, unless it goes on with a wait.
    async fn lock_within(
        &self,
        connection: &Connection,
        wait: Option<Duration>,
        is_again: bool,
    ) -> Result<LockGuard, Failure> {
        let identities = connection.identities().await?;
        if !is_reported(&identities) {
            return self.lock_without_queue(connection).await;
        }
        let error = match self.request_in_time(connection, Duration::ZERO).await? {
            Ok(guard) => return Ok(guard),
            Err(error) if is_stopping(&error) => return Err(stopping()),
            Err(error) => error,
        };
        let lock = error.lock().cloned();
        let failure = self.refused(connection, error).await;
        // Without a lock or a link in the way, waiting changes nothing.
        let (Some(wait), Some(lock), Failure::Refused(_)) = (wait, lock, &failure) else {
            return Err(failure);
        };
        if !is_again {
            Self::tell_wait(&failure, lock.position);
        }
        let asked = Instant::now();
        match self.request_in_time(connection, wait).await? {
            Ok(guard) => Ok(guard),
            Err(error) if is_stopping(&error) || is_timeout(&error) && asked.elapsed() + EARLY < wait => {
                Err(stopping())
            }
            Err(error) => {
                // Otherwise an administrator has ended the wait, or the service has left.
                let is_over = is_timeout(&error);
                match self.refused(connection, error).await {
                    refused @ Failure::Refused(_) if is_over => Err(self.waited(&refused)),
                    failure => Err(failure),
                }
            }
        }
    }

    async fn is_service_connected(&self, connection: &Connection) -> Result<bool, Failure> {
        Ok(connection
            .identities()
            .await?
            .services
            .contains_key(&self.service))
    }

    /// Locks at a manager that has no queue, as MSL-Network's: tries again for as long as it may
    /// wait.
    async fn lock_without_queue(&self, connection: &Connection) -> Result<LockGuard, Failure> {
        if self.ttl.is_some() || self.reason.is_some() {
            return Err(Failure::Usage(
                "--ttl and --reason need a manager of Labwire, this is another one".to_owned(),
            ));
        }
        let end = self.wait.map(|time| Instant::now() + time.duration());
        let mut is_told = false;
        loop {
            let locked = match link(connection, &self.service).await {
                Ok(link) => match link.lock(self.kind()).await {
                    Ok(guard) => Ok(guard),
                    Err(error) => Err(self.refused(connection, error).await),
                },
                Err(failure) => Err(failure),
            };
            match locked {
                Err(failure @ Failure::Refused(_)) => match end {
                    None => return Err(failure),
                    // Waiting does not start a service.
                    Some(_) if !self.is_service_connected(connection).await? => return Err(failure),
                    Some(end) if end <= Instant::now() => return Err(self.waited(&failure)),
                    Some(_) => {
                        if !is_told {
                            Self::tell_wait(&failure, 1);
                            is_told = true;
                        }
                        sleep(TRY_AGAIN).await;
                    }
                },
                locked => return locked,
            }
        }
    }
}

pub(crate) async fn lock_service(arguments: &LockArgs, stop: Stop) -> Result<(), Failure> {
    let LockArgs { service, form, .. } = arguments;
    let name = arguments.client_name();
    let connection = arguments.connection.connect_lasting_as(&name).await?;
    let breaks = arguments.breaks(connection.client());
    let guard = arguments.lock(&connection).await?;
    stop.begin()?;
    drop(breaks);
    let mut announcement = Announcement::new(&Held {
        service: service.clone(),
        manager: arguments.connection.address()?,
    })?;
    let text = match guard.clients().len() {
        0 | 1 => "is locked, until Ctrl-C or `labwire unlock`".to_owned(),
        count => format!("is locked, until Ctrl-C or `labwire unlock`; {count} clients hold a lock"),
    };
    let locked = || Happened::Locked {
        clients: guard.clients().to_vec(),
    };
    show(*form, &locked(), service, &text)?;
    let client = connection.client();
    let is_lost = tokio::select! {
        biased;
        _ = stop.requested() => false,
        () = announcement.release_requested() => false,
        lost = lost_for_good(&guard, &connection, *form) => {
            lost?;
            true
        }
    };
    if is_lost {
        show(*form, &Happened::Lost, service, "is not locked any more")?;
        if let Some(reason) = guard.end_reason() {
            return Err(Failure::Refused(one_line(&reason)));
        }
        let reason = match timeout(Duration::ZERO, client.closed()).await {
            Ok(reason) => one_line(&reason),
            Err(_) => "the service has left".to_owned(),
        };
        return Err(Failure::NoManager(format!(
            "the lock on '{}' is lost: {reason}",
            one_line(service)
        )));
    }
    if client.session() == SessionState::Away {
        tell(
            "labwire: the lock is released after the return; if that fails, when its place ends at the manager",
        );
    }
    connection.in_time(guard.release()).await?;
    announcement.released();
    show(*form, &Happened::Released, service, "is released")?;
    connection.disconnect().await;
    Ok(())
}

/// Waits until the lock is lost and cannot be held again. Tells when the connection breaks and is back,
/// when the loss is not sure, and when the lock is held again after a restart of the manager.
async fn lost_for_good(guard: &LockGuard, connection: &Connection, form: OutputArgs) -> Result<(), Failure> {
    let client = connection.client();
    let link = guard.link();
    let service = one_line(link.service());
    let happened = |happened| note(form, happened, link.service());
    let cause = Cause::Connection;
    let again = || {
        tell(format_args!(
            "labwire: the manager was restarted, '{service}' is locked again"
        ));
        happened(Happened::Locked {
            clients: guard.clients().to_vec(),
        })
    };
    let mut session = client.session();
    let mut since = Instant::now();
    loop {
        tokio::select! {
            biased;
            () = guard.lost() => {
                if !client.is_connected() && guard.end_reason().is_none() {
                    tell(format_args!(
                        "labwire: the lock on '{service}' is lost unless the manager is being restarted; waiting for it"
                    ));
                }
                if !guard.held_again().await {
                    return Ok(());
                }
                again().await?;
            }
            now = client.session_changed(session) => {
                if now == session {
                    // The client has ended.
                    guard.lost().await;
                    return Ok(());
                }
                session = now;
                match now {
                    SessionState::Away => {
                        since = Instant::now();
                        tell(format_args!("labwire: {RETURNING}"));
                        happened(Happened::Away { cause }).await?;
                    }
                    SessionState::Kept if guard.is_held() => {
                        tell(format_args!(
                            "labwire: back after {:.1} s, the lock is still held",
                            since.elapsed().as_secs_f64()
                        ));
                        happened(Happened::back(cause, since)).await?;
                    }
                    SessionState::Lost => {
                        let linked = async {
                            client.connected().await;
                            link.linked().await
                        };
                        tokio::select! {
                            biased;
                            () = guard.lost() => {}
                            _ = linked => again().await?,
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}
