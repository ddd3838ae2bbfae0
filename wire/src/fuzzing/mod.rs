//! Properties that hold for any bytes: the checks shared by the fuzz targets and the property
//! tests.
//!
//! Each function takes arbitrary bytes, and panics if a property does not hold.

mod buffers;
mod envelope;
#[cfg(test)]
mod envelope_properties;
mod salvage;
#[cfg(test)]
mod salvage_properties;
mod splitter;
#[cfg(test)]
mod splitter_properties;
mod terminal;
#[cfg(test)]
mod tests;

pub use buffers::check_buffers;
pub use envelope::check_envelope;
pub use salvage::check_salvage;
pub use splitter::check_lines;
#[cfg(test)]
pub(crate) use terminal::LOOKS_PER_BYTE;
pub use terminal::check_terminal;
