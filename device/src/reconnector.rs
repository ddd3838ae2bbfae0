//! Renews a lost connection.

use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use crate::backoff::{Backoff, Waits};
use crate::connect::{connect_or_return, goodbye};
use crate::connection::Connection;
use crate::error::ConnectError;
use crate::introduction::Introduction;
use crate::options::ConnectOptions;
use crate::session::{Remains, Return, Session};

/// The longest wait between two attempts to return to a session: its time is limited.
const RETURN: Backoff = Backoff::new()
    .initial(Duration::from_millis(50))
    .maximum(Duration::from_secs(1));

/// Renews a lost connection, as often as it is lost.
///
/// The waits between the attempts are those of the options' [`Backoff`], and a second at most until
/// the grace period of a session to [return to](Self::return_to) is over. They start
/// again after a connection that lasted; after one that ended at once they keep growing.
///
/// ```
/// use labwire_device::{Backoff, ConnectOptions, Introduction, Reconnector, connect};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let manager = labwire_testing::TestManager::start().await;
/// # let options = ConnectOptions::new().port(manager.port()).without_tls();
/// let options = options.reconnect(Backoff::new());
/// let ada = Introduction::client("Ada");
/// let mut connection = connect(&options, &ada).await?;
/// let mut reconnector = Reconnector::new(&options, &ada).expect("the options say so");
///
/// // The manager is started again.
/// let stopped = manager.kill().await;
/// assert!(!matches!(connection.reader.next_line().await, Ok(Some(_))));
/// let manager = stopped.start().await;
/// connection = reconnector.reconnect().await?;
/// assert!(connection.network_name.starts_with("Ada["));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Reconnector {
    options: ConnectOptions,
    introduction: Introduction,
    waits: Waits,
    /// The waits between attempts to return.
    return_waits: Waits,
    /// The time at which the current connection was made.
    connected: Instant,
    /// The session to return to.
    back: Option<Return>,
    /// When the grace period of that session ends; `None` if that is beyond the range of `Instant`.
    back_until: Option<Instant>,
    /// Whether the session is to be ended when the device returns to it.
    discards: bool,
    /// Whether it only returns to its session, and does not register anew.
    only_returns: bool,
}

impl Reconnector {
    /// Creates a reconnector for a connection that was just made. Returns `None` if the options do
    /// not [`reconnect`](ConnectOptions::reconnect).
    ///
    /// See the example of [`Reconnector`].
    pub fn new(options: &ConnectOptions, introduction: &Introduction) -> Option<Self> {
        let backoff = options.backoff()?;
        Some(Self::with(options, introduction, backoff, false))
    }

    /// Creates a reconnector that returns to a session and does nothing else: for a device that does
    /// not [`reconnect`](ConnectOptions::reconnect). It ends when the manager does not know the
    /// session, or when the grace period of the session is over.
    ///
    /// ```
    /// use labwire_device::{ConnectOptions, Introduction, Reconnector};
    ///
    /// let reconnector = Reconnector::for_session(&ConnectOptions::new(), &Introduction::client("Ada"));
    /// ```
    pub fn for_session(options: &ConnectOptions, introduction: &Introduction) -> Self {
        Self::with(options, introduction, Backoff::new(), true)
    }

    fn with(
        options: &ConnectOptions,
        introduction: &Introduction,
        backoff: Backoff,
        only_returns: bool,
    ) -> Self {
        Self {
            waits: backoff.waits(),
            return_waits: backoff.at_most(RETURN).waits(),
            options: options.clone(),
            introduction: introduction.clone(),
            connected: Instant::now(),
            back: None,
            back_until: None,
            discards: false,
            only_returns,
        }
    }

    /// Sets the session to return to, with what its connection, which has just broken, has left
    /// behind. The next attempts return to it, until one succeeds or the manager does not know it any
    /// more; then they register anew. A refused connection is not the end: it cannot be told from a
    /// network that is interrupted.
    ///
    /// ```
    /// use labwire_device::{Connection, Reconnector};
    ///
    /// fn lost(reconnector: &mut Reconnector, connection: Connection) {
    ///     if let Some(session) = connection.session {
    ///         reconnector.return_to(session, connection.reader.into_remains());
    ///     }
    /// }
    /// ```
    pub fn return_to(&mut self, session: Session, remains: Remains) {
        self.back_until = Instant::now().checked_add(session.grace());
        self.back = Some(Return { session, remains });
        self.discards = false;
    }

