//! Compares decisions with a model that is simple enough to be read as the definition.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics is a test that fails, which is what it is for"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use labwire_access::{
    Access, Action, BUILT_IN_ROLES, Decision, EVERYONE, Effect, Grant, Grantee, MOST_COMPARISONS, Membership,
    Pattern, Permission, Policy, Rights, Rows, Scope, Until, User, Verdict,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

const USERS: [&str; 3] = ["ada", "bob", "eve"];
const GROUPS: [&str; 3] = ["students", "staff", EVERYONE];
const ROLES: [&str; 5] = ["observer", "operator", "administrator", "reader", "keeper"];
const OBJECTS: [&str; 6] = ["DMM1", "DMM2", "Oven", "a.b", "a.*", "stats"];
const ATTRIBUTES: [&str; 3] = ["read", "readings", "write"];

/// Returns whether a text matches a pattern. `wild` are the characters of the text that match only
/// `*`.
fn matches(pattern: &str, text: &str, wild: &[char]) -> bool {
    let mut pattern_left = pattern.chars();
    let mut text_left = text.chars();
    match (pattern_left.next(), text_left.next()) {
        (None, first) => first.is_none(),
        (Some('*'), first) => {
            matches(pattern_left.as_str(), text, wild)
                || first.is_some() && matches(pattern, text_left.as_str(), wild)
        }
        (Some(expected), Some(first)) => {
            (expected == '?' || expected == first)
                && !wild.contains(&first)
                && matches(pattern_left.as_str(), text_left.as_str(), wild)
        }
        (Some(_), None) => false,
    }
}

/// Returns whether an object is in a scope.
fn is_in(scope: &Scope, action: Action, object: &str, rows: &Rows) -> bool {
    let wild: &[char] = if action == Action::Subscribe {
        &['*', '>']
    } else {
        &[]
    };
    match scope {
        Scope::Pattern(pattern) => matches(pattern.as_str(), object, wild),
        Scope::Set(_) | Scope::Sets(_) => scope.sets().iter().all(|name| {
            let mut sets = rows.sets.iter();
            sets.any(|(set, pattern)| **set == **name && matches(pattern.as_str(), object, wild))
        }),
    }
}

/// The definition: there is a grant to the user, or to a group of the user, that has not ended and
/// includes the object, of a role with a permission for it. An administrator may do everything, and
/// who does not exist may do nothing. If there are such permissions only with `ask`, it needs approval.
fn model_effect(rows: &Rows, user: Option<&str>, access: &Access<'_>, now: i64) -> Option<Effect> {
    let applies = |effect| model_of(rows, user, access, now, effect);
    [Effect::Allow, Effect::Ask]
        .into_iter()
        .find(|effect| applies(*effect))
}

/// Returns whether something is allowed without approval.
fn model(rows: &Rows, user: Option<&str>, access: &Access<'_>, now: i64) -> bool {
    model_effect(rows, user, access, now) == Some(Effect::Allow)
}

fn model_of(rows: &Rows, user: Option<&str>, access: &Access<'_>, now: i64, effect: Effect) -> bool {
    if let Some(user) = user {
        match rows.users.iter().find(|known| known.name == user) {
            None => return false,
            Some(known) if known.is_admin => return effect == Effect::Allow,
            Some(_) => {}
        }
    }
    let is_for_user = |grant: &Grant| match &grant.to {
        Grantee::User(name) => Some(name.as_str()) == user,
        Grantee::Group(group) => {
            let is_member =
                |(name, member): &(String, String)| name == group && Some(member.as_str()) == user;
            group == EVERYONE || rows.members.iter().any(is_member)
        }
    };
    let permissions = |role: &str| -> Vec<Permission> {
        match BUILT_IN_ROLES.iter().find(|(name, _)| *name == role) {
            Some((_, actions)) => actions.iter().copied().map(Permission::everything).collect(),
            None => rows
                .roles
                .iter()
                .filter(|(name, _)| name == role)
                .map(|(_, permission)| permission.clone())
                .collect(),
        }
    };
    let allows = |permission: &Permission| {
        permission.action == access.action
            && permission.effect == effect
            && is_in(&permission.object, access.action, access.object, rows)
            && (!matches!(access.action, Action::Call | Action::Approve)
                || matches(permission.attribute.as_str(), access.attribute, &[]))
    };
    rows.grants.iter().any(|grant| {
        let includes = if access.action == Action::Administer {
            grant.on.is_everything()
        } else {
            is_in(&grant.on, access.action, access.object, rows)
        };
        is_for_user(grant)
            && grant.until.is_none_or(|until| now < until)
            && includes
            && permissions(&grant.role).iter().any(allows)
    })
}

