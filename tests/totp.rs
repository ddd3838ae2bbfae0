//! The second factor: codes of an authenticator app behind the password, and recovery codes.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};
use labwire_client::{Client, ClientOptions};
use labwire_service::{Backoff, ConnectOptions};
use serde_json::{Value, json};

use super::support::clock::{SetClock, follow_file};
use super::support::manager::{HOST, Home, Manager};
use super::support::process::Signal;
use super::support::pseudo_terminal::PseudoTerminal;
use super::support::python;
use super::support::waiting::wait_until;
use super::support::wire::{RawPeer, request};

const LOGIN: [&str; 2] = ["--disable-tls", "--auth-login"];

/// What every peer gets whose login is wrong, whatever is wrong with it.
const REFUSED: &str = "ValueError: Unregistered user or Wrong login password";

/// Returns a folder with the administrator `root`, and with `ada` and `bob`. All have the password `x`.
fn home() -> Home {
    let home = Home::new();
    for user in [&["root", "--admin"][..], &["ada"], &["bob"]] {
        home.prepare(&[&["user", "add"], user, &["--compatible", "--password", "x"]].concat());
    }
    home
}

/// The app of a user, whose clock is that of this computer.
struct App {
    secret: Vec<u8>,
    recovery_codes: Vec<String>,
    /// The code that has confirmed the second factor, if a command has done so.
    confirmed: String,
}

impl App {
    /// Reads what is shown once.
    fn of(issued: &Value) -> Self {
        let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let (mut secret, mut buffer, mut bits) = (Vec::new(), 0_u32, 0);
        for digit in issued["secret"].as_str().unwrap().chars() {
            buffer = (buffer << 5 | u32::try_from(digits.find(digit).unwrap()).unwrap()) & 0xffff;
            bits += 5;
            if bits >= 8 {
                bits -= 8;
                secret.push(u8::try_from(buffer >> bits & 0xff).unwrap());
            }
        }
        let codes = issued["recovery_codes"].as_array().unwrap().iter();
        Self {
            secret,
            confirmed: String::new(),
            recovery_codes: codes.map(|code| code.as_str().unwrap().to_owned()).collect(),
        }
    }

    /// Returns the code that is shown so many seconds from now.
    fn code(&self, later: i64) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let step = now.checked_add_signed(later).unwrap() / 30;
        let key = Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.secret);
        let tag = sign(&key, &step.to_be_bytes());
        let offset = usize::from(tag.as_ref()[19] & 0xf);
        let word = u32::from_be_bytes(tag.as_ref()[offset..offset + 4].try_into().unwrap());
        format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
    }

    /// Returns the password and a code, as they are typed.
    fn typed(&self, later: i64) -> String {
        format!("x{}", self.code(later))
    }

    /// Returns the password and a recovery code, as they are typed.
    fn typed_recovery(&self, number: usize) -> String {
        format!("x{}", self.recovery_codes[number])
    }
}

/// Makes a second factor with commands, and confirms it with the code that is shown now.
fn enable(home: &Home, user: &str) -> App {
    let issued = home.labwire(&["totp", "enable", user, "--json"]);
    assert!(issued.status.success(), "{issued:?}");
    let app = App::of(&serde_json::from_slice(&issued.stdout).unwrap());
    let confirmed = app.code(0);
    home.prepare(&["totp", "confirm", user, &confirmed]);
    App { confirmed, ..app }
}

