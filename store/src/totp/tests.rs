use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::Connection;

use super::*;
use crate::database::tests::python_database;
use crate::store::{Store, StoreOptions};

const PASSWORD: &str = "a good password";

/// A login without a second factor.
const WITHOUT_CODE: Decision = Decision::Admitted(None);
const REFUSED: Decision = Decision::Refused(LoginFailure::WrongCode);

/// Returns the code that an app with this secret shows at `now`.
fn code_at(secret: &str, now: i64) -> String {
    code::code_at(&from_base32(secret), now)
}

fn from_base32(text: &str) -> Vec<u8> {
    let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bits = text.chars().flat_map(|digit| {
        let value = digits.find(digit).unwrap();
        (0..5).rev().map(move |bit| u8::from(value >> bit & 1 == 1))
    });
    let bits: Vec<_> = bits.collect();
    let bytes = bits.chunks_exact(8);
    bytes
        .map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | bit))
        .collect()
}

/// Gives a user a second factor that is active at `now`.
fn activate(database: &mut Database, user: &str, now: i64) -> IssuedTotp {
    let issued = database.enable_totp(user, now).unwrap();
    let code = code_at(&issued.secret, now - 60);
    assert!(matches!(
        database.confirm_totp(user, &code, now),
        Err(StoreError::Totp(TotpError::WrongCode))
    ));
    database
        .confirm_totp(user, &code_at(&issued.secret, now - 30), now)
        .unwrap();
    issued
}

/// Logs in as a store does. Returns what was given besides the password.
fn log_in(database: &mut Database, user: &str, given: &str, now: i64) -> Decision {
    let credentials = database.login(user, given, now).unwrap();
    let check = credentials.check(given, now);
    match check.second {
        Second::NotRequired if check.is_match => WITHOUT_CODE,
        Second::Accepted(code) if check.is_match => {
            let sealed = credentials.factor.sealed();
            let is_used = database.use_code(user, sealed, &code, now).unwrap();
            assert!(is_used);
            Decision::Admitted(Some(code.factor()))
        }
        _ => REFUSED,
    }
}

/// Returns whether a login with this password and code is admitted.
fn is_admitted(database: &mut Database, user: &str, given: &str, now: i64) -> bool {
    log_in(database, user, given, now) != REFUSED
}

fn states(database: &Database) -> Vec<(String, bool, usize)> {
    let states = database.totp_states().unwrap().into_iter();
    states
        .map(|state| (state.user, state.is_active, state.recovery_codes_left))
        .collect()
}

#[test]
fn a_code_is_needed_once_it_was_confirmed_and_each_is_accepted_once() {
    let (_folder, path) = python_database();
    let mut database = Database::open(&path).unwrap();
    let now = 1_000_000;
    let issued = database.enable_totp("j.doe", now).unwrap();
    assert_eq!(log_in(&mut database, "j.doe", PASSWORD, now), WITHOUT_CODE);
    assert_eq!(states(&database), [("j.doe".to_owned(), false, 10)]);
    // Enabled again before it was confirmed: the first secret is forgotten.
    let forgotten = code_at(&issued.secret, now);
    let issued = activate(&mut database, "j.doe", now);
    assert_eq!(log_in(&mut database, "j.doe", PASSWORD, now), REFUSED);
    assert_eq!(
        log_in(&mut database, "j.doe", &format!("{PASSWORD}{forgotten}"), now),
        REFUSED
    );
    let given = |at: i64| format!("{PASSWORD}{}", code_at(&issued.secret, at));
    // The code that confirmed it was used.
    for (at, now, is_accepted) in [
        (now - 30, now, false),
        (now, now, true),
        (now, now, false),
        (now, now + 30, false),
        (now + 60, now + 30, true),
        // An earlier one, which was not used, is refused after it.
        (now + 30, now + 30, false),
        // The clock was set back.
        (now, now, false),
        (now + 30, now, false),
        (now + 120, now + 120, true),
        (now + 210, now + 120, false),
    ] {
        let login = log_in(&mut database, "j.doe", &given(at), now);
        let expected = if is_accepted {
            Decision::Admitted(Some(SecondFactor::Totp))
        } else {
            REFUSED
        };
        assert_eq!(login, expected, "{at} {now}");
    }
    let wrong = format!("wrong{}", code_at(&issued.secret, now + 300));
    assert_eq!(log_in(&mut database, "j.doe", &wrong, now + 300), REFUSED);
    // A wrong password uses up no code.
    assert!(is_admitted(&mut database, "j.doe", &given(now + 300), now + 300));
    assert_eq!(database.totp_states().unwrap()[0].last_used, Some(now + 300));
    // Others need none.
    assert_eq!(log_in(&mut database, "a.smith", "!PaSsWoRd*", now), WITHOUT_CODE);
}

