//! The macro of labwire-client.
