//! Write a client of Labwire.