#[test]
fn recovery_codes_are_accepted_once_each_until_there_are_new_ones() {
    let (_folder, path) = python_database();
    let mut database = Database::open(&path).unwrap();
    let now = 1_000_000;
    let issued = activate(&mut database, "j.doe", now);
    let [first, second, third, ..] = &issued.recovery_codes[..] else {
        panic!("there are ten")
    };
    for (given, is_accepted) in [
        (format!("{PASSWORD}{first}"), true),
        (format!("{PASSWORD}{first}"), false),
        (
            format!("{PASSWORD}{}", second.to_uppercase().replace('-', "")),
            true,
        ),
        (format!("wrong{third}"), false),
    ] {
        let login = log_in(&mut database, "j.doe", &given, now);
        let expected = if is_accepted {
            Decision::Admitted(Some(SecondFactor::RecoveryCode))
        } else {
            REFUSED
        };
        assert_eq!(login, expected, "{given}");
    }
    assert_eq!(states(&database), [("j.doe".to_owned(), true, 8)]);
    let new = database.renew_recovery_codes("j.doe").unwrap();
    assert_eq!(
        log_in(&mut database, "j.doe", &format!("{PASSWORD}{third}"), now),
        REFUSED
    );
    assert!(is_admitted(
        &mut database,
        "j.doe",
        &format!("{PASSWORD}{}", new[0]),
        now
    ));
}

#[test]
fn the_file_reveals_neither_the_secret_nor_a_recovery_code_and_its_key_is_beside_it() {
    let (folder, path) = python_database();
    let mut database = Database::open(&path).unwrap();
    let issued = activate(&mut database, "j.doe", 1_000_000);
    assert!(!format!("{issued:?}").contains(&issued.secret));
    let contents = std::fs::read(&path).unwrap();
    let contains = |bytes: &[u8]| contents.windows(bytes.len()).any(|window| window == bytes);
    assert!(contains(b"j.doe"));
    assert!(!contains(issued.secret.as_bytes()) && !contains(&from_base32(&issued.secret)));
    for code in &issued.recovery_codes {
        for text in [code.clone(), code.replace('-', "")] {
            assert!(!contains(text.as_bytes()));
            let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
            assert!(!contains(hash.as_ref()));
        }
    }
    let key = totp_key_file(&path);
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    // By another name of the same file, the same key is used.
    let other_name = folder.path().join("other name");
    std::os::unix::fs::symlink(&path, &other_name).unwrap();
    let mut database = Database::open(&other_name).unwrap();
    activate(&mut database, "a.smith", 1_000_000);
    assert!(!totp_key_file(&other_name).exists());
}

#[test]
fn without_its_key_nobody_with_a_second_factor_gets_in_and_no_other_key_is_created() {
    let (_folder, path) = python_database();
    let mut database = Database::open(&path).unwrap();
    let now = 1_000_000;
    let issued = activate(&mut database, "j.doe", now);
    let key = totp_key_file(&path);
    let text = std::fs::read_to_string(&key).unwrap();
    let given = format!("{PASSWORD}{}", code_at(&issued.secret, now));
    let with_code = format!("{PASSWORD}{}", issued.recovery_codes[0]);
    for contents in [None, Some(""), Some(&*"0".repeat(64))] {
        std::fs::remove_file(&key).unwrap();
        if let Some(contents) = contents {
            std::fs::write(&key, contents).unwrap();
        }
        for given in [&given, &with_code, PASSWORD] {
            assert_eq!(log_in(&mut database, "j.doe", given, now), REFUSED);
        }
        assert_eq!(log_in(&mut database, "a.smith", "!PaSsWoRd*", now), WITHOUT_CODE);
        let error = database.renew_recovery_codes("j.doe").unwrap_err();
        assert!(
            error.peer_text().starts_with("OperationalError: the key"),
            "{error}"
        );
        assert!(!error.peer_text().contains(path.to_str().unwrap()), "{error}");
        if contents.is_none() {
            assert!(database.enable_totp("a.smith", now).is_err());
            assert!(!key.exists());
            std::fs::write(&key, "").unwrap();
        }
    }
    std::fs::write(&key, text).unwrap();
    assert!(is_admitted(&mut database, "j.doe", &given, now));
    // Or it is ended.
    std::fs::remove_file(&key).unwrap();
    database.disable_totp("j.doe").unwrap();
    assert_eq!(log_in(&mut database, "j.doe", PASSWORD, now), WITHOUT_CODE);
    activate(&mut database, "a.smith", now);
}

