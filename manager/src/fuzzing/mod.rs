//! What must hold for any bytes that reach a manager: the checks that the fuzz targets and the tests share.
//!
//! Each function takes bytes that may be anything, and panics when something does not hold.

mod acts;
mod connections;
#[cfg(test)]
mod tests;

use crate::simulation::{Choices, run};
pub use connections::{check_administrator, check_connections, check_cut_through, check_handshake};

/// Holds the registry and the router against the model, in the schedule that these bytes make. Eight bytes are
/// a seed, which makes a longer one.
///
/// # Panics
///
/// When a peer is told anything else than the model says.
pub fn check_schedule(data: &[u8]) {
    let mut choices = match data.try_into() {
        Ok(seed) => Choices::Seed(u64::from_le_bytes(seed)),
        Err(_) => Choices::Bytes(data),
    };
    run(&mut choices);
}
