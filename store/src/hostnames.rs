//! The hostnames of trusted devices.

use std::collections::BTreeSet;
use std::net::IpAddr;

use labwire_home::{hostname, local_addresses};
use rusqlite::params;

use crate::database::{Database, text};
use crate::error::StoreError;

impl Database {
    /// Returns the trusted hostnames, sorted.
    pub fn hostnames(&self) -> Result<Vec<String>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT hostname FROM auth_hostnames")?;
        let names = statement.query_map([], |row| Ok(text(row, 0)))?;
        let mut names = names.collect::<rusqlite::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    /// Trusts a hostname. Trusting it twice is no error.
    pub fn insert_hostname(&mut self, hostname: &str) -> Result<(), StoreError> {
        let change = self.change()?;
        change.execute("INSERT OR IGNORE INTO auth_hostnames VALUES (?1)", [hostname])?;
        Ok(change.commit()?)
    }

    /// Stops trusting a hostname.
    ///
    /// # Errors
    /// [`StoreError::HostnameMissing`] if it is not in the table.
    pub fn delete_hostname(&mut self, hostname: &str) -> Result<(), StoreError> {
        let change = self.change()?;
        if change.execute("DELETE FROM auth_hostnames WHERE hostname = ?1", [hostname])? == 0 {
            return Err(StoreError::HostnameMissing {
                hostname: hostname.to_owned(),
            });
        }
        Ok(change.commit()?)
    }

    /// Fills an empty table with the names of this computer, as the reference does.
    pub(crate) fn trust_localhost_if_nobody_is(&mut self) -> Result<(), StoreError> {
        const IS_EMPTY: &str = "SELECT NOT EXISTS (SELECT 1 FROM auth_hostnames)";
        let is_empty: bool = self.connection.query_row(IS_EMPTY, [], |row| row.get(0))?;
        if !is_empty {
            return Ok(());
        }
        let change = self.change()?;
        // Another program may have filled it during the wait for the lock.
        let is_still_empty: bool = change.query_row(IS_EMPTY, [], |row| row.get(0))?;
        if is_still_empty {
            for name in localhost_aliases() {
                change.execute("INSERT OR IGNORE INTO auth_hostnames VALUES (?1)", params![name])?;
            }
        }
        Ok(change.commit()?)
    }
}

/// Returns the names and addresses with which a peer on this computer can appear.
fn localhost_aliases() -> BTreeSet<String> {
    const ALWAYS: [&str; 5] = [
        "localhost",
        "127.0.0.1",
        "::1",
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa",
        "1.0.0.127.in-addr.arpa",
    ];
    let mut aliases: BTreeSet<String> = ALWAYS.map(str::to_owned).into();
    aliases.insert(hostname());
    let addresses = local_addresses().into_iter().filter(IpAddr::is_ipv4);
    aliases.extend(addresses.map(|address| address.to_string()));
    aliases
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::tests::{empty_database, python_database};

    #[test]
    fn a_new_database_trusts_this_computer_under_all_its_names() {
        let (_folder, path) = empty_database();
        let hostnames = Database::open(&path).unwrap().hostnames().unwrap();
        let computer = gethostname::gethostname().into_string().unwrap();
        let long = format!("1.{}ip6.arpa", "0.".repeat(31));
        for name in [
            "localhost",
            "127.0.0.1",
            "::1",
            "1.0.0.127.in-addr.arpa",
            &computer,
            &long,
        ] {
            assert!(
                hostnames.iter().any(|known| known == name),
                "{name} is not in {hostnames:?}"
            );
        }
        assert!(hostnames.is_sorted());
    }

    #[test]
    fn a_table_with_hostnames_is_not_added_to() {
        let (_folder, path) = python_database();
        let expected = ["127.0.0.1", "::1", "localhost", "trusted.example"];
        assert_eq!(Database::open(&path).unwrap().hostnames().unwrap(), expected);
    }

    #[test]
    fn a_hostname_is_inserted_once_and_deleted_once() {
        let (_folder, path) = python_database();
        let mut database = Database::open(&path).unwrap();
        database.insert_hostname("bench").unwrap();
        database.insert_hostname("bench").unwrap();
        assert_eq!(
            database
                .hostnames()
                .unwrap()
                .iter()
                .filter(|name| *name == "bench")
                .count(),
            1
        );
        database.delete_hostname("bench").unwrap();
        let error = database.delete_hostname("bench").unwrap_err();
        assert_eq!(
            error.peer_text(),
            "ValueError: Cannot delete 'bench'. This hostname is not in the table."
        );
    }
}