#[test]
fn the_work_is_the_same_with_and_without_a_second_factor_and_a_disabled_user_uses_up_no_code() {
    let (_folder, path) = python_database();
    let mut database = Database::open(&path).unwrap();
    let now = 1_000_000;
    let issued = activate(&mut database, "j.doe", now);
    let right = format!("{PASSWORD}{}", code_at(&issued.secret, now));
    let mut work = Vec::new();
    for (user, given) in [
        ("j.doe", right.as_str()),
        ("j.doe", PASSWORD),
        ("j.doe", "wrong000000"),
        ("j.doe", "wrong"),
        ("a.smith", "!PaSsWoRd*"),
        ("a.smith", "!PaSsWoRd*123456"),
        ("nobody", &right),
        ("nobody", "wrong"),
    ] {
        let login = database.login(user, given, now).unwrap();
        work.push(login.check(given, now).rounds_done);
    }
    assert!(
        work[0] > 0 && work.iter().all(|rounds| *rounds == work[0]),
        "{work:?}"
    );
    let user = "j.doe".to_owned();
    let disable = crate::AccountChange::Disable {
        user: user.clone(),
        reason: String::new(),
    };
    database.change_account(&disable, now).unwrap();
    assert_eq!(log_in(&mut database, "j.doe", &right, now), REFUSED);
    database
        .change_account(&crate::AccountChange::Enable { user }, now)
        .unwrap();
    assert!(is_admitted(&mut database, "j.doe", &right, now));
}

