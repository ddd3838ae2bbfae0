//! Slow mathematics: shows the difference between sequential and concurrent calls.
//!
//! ```console
//! $ cargo run --example basic_math
//! $ cargo run --example synchronous     # in another terminal: 21 s
//! $ cargo run --example asynchronous    # 6 s
//! ```

use std::thread::sleep;
use std::time::Duration;

use labwire_service::{ConnectOptions, Runner, ServiceError, service};

/// Slow basic mathematical operations.
#[derive(Debug)]
pub struct BasicMath {
    second: Duration,
}

impl Default for BasicMath {
    fn default() -> Self {
        Self::with_second(Duration::from_secs(1))
    }
}

impl BasicMath {
    /// Creates a service with this length of a second.
    pub fn with_second(second: Duration) -> Self {
        Self { second }
    }
}

/// Basic mathematical operations, each of which takes its time.
#[service]
impl BasicMath {
    /// Euler's number.
    #[expect(non_upper_case_globals, reason = "it has this name on the network")]
    pub const euler: f64 = std::f64::consts::E;

    /// The ratio of a circle's circumference to its diameter.
    #[property]
    pub fn pi(&self) -> f64 {
        std::f64::consts::PI
    }

    /// The sum, after a second.
    pub fn add(&self, x: f64, y: f64) -> f64 {
        sleep(self.second);
        x + y
    }

    /// The difference, after two seconds.
    pub fn subtract(&self, x: f64, y: f64) -> f64 {
        sleep(2 * self.second);
        x - y
    }

    /// The product, after three seconds.
    pub fn multiply(&self, x: f64, y: f64) -> f64 {
        sleep(3 * self.second);
        x * y
    }

    /// The quotient, after four seconds.
    pub fn divide(&self, x: f64, y: f64) -> Result<f64, ServiceError> {
        sleep(4 * self.second);
        if y == 0.0 {
            return Err(ServiceError::new("ZeroDivisionError", "float division by zero"));
        }
        Ok(x / y)
    }

    /// Whether the value is positive, after five seconds; an error if it is not.
    pub fn ensure_positive(&self, x: f64) -> Result<bool, ServiceError> {
        sleep(5 * self.second);
        if x < 0.0 {
            return Err(ServiceError::new("ValueError", "The value is < 0"));
        }
        Ok(true)
    }

    /// The power, after six seconds.
    pub fn power(&self, x: f64, #[default(2.0)] n: f64) -> f64 {
        sleep(6 * self.second);
        x.powf(n)
    }
}

/// Starts the service.
///
/// Fails if the manager cannot be reached or refuses the service.
pub fn main() -> anyhow::Result<()> {
    Runner::new(BasicMath::default())
        .options(ConnectOptions::from_environment()?)
        .start()?;
    Ok(())
}
