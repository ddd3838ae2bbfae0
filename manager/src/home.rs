//! Where the files of an installation are.
