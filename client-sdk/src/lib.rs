//! Write a client of Labwire.

#[cfg(feature = "ssh")]
pub mod ssh;
