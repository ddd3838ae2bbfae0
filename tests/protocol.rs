//! Holds every conversation in protocol.md with the built manager, and compares it byte for byte.

use std::collections::HashMap;
use std::process::Command;

use serde_json::json;

use crate::support::manager::{Home, Manager};
use crate::support::wire::{RawPeer, identity_request};

const PROTOCOL: &str = include_str!("../protocol.md");

/// One line of a conversation.
enum Step<'a> {
    Receives(&'a str, &'a str),
    Sends(&'a str, &'a str),
    Closed(&'a str),
    BreaksOff(&'a str),
    Restarts,
}

/// Returns the conversations of the page: the options after ```` ```wire ````, and the lines below.
fn conversations() -> Vec<(&'static str, Vec<Step<'static>>)> {
    let blocks = PROTOCOL.split("\n```wire").skip(1);
    blocks
        .map(|block| {
            let (options, rest) = block.split_once('\n').expect("a block has lines");
            let (lines, _) = rest.split_once("\n```").expect("a block has an end");
            (options.trim(), lines.lines().map(step).collect())
        })
        .collect()
}

fn step(line: &str) -> Step<'_> {
    match line.split_once(" <- ") {
        Some((peer, "closed")) => Step::Closed(peer),
        Some((peer, frame)) => Step::Receives(peer, frame),
        None => {
            let (peer, text) = line
                .split_once(" -> ")
                .unwrap_or_else(|| panic!("neither <- nor ->: {line}"));
            match text {
                "is restarted" => Step::Restarts,
                "breaks off" => Step::BreaksOff(peer),
                text => Step::Sends(peer, text),
            }
        }
    }
}

/// The peers of a conversation, with their names on the page.
struct Stage<'a> {
    /// There is always one, except in the middle of its restart.
    manager: Option<Manager>,
    /// The options with which it was started.
    options: &'a [&'a str],
    peers: HashMap<&'a str, RawPeer>,
    /// The peer whose next text is the raw bytes that its last frame has announced.
    announced: Option<&'a str>,
    /// Texts of the page, and the manager's actual texts instead.
    names: Vec<(String, String)>,
}

impl<'a> Stage<'a> {
    fn new(manager: Manager, options: &'a [&'a str]) -> Self {
        let hostname = hostname(&manager);
        let names = vec![
            ("bench:1875".to_owned(), format!("{hostname}:{}", manager.port())),
            (
                "\"hostname\":\"bench\",\"port\":1875".to_owned(),
                format!("\"hostname\":\"{hostname}\",\"port\":{}", manager.port()),
            ),
            (
                "Labwire VERSION (Rust)".to_owned(),
                format!("Labwire {} (Rust)", env!("CARGO_PKG_VERSION")),
            ),
            ("\"SYSTEM\"".to_owned(), format!("\"{}\"", operating_system())),
        ];
        Self {
            manager: Some(manager),
            options,
            peers: HashMap::new(),
            announced: None,
            names,
        }
    }

    fn manager(&self) -> &Manager {
        self.manager.as_ref().expect("it runs")
    }

    /// Stops the manager and starts it again, on its port and with its files.
    fn restart(&mut self) {
        let manager = self.manager.take().expect("it runs");
        let port = manager.port().to_string();
        let home = manager.end();
        let start = [&["start", "--port", &port], self.options].concat();
        let mut command = home.command(&start);
        self.manager = Some(Manager::start_command(home, &mut command));
    }

    /// Replaces the names of the page in a text with the actual ones.
    fn actual(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (page, actual)| {
            text.replace(page.as_str(), actual)
        })
    }

    fn peer(&mut self, name: &'a str) -> &mut RawPeer {
        if !self.peers.contains_key(name) {
            let peer = RawPeer::connect(self.manager());
            let hostname = hostname(self.manager());
            let page = format!("bench:{}", 50_001 + self.peers.len());
            self.names.push((page, format!("{hostname}:{}", peer.port())));
            self.peers.insert(name, peer);
        }
        self.peers.get_mut(name).expect("the peer was just put there")
    }

    fn play(&mut self, step: &Step<'a>) {
        match *step {
            Step::Receives(peer, frame) => {
                let received = self.peer(peer).read_line();
                self.note_secret(&received);
                self.note_approval(&received);
                assert_eq!(
                    without_time(&received),
                    self.actual(frame),
                    "what {peer} received is not what the page says"
                );
            }
            Step::Sends(peer, text) => {
                self.peer(peer);
                let text = self.actual(text);
                if self.announced.take() == Some(peer) {
                    return self.peer(peer).send_bytes(format!("{text}\n").as_bytes());
                }
                self.announced = text.starts_with("{\"buffers\":[").then_some(peer);
                self.peer(peer).send_line(&text);
                if text.contains("\"type\":\"service\"") {
                    self.wait_until_connected(peer, text.contains("\"registered\""));
                }
            }
            Step::Closed(peer) => self.peer(peer).expect_closed(),
            Step::BreaksOff(peer) => self.peer(peer).break_off(),
            Step::Restarts => self.restart(),
        }
    }

    /// Notes the secret of a session, which is SECRET on the page.
    fn note_secret(&mut self, received: &str) {
        if let Some((_, secret)) = received.split_once("\"secret\":\"") {
            let (secret, _) = secret.split_once('"').expect("a text ends");
            assert_eq!(secret.len(), 32);
            // That of a session before is not used any more.
            self.names.retain(|(page, _)| page != "SECRET");
            self.names.push(("SECRET".to_owned(), secret.to_owned()));
        }
    }

    /// Notes how the ids of requests that wait for approval begin, which is BEGIN on the page.
    fn note_approval(&mut self, received: &str) {
        if let Some((_, id)) = received.split_once("\"progress\":{\"id\":\"") {
            let (begin, _) = id.split_once('-').expect("an id has a number");
            assert_eq!(begin.len(), 8);
            self.names.retain(|(page, _)| page != "BEGIN-");
            self.names.push(("BEGIN-".to_owned(), format!("{begin}-")));
        }
    }

    /// Waits until a service is registered, which takes a moment after its identity. The manager
    /// notifies it only on request, but answers another frame of it only then.
    fn wait_until_connected(&mut self, peer: &'a str, is_told: bool) {
        let is_refused = matches!(peer, "Copy");
        if !is_refused && !is_told {
            let answer = self.peer(peer).request(&identity_request());
            assert!(answer["result"]["services"].is_object(), "{answer}");
        }
    }
}