fn pattern() -> impl Strategy<Value = Pattern> {
    let texts = select(vec![
        "*", "DMM?", "DMM*", "Oven", "a.*", "*.b", "read*", "w*e", "s*",
    ]);
    texts.prop_map(|text| text.parse().unwrap())
}

fn scope() -> impl Strategy<Value = Scope> {
    let sets = select(vec![
        "@bench",
        "@empty",
        "@bench+psu",
        "@psu+bench+psu",
        "@bench+empty",
    ])
    .prop_map(|text| text.parse().unwrap());
    prop_oneof![3 => pattern().prop_map(Scope::Pattern), 2 => sets, 1 => Just(Scope::everything())]
}

fn permission() -> impl Strategy<Value = Permission> {
    let asks = prop::bool::weighted(0.4);
    (select(&Action::ALL[..]), scope(), pattern(), asks).prop_map(|(action, object, attribute, asks)| {
        Permission {
            action,
            object,
            attribute,
            // Nothing else can be asked for.
            effect: if asks && action == Action::Call {
                Effect::Ask
            } else {
                Effect::Allow
            },
        }
    })
}

fn grant() -> impl Strategy<Value = Grant> {
    let to = prop_oneof![
        select(&USERS[..]).prop_map(|name| Grantee::User(name.to_owned())),
        select(&GROUPS[..]).prop_map(|name| Grantee::Group(name.to_owned())),
    ];
    let until = option::of(0_i64..4);
    (select(&ROLES[..]), to, scope(), until).prop_map(|(role, to, on, until)| Grant {
        id: 1,
        role: role.to_owned(),
        to,
        on,
        until,
    })
}

fn known(id: i64, name: &str, is_admin: bool) -> User {
    let name = name.to_owned();
    User { id, name, is_admin }
}

/// Returns the number of a user; that of nobody if there is none of the name.
fn number(policy: &Policy, user: Option<&str>) -> Option<i64> {
    user.map(|user| policy.user(user).unwrap_or(-1))
}

