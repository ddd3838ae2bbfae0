//! The smallest service: returns its arguments.
//!
//! ```console
//! $ cargo run --example echo
//! ```

use labwire_service::{ConnectOptions, Keywords, Positional, Runner, service};

/// Returns its arguments.
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
/// Fails if the manager cannot be reached or refuses the service.
pub fn main() -> anyhow::Result<()> {
    Runner::new(Echo)
        .options(ConnectOptions::from_environment()?)
        .start()?;
    Ok(())
}
