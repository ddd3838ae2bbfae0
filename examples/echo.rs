//! The smallest service: it gives back what it was sent.
//!
//! ```console
//! $ cargo run --example echo
//! ```

use labwire_service::{ConnectOptions, Keywords, Positional, Runner, service};

/// Gives back what it was sent.
#[derive(Debug)]
pub struct Echo;

#[service]
impl Echo {
    /// Gives back its arguments: the positional ones, and those with a name.
    pub fn echo(&self, args: Positional, kwargs: Keywords) -> (Positional, Keywords) {
        (args, kwargs)
    }
}

/// Starts the service.
///
/// Fails when the manager cannot be reached, or does not take the service in.
pub fn main() -> anyhow::Result<()> {
    Runner::new(Echo)
        .options(ConnectOptions::from_environment()?)
        .start()?;
    Ok(())
}
