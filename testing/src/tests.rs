//! Tests the managers for tests.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::{Limits, TestManager};

/// How long a test waits for what should happen at once.
const DEADLINE: Duration = Duration::from_secs(30);

/// A peer that speaks in lines.
struct Peer<S> {
    stream: BufReader<S>,
}

impl Peer<TcpStream> {
    async fn connect(manager: &TestManager) -> Self {
        Self::new(reach(manager.port()).await.unwrap())
    }

    async fn client(manager: &TestManager) -> Self {
        let mut peer = Self::connect(manager).await;
        peer.introduce("client", "Ada").await;
        peer
    }

    async fn service(manager: &TestManager) -> Self {
        let mut peer = Self::connect(manager).await;
        peer.introduce("service", "Echo").await;
        peer
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    fn new(stream: S) -> Self {
        Self {
            stream: BufReader::new(stream),
        }
    }

    async fn say(&mut self, line: &str) {
        let line = format!("{line}\n");
        self.stream.write_all(line.as_bytes()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next line; nothing when the connection has ended.
    async fn hear(&mut self) -> Option<Value> {
        let mut line = String::new();
        let read = timeout(DEADLINE, self.stream.read_line(&mut line)).await;
        match read.expect("the manager speaks, or hangs up") {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{error}"),
        }
    }

    async fn is_asked_for(&mut self, attribute: &str) {
        assert_eq!(self.hear().await.unwrap()["attribute"], attribute);
    }

    async fn introduce(&mut self, role: &str, name: &str) {
        self.is_asked_for("identity").await;
        let identity = json!({ "result": { "type": role, "name": name, "attributes": {} } });
        self.say(&identity.to_string()).await;
    }

    /// Requests the manager's identity: whoever is answered was admitted.
    async fn is_admitted(&mut self) {
        let request =
            json!({ "service": "Manager", "attribute": "identity", "args": [], "kwargs": {}, "uid": "1" });
        self.say(&request.to_string()).await;
        assert_eq!(self.hear().await.unwrap()["error"], false);
    }
}

/// Makes a request to a service that takes its time to answer.
async fn request_under_way<C, S>(client: &mut Peer<C>, service: &mut Peer<S>)
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let link =
        json!({ "service": "Manager", "attribute": "link", "args": ["Echo"], "kwargs": {}, "uid": "link" });
    let linking = async {
        // The service may not have been admitted yet.
        while {
            client.say(&link.to_string()).await;
            client.hear().await.unwrap()["error"] != false
        } {}
    };
    timeout(DEADLINE, linking).await.expect("the service is admitted");
    let request = json!({ "service": "Echo", "attribute": "wait", "args": [], "kwargs": {}, "uid": "7" });
    client.say(&request.to_string()).await;
    service.is_asked_for("wait").await;
}

async fn reach(port: u16) -> std::io::Result<TcpStream> {
    TcpStream::connect((TestManager::HOST, port)).await
}

#[tokio::test]
async fn a_peer_is_admitted_unasked_and_unencrypted_by_default() {
    let manager = TestManager::start().await;
    Peer::client(&manager).await.is_admitted().await;
}

#[tokio::test]
async fn a_manager_with_a_password_asks_for_it() {
    let manager = TestManager::builder().password("abc 123").start().await;
    let mut peer = Peer::connect(&manager).await;
    peer.is_asked_for("password").await;
    peer.say("abc 123").await;
    peer.introduce("client", "Ada").await;
    peer.is_admitted().await;
}

#[tokio::test]
async fn a_manager_with_logins_admits_its_users_alone() {
    let users = [("ada", "a good password", true), ("bob", "another", false)];
    let manager = TestManager::builder().login(&users).start().await;
    for (name, password, is_admitted) in [("bob", "another", true), ("bob", "a good password", false)] {
        let mut peer = Peer::connect(&manager).await;
        peer.is_asked_for("username").await;
        peer.say(name).await;
        peer.is_asked_for("password").await;
        peer.say(password).await;
        if is_admitted {
            peer.introduce("client", "Ada").await;
            peer.is_admitted().await;
        } else {
            assert_eq!(peer.hear().await.unwrap()["error"], true);
        }
    }
}

#[tokio::test]
async fn users_can_be_administrators_of_a_manager_that_asks_nobody_to_log_in() {
    let manager = TestManager::builder()
        .users(&[("ada", "a good password", true)])
        .start()
        .await;
    let mut peer = Peer::client(&manager).await;
    let request = json!({
        "service": "Manager", "attribute": "users_table.usernames", "args": [], "kwargs": {}, "uid": "1"
    });
    peer.say(&request.to_string()).await;
    peer.is_asked_for("username").await;
    peer.say("ada").await;
    peer.is_asked_for("password").await;
    peer.say("a good password").await;
    assert_eq!(peer.hear().await.unwrap()["result"], json!(["ada"]));
}

async fn encrypted(manager: &TestManager) -> Peer<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for certificate in labwire_pki::load_chain(&manager.certificate_file()).unwrap() {
        roots.add(certificate).unwrap();
    }
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = reach(manager.port()).await.unwrap();
    let name = ServerName::try_from(TestManager::HOST).unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    Peer::new(connector.connect(name, stream).await.unwrap())
}

#[tokio::test]
async fn an_encrypted_manager_shows_its_certificate_and_keeps_it_when_it_is_started_again() {
    let manager = TestManager::builder().tls().start().await;
    let mut peer = encrypted(&manager).await;
    peer.introduce("client", "Ada").await;
    peer.is_admitted().await;

    let certificate = std::fs::read(manager.certificate_file()).unwrap();
    let manager = manager.kill().await.start().await;
    assert_eq!(std::fs::read(manager.certificate_file()).unwrap(), certificate);
    encrypted(&manager).await.is_asked_for("identity").await;
}

#[tokio::test]
async fn a_program_in_the_same_process_calls_a_service_without_a_socket() {
    let manager = TestManager::start().await;
    let mut service = Peer::service(&manager).await;
    let mut program = Peer::new(manager.attach());
    program.introduce("client", "gateway").await;
    request_under_way(&mut program, &mut service).await;
    let request = json!({ "service": "Echo", "attribute": "again", "args": [], "kwargs": {}, "uid": "8" });
    program.say(&request.to_string()).await;
    let asked = service.hear().await.unwrap();
    let requester = asked["requester"].as_str().unwrap();
    assert!(requester.starts_with("gateway["), "{asked}");
    let reply = json!({ "error": false, "requester": requester, "result": 5, "uid": "8" });
    service.say(&reply.to_string()).await;
    assert_eq!(program.hear().await.unwrap()["result"], 5);
    // Its links, locks and requests end with its stream.
    drop(program);
    let reply = json!({ "error": false, "requester": requester, "result": 5, "uid": "7" });
    service.say(&reply.to_string()).await;
    let mut other = Peer::new(manager.attach());
    other.introduce("client", "gateway").await;
    let identity = json!({ "service": "Manager", "attribute": "identity", "uid": "1" });
    let only_one_is_left = async {
        loop {
            other.say(&identity.to_string()).await;
            let clients = other.hear().await.unwrap()["result"]["clients"].clone();
            if clients.as_object().unwrap().len() == 1 {
                return;
            }
        }
    };
    timeout(DEADLINE, only_one_is_left)
        .await
        .expect("the first one is gone");
}

#[tokio::test]
async fn a_program_in_the_same_process_has_a_login_and_limits_like_everybody_else() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let manager = TestManager::builder()
        .login(&[("ada", "engine", false)])
        .limits(limits)
        .start()
        .await;
    let mut wrong = Peer::new(manager.attach());
    wrong.is_asked_for("username").await;
    wrong.say("ada").await;
    wrong.is_asked_for("password").await;
    wrong.say("a guess").await;
    assert_eq!(wrong.hear().await.unwrap()["error"], true);
    assert_eq!(wrong.hear().await, None);
    let mut right = Peer::new(manager.attach());
    right.is_asked_for("username").await;
    right.say("ada").await;
    right.is_asked_for("password").await;
    right.say("engine").await;
    right.introduce("client", "gateway").await;
    right.is_admitted().await;
    // The place of the first one may be free a little later than its connection has ended.
    let mut others = Vec::new();
    let refused = loop {
        let mut other = Peer::new(manager.attach());
        let told = other.hear().await.unwrap();
        others.push(other);
        if told["error"] == true {
            break told;
        }
        assert!(others.len() < 3, "there may be two connections");
    };
    assert!(
        refused["message"].as_str().unwrap().contains("connections"),
        "{refused}"
    );
    drop((right, others));
    manager.stop().await;
}

