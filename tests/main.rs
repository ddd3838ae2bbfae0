//! Black-box tests of the built `labwire` binary.