/// Replaces times of the manager's time zone with TIME, and those of UTC with UTC.
fn without_time(received: &str) -> String {
    let mut text = String::new();
    let mut rest = received;
    while let Some(place) = date(rest) {
        let (before, from) = rest.split_at(place);
        let is_part = |character: char| character.is_ascii_digit() || "-T:.+Z".contains(character);
        let length = from.find(|character| !is_part(character)).unwrap_or(from.len());
        let (time, after) = from.split_at(length);
        let seconds = "0000-00-00T00:00:00".len();
        text.push_str(before);
        text.push_str(match time.get(seconds..) {
            Some("+00:00" | "-00:00") => "TIME",
            Some(zone) if zone.ends_with('Z') => "UTC",
            _ => panic!("{time} is no time with a zone: {received}"),
        });
        rest = after;
    }
    text + rest
}

/// Returns where the first date begins.
fn date(text: &str) -> Option<usize> {
    let form = b"0000-00-00T";
    let fits = |window: &[u8]| {
        let mut pairs = window.iter().zip(form);
        pairs.all(|(byte, form)| *form == *byte || *form == b'0' && byte.is_ascii_digit())
    };
    text.as_bytes().windows(form.len()).position(fits)
}

/// Returns the manager's name of its computer.
fn hostname(manager: &Manager) -> String {
    let log = manager.log();
    let (_, address) = log
        .split_once("Network Manager running on ")
        .expect("the manager runs");
    address
        .split(':')
        .next()
        .expect("an address has a host")
        .to_owned()
}

/// Returns the operating system in the form of MSL-Network.
fn operating_system() -> String {
    let output = Command::new("uname")
        .arg("-srm")
        .output()
        .expect("every Linux has uname");
    String::from_utf8(output.stdout)
        .expect("it prints text")
        .trim()
        .to_owned()
}

#[test]
fn every_conversation_of_the_page_is_what_the_manager_says() {
    let conversations = conversations();
    assert!(
        conversations.len() >= 9,
        "only {} conversations were found",
        conversations.len()
    );
    for (options, steps) in &conversations {
        let home = Home::new();
        for user in [
            &["ada", "--admin", "--password", "difference engine"][..],
            &["charles", "--password", "analytical engine"],
        ] {
            home.prepare(&[&["user", "add"], user].concat());
        }
        let arguments: &[&str] = match *options {
            "" => &["--disable-tls"],
            "--auth-password" => &["--disable-tls", "--auth-password", "abc 123"],
            "--auth-login" => &["--disable-tls", "--auth-login"],
            "--auth-login --roles" => &["--disable-tls", "--auth-login", "--roles"],
            other => panic!("the page has a block with the options {other}, which this test does not know"),
        };
        let manager = Manager::start_in(home, arguments);
        let mut stage = Stage::new(manager, arguments);
        for step in steps {
            stage.play(step);
        }
    }
}

/// The page lists exactly the requests of an administrator.
#[test]
fn the_table_of_administration_is_complete() {
    let home = Home::new();
    home.prepare(&["user", "add", "ada", "--admin", "--password", "difference engine"]);
    let manager = Manager::start_in(home, &["--disable-tls", "--auth-login"]);
    let mut admin = RawPeer::connect(&manager);
    for answer in ["ada", "difference engine", "client"] {
        admin.read_json();
        admin.send_line(answer);
    }
    let (_, table) = PROTOCOL
        .split_once("| attribute | arguments | result |")
        .expect("the page has the table");
    let (table, _) = table.split_once("\n\n").expect("the table ends");
    let attributes: Vec<&str> = table
        .lines()
        .filter_map(|row| row.split('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter(|&attribute| attribute != "shutdown_manager")
        .collect();
    assert!(attributes.len() >= 20, "{attributes:?}");
    for attribute in attributes {
        let answer =
            admin.request(&json!({"service": "Manager", "attribute": attribute, "args": [[]], "uid": "1"}));
        // No request accepts an empty list: the error of a known request names its arguments.
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(message.starts_with("TypeError"), "{attribute}: {answer}");
    }
}
