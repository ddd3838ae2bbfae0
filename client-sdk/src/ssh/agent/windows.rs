//! Windows: the agent's named pipe, such as `\\.\pipe\openssh-ssh-agent`.

use std::path::Path;

use russh::keys::Error;
use russh::keys::agent::client::AgentClient;

/// The connection to an agent.
pub(in crate::ssh) type Stream = tokio::net::windows::named_pipe::NamedPipeClient;

/// Connects to the agent at a named pipe.
pub(in crate::ssh) async fn connect(pipe: &Path) -> Result<AgentClient<Stream>, Error> {
    AgentClient::connect_named_pipe(pipe).await
}
