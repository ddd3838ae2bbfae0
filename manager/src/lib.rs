//! The network manager that laboratories run their instruments through.

pub mod cli;
mod home;
mod pki;
mod store;
