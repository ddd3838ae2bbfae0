//! `labwire trust`: the certificate of a manager is shown, compared and saved, and programs of Rust
//! and of Python connect with what was saved.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::json;

use super::{Done, json_lines, run};
use crate::support::manager::{Home, Manager};
use crate::support::python;

/// The computer of a person who uses managers: without a certificate of any.
struct Desk {
    home: Home,
    /// The folder of the Python package.
    python: PathBuf,
}

impl Desk {
    fn new() -> Self {
        let home = Home::new();
        let python = home.path("msl");
        Self { home, python }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.home.command(arguments);
        command.env("MSL_NETWORK_HOME", &self.python);
        command
    }

    fn run(&self, arguments: &[&str]) -> Done {
        run(&mut self.command(arguments))
    }

    /// Connects with the Python package as a script does that nobody watches.
    fn python_connects(&self, manager: &Manager) -> bool {
        let script = format!(
            "from msl.network import connect\ncxn = connect(name='Ada', port={}, timeout=30)\nprint(cxn.identities())\n\
             cxn.disconnect()",
            manager.port()
        );
        let output = Command::new(python::program("python"))
            .args(["-c", &script])
            .env("MSL_NETWORK_HOME", &self.python)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        println!("{output:?}");
        output.status.success()
    }
}

fn address(manager: &Manager) -> String {
    format!("localhost:{}", manager.port())
}

