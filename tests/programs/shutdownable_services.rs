//! A manager with two services that clients can end, as a program's arguments say.

use std::process::ExitCode;
use std::time::Duration;

use labwire::{Services, run_services_from_arguments};
use labwire_service::service;

struct AddService;

#[service]
impl AddService {
    pub fn add(&self, a: f64, b: f64) -> f64 {
        a + b
    }

    pub fn shutdown_service(&self) -> bool {
        true
    }
}

struct SubtractService;

#[service]
impl SubtractService {
    pub fn subtract(&self, a: f64, b: f64) -> f64 {
        a - b
    }

    pub async fn subtract_slowly(&self, a: f64, b: f64, #[default(2)] seconds: u64) -> f64 {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        a - b
    }

    pub fn shutdown_service(&self) -> String {
        "Success!".to_owned()
    }
}

fn main() -> ExitCode {
    run_services_from_arguments(Services::new().with(AddService).with(SubtractService))
}
