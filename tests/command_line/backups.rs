//! `labwire backup` of a manager that runs.

use serde_json::json;

use super::{Ran, run, start, takes_login};
use crate::support::manager::{Home, Manager};
use crate::support::wire::{RawPeer, request};

#[test]
fn a_backup_of_a_running_manager_takes_the_place_of_its_home_folder() {
    let home = Home::with_users(&["ada"]);
    let config = format!(
        "auth-login = true\ncert-file = \"{}\"\n",
        home.argument("elsewhere.crt")
    );
    std::fs::write(home.path("labwire.toml"), config).unwrap();
    let manager = start(home, "labwire start --auth-login --disable-tls");
    let password = "engine no. 1";
    manager
        .home()
        .prepare(&["user", "add", "late", "--password", password]);
    assert!(takes_login(&manager, "late", password));
    // The certificate does not exist: it is only named.
    let line = "labwire backup /path/to/copy --config labwire.toml";
    let ran = run(manager.home(), line);
    let elsewhere = format!(
        "{}, which cert-file names,",
        manager.home().argument("elsewhere.crt")
    );
    assert!(ran.error.contains(&elsewhere), "{ran:?}");
    let names = ["manager.sqlite3", "manager.record.sqlite3", "labwire.toml"];
    let copied = names.map(|name| manager.home().argument(&format!("copy/{name}")));
    assert_eq!(ran.succeeded().lines().collect::<Vec<_>>(), copied);
    run(manager.home(), line).failed(1, &["/copy already; name a folder that is to be made"]);
    // It is not in the copy.
    manager.home().prepare(&["user", "remove", "late"]);
    let home = manager.end();

    let names = std::fs::read_dir(home.path("copy")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.count(), 3, "SQLite leaves files beside the copies");
    let copy = home.argument("copy");
    let mut check = home.command(&[
        "history",
        "--file",
        &format!("{copy}/manager.record.sqlite3"),
        "--verify",
    ]);
    let verified = Ran::from(check.output().unwrap()).succeeded();
    assert!(
        verified.contains("entries are as they were written"),
        "{verified}"
    );
    let options = ["start", "--auth-login", "--disable-tls", "--port", "0"];
    let mut command = home.command(&options);
    command.env("LABWIRE_HOME", &copy);
    let manager = Manager::start_command(home, &mut command);
    assert!(takes_login(&manager, "late", password));
    let mut root = RawPeer::connect(&manager);
    for answer in ["late", password] {
        root.read_json();
        root.send_line(&json!({ "result": answer }).to_string());
    }
    root.identify(&json!({ "type": "client", "name": "Late" }));
    assert_eq!(root.request(&request("Manager", "identity"))["error"], false);
}
