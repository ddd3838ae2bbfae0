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
            Refusal::Locked { service: service() },
            "PermissionError: 'S' service is locked",
        ),
        (
            Refusal::Limit {
                service: service(),
                linked: vec!["c1".into(), "c2".into()],
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
                linked: vec!["c1".into(), "c2".into()],
            },
            "PermissionError: C[h:1] cannot acquire an exclusive lock, there are 2 links with the 'S' service\nThe linked Clients are:\n  c1\n  c2",
        ),
        (
            Refusal::CannotRelease {
                service: service(),
                client: client(),
            },
            "KeyError: 'S' service does not exist, C[h:1] cannot release the lock",
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
