//! The settings of a connection, from profiles, options and variables.

use super::*;

#[test]
fn a_profile_names_a_manager_and_options_go_before_it() {
    let manager = start();
    let _math = service(&manager, "BasicMath");
    let home = manager.home();
    let address = format!("localhost:{}", manager.port());
    let without_environment = |arguments: &[&str]| run(&mut home.command(arguments));
    let done = |arguments: &[&str]| {
        let done = without_environment(arguments);
        assert_eq!(done.code, Some(0), "{arguments:?}: {done:?}");
        done.output
    };
    fs::write(home.path("config.toml"), "# Ada's\n").unwrap();
    done(&["profile", "add", "lab", "--host", &address, "--disable-tls"]);
    done(&[
        "profile",
        "add",
        "away",
        "--host",
        "192.0.2.1",
        "--cert-file",
        "away.pem",
    ]);
    assert_eq!(
        done(&["services", "--profile", "lab", "--json"]).lines().count(),
        1
    );
    done(&["profile", "default", "lab"]);
    assert_eq!(done(&["call", "BasicMath", "add", "1", "2"]), "3\n");
    let shown = done(&["profile", "show", "lab"]);
    let expected =
        format!("lab, the default profile\n  host             {address}\n  disable-tls      true\n");
    assert_eq!(shown, expected);
    let unknown = without_environment(&["profile", "show", "lap"]);
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    assert!(unknown.errors.contains("did you mean 'lab'?"), "{unknown:?}");
    let listed = json_lines(&done(&["profile", "list", "--json"]));
    let shown = json_lines(&done(&["profile", "show", "lab", "--json"]));
    assert_eq!(shown, [listed[1].clone()]);
    let lab = json!({ "name": "lab", "default": true, "host": address, "disable-tls": true });
    assert_eq!(listed[1], lab);
    assert_eq!(listed[0]["cert-file"], json!(home.path("away.pem")));
    let listed = done(&["profile", "list"]);
    assert!(
        listed.contains(&format!("--host {address} --disable-tls")),
        "{listed}"
    );
    let text = fs::read_to_string(home.path("config.toml")).unwrap();
    assert!(text.contains("# Ada's"), "{text}");
    let replaced = done(&["profile", "add", "away", "--host", "192.0.2.2"]);
    assert!(
        replaced.contains("'away' is replaced") && replaced.contains("192.0.2.1"),
        "{replaced}"
    );
    assert!(done(&["profile", "add", "other", "--host", "192.0.2.3"]).contains("'other' is added"));
    for host in ["http://lab-pc:1875", "lab pc", ""] {
        let wrong = without_environment(&["profile", "add", "odd", "--host", host]);
        assert_eq!(wrong.code, Some(2), "{host}: {wrong:?}");
        assert!(wrong.errors.contains("HOST:PORT"), "{host}: {wrong:?}");
    }
    let url = run(home
        .command(&["services"])
        .env("LABWIRE_MANAGER", "http://lab-pc:1875"));
    assert_eq!(url.code, Some(2), "{url:?}");
    assert!(
        url.errors.contains("LABWIRE_MANAGER") && url.errors.contains("no URL"),
        "{url:?}"
    );
    let unset = done(&["profile", "default", "--unset"]);
    assert!(
        unset.contains("'lab' is not the default profile any more"),
        "{unset}"
    );
    let listed = json_lines(&done(&["profile", "list", "--json"]));
    assert!(
        listed.iter().all(|profile| profile["default"] == false),
        "{listed:?}"
    );
    done(&["profile", "default", "lab"]);
    let misspelt = without_environment(&["services", "--profile", "lba"]);
    assert_eq!(misspelt.code, Some(2));
    assert!(misspelt.errors.contains("did you mean 'lab'?"), "{misspelt:?}");
    let two_ports = ["profile", "add", "odd", "--host", "a:1", "--port", "2"];
    assert_eq!(without_environment(&two_ports).code, Some(2));
    let refused = without_environment(&["services", "--host", "localhost:1", "--disable-tls"]);
    assert_eq!(refused.code, Some(3), "an option goes before the default profile");
    done(&["profile", "remove", "lab"]);
    assert!(!done(&["profile", "list"]).contains("lab"));
    fs::write(home.path("config.toml"), "[profiles.x]\nhots = 'a'\n").unwrap();
    let wrong = without_environment(&["services"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert!(
        wrong.errors.contains("'hots'") && wrong.errors.contains("did you mean 'host'?"),
        "{wrong:?}"
    );
    fs::write(home.path("config.toml"), "[profile.x]\nhost = 'a'\n").unwrap();
    let wrong = without_environment(&["services"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert!(wrong.errors.contains("did you mean 'profiles'?"), "{wrong:?}");
}

#[test]
fn the_port_of_start_is_not_taken_for_that_of_a_command() {
    // An address of this computer at which nobody listens.
    let done = run(Home::new()
        .command(&["services"])
        .env("LABWIRE_MANAGER", "127.187.51.9")
        .env("LABWIRE_PORT", "8326"));
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(
        done.errors.contains("LABWIRE_PORT is for labwire start only"),
        "{done:?}"
    );
}
