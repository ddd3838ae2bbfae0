//! A manager and two services in one program, which ends when a client has ended both.
//!
//! ```console
//! $ cargo run --example shutdownable_services -- --kwargs '{"port": 1876}'
//! ```

use std::process::ExitCode;
use std::time::Duration;

use labwire::{Services, run_services_from_arguments};
use labwire_service::service;

struct AddService;

/// Adds.
#[service]
impl AddService {
    /// The sum.
    pub fn add(&self, a: f64, b: f64) -> f64 {
        a + b
    }

    /// Lets a client end the service.
    pub fn shutdown_service(&self) -> bool {
        true
    }
}

struct SubtractService;

/// Subtracts.
#[service]
impl SubtractService {
    /// The difference.
    pub fn subtract(&self, a: f64, b: f64) -> f64 {
        a - b
    }

    /// The difference, after some seconds: a client that asks for it before it ends the service still gets it.
    pub async fn subtract_slowly(&self, a: f64, b: f64, #[default(2)] seconds: u64) -> f64 {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        a - b
    }

    /// Lets a client end the service; what it returns is the client's answer.
    pub fn shutdown_service(&self) -> String {
        "Success!".to_owned()
    }
}

fn main() -> ExitCode {
    run_services_from_arguments(Services::new().with(AddService).with(SubtractService))
}
