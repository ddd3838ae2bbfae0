//! Keys, certificates and fingerprints.
