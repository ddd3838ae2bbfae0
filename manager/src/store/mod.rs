//! The SQLite database, behind a thread of its own.
