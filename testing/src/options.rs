//! The options of a manager for tests.

use labwire_manager::{Authentication, Limits};

/// The options that a [`TestManagerBuilder`](crate::TestManagerBuilder) sets.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) port: u16,
    pub(crate) authentication: Authentication,
    pub(crate) users: Vec<User>,
    pub(crate) tls: bool,
    pub(crate) limits: Limits,
}

/// A user of the manager's database.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) password: String,
    pub(crate) is_admin: bool,
}
