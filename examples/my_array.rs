//! Arrays: creates and multiplies them. `labview/` and `shell/` contain clients of this service
//! that need no library.
//!
//! ```console
//! $ cargo run --example my_array
//! ```

use labwire_service::{ConnectOptions, Runner, ServiceError, service};

/// Creates and manipulates arrays.
#[derive(Debug)]
pub struct MyArray;

/// Makes and manipulates arrays.
#[service]
impl MyArray {
    /// Numbers at equal distances, from `start` to `stop`.
    pub fn linspace(&self, start: f64, stop: f64, #[default(100)] n: u32) -> Result<Vec<f64>, ServiceError> {
        if n < 2 {
            return Err(ServiceError::new("ValueError", "n must be at least 2"));
        }
        let distance = (stop - start) / f64::from(n - 1);
        Ok((0..n).map(|index| start + f64::from(index) * distance).collect())
    }

    /// Every element of the data, multiplied by a number.
    pub fn scalar_multiply(&self, scalar: f64, data: Vec<f64>) -> Vec<f64> {
        data.into_iter().map(|element| element * scalar).collect()
    }
}

/// Starts the service.
///
/// Fails if the manager cannot be reached or refuses the service.
pub fn main() -> anyhow::Result<()> {
    Runner::new(MyArray)
        .options(ConnectOptions::from_environment()?)
        .start()?;
    Ok(())
}
