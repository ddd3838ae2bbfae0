//! The tables of Labwire's own beside those of MSL-Network, and their versions.
//!
//! The version is a row of a table: `PRAGMA user_version` belongs to the whole file, and so to
//! MSL-Network. `labwire_password_rounds` and `labwire_pruning` are older than this table and are
//! not versioned.

use rusqlite::{ErrorCode, OptionalExtension};

use crate::database::Database;
use crate::error::StoreError;

/// The tables of Labwire's own that a manager does without if it cannot create them.
pub(crate) const OPTIONAL_TABLES: [&str; 16] = [
    "labwire_accounts",
    "labwire_grants",
    "labwire_groups",
    "labwire_leases",
    "labwire_members",
    "labwire_permissions",
    "labwire_pruning",
    "labwire_record",
    "labwire_roles",
    "labwire_schema",
    "labwire_set_members",
    "labwire_sets",
    "labwire_tokens",
    "labwire_totp",
    "labwire_totp_codes",
    "labwire_users",
];

/// The table with the version.
const VERSION_TABLE: &str = "CREATE TABLE IF NOT EXISTS labwire_schema (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL CHECK (typeof(version) = 'integer')
)";

/// The changes that lead from each version to the next; the first one from a file without tables of
/// Labwire's own. A change that was published is never edited. It must leave the tables such that an
/// older Labwire can still use them: new columns have defaults, and no statement of this crate
/// depends on the number of columns.
const MIGRATIONS: &[&str] = &[
    crate::leases::TABLE,
    crate::leases::DOUBTED,
    crate::access::TABLES,
    crate::tokens::TABLE,
    crate::accounts::TABLE,
    crate::standing::TABLE,
    crate::totp::TABLE,
    crate::successors::TRIGGERS,
    crate::noted_record::TABLE,
];

impl Database {
    /// Brings the tables of Labwire's own to the current version. A file that is read-only or of a
    /// later version stays as it is.
    pub(crate) fn migrate(&mut self) -> Result<(), StoreError> {
        self.migrate_with(MIGRATIONS)
    }

    fn migrate_with(&mut self, migrations: &[&str]) -> Result<(), StoreError> {
        let newest = migrations.len();
        if self.schema_version()? >= newest {
            return Ok(());
        }
        match self.migrate_from_oldest(migrations) {
            Err(StoreError::Database(error)) if error.sqlite_error_code() == Some(ErrorCode::ReadOnly) => {
                tracing::warn!(%error, "the tables of Labwire's own cannot be created");
                Ok(())
            }
            migrated => migrated,
        }
    }

    fn migrate_from_oldest(&mut self, migrations: &[&str]) -> Result<(), StoreError> {
        let change = self.change()?;
        change.execute_batch(VERSION_TABLE)?;
        // Read again, under the write lock: another program may have been faster.
        let version: Option<i64> = change
            .query_row("SELECT version FROM labwire_schema", [], |row| row.get(0))
            .optional()?;
        let version = version.map_or(0, |version| usize::try_from(version).unwrap_or(0));
        for migration in migrations.iter().skip(version) {
            change.execute_batch(migration)?;
        }
        if version < migrations.len() {
            change.execute(
                "INSERT OR REPLACE INTO labwire_schema (id, version) VALUES (1, ?1)",
                [i64::try_from(migrations.len()).unwrap_or(i64::MAX)],
            )?;
        }
        Ok(change.commit()?)
    }