/// Returns the fingerprint that the manager tells when it starts.
fn fingerprint(manager: &Manager) -> String {
    let line = manager.wait_for_log("SHA-256 fingerprint is ");
    line.rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn a_certificate_is_saved_for_programs_of_rust_and_python_after_its_fingerprint_was_compared() {
    let manager = Manager::start(&[]);
    let (address, fingerprint) = (address(&manager), fingerprint(&manager));
    let desk = Desk::new();
    let services = ["services", "--host", &address];
    let unknown = desk.run(&services);
    assert_eq!(unknown.code, Some(4), "{unknown:?}");
    assert!(unknown.errors.contains("labwire trust"), "{unknown:?}");
    assert!(!desk.python_connects(&manager));

    // Nobody is there to be asked.
    let nobody = desk.run(&["trust", &address]);
    assert_eq!(nobody.code, Some(2), "{nobody:?}");
    assert!(nobody.output.contains(&fingerprint), "{nobody:?}");
    assert!(nobody.errors.contains("--fingerprint"), "{nobody:?}");
    let other = desk.run(&["trust", &address, "--fingerprint", &"ab".repeat(32)]);
    assert_eq!(other.code, Some(4), "{other:?}");
    assert!(other.errors.contains("another fingerprint"), "{other:?}");
    assert!(!desk.home.path("certs").exists() && !desk.python.exists());

    let upper = fingerprint.to_uppercase();
    let saved = desk.run(&["trust", &address, "--fingerprint", &upper]);
    assert_eq!(saved.code, Some(0), "{saved:?}");
    for text in ["names        ", "localhost", "Saved for Rust", "Saved for Python"] {
        assert!(saved.output.contains(text), "{text}: {saved:?}");
    }
    let listed = desk.run(&services);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    assert!(desk.python_connects(&manager));

    let again = json_lines(&desk.run(&["trust", &address, "--yes", "--json"]).output);
    let object = &again[0];
    assert_eq!(object["fingerprint"], json!(fingerprint));
    assert_eq!(
        (&object["host"], &object["port"]),
        (&json!("localhost"), &json!(manager.port()))
    );
    assert_eq!(object["changed"], json!(false));
    assert!(object["names"].as_array().unwrap().contains(&json!("localhost")));
    let saved = object["saved"].as_array().unwrap();
    let actions: Vec<_> = saved
        .iter()
        .map(|saved| (&saved["programs"], &saved["action"]))
        .collect();
    let unchanged = json!("unchanged");
    assert_eq!(
        actions,
        [(&json!("rust"), &unchanged), (&json!("python"), &unchanged)]
    );
}

#[test]
fn a_changed_certificate_replaces_the_former_one_and_says_since_when_it_was_trusted() {
    let manager = Manager::start(&[]);
    let address = address(&manager);
    let desk = Desk::new();
    let former = Manager::start(&[]);
    let rust = desk.home.path(&format!("certs/localhost_{}.crt", manager.port()));
    let python = desk.python.join("certs/localhost.crt");
    for file in [&rust, &python] {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::copy(former.certificate(), file).unwrap();
    }
    let refused = desk.run(&["services", "--host", &address]);
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(!desk.python_connects(&manager));
    let trusted = desk.run(&["trust", &address, "--yes"]);
    assert_eq!(trusted.code, Some(0), "{trusted:?}");
    let today = &today();
    for text in [
        "another one than Rust programs",
        "another one than Python",
        &fingerprint(&former),
        today,
    ] {
        assert!(trusted.output.contains(text), "{text}: {trusted:?}");
    }
    assert_eq!(
        trusted.output.matches("Somebody may be").count(),
        1,
        "{trusted:?}"
    );
    assert!(
        trusted.output.contains("Replaced for Python programs"),
        "{trusted:?}"
    );
    assert_eq!(desk.run(&["services", "--host", &address]).code, Some(0));
    assert!(desk.python_connects(&manager));
}

/// Returns today's date as it is printed.
fn today() -> String {
    let date = Command::new("date").arg("+%Y-%m-%d").output().unwrap();
    String::from_utf8(date.stdout).unwrap().trim().to_owned()
}

#[test]
fn the_certificate_of_a_manager_of_this_computer_is_never_replaced() {
    let elsewhere = Manager::start(&[]);
    let address = address(&elsewhere);
    // A computer with a manager of Labwire, and with one of MSL-Network, that are not running.
    let desk = Desk::new();
    desk.home.prepare(&["certgen"]);
    let python_home = Home::new();
    python_home.msl_network(&["keygen"]);
    python_home.msl_network(&["certgen"]);
    let desk = Desk {
        python: python_home.path(""),
        ..desk
    };
    let own = [
        desk.home.path("certs/localhost.crt"),
        python_home.path("certs/localhost.crt"),
    ];
    let before: Vec<_> = own.iter().map(|file| fs::read(file).unwrap()).collect();
    let trusted = desk.run(&["trust", &address, "--yes", "--json"]);
    assert_eq!(trusted.code, Some(0), "{trusted:?}");
    let saved = json_lines(&trusted.output)[0]["saved"].clone();
    assert_eq!(saved[0]["action"], "added", "{saved}");
    assert_eq!(saved[1]["action"], "kept", "{saved}");
    assert!(
        saved[1]["reason"].as_str().unwrap().contains("cert_file="),
        "{saved}"
    );
    let after: Vec<_> = own.iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(before == after);
    assert_eq!(desk.run(&["services", "--host", &address]).code, Some(0));
    // The own manager starts with its certificate, and its clients find it.
    let own = Manager::start_in(desk.home, &[]);
    let own_address = format!("localhost:{}", own.port());
    let listed = run(&mut own.home().command(&["services", "--host", &own_address]));
    assert_eq!(listed.code, Some(0), "{listed:?}");
}

#[test]
fn one_folder_for_both_keeps_the_place_of_the_own_manager_free() {
    let elsewhere = Manager::start(&[]);
    let address = address(&elsewhere);
    let home = Home::new();
    let mut trust = home.command(&["trust", &address, "--yes", "--json"]);
    let trusted = run(trust
        .env_remove("LABWIRE_HOME")
        .env("MSL_NETWORK_HOME", home.path("")));
    assert_eq!(trusted.code, Some(0), "{trusted:?}");
    let saved = json_lines(&trusted.output)[0]["saved"].clone();
    assert_eq!(
        (&saved[0]["action"], &saved[1]["action"]),
        (&json!("added"), &json!("kept"))
    );
    let own = Manager::start_in(home, &[]);
    own.wait_for_log("(TLS ENABLED)");
}

#[test]
fn a_first_use_does_not_take_the_place_of_the_own_managers_certificate() {
    let elsewhere = Manager::start(&[]);
    let home = Home::new();
    let listed = run(&mut home.command(&["services", "--host", &address(&elsewhere), "--first-use", "save"]));
    assert_eq!(listed.code, Some(0), "{listed:?}");
    assert!(!home.path("certs/localhost.crt").exists());
    let own = Manager::start_in(home, &[]);
    own.wait_for_log("(TLS ENABLED)");
}

#[test]
fn what_hinders_programs_is_told_and_a_manager_without_tls_has_nothing_to_trust() {
    let manager = Manager::start(&[]);
    let desk = Desk::new();
    // An address of this computer that no certificate names.
    let other = format!("127.0.0.2:{}", manager.port());
    let trusted = desk.run(&["trust", &other, "--yes"]);
    assert_eq!(trusted.code, Some(0), "{trusted:?}");
    let doctor = format!("labwire doctor {other}");
    for text in ["is not for '127.0.0.2'", &doctor] {
        assert!(trusted.errors.contains(text), "{text}: {trusted:?}");
    }
    let plain = Manager::start(&["--disable-tls"]);
    let none = desk.run(&["trust", &address(&plain), "--yes"]);
    assert_eq!(none.code, Some(3), "{none:?}");
    for text in ["does not answer with TLS", "has no certificate to trust"] {
        assert!(none.errors.contains(text), "{none:?}");
    }
    let sha1 = desk.run(&["trust", &other, "--fingerprint", &"ab".repeat(20)]);
    assert_eq!(sha1.code, Some(2), "{sha1:?}");
    assert!(sha1.errors.contains("SHA-1"), "{sha1:?}");
    let two = desk.run(&["trust", "a", "--host", "b", "--yes"]);
    assert_eq!(two.code, Some(2), "{two:?}");
}

#[test]
fn what_replacing_the_certificate_of_a_host_costs_python_programs_is_told_before() {
    let (manager, other) = (Manager::start(&[]), Manager::start(&[]));
    let text = "Python programs keep one certificate per host, not per port: those that connect to another \
                manager at localhost will refuse it, unless both managers use one certificate, or the programs give \
                that manager's certificate with cert_file=…";
    let desk = Desk::new();
    // Nothing is replaced.
    let first = desk.run(&["trust", &address(&other), "--yes"]);
    assert_eq!((first.code, &*first.errors), (Some(0), ""), "{first:?}");
    assert!(desk.python_connects(&other));

    let file = desk.python.join("certs/localhost.crt");
    let before = fs::read(&file).unwrap();
    for options in [&["trust"][..], &["trust", "--json"]] {
        let labwire = desk.command(&[options, &[&address(&manager)]].concat());
        let (code, shown) = at_terminal(&labwire, "n");
        assert_eq!(code, Some(1), "{shown}");
        let question = shown.find("Trust it from now on? y/n").expect(&shown);
        assert!(shown.find(text).expect(&shown) < question, "{shown}");
        assert!(fs::read(&file).unwrap() == before);
    }
    let replaced = desk.run(&["trust", &address(&manager), "--yes"]);
    assert_eq!(replaced.code, Some(0), "{replaced:?}");
    assert!(replaced.errors.contains(text), "{replaced:?}");
    assert!(desk.python_connects(&manager) && !desk.python_connects(&other));
    let json = desk.run(&["trust", &address(&other), "--yes", "--json"]);
    assert_eq!(json_lines(&json.output)[0]["warnings"], json!([text]), "{json:?}");
}

#[test]
fn a_person_at_a_terminal_is_asked() {
    let manager = Manager::start(&[]);
    let address = address(&manager);
    for (answer, code) in [("n", 1), ("y", 0)] {
        let desk = Desk::new();
        let labwire = desk.command(&["trust", &address]);
        let done = at_terminal(&labwire, answer);
        assert_eq!(done.0, Some(code), "{done:?}");
        assert!(done.1.contains("Trust it from now on? y/n"), "{done:?}");
        let is_saved = desk
            .home
            .path(&format!("certs/localhost_{}.crt", manager.port()))
            .exists();
        assert_eq!(is_saved, code == 0);
    }
}

/// Runs a command in a terminal of its own, and types one line. Returns its exit code and what it
/// prints.
fn at_terminal(command: &Command, line: &str) -> (Option<i32>, String) {
    const SCRIPT: &str = "\
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
shown, typed = b'', False
while True:
    try:
        some = os.read(terminal, 4096)
    except OSError:
        break
    if not some:
        break
    shown += some
    if b'y/n' in shown and not typed:
        typed = True
        os.write(terminal, sys.argv[1].encode() + b'\\n')
sys.stdout.buffer.write(shown)
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";
    let mut outer = crate::support::process::through("python3", &["-c", SCRIPT, line], command);
    let output = outer.stdin(Stdio::null()).output().unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

#[test]
fn certgen_takes_names_and_says_which_programs_must_be_told() {
    let desk = Desk::new();
    let first = desk.run(&[
        "certgen",
        "--name",
        "lab-pc.example.org,*.lab.example",
        "--name",
        "192.0.2.7",
    ]);
    assert_eq!((first.code, &*first.errors), (Some(0), ""), "{first:?}");
    for text in [
        "SHA-256 fingerprint: ",
        "lab-pc.example.org, *.lab.example",
        "192.0.2.7",
        "localhost",
    ] {
        assert!(first.output.contains(text), "{text}: {first:?}");
    }
    let openssl = Command::new("openssl")
        .args(["x509", "-noout", "-text", "-fingerprint", "-sha256", "-in"])
        .arg(desk.home.path("certs/localhost.crt"))
        .output()
        .unwrap();
    let shown = String::from_utf8(openssl.stdout).unwrap();
    for text in [
        "DNS:lab-pc.example.org",
        "DNS:*.lab.example",
        "IP Address:192.0.2.7",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let printed = first
        .output
        .lines()
        .find_map(|line| line.strip_prefix("SHA-256 fingerprint: "))
        .unwrap();
    assert!(shown.to_lowercase().contains(printed), "{shown}");

    // A program of this computer, and one of another computer, have connected with it.
    fs::create_dir_all(desk.python.join("certs")).unwrap();
    let saved = desk.python.join("certs/localhost.crt");
    fs::copy(desk.home.path("certs/localhost.crt"), &saved).unwrap();
    desk.home.prepare(&["hostname", "list", "--create"]);
    let audit = rusqlite::Connection::open(desk.home.path("manager.sqlite3")).unwrap();
    for (address, name, message) in [
        ("203.0.113.8", "pc-7", "new Client connection"),
        ("203.0.113.9", "scanner", "rejected: x"),
        ("127.0.0.1", "own", "new Client connection"),
    ] {
        let row =
            "INSERT INTO connections VALUES (NULL, strftime('%Y-%m-%dT%H:%M:%S', 'now'), ?1, ?2, 1, ?3)";
        audit.execute(row, [address, name, message]).unwrap();
    }
    for number in 1..=80 {
        let row = "INSERT INTO connections VALUES
            (NULL, strftime('%Y-%m-%dT%H:%M:%S', 'now', '-2 days'), ?1, ?1, 1, 'new Client connection')";
        audit.execute(row, [format!("198.51.100.{number}")]).unwrap();
    }
    drop(audit);
    let again = desk.run(&["certgen", "--name", "lab-pc.example.org"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    let printed = again
        .output
        .lines()
        .find_map(|line| line.strip_prefix("SHA-256 fingerprint: "))
        .unwrap();
    for text in [
        "signal HUP",
        saved.to_str().unwrap(),
        "pc-7 (203.0.113.8)",
        "and 69 more",
        &format!("labwire trust lab-pc.example.org --fingerprint {printed}"),
        "~/.msl/network/certs/lab-pc.example.org.crt",
    ] {
        assert!(again.errors.contains(text), "{text}: {again:?}");
    }
    for text in ["scanner", "own ("] {
        assert!(!again.errors.contains(text), "{text}: {again:?}");
    }
}

#[test]
fn certgen_tells_words_that_are_probably_names_from_a_file() {
    let desk = Desk::new();
    for arguments in [
        &["certgen", "lab-pc", "lab-pc.example.org", "192.0.2.7"][..],
        &["certgen", "192.0.2.7"],
    ] {
        let refused = desk.run(arguments);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        let names = arguments[1..].join(",");
        let remedy = format!("labwire certgen --name {names}");
        assert!(refused.errors.contains(&remedy), "{refused:?}");
        assert!(!desk.home.path("certs").exists() && !desk.home.path("lab-pc").exists());
    }
    let word = desk.run(&["certgen", "lab-pc"]);
    assert_eq!(word.code, Some(0), "{word:?}");
    assert!(word.errors.contains("labwire certgen --name lab-pc"), "{word:?}");
    for name in ["lab-pc:1875", "https://lab-pc", "lab pc"] {
        assert_eq!(desk.run(&["certgen", "--name", name]).code, Some(2), "{name}");
    }
}
