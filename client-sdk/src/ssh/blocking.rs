//! The blocking form of the SSH functions.
//!
//! ```
//! # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/ssh.rs")); }
//! # support::blocking_lab(|computer| {
//! use labwire_client::ssh::{SshOptions, StartOptions, blocking};
//!
//! let options = SshOptions::new("pi@localhost").password("raspberry");
//! # let options = computer.at(options);
//! let started = blocking::start_manager(&options, "~/bin/mypackage", StartOptions::new())?;
//! assert_eq!(started.address, "raspberrypi:1876");
//! # Ok(())
//! # });
//! ```

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use super::{Output, RunError, SshError, SshOptions, StartError, StartOptions, Started};

/// An SSH connection to another computer: the blocking form of [`super::Ssh`].
///
/// Panics in async code. Dropping it closes the connection.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/ssh.rs")); }
/// # support::blocking_lab(|computer| {
/// use std::time::Duration;
/// use labwire_client::ssh::{SshOptions, blocking::Ssh};
///
/// let options = SshOptions::new("pi@localhost").password("raspberry");
/// # let options = computer.at(options);
/// let pi = Ssh::connect(&options)?;
/// let output = pi.run("ls bin", Duration::from_secs(10))?;
/// assert_eq!(output.stdout, "fails\nmypackage\n");
/// pi.close();
/// # Ok(())
/// # });
/// ```
#[derive(Debug)]
pub struct Ssh {
    ssh: super::Ssh,
    runtime: Runtime,
}

impl Ssh {
    /// Connects, as [`super::Ssh::connect`] does.
    ///
    /// See the example of [`Ssh`].
    pub fn connect(options: &SshOptions) -> Result<Self, SshError> {
        let runtime = runtime();
        let ssh = runtime.block_on(super::Ssh::connect(options))?;
        Ok(Self { ssh, runtime })
    }

    /// Runs a command and waits for its end, as [`super::Ssh::run`] does.
    ///
    /// See the example of [`Ssh`].
    pub fn run(&self, command: &str, timeout: Duration) -> Result<Output, RunError> {
        self.runtime.block_on(self.ssh.run(command, timeout))
    }

    /// Closes the connection.
    ///
    /// See the example of [`Ssh`].
    pub fn close(self) {
        self.runtime.block_on(self.ssh.close());
    }
}

/// Starts a program on another computer and waits until its manager is running, as
/// [`start_manager`](super::start_manager) does.
///
/// Panics in async code.
///
/// See the example of [the module](self).
pub fn start_manager(
    options: &SshOptions,
    program: &str,
    start: StartOptions,
) -> Result<Started, StartError> {
    runtime().block_on(super::start_manager(options, program, start))
}

/// Creates a runtime with one thread beside the caller's, so that a connection answers the server
/// between the calls.
fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime needs one thread and a few descriptors, which every program can have")
}
