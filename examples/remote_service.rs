//! A program for another computer: a manager and a service, which ends when its client asks it to.
//!
//! Build it on that computer (or for it); `remote_start` starts it from here.

use std::process::ExitCode;

use labwire::{Services, run_services_from_arguments};
use labwire_service::service;

struct RPiService;

/// A service on a Raspberry Pi.
#[service]
impl RPiService {
    /// The sum of four numbers.
    pub fn add_numbers(&self, a: f64, b: f64, c: f64, d: f64) -> f64 {
        a + b + c + d
    }

    /// The power.
    pub fn power(&self, a: f64, #[default(2)] n: i32) -> f64 {
        a.powi(n)
    }

    /// Lets a client end the service; the manager ends with its last service.
    pub fn shutdown_service(&self) {}
}

fn main() -> ExitCode {
    run_services_from_arguments(Services::new().with(RPiService))
}
