//! A camera: arrays as results and arguments. They travel as raw bytes; `python/camera_client.py` is
//! a client that gets them in base64.
//!
//! ```console
//! $ cargo run --example camera
//! $ labwire call Camera image --output image.npy
//! $ labwire call Camera mean @image.npy
//! ```

use labwire_service::{Array, ArrayError, ConnectOptions, Runner, service};
use serde::Serialize;

/// Takes images.
#[derive(Debug)]
pub struct Camera;

/// An image, and how it was taken.
#[derive(Debug, Serialize)]
pub struct Frame {
    /// The exposure time in seconds.
    pub exposure: f64,
    /// Pixels of 16 bits.
    pub image: Array,
}

/// Takes images of pixels of 16 bits, which count up.
#[service]
impl Camera {
    /// An image.
    pub fn image(
        &self,
        #[default(480)] height: u16,
        #[default(640)] width: u16,
    ) -> Result<Array, ArrayError> {
        let count = u32::from(height) * u32::from(width);
        let pixels = (0..count)
            .map(|pixel| u16::try_from(pixel % 65_536).unwrap_or(u16::MAX))
            .collect();
        Array::from_vec(&[height.into(), width.into()], pixels)
    }

    /// An image, with its exposure time.
    pub fn frame(&self, exposure: f64) -> Result<Frame, ArrayError> {
        let image = self.image(480, 640)?;
        Ok(Frame { exposure, image })
    }

    /// The mean of an image.
    pub fn mean(&self, image: Array) -> Result<f64, ArrayError> {
        let pixels = image.to_vec::<u16>()?;
        let count = u32::try_from(pixels.len()).unwrap_or(u32::MAX);
        Ok(pixels.iter().map(|pixel| f64::from(*pixel)).sum::<f64>() / f64::from(count))
    }
}

/// Starts the service.
///
/// Fails if the manager cannot be reached or refuses the service.
pub fn main() -> anyhow::Result<()> {
    Runner::new(Camera)
        .options(ConnectOptions::from_environment()?)
        .start()?;
    Ok(())
}
