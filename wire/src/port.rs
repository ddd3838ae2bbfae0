//! The port of a manager.

/// The default port of a manager: the year in which the BIPM was founded, as in MSL-Network.
///
/// ```
/// assert_eq!(labwire_wire::DEFAULT_PORT, 1875);
/// ```
pub const DEFAULT_PORT: u16 = 1875;