fn list(home: &Home) -> Vec<Value> {
    let listed = home.labwire(&["totp", "list", "--json"]);
    let text = String::from_utf8(listed.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Starts a manager whose clock can be set.
fn start_with_clock(home: Home, options: &[&str]) -> (Manager, SetClock) {
    let mut command = home.command(&["start", "--port", "0"]);
    let clock = follow_file(command.args(options));
    (Manager::start_command(home, &mut command), clock)
}

/// Answers the questions for the username and the password. Returns the peer and the next question or
/// refusal.
fn log_in(manager: &Manager, user: &str, given: &str) -> (RawPeer, Value) {
    let mut peer = RawPeer::connect(manager);
    for credential in [user, given] {
        let asked = peer.read_json();
        assert_eq!(asked["error"], false, "{asked}");
        peer.send_line(&json!({ "result": credential }).to_string());
    }
    let answer = peer.read_json();
    (peer, answer)
}

#[track_caller]
fn expect_admitted(manager: &Manager, user: &str, given: &str) {
    let (_, answer) = log_in(manager, user, given);
    assert_eq!(answer["attribute"], "identity", "{answer}");
}

#[track_caller]
fn expect_refused(manager: &Manager, user: &str, given: &str) {
    let (_, answer) = log_in(manager, user, given);
    assert_eq!(answer["message"], REFUSED, "{answer}");
}

/// Logs in and identifies itself as a client.
fn client(manager: &Manager, user: &str, given: &str) -> RawPeer {
    let (mut peer, answer) = log_in(manager, user, given);
    assert_eq!(answer["attribute"], "identity", "{answer}");
    let identity = json!({ "type": "client", "name": "script" });
    peer.send_line(&json!({ "result": identity }).to_string());
    peer
}

fn administer(root: &mut RawPeer, attribute: &str, args: Value) -> Value {
    let mut asked = request("Manager", attribute);
    asked["args"] = args;
    root.request(&asked)
}

#[test]
fn a_script_of_the_python_package_logs_in_with_password_and_code_in_one_text() {
    let home = home();
    let app = enable(&home, "ada");
    let token = home.labwire(&["token", "add", "--user", "ada", "--everything"]);
    let token = String::from_utf8(token.stdout).unwrap();
    // The code that confirmed the factor is used up; a minute later there is another.
    let (manager, clock) = start_with_clock(home, &LOGIN);
    clock.set(60);
    let parameters = json!({
        "good": app.typed(60),
        "recovery": app.typed_recovery(0).to_uppercase().replace('X', "x"),
        "unused": app.typed_recovery(1),
        "token": token.trim(),
    });
    python::run_script("totp.py", &manager.connection(), &parameters);
    let states = list(manager.home());
    let ada = states.iter().find(|state| state["user"] == "ada").unwrap();
    assert_eq!(
        (&ada["state"], &ada["recovery_codes_left"]),
        (&json!("active"), &json!(9))
    );
    for secret in [
        app.code(60),
        app.recovery_codes[0].clone(),
        app.recovery_codes[1].clone(),
    ] {
        assert!(!manager.log().contains(&secret), "{}", manager.log());
    }
}

#[test]
fn a_clock_that_jumps_permits_no_replay() {
    let home = home();
    let app = enable(&home, "ada");
    // Without penalties, which would keep the user out after so many failures.
    let options = [&LOGIN[..], &["--login-failures", "1000"]].concat();
    let (manager, clock) = start_with_clock(home, &options);
    expect_refused(&manager, "ada", &format!("x{}", app.confirmed));
    clock.set(600);
    let used = app.typed(600);
    expect_admitted(&manager, "ada", &used);
    expect_refused(&manager, "ada", &used);
    // Set back: neither the code that was used nor an older one, which is shown again, is accepted.
    for (number, offset) in [480, 300, 0, -86_400].into_iter().enumerate() {
        clock.set(offset);
        expect_refused(&manager, "ada", &used);
        expect_admitted(&manager, "ada", &app.typed_recovery(number));
        let shown = app.typed(offset);
        expect_refused(&manager, "ada", &shown);
    }
    // Also after a restart, which forgets all else.
    let (manager, clock) = start_with_clock(manager.end(), &options);
    clock.set(600);
    expect_refused(&manager, "ada", &used);
    clock.set(660);
    expect_admitted(&manager, "ada", &app.typed(660));
    // A clock that is wrong by more than a step keeps codes out, but no recovery code.
    clock.set(3_600);
    expect_refused(&manager, "ada", &app.typed(720));
    expect_admitted(&manager, "ada", &app.typed_recovery(9));
}

#[test]
fn of_connections_that_give_one_code_at_the_same_time_one_is_admitted() {
    let home = home();
    let app = enable(&home, "ada");
    let manager = Manager::start_in(home, &LOGIN);
    let mut peers: Vec<_> = (0..4).map(|_| RawPeer::connect(&manager)).collect();
    for peer in &mut peers {
        peer.read_json();
        peer.send_line(&json!({ "result": "ada" }).to_string());
        peer.read_json();
    }
    let given = json!({ "result": app.typed_recovery(0) }).to_string();
    for peer in &mut peers {
        peer.send_line(&given);
    }
    let answers = peers.iter_mut().map(RawPeer::read_json);
    let admitted = answers.filter(|answer| answer["attribute"] == "identity").count();
    assert_eq!(admitted, 1);
}

#[test]
fn an_administrator_enables_confirms_renews_and_ends_second_factors_over_the_network() {
    let home = home();
    let (manager, clock) = start_with_clock(home, &LOGIN);
    let mut root = client(&manager, "root", "x");
    let issued = administer(&mut root, "access.enable_totp", json!(["bob"]))["result"].clone();
    let app = App::of(&issued);
    let uri = issued["uri"].as_str().unwrap();
    assert!(uri.starts_with("otpauth://totp/Labwire:bob%40"), "{uri}");
    assert!(uri.contains(issued["secret"].as_str().unwrap()), "{uri}");
    // Nobody is locked out who has not confirmed a code.
    expect_admitted(&manager, "bob", "x");
    let refusals = [
        (
            "access.confirm_totp",
            json!(["bob", "12345"]),
            "a code has six digits",
        ),
        (
            "access.confirm_totp",
            json!(["bob", app.code(-600)]),
            "the code is wrong",
        ),
        (
            "access.confirm_totp",
            json!(["ada", "123456"]),
            "'ada' has no second factor",
        ),
        (
            "access.enable_totp",
            json!(["eve"]),
            "Cannot enable the second factor of 'eve'.",
        ),
        (
            "access.new_totp_codes",
            json!(["ada"]),
            "'ada' has no second factor",
        ),
        (
            "access.disable_totp",
            json!(["ada"]),
            "'ada' has no second factor",
        ),
    ];
    for (attribute, args, expected) in refusals {
        let answer = administer(&mut root, attribute, args);
        let message = answer["message"].as_str().unwrap();
        assert!(
            message.starts_with(&format!("ValueError: {expected}")),
            "{answer}"
        );
    }
    let confirmed = administer(&mut root, "access.confirm_totp", json!(["bob", app.code(0)]));
    assert_eq!(
        (&confirmed["error"], &confirmed["result"]),
        (&json!(false), &Value::Null)
    );
    expect_refused(&manager, "bob", "x");
    let again = administer(&mut root, "access.enable_totp", json!(["bob"]));
    let message = again["message"].as_str().unwrap();
    assert!(message.contains("has a second factor already"), "{again}");
    let codes = administer(&mut root, "access.new_totp_codes", json!(["bob"]))["result"].clone();
    expect_refused(&manager, "bob", &app.typed_recovery(0));
    clock.set(60);
    expect_admitted(&manager, "bob", &app.typed(60));
    let new = codes["recovery_codes"][3].as_str().unwrap();
    expect_admitted(&manager, "bob", &format!("x{new}"));
    let listed = administer(&mut root, "access.totp", json!([]))["result"].clone();
    assert_eq!(listed, json!(list(manager.home())));
    assert_eq!(
        (&listed[0]["user"], &listed[0]["recovery_codes_left"]),
        (&json!("bob"), &json!(9))
    );
    let users = administer(&mut root, "access.users", json!([]))["result"].clone();
    let with_factor: Vec<_> = users
        .as_array()
        .unwrap()
        .iter()
        .map(|user| &user["second_factor"])
        .collect();
    assert_eq!(with_factor, [false, true, false]);
    assert_eq!(
        administer(&mut root, "access.disable_totp", json!(["bob"]))["error"],
        false
    );
    expect_admitted(&manager, "bob", "x");
    // Nobody else may do that.
    let mut bob = client(&manager, "bob", "x");
    let asked = administer(&mut bob, "access.enable_totp", json!(["bob"]));
    assert_eq!(asked["attribute"], "username", "{asked}");
}

#[test]
fn the_record_tells_which_factor_a_login_used_and_what_was_changed_and_no_secret() {
    let home = home();
    let app = enable(&home, "ada");
    home.prepare(&["totp", "codes", "ada"]);
    home.prepare(&["totp", "disable", "ada"]);
    let mut secrets = app.recovery_codes;
    let app = enable(&home, "ada");
    let (manager, clock) = start_with_clock(home, &LOGIN);
    clock.set(60);
    let mut by_code = client(&manager, "ada", &app.typed(60));
    let mut by_recovery = client(&manager, "ada", &app.typed_recovery(0));
    for peer in [&mut by_code, &mut by_recovery] {
        assert_eq!(peer.request(&request("Manager", "identity"))["error"], false);
    }
    expect_refused(&manager, "ada", "x");
    let mut root = client(&manager, "root", "x");
    let wrong = administer(&mut root, "access.confirm_totp", json!(["ada", "123456"]));
    assert_eq!(wrong["error"], true);
    assert_eq!(
        administer(&mut root, "access.disable_totp", json!(["ada"]))["error"],
        false
    );
    let home = manager.end();
    let logins = ["--kind", "login", "--user", "ada", "--outcome", "ok"];
    assert_eq!(
        home.recorded(&logins, "text"),
        ["with totp", "with a recovery code"]
    );
    let refused = ["--kind", "login", "--user", "ada", "--outcome", "refused"];
    assert_eq!(home.recorded(&refused, "text").len(), 1);
    assert_eq!(
        home.recorded(&["--kind", "command"], "attribute")[3..],
        [
            "totp enable",
            "totp confirm",
            "totp codes",
            "totp disable",
            "totp enable",
            "totp confirm"
        ]
    );
    let requests = home.recorded(&["--kind", "admin"], "attribute");
    assert_eq!(requests, ["access.confirm_totp", "access.disable_totp"]);
    let all = home.recorded(&[], "text").join("\n");
    secrets.extend(app.recovery_codes);
    secrets.push("123456".to_owned());
    for secret in secrets {
        assert!(!all.contains(&secret), "{all}");
    }
}

#[test]
fn the_record_says_what_was_wrong_with_a_code_and_the_peer_is_told_one_thing() {
    let home = home();
    let app = enable(&home, "ada");
    let manager = Manager::start_in(home, &LOGIN);
    let used = app.typed_recovery(0);
    expect_admitted(&manager, "ada", &used);
    let confirmed = format!("x{}", app.confirmed);
    for given in ["x", &used, &confirmed, "a wrong password"] {
        expect_refused(&manager, "ada", given);
    }
    let refused = ["--kind", "login", "--user", "ada", "--outcome", "refused"];
    let texts = || manager.home().recorded(&refused, "text");
    // An entry is written after the answer.
    wait_until("the failed logins are not recorded", || texts().len() == 4);
    let mut texts = texts();
    texts.sort();
    assert_eq!(
        texts,
        [
            "no code of the second factor behind the right password",
            "the code of the second factor was used before",
            "wrong code of the second factor behind the right password",
            "wrong password",
        ]
    );
}

#[test]
fn a_person_at_a_terminal_gets_a_qr_code_and_is_asked_for_the_first_code() {
    let home = home();
    let command = home.command(&["totp", "enable", "ada"]);
    let mut terminal = PseudoTerminal::start(&command, 80, 60);
    terminal.wait_for("Secret: ");
    terminal.wait_for("Recovery codes");
    terminal.wait_for("█");
    terminal.wait_for("The code that the app shows now");
    let text = terminal.text();
    let shown = |before: &str| {
        let line = text.lines().find_map(|line| line.split_once(before)).unwrap().1;
        line.trim().to_owned()
    };
    let secret = shown("Secret: ").replace(' ', "");
    let app = App::of(&json!({ "secret": secret, "recovery_codes": [] }));
    terminal.send(&format!("{}\r", app.code(-600)));
    terminal.wait_for("the code is wrong");
    terminal.wait_for("The code that the app shows now");
    terminal.send(&format!("{}\r", app.code(0)));
    terminal.wait_for("ada needs a code to log in from now on");
    assert!(terminal.wait().success());
    assert_eq!(list(&home)[0]["state"], "active");
    let users = home.labwire(&["user", "list"]);
    let users = String::from_utf8(users.stdout).unwrap();
    assert!(
        users.contains("ada      False         second factor\n"),
        "{users}"
    );
}

#[test]
fn a_user_who_does_not_confirm_logs_in_as_before_and_words_are_those_of_the_help() {
    let home = home();
    let said = |line: &[&str]| {
        let done = home.labwire(line);
        (
            String::from_utf8(done.stdout).unwrap(),
            String::from_utf8(done.stderr).unwrap(),
        )
    };
    assert_eq!(said(&["totp", "list"]).0, "There are no second factors\n");
    let (shown, told) = said(&["totp", "enable", "ada"]);
    assert!(shown.starts_with("otpauth://totp/Labwire:ada%40"), "{shown}");
    assert_eq!(shown.lines().count(), 13, "{shown}");
    assert!(told.contains("labwire totp confirm ada CODE"), "{told}");
    assert!(
        said(&["totp", "list"])
            .0
            .starts_with("ada  not confirmed, made 2")
    );
    let secret = shown.lines().nth(1).unwrap().strip_prefix("Secret: ").unwrap();
    let app = App::of(&json!({ "secret": secret.replace(' ', ""), "recovery_codes": [] }));
    let code = app.code(0);
    let (first, second) = code.split_at(3);
    let (shown, _) = said(&["totp", "confirm", "ada", first, second]);
    assert_eq!(shown, "ada needs a code to log in from now on\n");
    let listed = said(&["totp", "list"]).0;
    assert!(listed.starts_with("ada  active since 2"), "{listed}");
    assert!(listed.ends_with("; 10 recovery codes left\n"), "{listed}");
    let (shown, _) = said(&["totp", "codes", "ada"]);
    assert_eq!(shown.lines().count(), 11, "{shown}");
    let (shown, _) = said(&["totp", "disable", "ada"]);
    assert_eq!(shown, "ada needs no code to log in any more\n");
    assert!(
        said(&["totp", "disable", "ada"])
            .1
            .contains("'ada' has no second factor")
    );
}

#[test]
fn msl_networks_own_manager_with_the_same_database_notices_nothing_and_asks_for_the_password_only() {
    let home = home();
    let app = enable(&home, "ada");
    let manager = Manager::start_reference(home, &LOGIN);
    let credentials = json!({ "credentials": { "username": "ada", "password": "x" } });
    python::run_script("admitted.py", &manager.connection(), &credentials);
    let home = manager.end();
    // A new password by its tools leaves the second factor.
    home.msl_network(&["user", "update", "ada", "--password", "y"]);
    let manager = Manager::start_in(home, &LOGIN);
    expect_refused(&manager, "ada", "y");
    expect_admitted(&manager, "ada", &format!("y{}", app.recovery_codes[0]));
    let home = manager.end();
    home.msl_network(&["user", "remove", "ada"]);
    home.msl_network(&["user", "add", "ada", "--password", "z"]);
    let manager = Manager::start_in(home, &LOGIN);
    expect_admitted(&manager, "ada", "z");
}

#[test]
fn a_user_who_is_disabled_is_refused_with_a_code_that_stays_good() {
    let home = home();
    let app = enable(&home, "ada");
    let manager = Manager::start_in(home, &LOGIN);
    manager
        .home()
        .prepare(&["user", "disable", "ada", "--reason", "away"]);
    expect_refused(&manager, "ada", &app.typed_recovery(0));
    manager.home().prepare(&["user", "enable", "ada"]);
    expect_admitted(&manager, "ada", &app.typed_recovery(0));
}

#[test]
fn a_lost_key_of_second_factors_is_told_by_the_check_and_at_the_start() {
    let home = home();
    enable(&home, "ada");
    std::fs::remove_file(home.path("manager.sqlite3.totp-key")).unwrap();
    let told = "1 user(s) have a second factor and cannot log in, since its key ";
    let check = home.labwire(&["start", "--check", "--port", "0", "--disable-tls", "--auth-login"]);
    let printed = String::from_utf8(check.stdout).unwrap();
    assert!(check.status.success(), "{printed}");
    let line = printed.lines().find(|line| line.contains(told)).unwrap();
    assert!(line.starts_with("doubtful  second factor"), "{line}");
    let manager = Manager::start_in(home, &LOGIN);
    assert!(manager.log().contains(told), "{}", manager.log());
}

#[test]
fn without_the_key_beside_the_database_the_login_is_refused_and_the_log_tells_why() {
    let home = home();
    let app = enable(&home, "ada");
    std::fs::remove_file(home.path("manager.sqlite3.totp-key")).unwrap();
    let manager = Manager::start_in(home, &LOGIN);
    expect_refused(&manager, "ada", "guess");
    assert!(!manager.log().contains("cannot be checked"));
    expect_refused(&manager, "ada", &app.typed_recovery(0));
    let line = manager.wait_for_log("the second factor of a user cannot be checked");
    assert!(line.contains("labwire totp disable"), "{line}");
    expect_admitted(&manager, "bob", "x");
    manager.home().prepare(&["totp", "disable", "ada"]);
    expect_admitted(&manager, "ada", "x");
}

#[test]
fn a_session_is_resumed_after_a_login_with_another_code() {
    let home = home();
    let app = enable(&home, "ada");
    let manager = Manager::start_in(home, &LOGIN);
    let identity = |session: Value| {
        let identity =
            json!({ "type": "client", "name": "Ada", "features": ["sessions"], "session": session });
        json!({ "result": identity }).to_string()
    };
    let (mut peer, _) = log_in(&manager, "ada", &app.typed_recovery(0));
    peer.send_line(&identity(json!({})));
    let registered = peer.read_json();
    assert_eq!(registered["attribute"], "registered", "{registered}");
    peer.break_off();
    manager.wait_for_log("is away");
    expect_refused(&manager, "ada", &app.typed_recovery(0));
    let (mut peer, _) = log_in(&manager, "ada", &app.typed_recovery(1));
    let secret = &registered["kwargs"]["session"]["secret"];
    peer.send_line(&identity(json!({ "secret": secret, "received": 0 })));
    let resumed = peer.read_json();
    assert_eq!(resumed["attribute"], "resumed", "{resumed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_reconnects_with_a_used_code_ends_and_one_with_a_token_goes_on() {
    let home = home();
    let app = enable(&home, "ada");
    let token = home.labwire(&["token", "add", "--user", "ada", "--everything"]);
    let token = String::from_utf8(token.stdout).unwrap().trim().to_owned();
    let mut manager = Manager::start_in(home, &LOGIN);
    let port = manager.port();
    let connect = async |secret: String| {
        let options = ConnectOptions::new().host(HOST).port(port).without_tls();
        let quick = Backoff::new().maximum(std::time::Duration::from_millis(200));
        let options = options.username("ada").password(secret).reconnect(quick);
        Client::connect("Ada", ClientOptions::from(options))
            .await
            .unwrap()
    };
    let by_code = connect(app.typed_recovery(0)).await;
    let by_token = connect(token).await;
    manager.signal(Signal::KILL);
    assert!(!manager.wait_for_end().success());
    let home = manager.take_home();
    let mut command = home.command(&["start", "--port", &port.to_string()]);
    let _manager = Manager::start_command(home, command.args(LOGIN));
    wait_until("it goes on", || !by_code.is_connected());
    assert!(!by_code.connected().await);
    assert!(by_token.connected().await);
    let refused = by_code.link("Echo").await.unwrap_err().to_string();
    assert!(refused.contains("Wrong login password"), "{refused}");
}
