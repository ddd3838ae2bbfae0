//! `labwire systemd`: the unit, and where it is written. What needs a running systemd is tried by
//! `packaging/try-deb`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use super::support::manager::Home;

fn text(output: &Output) -> String {
    let streams = [&output.stdout, &output.stderr];
    streams
        .map(|stream| String::from_utf8_lossy(stream).into_owned())
        .concat()
}

/// Asserts that systemd, if it is installed, finds no fault in a unit.
fn verify(home: &Home, file: &str) {
    let done = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(home.path(file))
        .output();
    let Ok(done) = done else {
        return;
    };
    let told = text(&done);
    let about: Vec<_> = told.lines().filter(|line| line.contains("labwire")).collect();
    assert!(done.status.success() && about.is_empty(), "{told}");
}

#[test]
fn a_unit_is_written_for_a_folder_with_the_commands_that_remain() {
    let home = Home::new();
    let program = "/bin/true";
    let install = ["systemd", "install", "--unit-dir", "units", "--program", program];
    let done = home.labwire(&install);
    let told = text(&done);
    assert!(done.status.success(), "{told}");
    for line in [
        "wrote units/labwire.service",
        "systemctl daemon-reload",
        "systemctl enable labwire.service",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let file = home.path("units/labwire.service");
    let unit = fs::read_to_string(&file).unwrap();
    for line in [
        "Type=notify",
        "DynamicUser=yes",
        "StateDirectory=labwire",
        "Environment=LABWIRE_HOME=/var/lib/labwire",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "PrivateTmp=yes",
        "Restart=on-failure",
        "WatchdogSec=30",
        "WantedBy=multi-user.target",
    ] {
        assert!(unit.lines().any(|of_unit| of_unit == line), "{line}: {unit}");
    }
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o644);
    verify(&home, "units/labwire.service");
    // `show` prints the same.
    let shown = home.labwire(&["systemd", "show", "--program", program]);
    assert_eq!(String::from_utf8_lossy(&shown.stdout), unit);

    // A unit of its own is replaced and removed, another one is kept.
    assert!(home.labwire(&install).status.success());
    let uninstall = ["systemd", "uninstall", "--unit-dir", "units"];
    let done = home.labwire(&uninstall);
    assert!(done.status.success() && !file.exists(), "{}", text(&done));
    let done = home.labwire(&uninstall);
    assert!(
        text(&done).contains("there is no unit units/labwire.service"),
        "{}",
        text(&done)
    );
    fs::write(&file, "[Unit]\nDescription=of somebody else\n").unwrap();
    for arguments in [&install[..], &uninstall] {
        let done = home.labwire(arguments);
        assert_eq!(done.status.code(), Some(1), "{}", text(&done));
        assert!(text(&done).contains("was not written by"), "{}", text(&done));
    }
    assert!(fs::read_to_string(&file).unwrap().contains("somebody else"));
}

#[test]
fn the_unit_of_a_user_keeps_the_home_folder_and_needs_no_rights() {
    let home = Home::new();
    let done = home.labwire(&[
        "systemd",
        "install",
        "--user",
        "--unit-dir",
        "units",
        "--program",
        "/bin/true",
    ]);
    assert!(done.status.success(), "{}", text(&done));
    let unit = fs::read_to_string(home.path("units/labwire.service")).unwrap();
    let folder = format!("\nEnvironment=LABWIRE_HOME={}\n", home.path("").display());
    assert!(unit.contains(folder.trim_end_matches(['/', '\n'])), "{unit}");
    assert!(unit.contains("\nWantedBy=default.target\n"), "{unit}");
    for line in [
        "User=",
        "ProtectSystem=",
        "StateDirectory=",
        "CapabilityBoundingSet=",
    ] {
        assert!(!unit.contains(line), "{line}: {unit}");
    }
    verify(&home, "units/labwire.service");
}

#[test]
fn what_the_configuration_lets_the_manager_write_is_writable_in_the_unit() {
    let home = Home::new();
    let show = |config: &str, more: &[&str]| {
        fs::write(home.path("labwire.toml"), config).unwrap();
        let show = ["systemd", "show", "--config", "labwire.toml"];
        let done = home.labwire(&[&show, more].concat());
        (done.status.success(), text(&done))
    };
    let (shown, unit) = show("log-file = \"/var/log/lab/manager.log\"", &[]);
    assert!(shown && unit.contains("\nLogsDirectory=lab\n"), "{unit}");
    let (shown, unit) = show("database = \"/srv/my lab/a.sqlite3\"", &["--run-as", "ada"]);
    assert!(
        shown && unit.contains("\nReadWritePaths=\"/srv/my lab\"\n"),
        "{unit}"
    );
    assert!(unit.contains("\nUser=ada\n"), "{unit}");

    let (shown, told) = show("database = \"/srv/lab/a.sqlite3\"", &[]);
    assert!(!shown && told.contains("--run-as"), "{told}");
    let (shown, told) = show("log-file = \"a.log\"", &[]);
    assert!(!shown && told.contains("write the whole path"), "{told}");
    let (shown, told) = show("prot = 1", &[]);
    assert!(!shown && told.contains("did you mean `port`?"), "{told}");
    let (shown, told) = show("", &["--run-as", "ada\nExecStartPre=/bin/sh"]);
    assert!(!shown && told.contains("--run-as"), "{told}");
}

#[test]
fn a_unit_that_could_not_find_its_program_is_refused() {
    let home = Home::new();
    for (program, told) in [
        ("/home/ada/.cargo/bin/labwire", "install -m 755"),
        ("/nowhere/labwire", "there is no program /nowhere/labwire"),
    ] {
        let install = ["systemd", "install", "--unit-dir", "units", "--program", program];
        let done = home.labwire(&install);
        assert_eq!(done.status.code(), Some(1));
        assert!(text(&done).contains(told), "{}", text(&done));
        assert!(!home.path("units").exists());
    }
}

#[test]
fn without_systemd_a_unit_is_only_written_where_it_is_asked_for() {
    if fs::exists("/run/systemd/system").unwrap() {
        return;
    }
    let home = Home::new();
    for action in ["install", "uninstall"] {
        let done = home.labwire(&["systemd", action, "--user"]);
        assert_eq!(done.status.code(), Some(1));
        let told = text(&done);
        assert!(
            told.contains("systemd does not run") && told.contains("--unit-dir"),
            "{told}"
        );
    }
}

#[test]
fn the_configuration_of_the_package_names_options_with_values_that_are_accepted() {
    let home = Home::new();
    let packaged = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/debian/labwire.toml");
    let packaged = fs::read_to_string(packaged).unwrap();
    let check = |config: &str| {
        fs::write(home.path("labwire.toml"), config).unwrap();
        text(&home.labwire(&["start", "--check", "--config", "labwire.toml", "--port", "0"]))
    };
    let told = check(&packaged);
    assert!(told.starts_with("ok        configuration "), "{told}");
    // Each option that is commented out, alone: some exclude others.
    let options = packaged.lines().filter_map(|line| line.strip_prefix('#'));
    let options: Vec<_> = options
        .filter(|line| line.contains(" = ") && !line.starts_with(' '))
        .collect();
    assert!(options.len() > 15, "{options:?}");
    for option in options {
        let told = check(option);
        assert!(told.contains("ok        configuration "), "{option}: {told}");
    }
}
