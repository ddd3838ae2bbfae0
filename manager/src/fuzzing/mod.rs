//! Checks that must hold for any bytes that reach a manager, shared by the fuzz targets and the
//! tests.
//!
//! Each function takes arbitrary bytes, and panics if a check fails.

mod acts;
#[cfg(test)]
mod arrays;
mod connections;
#[cfg(test)]
mod tests;

use crate::simulation::{Choices, run};
pub use connections::{check_administrator, check_connections, check_cut_through, check_handshake};

/// Checks the registry and the router against the model, in the schedule that these bytes encode.
/// Eight bytes are a seed for a longer one.
///
/// # Panics
///
/// If a peer receives anything else than the model predicts.
pub fn check_schedule(data: &[u8]) {
    let mut choices = match data.try_into() {
        Ok(seed) => Choices::Seed(u64::from_le_bytes(seed)),
        Err(_) => Choices::Bytes(data),
    };
    run(&mut choices);
}
