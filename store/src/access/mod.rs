//! Groups of users, roles, sets of services and grants: tables of Labwire's own.
//!
//! What belongs to a user is removed with the user by triggers, so that it is also removed when the
//! Python tools remove the user, and a new user of the same name has none of it.

mod change;
mod error;
mod explain;
mod rows;
#[cfg(test)]
mod tests;

pub(crate) use change::MOST_ROWS;
pub use change::{AccessChange, MOST_GRANTS, MOST_LABELS, MOST_PERMISSIONS, MOST_SET_PATTERNS};
pub use error::{AccessError, Named};
pub use explain::{Explanation, explain, explain_permission};
pub use rows::describe_grant;

/// The tables and triggers. A role or a set may have no rows in the table of its members. `until`
/// is in seconds since 1970. An `effect` that is not `allow` belongs to a later version, and allows
/// nothing.
pub(crate) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS labwire_groups (name TEXT PRIMARY KEY NOT NULL);
CREATE TABLE IF NOT EXISTS labwire_members (
    group_name TEXT NOT NULL,
    username TEXT NOT NULL,
    PRIMARY KEY (group_name, username)
);
CREATE TABLE IF NOT EXISTS labwire_roles (name TEXT PRIMARY KEY NOT NULL);
CREATE TABLE IF NOT EXISTS labwire_permissions (
    role TEXT NOT NULL,
    permission TEXT NOT NULL,
    effect TEXT NOT NULL DEFAULT 'allow',
    PRIMARY KEY (role, permission)
);
CREATE TABLE IF NOT EXISTS labwire_sets (name TEXT PRIMARY KEY NOT NULL);
CREATE TABLE IF NOT EXISTS labwire_set_members (
    set_name TEXT NOT NULL,
    pattern TEXT NOT NULL,
    PRIMARY KEY (set_name, pattern)
);
CREATE TABLE IF NOT EXISTS labwire_grants (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    role TEXT NOT NULL,
    username TEXT,
    group_name TEXT,
    scope TEXT NOT NULL DEFAULT '*',
    until INTEGER,
    CHECK ((username IS NULL) != (group_name IS NULL))
);
CREATE TRIGGER IF NOT EXISTS labwire_user_removed AFTER DELETE ON auth_users BEGIN
    DELETE FROM labwire_members WHERE username = OLD.username;
    DELETE FROM labwire_grants WHERE username = OLD.username;
END;
CREATE TRIGGER IF NOT EXISTS labwire_user_renamed AFTER UPDATE OF username ON auth_users
WHEN NEW.username != OLD.username BEGIN
    DELETE FROM labwire_members WHERE username = OLD.username;
    DELETE FROM labwire_grants WHERE username = OLD.username;
END;
";