    /// Notes that the device has given up its session. If the manager still has it, the next
    /// attempts end it and register anew.
    ///
    /// ```
    /// use labwire_device::Reconnector;
    ///
    /// fn given_up(reconnector: &mut Reconnector) {
    ///     reconnector.discard_session();
    /// }
    /// ```
    pub fn discard_session(&mut self) {
        self.discards = self.back.is_some();
    }

    /// Notes that the connection is lost. The next wait is short if the connection lasted.
    ///
    /// See the example of [`attempt`](Self::attempt).
    pub fn connection_lost(&mut self) {
        let lasted = self.connected.elapsed();
        self.waits.connected_for(lasted);
        self.return_waits.connected_for(lasted);
    }

    /// Waits, then attempts to connect once. Each call after a failure waits longer on average. For
    /// programs that decide after each failure whether to go on; the others call
    /// [`reconnect`](Self::reconnect).
    ///
    /// Cancel safe, like [`connect`](crate::connect()). After a cancelled call the next one waits longer.
    ///
    /// ```
    /// use labwire_device::{Backoff, ConnectOptions, Introduction, Reconnector, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = labwire_testing::TestManager::start().await;
    /// # let options = ConnectOptions::new().port(manager.port()).without_tls();
    /// let options = options.reconnect(Backoff::new());
    /// let ada = Introduction::client("Ada");
    /// let connection = connect(&options, &ada).await?;
    /// let mut reconnector = Reconnector::new(&options, &ada).expect("the options say so");
    /// drop(connection);
    /// reconnector.connection_lost();
    /// assert!(reconnector.attempt().await?.network_name.starts_with("Ada["));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn attempt(&mut self) -> Result<Connection, ConnectError> {
        let wait = if self.may_return() {
            self.return_waits.next_wait()
        } else {
            self.waits.next_wait()
        };
        tokio::time::sleep(wait).await;
        let mut connected = connect_or_return(&self.options, &self.introduction, self.back.as_ref()).await;
        if let Err(error) = &connected
            && error.has_no_session()
            && self.back.take().is_some()
            && !self.only_returns
        {
            debug!("the session has ended: {error}");
            connected = connect_or_return(&self.options, &self.introduction, None).await;
        }
        let mut connection = connected?;
        if self.discards && connection.resumed.is_some() {
            leave(&mut connection, &self.introduction).await;
            self.back = None;
            connection = connect_or_return(&self.options, &self.introduction, None).await?;
        }
        if self.only_returns && connection.resumed.is_none() {
            return Err(leave(&mut connection, &self.introduction).await);
        }
        self.back = None;
        self.connected = Instant::now();
        Ok(connection)
    }

    /// Returns whether there is a session to return to whose grace period is not over.
    fn may_return(&self) -> bool {
        self.back.is_some() && self.back_until.is_none_or(|until| Instant::now() < until)
    }

    fn goes_on_after(&self, error: &ConnectError) -> bool {
        error.is_transient() && (!self.only_returns || self.may_return())
    }

    /// Connects again after the connection was lost, however long it takes; one that [only
    /// returns](Self::for_session) until the grace period is over. Returns an error when further
    /// attempts cannot succeed: see [`ConnectError::is_transient`].
    ///
    /// Cancel safe, like [`connect`](crate::connect()). After a cancelled call the next one waits longer.
    ///
    /// See the example of [`Reconnector`].
    pub async fn reconnect(&mut self) -> Result<Connection, ConnectError> {
        self.connection_lost();
        loop {
            match self.attempt().await {
                // The manager may not be there yet, or not have noticed that the connection before
                // this one ended.
                Err(error) if self.goes_on_after(&error) => debug!("not connected again yet: {error}"),
                connected => return connected,
            }
        }
    }
}

/// Leaves a manager that has registered the device anew, which was not asked for: the session has
/// ended. Returns the error that says so.
async fn leave(connection: &mut Connection, introduction: &Introduction) -> ConnectError {
    // The connection is dropped next, whatever happens to the farewell.
    let _ = connection.writer.write(&[goodbye(introduction.name())]).await;
    ConnectError::Refused {
        message: "the session has ended".to_owned(),
    }
}
