//! Unix: the agent's socket, a file.

use std::path::Path;

use russh::keys::Error;
use russh::keys::agent::client::AgentClient;

/// The connection to an agent.
pub(in crate::ssh) type Stream = tokio::net::UnixStream;

/// Connects to the agent at a socket.
pub(in crate::ssh) async fn connect(socket: &Path) -> Result<AgentClient<Stream>, Error> {
    AgentClient::connect_uds(socket).await
}