    /// Returns the version of the tables of Labwire's own; 0 if there are none.
    fn schema_version(&self) -> Result<usize, StoreError> {
        const HAS_TABLE: &str =
            "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'labwire_schema'";
        if self
            .connection
            .query_row(HAS_TABLE, [], |row| row.get::<_, i64>(0))?
            == 0
        {
            return Ok(0);
        }
        let version: Option<i64> = self
            .connection
            .query_row("SELECT version FROM labwire_schema", [], |row| row.get(0))
            .optional()?;
        Ok(version.map_or(0, |version| usize::try_from(version).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::tests::{empty_database, python_database};

    fn user_version(database: &Database) -> i64 {
        let version = database
            .connection
            .query_row("PRAGMA user_version", [], |row| row.get(0));
        version.unwrap()
    }

    fn columns(database: &Database, table: &str) -> Vec<String> {
        let mut statement = database
            .connection
            .prepare("SELECT name FROM pragma_table_info(?1)")
            .unwrap();
        let names = statement.query_map([table], |row| row.get(0)).unwrap();
        names.collect::<rusqlite::Result<_>>().unwrap()
    }

    #[test]
    fn a_database_of_the_python_tools_gets_the_tables_and_keeps_its_user_version() {
        let (_folder, path) = python_database();
        rusqlite::Connection::open(&path)
            .unwrap()
            .pragma_update(None, "user_version", 7)
            .unwrap();
        for _ in 0..2 {
            let database = Database::open(&path).unwrap();
            assert_eq!(database.schema_version().unwrap(), MIGRATIONS.len());
            assert_eq!(user_version(&database), 7);
            for table in [
                "labwire_leases",
                "labwire_grants",
                "labwire_tokens",
                "labwire_accounts",
                "labwire_users",
                "labwire_totp",
            ] {
                assert!(!columns(&database, table).is_empty(), "{table}");
            }
        }
    }

    #[test]
    fn each_change_is_made_once_and_in_order() {
        const NOW: usize = MIGRATIONS.len();
        const NEXT: [&str; 2] = [
            "CREATE TABLE labwire_sample (a INTEGER)",
            "ALTER TABLE labwire_sample ADD COLUMN b INTEGER NOT NULL DEFAULT 3",
        ];
        let changes = [MIGRATIONS, &NEXT].concat();
        let (_folder, path) = empty_database();
        let mut database = Database::open(&path).unwrap();
        database.migrate_with(&changes[..=NOW]).unwrap();
        database
            .connection
            .execute("INSERT INTO labwire_sample (a) VALUES (1)", [])
            .unwrap();
        for _ in 0..2 {
            database.migrate_with(&changes).unwrap();
            assert_eq!(columns(&database, "labwire_sample"), ["a", "b"]);
        }
        let row: (i64, i64) = database
            .connection
            .query_row("SELECT a, b FROM labwire_sample", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert_eq!(row, (1, 3));
        assert_eq!(database.schema_version().unwrap(), NOW + 2);
        // An older Labwire leaves a later version as it is.
        drop(database);
        let database = Database::open(&path).unwrap();
        assert_eq!(database.schema_version().unwrap(), NOW + 2);
    }

    #[test]
    fn a_database_from_before_second_factors_keeps_its_users_who_need_no_code() {
        let (_folder, path) = python_database();
        let mut database = Database::open(&path).unwrap();
        let before = MIGRATIONS
            .iter()
            .position(|change| *change == crate::totp::TABLE)
            .unwrap();
        let drop_all =
            "DROP TRIGGER labwire_user_with_totp_removed; DROP TRIGGER labwire_user_with_totp_renamed;
            DROP TABLE labwire_totp; DROP TABLE labwire_totp_codes; UPDATE labwire_schema SET version = ";
        database
            .connection
            .execute_batch(&format!("{drop_all} {before}"))
            .unwrap();
        // As a database that cannot be changed.
        assert!(database.totp_states().unwrap().is_empty());
        assert!(!database.accounts().unwrap()[0].has_second_factor);
        let check = |database: &mut Database| {
            let login = database.login("j.doe", "a good password", 0).unwrap();
            let check = login.check("a good password", 0);
            check.is_match && check.second == crate::totp::Second::NotRequired
        };
        assert!(check(&mut database));
        drop(database);
        let mut database = Database::open(&path).unwrap();
        assert_eq!(database.schema_version().unwrap(), MIGRATIONS.len());
        assert!(check(&mut database));
        database.enable_totp("j.doe", 0).unwrap();
        assert_eq!(database.totp_states().unwrap().len(), 1);
    }

    #[test]
    fn a_change_that_fails_leaves_the_version_before() {
        let (_folder, path) = empty_database();
        let mut database = Database::open(&path).unwrap();
        let changes = [MIGRATIONS, &["CREATE TABLE labwire_sample (a INTEGER); NONSENSE"]].concat();
        assert!(database.migrate_with(&changes).is_err());
        assert_eq!(database.schema_version().unwrap(), MIGRATIONS.len());
        assert!(columns(&database, "labwire_sample").is_empty());
    }
}
