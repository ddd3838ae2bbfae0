//! The macro of labwire-service.
