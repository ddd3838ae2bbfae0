//! The `labwire` program, and the API that combines the manager and the SDKs.
//!
//! The manager itself is the library `labwire-manager`, which does not depend on an SDK. This crate
//! contains the code that runs a manager and services in one process.
//!
//! ```
//! # use labwire_service::service;
//! # struct Adder;
//! # #[service]
//! # impl Adder {
//! #     pub fn add(&self, a: f64, b: f64) -> f64 { a + b }
//! #     pub fn shutdown_service(&self) {}
//! # }
//! use labwire::{ManagerOptions, Services};
//! use labwire_client::{ConnectOptions, LinkedClient};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let scratch = tempfile::tempdir()?;
//! # let home = labwire_home::Home::at(scratch.path());
//! let options = ManagerOptions::new().port(0).without_tls();
//! # let options = options.home(home);
//! let running = Services::new().with(Adder).connect(options).await?;
//!
//! let manager = ConnectOptions::new().port(running.port()).without_tls();
//! let adder = LinkedClient::connect("Adder", manager).await?;
//! assert_eq!(adder.call::<f64>("add", (1, 2)).await?, 3.0);
//! running.shut_down().await?;
//! # Ok(())
//! # }
//! ```

pub mod cli;
mod demo;
mod run_services;
mod system;

pub use labwire_device::KeywordArgumentsError;
pub use run_services::{
    ManagerOptions, RunServicesError, RunningServices, Services, run_services, run_services_from_arguments,
};
