use jiff::Timestamp;
use labwire_wire::MAX_DEPTH;

use super::*;

#[test]
fn texts_that_existing_scripts_search_stay_as_they_are() {
    let service = || "S".to_owned();
    let client = || "C[h:1]".to_owned();
    for (refusal, text) in [
        (
            Refusal::NoSuchService {
                service: service(),
                manager: "Manager[h:1875]".into(),
            },
            "KeyError: the 'S' Service is not connected to Manager[h:1875]",
        ),
        (
            Refusal::CannotLink {
                service: service(),
                client: client(),
            },
            "KeyError: the 'S' service does not exist, cannot link with C[h:1]",
        ),
        (
            Refusal::CannotRelease {
                service: service(),
                client: client(),
            },
            "KeyError: 'S' service does not exist, C[h:1] cannot release the lock",
        ),
        (
            Refusal::Limit {
                service: service(),
                linked: LinkedClients::new(["c1", "c2"], 2),
            },
            "PermissionError: The maximum number of Clients are already linked with 'S'\nThe linked Clients are:\n  c1\n  c2",
        ),
        (
            Refusal::NotLinked {
                service: service(),
                client: client(),
            },
            "KeyError: cannot unlink C[h:1], it was not linked with 'S'",
        ),
        (
            Refusal::CannotLock {
                service: service(),
                client: client(),
            },
            "KeyError: 'S' service does not exist, C[h:1] cannot acquire a lock",
        ),
        (
            Refusal::LockWithoutLink {
                service: service(),
                client: client(),
            },
            "PermissionError: C[h:1] cannot acquire a lock because it is not linked with the 'S' service",
        ),
        (
            Refusal::NotAlone {
                service: service(),
                client: client(),
                linked: LinkedClients::new(["c1", "c2"], 2),
                position: 1,
            },
            "PermissionError: C[h:1] cannot acquire an exclusive lock, there are 2 links with the 'S' service\nThe linked Clients are:\n  c1\n  c2",
        ),
        (
            Refusal::NameTaken(service()),
            "NameError: A 'S' service is already running on the Manager",
        ),
        (
            Refusal::WrongManagerPassword,
            "ValueError: Wrong Manager password",
        ),
        (
            Refusal::UntrustedHostname("pc".into()),
            "ValueError: 'pc' is not a trusted hostname",
        ),
        (
            Refusal::NotAdministrator,
            "ValueError: You must be an administrator to send this request to the Manager",
        ),
    ] {
        assert_eq!(refusal.to_string(), text);
    }
    let login = Refusal::WrongLogin.to_string();
    assert!(login.contains("Unregistered user") && login.contains("Wrong login password"));
}

#[test]
fn a_refusal_because_of_a_lock_names_its_holder_and_advises_what_can_work() {
    let held = |others| {
        Box::new(HeldLock {
            holder: "C[h:1]".into(),
            since: Timestamp::UNIX_EPOCH,
            until: None,
            is_reserved: false,
            reason: None,
            shared: false,
            waiting: 0,
            others,
        })
    };
    let locked = |others| {
        let service = "S".to_owned();
        Refusal::Locked {
            service,
            held: held(others),
        }
        .to_string()
    };
    let start = "PermissionError: 'S' service is locked by C[h:1] since ";
    for (others, end) in [
        (0, ""),
        (1, " and by another client"),
        (2, " and by 2 other clients"),
    ] {
        let text = locked(others);
        let since = text.strip_prefix(start).and_then(|text| text.strip_suffix(end));
        let since = since.unwrap_or_else(|| panic!("{text}"));
        assert_eq!(since.parse::<Timestamp>().unwrap(), Timestamp::UNIX_EPOCH);
    }
    let called = Refusal::CallLocked {
        service: "S".into(),
        client: "D[h:2]".into(),
        held: held(0),
    };
    let called = called.to_string();
    assert!(
        called.starts_with("PermissionError: the 'S' Service is locked by C[h:1] since "),
        "{called}"
    );
    assert!(!called.contains("must link"), "{called}");
    let limited = |is_full| {
        let (service, client) = ("S".into(), "D[h:2]".into());
        Refusal::LinkBecauseLimited {
            service,
            client,
            is_full,
        }
        .to_string()
    };
    assert!(limited(false).ends_with("D[h:2] must link with it before sending requests"));
    assert!(limited(true).ends_with(", which it can once one of the linked clients has unlinked"));
}

#[test]
fn a_limit_is_told_with_the_option_that_raises_it() {
    let line = Refusal::LineTooLong {
        limit: 7,
        which: LineLimit::Identity,
    };
    assert!(line.to_string().contains("longer than 7 bytes") && line.to_string().contains("--identity-line"));
    assert!(Refusal::TooDeep { limit: 7 }.to_string().contains("--nesting"));
    assert!(
        !Refusal::TooDeep { limit: MAX_DEPTH }
            .to_string()
            .contains("--nesting")
    );
}
