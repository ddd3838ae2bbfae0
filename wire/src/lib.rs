//! The wire of Labwire.

mod terminal;
