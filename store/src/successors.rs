//! Users that another program puts in the place of others.
//!
//! What belongs to a user has the user's name, and is removed by triggers when the row of the user is.
//! `REPLACE` and `UPDATE OR REPLACE` remove the row of another user without them, unless the program has
//! set `recursive_triggers`. So it is also removed when a row gets the name.

/// The triggers. A second factor follows a user who is renamed: `labwire_user_with_totp_renamed` removes that of the
/// user who had the new name before, so that nothing is to be done here.
pub(crate) const TRIGGERS: &str = "
CREATE TRIGGER IF NOT EXISTS labwire_user_added AFTER INSERT ON auth_users BEGIN
    DELETE FROM labwire_members WHERE username = NEW.username;
    DELETE FROM labwire_grants WHERE username = NEW.username;
    DELETE FROM labwire_tokens WHERE username = NEW.username;
    DELETE FROM labwire_accounts WHERE username = NEW.username;
    DELETE FROM labwire_totp WHERE username = NEW.username;
    DELETE FROM labwire_totp_codes WHERE username = NEW.username;
END;
CREATE TRIGGER IF NOT EXISTS labwire_user_named AFTER UPDATE OF username ON auth_users
WHEN NEW.username != OLD.username BEGIN
    DELETE FROM labwire_members WHERE username = NEW.username;
    DELETE FROM labwire_grants WHERE username = NEW.username;
    DELETE FROM labwire_tokens WHERE username = NEW.username;
    DELETE FROM labwire_accounts WHERE username = NEW.username;
END;
";

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use crate::access::AccessChange;
    use crate::accounts::AccountChange;
    use crate::database::Database;
    use crate::database::tests::python_database;
    use crate::tokens::NewToken;

    /// Gives the user one of each thing that a user can have.
    fn endow(database: &mut Database, user: &str) {
        let may = vec!["call".parse().unwrap()];
        let group = || "staff".to_owned();
        if !database.groups().unwrap().contains_key("staff") {
            database.change_access(&AccessChange::AddGroup(group())).unwrap();
        }
        let (to, role) = (user.to_owned(), "operator".to_owned());
        let join = AccessChange::Join {
            group: group(),
            user: to.clone(),
        };
        let grant = AccessChange::Grant {
            role,
            to: labwire_access::Grantee::User(to.clone()),
            on: labwire_access::Scope::everything(),
            until: None,
        };
        for change in [join, grant] {
            database.change_access(&change).unwrap();
        }
        let token = NewToken {
            user: to.clone(),
            may,
            until: None,
            note: String::new(),
        };
        database.add_token(&token, 0).unwrap();
        let described = AccountChange::Describe {
            user: to,
            full_name: Some("Jane Doe".to_owned()),
            email: None,
        };
        database.change_account(&described, 0).unwrap();
        database.enable_totp(user, 0).unwrap();
    }

    /// Returns the number of rows of each kind with the name of that user.
    fn belongings(path: &std::path::Path, user: &str) -> Vec<i64> {
        let connection = Connection::open(path).unwrap();
        let tables = ["members", "grants", "tokens", "accounts", "totp", "totp_codes"];
        let count = |table: &&str| {
            let sql = format!("SELECT count(*) FROM labwire_{table} WHERE username = ?1");
            connection.query_row(&sql, [user], |row| row.get(0)).unwrap()
        };
        tables.iter().map(count).collect()
    }

    #[test]
    fn a_user_whom_another_program_puts_in_the_place_of_another_has_nothing_of_it() {
        const ALL: [i64; 6] = [1, 1, 1, 1, 1, 10];
        // What a program does, and whether `j.doe` and `a.smith` have theirs afterwards.
        for (change, expected) in [
            ("DELETE FROM auth_users WHERE username = 'j.doe'", [false, true]),
            (
                "REPLACE INTO auth_users SELECT * FROM auth_users WHERE username = 'j.doe'",
                [false, true],
            ),
            (
                "REPLACE INTO auth_users VALUES (NULL, 'j.doe', x'00', x'01', 0)",
                [false, true],
            ),
            (
                "PRAGMA recursive_triggers = ON;
                REPLACE INTO auth_users VALUES (NULL, 'j.doe', x'00', x'01', 0)",
                [false, true],
            ),
            // The row of `j.doe` makes way for that of somebody else, and there is another `j.doe` later.
            (
                "REPLACE INTO auth_users SELECT pid, 'new', key, salt, 0 FROM auth_users WHERE username = 'j.doe';
                INSERT INTO auth_users VALUES (NULL, 'j.doe', x'00', x'01', 0)",
                [false, true],
            ),
            (
                "UPDATE OR REPLACE auth_users SET username = 'j.doe' WHERE username = 'Zoë Müller'",
                [false, true],
            ),
            (
                "REPLACE INTO auth_users SELECT pid, 'new', key, salt, 0 FROM auth_users WHERE username = 'j.doe';
                UPDATE auth_users SET username = 'j.doe' WHERE username = 'Zoë Müller'",
                [false, true],
            ),
            // The Python tools change a password and rights so, and Labwire upgrades one.
            (
                "UPDATE auth_users SET key = x'00', salt = x'01', is_admin = 0 WHERE username = 'j.doe'",
                [true, true],
            ),
            (
                "UPDATE auth_users SET username = username, key = x'00' WHERE username = 'j.doe'",
                [true, true],
            ),
            (
                "INSERT OR IGNORE INTO auth_users VALUES (NULL, 'j.doe', x'00', x'01', 0)",
                [true, true],
            ),
            (
                "INSERT INTO auth_users VALUES (NULL, 'j.doe', x'00', x'01', 0)
                    ON CONFLICT (username) DO UPDATE SET key = excluded.key",
                [true, true],
            ),
        ] {
            let (_folder, path) = python_database();
            let mut database = Database::open(&path).unwrap();
            for user in ["j.doe", "a.smith"] {
                endow(&mut database, user);
                assert_eq!(belongings(&path, user), ALL);
            }
            Connection::open(&path).unwrap().execute_batch(change).unwrap();
            let kept = ["j.doe", "a.smith"].map(|user| belongings(&path, user));
            let expected = expected.map(|is_kept| if is_kept { ALL.to_vec() } else { vec![0; ALL.len()] });
            assert_eq!(kept, expected, "{change}");
        }
    }

    #[test]
    fn a_second_factor_follows_a_user_who_replaces_another() {
        let (_folder, path) = python_database();
        let mut database = Database::open(&path).unwrap();
        let issued = database.enable_totp("a.smith", 0).unwrap();
        assert_eq!(issued.user, "a.smith");
        database.enable_totp("j.doe", 0).unwrap();
        let secret = |user: &str| -> Vec<u8> {
            let sql = "SELECT secret FROM labwire_totp WHERE username = ?1";
            let connection = Connection::open(&path).unwrap();
            connection.query_row(sql, [user], |row| row.get(0)).unwrap()
        };
        let own = secret("a.smith");
        Connection::open(&path)
            .unwrap()
            .execute_batch("UPDATE OR REPLACE auth_users SET username = 'j.doe' WHERE username = 'a.smith'")
            .unwrap();
        assert_eq!(secret("j.doe"), own);
        assert_eq!(belongings(&path, "j.doe")[4..], [1, 10]);
    }
}