fn rows() -> impl Strategy<Value = Rows> {
    let users = prop::bool::weighted(0.1)
        .prop_map(|is_admin| vec![known(1, "ada", false), known(2, "bob", is_admin)]);
    let member = (select(&GROUPS[..2]), select(&USERS[..]));
    let members = vec(
        member.prop_map(|(group, user)| (group.to_owned(), user.to_owned())),
        0..4,
    );
    let roles = vec((select(&ROLES[..]), permission()), 0..6).prop_map(|roles| {
        roles
            .into_iter()
            .map(|(role, permission)| (role.to_owned(), permission))
    });
    let sets = vec((select(&["bench", "psu"][..]), pattern()), 0..5)
        .prop_map(|sets| sets.into_iter().map(|(set, pattern)| (set.to_owned(), pattern)));
    (users, members, roles, sets, vec(grant(), 0..6)).prop_map(|(users, members, roles, sets, grants)| Rows {
        users,
        members,
        roles: roles.collect(),
        sets: sets.collect(),
        grants,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn every_way_to_decide_agrees_with_the_model(rows in rows(), now in 0_i64..4) {
        let policy = Policy::new(&rows);
        for user in [None, Some("ada"), Some("bob"), Some("eve"), Some("nobody")] {
            let rights = policy.rights(number(&policy, user));
            for (action, object) in Action::ALL.iter().flat_map(|action| OBJECTS.map(|object| (*action, object))) {
                let coverage = rights.on(action, object);
                for attribute in ATTRIBUTES {
                    let access = match action {
                        Action::Call => Access::call(object, attribute),
                        Action::Approve => Access::approve(object, attribute),
                        _ => Access::to(action, object),
                    };
                    let effect = model_effect(&rows, user, &access, now);
                    let expected = effect == Some(Effect::Allow);
                    let decision = rights.decide(&access, now);
                    prop_assert_eq!(decision.effect(), effect, "{:?} {}", user, access);
                    prop_assert_eq!(rights.effect(&access, now), effect);
                    prop_assert_eq!(coverage.effect(access.attribute, || now), effect, "{} {:?}", access, coverage);
                    prop_assert_eq!(decision.is_allowed(), expected, "{:?} {}", user, access);
                    prop_assert_eq!(rights.allows(&access, now), expected);
                    prop_assert_eq!(rights.until(&access).includes(|| now), expected);
                    prop_assert_eq!(coverage.allows(access.attribute, || now), expected, "{} {:?}", access, coverage);
                    let reasons = rights.explain(&access, now);
                    let verdict = if effect == Some(Effect::Ask) { Verdict::Asks } else { Verdict::Allows };
                    let mut allowing = reasons.iter().filter(|reason| reason.verdict == verdict);
                    match decision {
                        Decision::Allowed { reason, .. } => prop_assert_eq!(Some(&reason), allowing.next()),
                        Decision::Denied { missing } => {
                            prop_assert_eq!(missing, access.to_string());
                            prop_assert_eq!(allowing.next(), None);
                        }
                    }
                    if rights.is_everywhere(action) {
                        prop_assert!(expected);
                    }
                    for reason in &reasons {
                        let scopes = reason.grant.iter().map(|grant| &grant.on).chain([&reason.permission.object]);
                        let named: BTreeSet<_> = scopes.flat_map(Scope::sets).collect();
                        prop_assert_eq!(named.len(), reason.memberships.len(), "{}", reason);
                        for Membership { set, pattern } in &reason.memberships {
                            let is_member = is_in(&Scope::Set(Arc::clone(set)), action, object, &rows);
                            prop_assert_eq!(pattern.is_some(), is_member, "{}", reason);
                        }
                    }
                }
            }
        }
    }

    /// A token allows what its user may do and its own permissions allow, however that is decided.
    #[test]
    fn a_token_allows_no_more_than_its_user_and_its_own_permissions(
        rows in rows(), own in vec(permission(), 0..4), until in option::of(0_i64..4), now in 0_i64..4,
    ) {
        let users = Policy::new(&rows).rights(Some(1));
        let token = Arc::new(Rights::of(&own, until));
        let limited = users.within(Arc::clone(&token));
        let without_rules = Rights::everything().within(token);
        let is_for = |access: &Access<'_>, permission: &Permission| {
            let has_attribute = matches!(access.action, Action::Call | Action::Approve);
            permission.action == access.action
                && matches!(permission.object, Scope::Pattern(_))
                && is_in(&permission.object, access.action, access.object, &Rows::default())
                && (!has_attribute || matches(permission.attribute.as_str(), access.attribute, &[]))
        };
        for (action, object) in Action::ALL.iter().flat_map(|action| OBJECTS.map(|object| (*action, object))) {
            for attribute in ATTRIBUTES {
                let access = match action {
                    Action::Call => Access::call(object, attribute),
                    Action::Approve => Access::approve(object, attribute),
                    _ => Access::to(action, object),
                };
                let own = own.iter().filter(|permission| is_for(&access, permission));
                let by_token = own.map(|permission| permission.effect).min();
                let by_token = by_token.filter(|_| until.is_none_or(|until| now < until));
                // The stricter of both.
                let by_both = by_token.and_then(|token| Some(token.max(users.effect(&access, now)?)));
                for (rights, effect) in [(&limited, by_both), (&without_rules, by_token)] {
                    let expected = effect == Some(Effect::Allow);
                    prop_assert_eq!(rights.effect(&access, now), effect, "{}", access);
                    prop_assert_eq!(rights.decide(&access, now).effect(), effect, "{}", access);
                    prop_assert_eq!(rights.on(action, object).effect(access.attribute, || now), effect, "{}", access);
                    prop_assert_eq!(rights.allows(&access, now), expected, "{}", access);
                    prop_assert_eq!(rights.decide(&access, now).is_allowed(), expected, "{}", access);
                    let coverage = rights.on(action, object);
                    prop_assert_eq!(coverage.allows(access.attribute, || now), expected, "{} {:?}", access, coverage);
                    prop_assert!(!rights.is_everywhere(action) || expected, "{}", access);
                }
            }
        }
    }

    #[test]
    fn another_grant_never_takes_something_away(rows in rows(), more in grant(), now in 0_i64..4) {
        let before = Policy::new(&rows).rights(Some(1));
        let mut rows = rows;
        rows.grants.push(more);
        let after = Policy::new(&rows).rights(Some(1));
        for (action, object) in Action::ALL.iter().flat_map(|action| OBJECTS.map(|object| (*action, object))) {
            let access = Access { action, object, attribute: "read" };
            prop_assert!(!before.allows(&access, now) || after.allows(&access, now), "{}", access);
            prop_assert!(before.effect(&access, now).is_none() || after.effect(&access, now).is_some(), "{}", access);
        }
    }

    #[test]
    fn a_permission_is_read_as_it_is_written(mut permission in permission()) {
        // An attribute with a dot is written with ? for it.
        if !permission.action.has_attribute() || permission.attribute.as_str().contains('.') {
            permission.attribute = Pattern::everything();
        }
        let is_of_services = !matches!(permission.action, Action::Publish | Action::Subscribe | Action::Administer);
        if is_of_services || permission.object.sets().is_empty() {
            prop_assert_eq!(permission.to_string().parse::<Permission>().unwrap(), permission);
        }
    }
}

/// Returns what a large institute may have: 1,000 users in 50 groups, and 10,000 grants.
fn of_an_institute() -> Rows {
    let user = |number: i64| format!("user{number}");
    Rows {
        users: (0..1_000)
            .map(|number| known(number, &user(number), number == 0))
            .collect(),
        members: (0..2_000)
            .map(|number| (format!("group{}", number % 50), user(number / 2)))
            .collect(),
        roles: (0..100)
            .map(|number| {
                let permission = format!("call Device{number}*.read*");
                (format!("role{}", number % 20), permission.parse().unwrap())
            })
            .collect(),
        sets: (0..200)
            .map(|number| {
                let pattern = format!("Device{number}*");
                (format!("bench{}", number % 20), pattern.parse().unwrap())
            })
            .collect(),
        grants: (0..10_000_i64)
            .map(|id| {
                let to = match id % 4 {
                    0 => Grantee::Group(format!("group{}", id % 50)),
                    _ => Grantee::User(user(id % 1_000)),
                };
                let on = match id % 3 {
                    0 => format!("@bench{}", id % 20),
                    _ => format!("@bench{}+bench{}+bench{}", id % 20, (id + 1) % 20, (id + 5) % 20),
                };
                let on = on.parse().unwrap();
                let (role, until) = (format!("role{}", id % 20), (id % 2 == 0).then_some(id));
                Grant {
                    id,
                    role,
                    to,
                    on,
                    until,
                }
            })
            .collect(),
    }
}

#[test]
fn the_rules_of_an_institute_are_prepared_and_decide() {
    let rows = of_an_institute();
    let policy = Policy::new(&rows);
    let times = (0..10).map(|_| {
        let begun = Instant::now();
        drop(Policy::new(&rows));
        begun.elapsed()
    });
    // The shortest one: the computer may be busy.
    let prepared = times.min().unwrap();
    let begun = Instant::now();
    let rights: Vec<_> = rows
        .users
        .iter()
        .map(|user| policy.rights(Some(user.id)))
        .collect();
    let of_all = begun.elapsed();
    assert!(prepared < Duration::from_millis(100), "{prepared:?}");
    println!(
        "10,000 grants and 1,000 users: prepared in {prepared:?}, the rights of all users in {of_all:?}"
    );
    assert!(rights[0].is_everywhere(Action::Administer));
    assert!(!rights[1].is_everywhere(Action::Call));
    let access = Access::call("Device1a", "read");
    for (User { name, .. }, rights) in rows.users.iter().zip(&rights).take(20) {
        let expected = model(&rows, Some(name), &access, 0);
        assert_eq!(rights.allows(&access, 0), expected, "{name}");
    }
}

#[test]
fn what_a_user_has_beyond_the_limit_allows_nothing() {
    let mut rows = Rows {
        users: vec![known(1, "ada", false), known(2, "bob", false)],
        ..Rows::default()
    };
    for number in 0..MOST_COMPARISONS {
        let permission = format!("see Device{number}").parse().unwrap();
        rows.roles.push(("reader".to_owned(), permission));
    }
    rows.roles.push(("one".to_owned(), "see Oven".parse().unwrap()));
    rows.roles
        .push(("other".to_owned(), "link Oven".parse().unwrap()));
    for role in ["reader", "one", "other"] {
        rows.grants.push(Grant {
            id: 1,
            role: role.to_owned(),
            to: Grantee::User("ada".to_owned()),
            on: Scope::everything(),
            until: None,
        });
    }
    let policy = Policy::new(&rows);
    let rights = policy.rights(Some(1));
    let may = |action, object| rights.allows(&Access::to(action, object), 0);
    assert!(may(Action::See, "Device9999") && may(Action::Link, "Oven"));
    assert!(!may(Action::See, "Oven"));
    assert_eq!(rights.comparisons(Action::See), MOST_COMPARISONS);
    let load = policy.heaviest().unwrap();
    assert_eq!((load.user.as_deref(), load.action), (Some("ada"), Action::See));
    assert_eq!(load.comparisons, MOST_COMPARISONS + 1);
}

/// A change of the rules, or the time that passes.
#[derive(Clone, Debug)]
enum Change {
    Grant(Grant),
    Revoke(usize),
    Join(&'static str, &'static str),
    LeaveGroups(&'static str),
    Remove(&'static str),
    /// A user of the name, with a number of its own.
    Add(&'static str),
    Wait,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => grant().prop_map(Change::Grant),
        2 => (0_usize..6).prop_map(Change::Revoke),
        1 => (select(&GROUPS[..2]), select(&USERS[..])).prop_map(|(group, user)| Change::Join(group, user)),
        1 => select(&USERS[..]).prop_map(Change::LeaveGroups),
        1 => select(&USERS[..]).prop_map(Change::Remove),
        2 => select(&USERS[..]).prop_map(Change::Add),
        2 => Just(Change::Wait),
    ]
}

impl Change {
    /// Makes the change, as the database does: what belongs to a user goes with the user.
    fn apply(self, rows: &mut Rows, next: &mut i64, now: &mut i64) {
        match self {
            Self::Grant(grant) => rows.grants.push(grant),
            Self::Revoke(index) if index < rows.grants.len() => {
                rows.grants.remove(index);
            }
            Self::Join(group, user) => rows.members.push((group.to_owned(), user.to_owned())),
            Self::LeaveGroups(user) => rows.members.retain(|(_, member)| member != user),
            Self::Remove(user) => {
                let own = Grantee::User(user.to_owned());
                rows.users.retain(|known| known.name != user);
                rows.members.retain(|(_, member)| member != user);
                rows.grants.retain(|grant| grant.to != own);
            }
            Self::Add(user) if rows.users.iter().all(|known| known.name != user) => {
                rows.users.push(known(*next, user, false));
                *next += 1;
            }
            Self::Revoke(_) | Self::Add(_) => {}
            Self::Wait => *now += 1,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 300, ..ProptestConfig::default() })]

    /// Connections are known by the number of the user that they had when they were made.
    #[test]
    fn decisions_agree_with_the_model_after_each_change_in_time(rows in rows(), changes in vec(change(), 1..20)) {
        let (mut rows, mut next, mut now) = (rows, 3, 0);
        let mut connections: Vec<_> = rows.users.iter().map(|user| (user.id, user.name.clone())).collect();
        for change in changes {
            change.apply(&mut rows, &mut next, &mut now);
            let policy = Policy::new(&rows);
            for user in &rows.users {
                if connections.iter().all(|(id, _)| *id != user.id) {
                    connections.push((user.id, user.name.clone()));
                }
            }
            let ends = rows.grants.iter().filter_map(|grant| grant.until).filter(|end| *end > now);
            prop_assert_eq!(policy.next_end(now), ends.min());
            for (id, name) in &connections {
                let is_same = rows.users.iter().any(|user| user.id == *id);
                let rights = policy.rights(Some(*id));
                for (action, object) in Action::ALL.iter().flat_map(|action| OBJECTS.map(|object| (*action, object))) {
                    let access = Access { action, object, attribute: "read" };
                    let expected = is_same && model(&rows, Some(name), &access, now);
                    prop_assert_eq!(rights.allows(&access, now), expected, "{} {}", name, access);
                    prop_assert_eq!(rights.until(&access).includes(|| now), expected);
                    if rights.until(&access) == Until::Always {
                        prop_assert!(is_same && model(&rows, Some(name), &access, i64::MAX));
                    }
                }
            }
        }
    }
}

#[test]
fn what_sets_have_in_common_is_written_in_one_way() {
    for (text, written) in [
        ("@psu+bench3", "@bench3+psu"),
        ("@bench3+psu+bench3", "@bench3+psu"),
        ("@psu+psu", "@psu"),
    ] {
        let scope: Scope = text.parse().unwrap();
        assert_eq!(scope.to_string(), written);
        assert_eq!(written.parse::<Scope>().unwrap(), scope);
    }
    for text in [
        "@",
        "@+",
        "@bench3+",
        "@+psu",
        "@bench3++psu",
        "@bench3 + psu",
        "@a+b+c+d+e+f+g+h+i",
    ] {
        assert!(text.parse::<Scope>().is_err(), "{text}");
    }
    let sets = format!("@{}", "a+".repeat(100_000) + "a");
    assert_eq!(sets.parse::<Scope>().unwrap().to_string(), "@a");
}

#[test]
fn a_reason_says_by_which_patterns_a_service_is_in_the_sets() {
    let member = |set: &str, pattern: &str| (set.to_owned(), pattern.parse().unwrap());
    let rows = Rows {
        users: vec![known(1, "ada", false)],
        roles: vec![("caller".to_owned(), "call @bench3+psu".parse().unwrap())],
        sets: vec![
            member("bench3", "DMM-3"),
            member("bench3", "PSU3*"),
            member("psu", "PSU*"),
        ],
        grants: vec![Grant {
            id: 1,
            role: "caller".to_owned(),
            to: Grantee::User("ada".to_owned()),
            on: "@bench3".parse().unwrap(),
            until: None,
        }],
        ..Rows::default()
    };
    let rights = Policy::new(&rows).rights(Some(1));
    for (service, is_allowed, memberships) in [
        ("PSU3a", true, "(in bench3 by PSU3*, in psu by PSU*)"),
        ("PSU4", false, "(not in bench3, in psu by PSU*)"),
        ("DMM-3", false, "(in bench3 by DMM-3, not in psu)"),
    ] {
        let access = Access::call(service, "read");
        assert_eq!(rights.allows(&access, 0), is_allowed);
        let [reason] = &rights.explain(&access, 0)[..] else {
            panic!("one rule");
        };
        let expected =
            format!("grant 1, role caller to the user ada on @bench3: call @bench3+psu {memberships}");
        assert_eq!(reason.to_string(), expected);
    }
}

#[test]
fn only_calls_can_be_asked_for() {
    let error = |text: &str| text.parse::<Permission>().unwrap_err().to_string();
    for (text, action) in [
        ("ask lock DMM", "lock"),
        ("ask link", "link"),
        ("ask register DMM", "register"),
    ] {
        assert_eq!(
            error(text),
            format!(
                "only requests to services can be asked for, such as 'ask call DMM.set_range', and not '{action}'"
            )
        );
    }
    assert_eq!(error("ask"), "there is no action 'ask'");
    assert_eq!(error("ask ask call"), "there is no action 'ask'");
    assert_eq!(
        "ask  call  DMM".parse::<Permission>().unwrap().to_string(),
        "ask call DMM"
    );
}
