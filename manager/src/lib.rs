//! The network manager that laboratories run their instruments through.

pub mod cli;
mod home;
mod local;
pub mod pki;
mod store;

pub use home::{Home, HomeError, create_private_file, create_private_folder};
pub use store::{
    COMPATIBLE_ROUNDS, CONNECTIONS_LIMIT, ColumnInfo, ConnectionEvent, ConnectionRow, DEFAULT_ROUNDS,
    LoginOutcome, MAXIMUM_ROUNDS, MINIMUM_ROUNDS, Store, StoreError, StoreOptions,
};