#[test]
fn a_second_factor_ends_with_its_user_and_stays_with_a_new_password_and_a_new_name() {
    let (_folder, path) = python_database();
    let mut database = Database::open(&path).unwrap();
    let now = 1_000_000;
    let issued = activate(&mut database, "j.doe", now);
    let python = Connection::open(&path).unwrap();
    let rename = "UPDATE auth_users SET username = 'jane' WHERE username = 'j.doe'";
    assert_eq!(python.execute(rename, []).unwrap(), 1);
    assert_eq!(states(&database), [("jane".to_owned(), true, 10)]);
    let rounds = crate::MINIMUM_ROUNDS;
    let password = crate::HashedPassword::new("jane", "new", rounds).unwrap();
    database.update_user("jane", Some(&password), None).unwrap();
    assert_eq!(log_in(&mut database, "jane", "new", now), REFUSED);
    let given = format!("new{}", code_at(&issued.secret, now));
    assert!(is_admitted(&mut database, "jane", &given, now));
    python
        .execute("DELETE FROM auth_users WHERE username = 'jane'", [])
        .unwrap();
    database.insert_user("jane", &password, false).unwrap();
    assert_eq!(log_in(&mut database, "jane", "new", now), WITHOUT_CODE);
    let rows = "SELECT (SELECT count(*) FROM labwire_totp) + (SELECT count(*) FROM labwire_totp_codes)";
    let rows: i64 = database.connection.query_row(rows, [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 0);
}

#[test]
fn changes_of_nobody_with_no_code_and_of_an_active_factor_are_refused() {
    let (_folder, path) = python_database();
    let mut database = Database::open(&path).unwrap();
    let now = 1_000_000;
    let refused = |result: Result<(), StoreError>| {
        let error = result.unwrap_err();
        assert!(error.is_callers_mistake(), "{error}");
        error.to_string()
    };
    let text = refused(database.enable_totp("eve", now).map(drop));
    assert_eq!(
        text,
        "Cannot enable the second factor of 'eve'. This user is not in the table."
    );
    assert!(!totp_key_file(&path).exists());
    for result in [
        database.confirm_totp("j.doe", "123456", now),
        database.disable_totp("j.doe"),
        database.renew_recovery_codes("j.doe").map(drop),
    ] {
        assert_eq!(refused(result), "'j.doe' has no second factor");
    }
    let issued = database.enable_totp("j.doe", now).unwrap();
    let recovery = issued.recovery_codes[0].as_str();
    for (code, expected) in [
        ("", "six digits"),
        ("12345", "six digits"),
        (recovery, "six digits"),
    ] {
        let text = refused(database.confirm_totp("j.doe", code, now));
        assert!(text.contains(expected), "{text}");
    }
    let code = code_at(&issued.secret, now);
    database.confirm_totp("j.doe", &code, now).unwrap();
    let text = refused(database.confirm_totp("j.doe", &code, now));
    assert!(text.contains("used before"), "{text}");
    let text = refused(database.enable_totp("j.doe", now).map(drop));
    assert!(text.contains("has a second factor already"), "{text}");
}

fn store(path: &Path) -> Store {
    let options = StoreOptions {
        upgrade_passwords: true,
        ..StoreOptions::default()
    };
    Store::open(path, &options).unwrap()
}

#[tokio::test]
async fn a_password_is_upgraded_without_the_code_behind_it_and_is_valid_alone() {
    let (_folder, path) = python_database();
    let mut database = Database::open(&path).unwrap();
    let now = labwire_home::present().as_second();
    let issued = activate(&mut database, "j.doe", now);
    let store = store(&path);
    for code in &issued.recovery_codes[..2] {
        let login = store.verify_login("j.doe", &format!("{PASSWORD}{code}")).await;
        let factor = login.unwrap().unwrap().second_factor;
        assert_eq!(factor, Some(SecondFactor::RecoveryCode));
    }
    let credentials = database.credentials("j.doe").unwrap();
    assert_eq!(credentials.stored.unwrap().hashed.rounds, crate::DEFAULT_ROUNDS);
    assert!(store.is_password_valid("j.doe", PASSWORD).await.unwrap());
    let with_code = format!("{PASSWORD}{}", issued.recovery_codes[2]);
    assert!(!store.is_password_valid("j.doe", &with_code).await.unwrap());
    assert_eq!(states(&database), [("j.doe".to_owned(), true, 8)]);
    store.close().await;
}

#[tokio::test]
async fn of_many_logins_with_one_code_at_two_managers_one_is_admitted() {
    let (_folder, path) = python_database();
    let mut database = Database::open(&path).unwrap();
    let issued = activate(&mut database, "j.doe", labwire_home::present().as_second());
    let stores = [store(&path), store(&path)];
    let mut logins = tokio::task::JoinSet::new();
    for number in 0..6 {
        let store = stores[number % 2].clone();
        let given = format!("{PASSWORD}{}", issued.recovery_codes[0]);
        logins.spawn(async move { store.verify_login("j.doe", &given).await.unwrap() });
    }
    let admitted = logins.join_all().await.into_iter().flatten().count();
    assert_eq!(admitted, 1);
    for store in stores {
        store.close().await;
    }
}

#[tokio::test]
async fn whoever_knows_the_password_guesses_ten_codes_an_hour_and_recovery_codes_are_accepted() {
    let (_folder, path) = python_database();
    let mut database = Database::open(&path).unwrap();
    let now = labwire_home::present().as_second();
    let issued = activate(&mut database, "j.doe", now);
    let store = Store::open(&path, &StoreOptions::default()).unwrap();
    let secret = from_base32(&issued.secret);
    let is_wrong =
        |code: &u32| (-10..=10).all(|step| matching_step(&secret, *code, now + 30 * step).is_none());
    let logs_in = async |code: String| {
        let login = store.verify_login("j.doe", &format!("{PASSWORD}{code}")).await;
        login.unwrap().is_ok()
    };
    for code in (0..1_000).filter(is_wrong).take(10) {
        assert!(!logs_in(format!("{code:06}")).await);
    }
    let next = code_at(&issued.secret, labwire_home::present().as_second() + 30);
    assert!(!logs_in(next.clone()).await);
    assert!(logs_in(issued.recovery_codes[0].clone()).await);
    // The code was not used up, and the login with a recovery code has ended the pause.
    assert!(logs_in(next).await);
    store.close().await;
}
