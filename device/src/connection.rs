//! A connection to a manager: lines come in, frames go out.

mod reader;
mod writer;

use crate::session::{Resumed, Session};

pub use reader::ConnectionReader;
pub use writer::ConnectionWriter;

/// A connection to a manager that has accepted the device.
///
/// ```
/// use labwire_device::{Connection, ConnectOptions, Introduction, connect};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let manager = labwire_testing::TestManager::start().await;
/// # let options = ConnectOptions::new().port(manager.port()).without_tls();
/// let connection: Connection = connect(&options, &Introduction::client("Ada")).await?;
/// // Such as Ada[bench:54160], known to Manager[bench:1875].
/// assert!(connection.network_name.ends_with(&format!(":{}]", connection.local_port)));
/// assert!(connection.manager.ends_with(&format!(":{}]", manager.port())));
///
/// // One task reads, and another one writes.
/// let (mut reader, mut writer) = (connection.reader, connection.writer);
/// let reading = tokio::spawn(async move { reader.next_line().await });
/// writer.close().await?;
/// assert!(reading.await??.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Connection {
    /// The device's name on the network: `NAME[HOST:PORT]`. An older manager does not send it; then
    /// this is the name that it most likely uses.
    pub network_name: String,
    /// The manager's name: `Manager[HOST:PORT]`.
    pub manager: String,
    /// The local port of the connection.
    pub local_port: u16,
    /// The session that the manager keeps when this connection breaks, if it does.
    pub session: Option<Session>,
    /// How the manager has taken up the session before this connection again; `None` if the device
    /// was registered anew.
    pub resumed: Option<Resumed>,
    /// Whether the manager has the feature `binary`, so that it accepts frames with buffers.
    pub binary: bool,
    /// Reads lines from the manager.
    pub reader: ConnectionReader,
    /// Writes frames to the manager.
    pub writer: ConnectionWriter,
}
