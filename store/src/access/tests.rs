use labwire_access::{Access, EVERYONE, Grantee, Policy, Scope};

use super::*;
use crate::database::Database;
use crate::database::tests::{empty_database, python_database};
use crate::passwords::{COMPATIBLE_ROUNDS, HashedPassword};
use crate::store::{Store, StoreOptions};

fn add_user(database: &mut Database, name: &str) {
    let password = HashedPassword::new(name, "x", COMPATIBLE_ROUNDS).unwrap();
    database.insert_user(name, &password, false).unwrap();
}

fn grant(role: &str, to: Grantee) -> AccessChange {
    AccessChange::Grant {
        role: role.to_owned(),
        to,
        on: Scope::everything(),
        until: None,
    }
}

fn to_user(name: &str) -> Grantee {
    Grantee::User(name.to_owned())
}

fn may_read(database: &Database, user: &str) -> bool {
    let policy = Policy::new(&database.access().unwrap());
    let rights = policy.rights(Some(policy.user(user).unwrap_or(-1)));
    rights.allows(&Access::call("DMM", "read"), 0)
}

#[test]
fn what_is_granted_is_read_again_as_it_was_written() {
    let (_folder, path) = python_database();
    let mut database = Database::open(&path).unwrap();
    add_user(&mut database, "ada");
    let changes = [
        AccessChange::AddGroup("students".to_owned()),
        AccessChange::Join {
            group: "students".to_owned(),
            user: "ada".to_owned(),
        },
        AccessChange::AddSet {
            set: "bench3".to_owned(),
            patterns: vec!["DMM*".parse().unwrap(), "Oven".parse().unwrap()],
        },
        AccessChange::AddRole {
            role: "reader".to_owned(),
            permissions: vec!["call @bench3.read*".parse().unwrap()],
        },
    ];
    for change in &changes {
        assert_eq!(database.change_access(change).unwrap(), None);
    }
    assert!(!may_read(&database, "ada"));
    let given = grant("reader", Grantee::Group("students".to_owned()));
    let id = database.change_access(&given).unwrap().unwrap();
    assert!(may_read(&database, "ada"));
    assert_eq!(database.groups().unwrap()["students"], ["ada"]);
    assert_eq!(database.sets().unwrap()["bench3"], ["DMM*", "Oven"]);
    let roles = database.roles().unwrap();
    assert_eq!(roles["reader"], ["call @bench3.read*"]);
    assert_eq!(roles["observer"], ["see", "link", "subscribe"]);
    assert_eq!(
        describe_grant(&database.access().unwrap().grants[0]).to_string(),
        format!(r#"{{"group":"students","id":{id},"on":"*","role":"reader","until":null,"user":null}}"#)
    );
    database.change_access(&AccessChange::Revoke(id)).unwrap();
    assert!(!may_read(&database, "ada"));
}

#[test]
fn what_belongs_to_a_user_goes_with_the_user_also_if_another_program_removes_the_user() {
    for is_other_program in [false, true] {
        let (_folder, path) = python_database();
        let mut database = Database::open(&path).unwrap();
        add_user(&mut database, "ada");
        database
            .change_access(&AccessChange::AddGroup("staff".to_owned()))
            .unwrap();
        let (group, user) = ("staff".to_owned(), "ada".to_owned());
        database
            .change_access(&AccessChange::Join { group, user })
            .unwrap();
        database
            .change_access(&grant("operator", to_user("ada")))
            .unwrap();
        assert!(may_read(&database, "ada"));
        if is_other_program {
            let other = rusqlite::Connection::open(&path).unwrap();
            other
                .execute("DELETE FROM auth_users WHERE username = 'ada'", [])
                .unwrap();
        } else {
            database.delete_user("ada").unwrap();
        }
        add_user(&mut database, "ada");
        let rows = database.access().unwrap();
        assert!(rows.members.is_empty() && rows.grants.is_empty(), "{rows:?}");
        assert!(!may_read(&database, "ada"));
    }
}

#[test]
fn what_was_removed_grants_nothing_to_its_successor() {
    let (_folder, path) = empty_database();
    let mut database = Database::open(&path).unwrap();
    add_user(&mut database, "ada");
    let role = || AccessChange::AddRole {
        role: "caller".to_owned(),
        permissions: vec!["call".parse().unwrap()],
    };
    let permissions = Vec::new();
    let removed_role = AccessChange::RemoveRole {
        role: "caller".to_owned(),
        permissions,
    };
    for change in [role(), grant("caller", to_user("ada")), removed_role, role()] {
        database.change_access(&change).unwrap();
    }
    assert!(!may_read(&database, "ada"));
    let group = || "staff".to_owned();
    let join = AccessChange::Join {
        group: group(),
        user: "ada".to_owned(),
    };
    for change in [
        AccessChange::AddGroup(group()),
        join.clone(),
        grant("caller", Grantee::Group(group())),
        AccessChange::RemoveGroup(group()),
        AccessChange::AddGroup(group()),
        join,
    ] {
        database.change_access(&change).unwrap();
    }
    assert!(!may_read(&database, "ada"));
}

#[test]
fn mistakes_are_refused_with_the_nearest_name() {
    let (_folder, path) = empty_database();
    let mut database = Database::open(&path).unwrap();
    add_user(&mut database, "ada");
    let set = || "bench3".to_owned();
    let bench = AccessChange::AddSet {
        set: set(),
        patterns: vec!["DMM".parse().unwrap()],
    };
    database.change_access(&bench).unwrap();
    let limited = AccessChange::Grant {
        role: "operator".to_owned(),
        to: to_user("ada"),
        on: "@bench3".parse().unwrap(),
        until: None,
    };
    let id = database.change_access(&limited).unwrap().unwrap();
    let permissions = Vec::new();
    let join = |group: &str, user: &str| AccessChange::Join {
        group: group.to_owned(),
        user: user.to_owned(),
    };
    let mistakes = [
        (
            grant("operater", to_user("ada")),
            "there is no role 'operater', did you mean 'operator'?".to_owned(),
        ),
        (
            grant("operator", to_user("adda")),
            "there is no user 'adda', did you mean 'ada'?".to_owned(),
        ),
        (join("staff", "ada"), "there is no group 'staff'".to_owned()),
        (
            join(EVERYONE, "ada"),
            "the group 'everyone' is built in and cannot be changed".to_owned(),
        ),
        (
            AccessChange::AddGroup("a group".to_owned()),
            "the group 'a group': a name consists of letters, digits, and the characters - _ .".to_owned(),
        ),
        (
            AccessChange::RemoveRole {
                role: "observer".to_owned(),
                permissions,
            },
            "the role 'observer' is built in and cannot be changed".to_owned(),
        ),
        (
            AccessChange::RemoveSet {
                set: set(),
                patterns: Vec::new(),
            },
            format!("the set 'bench3' is in use by the grant {id}, remove that first"),
        ),
        (AccessChange::Revoke(99), "there is no grant 99".to_owned()),
    ];
    let before = database.access().unwrap();
    for (change, expected) in mistakes {
        let error = database.change_access(&change).unwrap_err();
        assert_eq!(error.peer_text(), format!("ValueError: {expected}"));
    }
    assert_eq!(database.access().unwrap(), before);
}

#[test]
fn a_row_that_another_program_wrote_and_that_cannot_be_read_allows_nothing() {
    let (_folder, path) = empty_database();
    let mut database = Database::open(&path).unwrap();
    add_user(&mut database, "ada");
    let other = rusqlite::Connection::open(&path).unwrap();
    other
        .execute_batch(
            "INSERT INTO labwire_permissions (role, permission) VALUES ('r', 'call DMM.');
             INSERT INTO labwire_permissions (role, permission, effect) VALUES ('r', 'call', 'ask');
             INSERT INTO labwire_grants (role, username) VALUES ('r', 'ada');
             INSERT INTO labwire_grants (role, username, scope) VALUES ('operator', 'ada', '@');
             INSERT INTO labwire_grants (role, username, until) VALUES ('operator', 'ada', 'tomorrow');",
        )
        .unwrap();
    assert!(!may_read(&database, "ada"));
}

#[tokio::test]
async fn a_change_of_another_program_is_noticed() {
    let (_folder, path) = empty_database();
    let mut other = Database::open(&path).unwrap();
    add_user(&mut other, "ada");
    let store = Store::open(&path, &StoreOptions::default()).unwrap();
    let first = store.policy(None).await.unwrap().unwrap();
    let access = Access::call("DMM", "read");
    assert!(!first.policy.rights(Some(1)).allows(&access, 0));
    assert!(store.policy(Some(first.file)).await.unwrap().is_none());
    other.change_access(&grant("operator", to_user("ada"))).unwrap();
    let second = store.policy(Some(first.file)).await.unwrap().unwrap();
    assert!(second.number > first.number);
    assert!(second.policy.rights(Some(1)).allows(&access, 0));
    store.close().await;
}

#[test]
fn lists_are_bounded_and_so_is_what_one_user_has() {
    let (_folder, path) = empty_database();
    let mut database = Database::open(&path).unwrap();
    add_user(&mut database, "ada");
    let role = |name: &str, numbers: std::ops::Range<usize>| AccessChange::AddRole {
        role: name.to_owned(),
        permissions: numbers
            .map(|number| format!("see Device{number}").parse().unwrap())
            .collect(),
    };
    let set = |numbers: std::ops::Range<usize>| AccessChange::AddSet {
        set: "bench".to_owned(),
        patterns: numbers
            .map(|number| format!("Device{number}").parse().unwrap())
            .collect(),
    };
    let refusal = |database: &mut Database, change: &AccessChange| {
        database.change_access(change).unwrap_err().to_string()
    };
    database
        .change_access(&role("reader", 0..MOST_PERMISSIONS))
        .unwrap();
    database.change_access(&set(0..MOST_SET_PATTERNS)).unwrap();
    let next = MOST_PERMISSIONS..MOST_PERMISSIONS + 1;
    assert_eq!(
        refusal(&mut database, &role("reader", next.clone())),
        "there may be at most 256 permissions in the role 'reader'; write patterns (such as DMM*), or use more than one"
    );
    assert!(refusal(&mut database, &set(next)).contains("256 patterns in the set 'bench'"));
    assert_eq!(
        database.roles().unwrap()["reader"].len(),
        MOST_PERMISSIONS,
        "nothing is changed"
    );

    // 39 times 256 permissions, and some more.
    for _ in 0..39 {
        database.change_access(&grant("reader", to_user("ada"))).unwrap();
    }
    assert_eq!(
        refusal(&mut database, &grant("reader", to_user("ada"))),
        "the user 'ada' would have 10240 rules for the action see, and may have 10000 at most: grant roles with \
         fewer permissions, or write patterns (such as DMM*) in place of lists"
    );
    // A grant to everyone counts for each user.
    let everyone = Grantee::Group(EVERYONE.to_owned());
    assert!(refusal(&mut database, &grant("reader", everyone)).contains("10240 rules"));

    database.change_access(&role("one", 0..1)).unwrap();
    add_user(&mut database, "bob");
    for _ in 0..MOST_GRANTS {
        database.change_access(&grant("one", to_user("bob"))).unwrap();
    }
    let refused = refusal(&mut database, &grant("one", to_user("bob")));
    assert!(
        refused.contains("at most 1000 grants to the user 'bob'"),
        "{refused}"
    );
}

#[test]
fn labels_are_sets_seen_from_the_services() {
    let (_folder, path) = empty_database();
    let mut database = Database::open(&path).unwrap();
    add_user(&mut database, "ada");
    let labels = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let add = |pattern: &str, names: &[&str]| AccessChange::AddLabels {
        pattern: pattern.parse().unwrap(),
        labels: labels(names),
    };
    let remove = |pattern: &str, names: &[&str]| AccessChange::RemoveLabels {
        pattern: pattern.parse().unwrap(),
        labels: labels(names),
    };
    let refusal = |database: &mut Database, change: &AccessChange| {
        database.change_access(change).unwrap_err().to_string()
    };
    database.change_access(&add("DMM", &["bench3", "meter"])).unwrap();
    database.change_access(&add("PSU*", &["bench3"])).unwrap();
    assert_eq!(database.sets().unwrap()["bench3"], ["DMM", "PSU*"]);
    let both = AccessChange::Grant {
        role: "operator".to_owned(),
        to: to_user("ada"),
        on: "@meter+bench3".parse().unwrap(),
        until: None,
    };
    let id = database.change_access(&both).unwrap().unwrap();
    assert_eq!(
        database.access().unwrap().grants[0].on.to_string(),
        "@bench3+meter"
    );
    assert!(may_read(&database, "ada"));
    for set in ["bench3", "meter"] {
        let (set, patterns) = (set.to_owned(), Vec::new());
        let expected = format!("the set '{set}' is in use by the grant {id}, remove that first");
        assert_eq!(
            refusal(&mut database, &AccessChange::RemoveSet { set, patterns }),
            expected
        );
    }
    database.change_access(&remove("DMM", &["meter"])).unwrap();
    assert!(!may_read(&database, "ada"));
    database.change_access(&remove("DMM", &[])).unwrap();
    assert_eq!(database.sets().unwrap()["meter"], [""; 0], "the sets stay");
    for (change, expected) in [
        (remove("DMM", &[]), "'DMM' has no labels"),
        (
            remove("PSU*", &["meter"]),
            "the set 'meter' does not have the pattern 'PSU*'",
        ),
        (
            remove("PSU*", &["metre"]),
            "there is no set 'metre', did you mean 'meter'?",
        ),
        (
            add("PSU*", &["meter", "a b"]),
            "the set 'a b': a name consists of letters, digits, and the characters - _ .",
        ),
    ] {
        assert_eq!(refusal(&mut database, &change), expected);
    }
    let unknown = AccessChange::Grant {
        role: "operator".to_owned(),
        to: to_user("ada"),
        on: "@bench3+bench4".parse().unwrap(),
        until: None,
    };
    assert!(refusal(&mut database, &unknown).contains("there is no set 'bench4'"));

    let many: Vec<_> = (0..=MOST_LABELS).map(|number| format!("l{number}")).collect();
    let of = |count: usize| AccessChange::AddLabels {
        pattern: "Oven".parse().unwrap(),
        labels: many[..count].to_vec(),
    };
    assert!(refusal(&mut database, &of(MOST_LABELS + 1)).contains("at most 256 labels of 'Oven'"));
    assert!(
        !database.labels().unwrap().contains_key("Oven"),
        "nothing is changed"
    );
    database.change_access(&of(MOST_LABELS)).unwrap();
    let one_more = AccessChange::AddSet {
        set: "more".to_owned(),
        patterns: vec!["Oven".parse().unwrap()],
    };
    assert!(refusal(&mut database, &one_more).contains("256 labels"));
}