#[tokio::test]
async fn a_program_in_the_same_process_is_disconnected_when_the_manager_stops() {
    let manager = TestManager::start().await;
    let mut program = Peer::new(manager.attach());
    program.introduce("client", "gateway").await;
    program.is_admitted().await;
    let stopping = tokio::spawn(manager.stop());
    assert_eq!(program.hear().await, None);
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_manager_that_stops_answers_what_is_under_way() {
    let limits = Limits {
        drain: Duration::ZERO,
        ..Limits::default()
    };
    let manager = TestManager::builder().limits(limits).start().await;
    let (mut client, mut service) = (Peer::client(&manager).await, Peer::service(&manager).await);
    request_under_way(&mut client, &mut service).await;
    let stopping = tokio::spawn(manager.stop());
    let last = client.hear().await.unwrap();
    assert_eq!((&last["error"], &last["uid"]), (&json!(true), &json!("7")));
    assert_eq!(client.hear().await, None);
    drop((client, service));
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_manager_that_is_killed_says_nothing_and_is_gone() {
    let manager = TestManager::start().await;
    let (mut client, mut service) = (Peer::client(&manager).await, Peer::service(&manager).await);
    request_under_way(&mut client, &mut service).await;
    let port = manager.port();
    let _stopped = manager.kill().await;
    assert_eq!(client.hear().await, None);
    assert_eq!(service.hear().await, None);
    assert_eq!(
        reach(port).await.unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
}

#[tokio::test]
async fn a_manager_that_is_dropped_leaves_nothing_behind() {
    let manager = TestManager::start().await;
    let mut client = Peer::client(&manager).await;
    client.is_admitted().await;
    let (port, home) = (manager.port(), manager.home());
    assert!(home.database().is_file());
    drop(manager);
    assert_eq!(client.hear().await, None);
    assert!(!home.root().exists());
    assert_eq!(
        reach(port).await.unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
}

#[tokio::test]
async fn a_manager_is_started_again_on_its_port_with_its_users() {
    let users = [("ada", "a good password", true)];
    let first = TestManager::builder().login(&users).start().await;
    let port = first.port();
    let mut peer = Peer::connect(&first).await;
    peer.is_asked_for("username").await;
    drop(peer);
    let second = first.stop().await.start().await;
    assert_eq!(second.port(), port);
    Peer::connect(&second).await.is_asked_for("username").await;
    second.stop().await;
    let third = TestManager::builder().port(port).start().await;
    assert_eq!(third.port(), port);
    Peer::client(&third).await.is_admitted().await;
}

#[tokio::test]
#[should_panic(expected = "the manager cannot be started")]
async fn a_port_that_is_in_use_is_a_panic() {
    let first = TestManager::start().await;
    TestManager::builder().port(first.port()).start().await;
}

#[test]
fn a_test_without_a_runtime_can_block_on_it() {
    use std::io::{BufRead, BufReader};
    let manager = TestManager::start_blocking();
    let port = manager.port();
    let connect = || std::net::TcpStream::connect((TestManager::HOST, port));
    let mut line = String::new();
    BufReader::new(connect().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("identity"), "{line}");
    let stopped = manager.kill_blocking();
    assert!(connect().is_err());
    let manager = stopped.start_blocking();
    assert!(connect().is_ok());
    manager.stop_blocking();
    assert!(connect().is_err());
}
