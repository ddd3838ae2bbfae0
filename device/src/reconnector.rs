//! Renews a lost connection.

use tokio::time::Instant;
use tracing::debug;

use crate::backoff::Waits;
use crate::connect::connect;
use crate::connection::Connection;
use crate::error::ConnectError;
use crate::introduction::Introduction;
use crate::options::ConnectOptions;

/// Renews a lost connection, as often as it is lost.
///
/// The waits between the attempts are those of the options' [`Backoff`](crate::Backoff). They start
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
    /// The time at which the current connection was made.
    connected: Instant,
}

impl Reconnector {
    /// Creates a reconnector for a connection that was just made. Returns `None` if the options do
    /// not [`reconnect`](ConnectOptions::reconnect).
    ///
    /// See the example of [`Reconnector`].
    pub fn new(options: &ConnectOptions, introduction: &Introduction) -> Option<Self> {
        Some(Self {
            waits: options.backoff()?.waits(),
            options: options.clone(),
            introduction: introduction.clone(),
            connected: Instant::now(),
        })
    }

    /// Notes that the connection is lost. The next wait is short if the connection lasted.
    ///
    /// See the example of [`attempt`](Self::attempt).
    pub fn connection_lost(&mut self) {
        self.waits.connected_for(self.connected.elapsed());
    }

    /// Waits, then attempts to connect once. Each call after a failure waits longer on average. For
    /// programs that decide after each failure whether to go on; the others call
    /// [`reconnect`](Self::reconnect).
    ///
    /// Cancel safe, like [`connect`]. After a cancelled call the next one waits longer.
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
        tokio::time::sleep(self.waits.next_wait()).await;
        let connection = connect(&self.options, &self.introduction).await?;
        self.connected = Instant::now();
        Ok(connection)
    }

    /// Connects again after the connection was lost, however long it takes. Returns an error when
    /// further attempts cannot succeed: see [`ConnectError::is_transient`].
    ///
    /// Cancel safe, like [`connect`]. After a cancelled call the next one waits longer.
    ///
    /// See the example of [`Reconnector`].
    pub async fn reconnect(&mut self) -> Result<Connection, ConnectError> {
        self.connection_lost();
        loop {
            match self.attempt().await {
                // The manager may not be there yet, or not have noticed that the connection before
                // this one ended.
                Err(error) if error.is_transient() => debug!("not connected again yet: {error}"),
                connected => return connected,
            }
        }
    }
}
