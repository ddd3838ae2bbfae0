//! Connecting: to real managers, and to TLS servers with certificates of every kind.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics is a test that fails, which is what it is for"
)]

mod connect;
mod trust;
