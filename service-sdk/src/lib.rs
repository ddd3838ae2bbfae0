//! Write a service of Labwire.
