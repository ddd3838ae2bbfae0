//! The `labwire` program, and what is made of the manager and the SDKs together.
//!
//! The manager itself is the library `labwire-manager`, which knows no SDK. Here everything meets that runs in
//! one process.

pub mod cli;
mod demo;
mod run_services;

pub use labwire_device::KeywordArgumentsError;
pub use run_services::{
    ManagerOptions, RunServicesError, RunningServices, Services, run_services, run_services_from_arguments,
};
