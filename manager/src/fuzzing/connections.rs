//! Connections: whatever bytes arrive on them, the manager sends JSON, and keeps nothing in the
//! end.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Waker};
use std::time::Duration;

use jiff::Timestamp;
use labwire_store::{Database, HashedPassword, MINIMUM_ROUNDS, Store, StoreOptions};
use labwire_wire::{LineSplitter, frames};
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf, ReadHalf, WriteHalf, duplex, split,
};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep, timeout};

use super::acts::{Act, next_act};
use crate::config::{Authentication, Limits};
use crate::handshake::{Handshake, Rejection};
use crate::hub::Hub;
use crate::logging::LogControl;
use crate::names::PeerAddress;
use crate::pace::Pace;
use crate::peer;
use crate::record::Recording;
use crate::registry::ManagerIdentity;

/// Longer than anything here may take.
const TIME: Duration = Duration::from_mins(1);

/// The capacity of a connection, in bytes.
const ON_ITS_WAY: usize = 1 << 20;

/// A closed database: every request fails at once, and no password is checked. While a task waits
/// for a database's thread, a paused clock takes the runtime for idle.
pub(super) static CLOSED: LazyLock<Store> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("fuzzing.sqlite3");
    let store = Store::open(&path, &StoreOptions::default()).expect("a new database can be opened");
    runtime().block_on(store.close());
    store
});

/// Creates a runtime whose clock stands still while there is something to do, and then jumps to the
/// next deadline: seconds take no time.
pub(super) fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    let builder = builder.enable_time().start_paused(true);
    builder.build().expect("a runtime can be made")
}

fn hub(authentication: Authentication, store: Store, pace: Pace) -> Arc<Hub> {
    let limits = Limits {
        in_flight_per_client: 4,
        queue: 64 * 1024,
        ..Limits::default()
    };
    let manager = ManagerIdentity::sample();
    let kept = (store, Recording::Nothing);
    Hub::new(&manager, authentication, limits, pace, kept, LogControl::none())
}

pub(super) async fn local_peer(hub: &Hub, port: u16) -> Arc<PeerAddress> {
    let own = SocketAddr::from(([127, 0, 0, 1], 1875));
    hub.admission
        .resolver
        .describe(SocketAddr::from(([127, 0, 0, 1], port)), own)
        .await
}

/// Performs a handshake with a peer that sends these bytes. The first byte selects the
/// authentication. No password is checked against the database, which would take as long as a
/// thousand handshakes.
///
/// # Panics
///
/// If the manager sends anything but JSON, or admits a forbidden name.
pub fn check_handshake(data: &[u8]) {
    let Some((&kind, mut said)) = data.split_first() else {
        return;
    };
    let authentication = match kind % 5 {
        0 => Authentication::Hostname,
        1 => Authentication::Password("abc 123".into()),
        2 => {
            let username = said.iter().position(|byte| *byte == b'\n');
            said = &said[..username.map_or(said.len(), |end| end + 1)];
            Authentication::Login
        }
        _ => Authentication::None { open: false },
    };
    // Closing it takes a runtime, which cannot be made within another one.
    let store = CLOSED.clone();
    runtime().block_on(async {
        let hub = hub(authentication, store, Pace::default());
        let peer = local_peer(&hub, 5).await;
        let (mut near, mut far) = duplex(ON_ITS_WAY);
        let said = &said[..said.len().min(ON_ITS_WAY)];
        far.write_all(said).await.expect("there is room for it");
        far.shutdown().await.expect("the other end is there");
        let mut splitter = LineSplitter::new(hub.admission.limits.handshake_line);
        let mut handshake = Handshake::new(
            &hub.admission,
            &|_, frame| {
                frame.copied(b"{}");
                true
            },
            &peer,
            Timestamp::UNIX_EPOCH,
            &mut near,
            &mut splitter,
        );
        let ended = timeout(TIME, handshake.run())
            .await
            .expect("the peer has said all");
        drop(near);
        let mut heard = Vec::new();
        far.read_to_end(&mut heard)
            .await
            .expect("a duplex stream can be read");
        check_heard(&heard, false, false);
        match ended {
            Ok(introduced) => {
                let name = introduced.identity.name;
                let forbidden =
                    name.trim().is_empty() || name.contains(char::is_control) || name == "Manager";
                assert!(!forbidden, "{name:?} was admitted");
                assert_eq!(introduced.principal.user(), None, "nobody logged in");
            }
            Err(Rejection::Closed(reason)) => assert!(!reason.is_empty()),
            Err(rejection) => {
                assert!(
                    rejection
                        .refusal()
                        .is_some_and(|refusal| !refusal.to_string().is_empty())
                );
            }
        }
    });
}

/// The first lines of the peers, so that a fuzzer's bytes get past the handshake.
const INTRODUCTIONS: [&str; 4] = [
    "client a\n",
    "{\"type\":\"client\",\"name\":\"b\",\"features\":[\"origin\",\"unlinked\",\"registered\",\"cut-through\"],\"language\":\"Python\"}\n",
    "{\"type\":\"service\",\"name\":\"S\",\"attributes\":{},\"language\":\"Python\"}\n",
    "{\"type\":\"service\",\"name\":\"T\",\"attributes\":{},\"max_clients\":1,\"features\":[\"cut-through\"]}\n",
];

/// The most bytes that peers send: a few long lines.
const SAID: usize = 6 << 20;

/// How long a peer tries to send what the manager does not read.
const HELD_BACK: Duration = Duration::from_millis(10);

/// A peer of a manager in memory.
struct Peer {
    reader: ReadHalf<DuplexStream>,
    writer: WriteHalf<DuplexStream>,
    serving: JoinHandle<()>,
    heard: Vec<u8>,
    /// Whether it may receive a line that is broken off.
    cut_through: bool,
}

impl Peer {
    async fn connect(hub: &Arc<Hub>, number: usize, is_admin: bool) -> Self {
        let (near, far) = duplex(ON_ITS_WAY);
        let port = 5 + u16::try_from(number).expect("there are few peers");
        let (hub, address) = (Arc::clone(hub), local_peer(hub, port).await);
        let serving = tokio::spawn(async move {
            let mut near = near;
            let deadline = Instant::now() + TIME;
            if let Some(introduction) = peer::introduce(&hub, &address, &mut near, deadline).await {
                let introduction = if is_admin {
                    introduction.of_administrator()
                } else {
                    introduction
                };
                peer::serve(&hub, &address, near, None, introduction, || ()).await;
            }
        });
        let (reader, mut writer) = split(far);
        let introduction = INTRODUCTIONS[number];
        writer
            .write_all(introduction.as_bytes())
            .await
            .expect("there is room for it");
        Self {
            reader,
            writer,
            serving,
            heard: Vec::new(),
            cut_through: introduction.contains("cut-through"),
        }
    }

    /// Performs an act. Returns whether the peer is still connected.
    async fn act(&mut self, act: Act<'_>) -> bool {
        match act {
            Act::Say(bytes) => {
                // A peer that was disconnected sends nothing, and bytes that are not read in time
                // are never sent.
                let _ = timeout(HELD_BACK, self.writer.write_all(&bytes)).await;
            }
            Act::Read(count) => self.hear(count),
            Act::Pause(time) => sleep(time).await,
            Act::Shut => {
                // Fails if the manager has disconnected the peer.
                let _ = self.writer.shutdown().await;
            }
            Act::Leave => return false,
        }
        yield_now().await;
        true
    }

    /// Reads the bytes that have arrived, `count` at most.
    fn hear(&mut self, count: usize) {
        let mut piece = vec![0; count];
        let mut piece = ReadBuf::new(&mut piece);
        // One poll returns all that is available.
        let _ = Pin::new(&mut self.reader).poll_read(&mut Context::from_waker(Waker::noop()), &mut piece);
        self.heard.extend_from_slice(piece.filled());
    }

    /// Closes the sending side and reads to the end. Returns the bytes received, and whether a line
    /// of them may be broken off.
    async fn end(mut self) -> (Vec<u8>, bool) {
        // Fails if the manager has disconnected the peer.
        let _ = self.writer.shutdown().await;
        let rest = self.reader.read_to_end(&mut self.heard);
        let rest = timeout(TIME, rest)
            .await
            .expect("a connection ends soon after its peer does");
        rest.expect("a duplex stream can be read");
        self.serving.await.expect("serving a connection does not panic");
        (self.heard, self.cut_through)
    }
}

/// Serves two clients and two services that act as these bytes encode. In the end all of them are
/// gone, with everything that belonged to them.
///
/// The clock advances only when nobody has anything to do, so that minutes take no time.
///
/// # Panics
///
/// If a connection panics or does not end, if the manager sends anything but JSON, or if it keeps
/// something.
pub fn check_connections(data: &[u8]) {
    converse(data, Pace::default());
}

/// As [`check_connections`], with a manager that cuts lines through from some dozens of bytes on,
/// not from half a mebibyte on.
///
/// # Panics
///
/// As [`check_connections`].
pub fn check_cut_through(data: &[u8]) {
    converse(data, Pace::in_bytes());
}

/// The outcome of a conversation.
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "tests look at what happened in a seed")
)]
pub(super) struct Conversation {
    /// The manager's counters.
    pub(super) counters: HashMap<&'static str, u64>,
    /// The lines received by each peer that stayed to the end.
    pub(super) heard: [String; INTRODUCTIONS.len()],
}

/// As [`check_connections`]. Returns the outcome.
pub(super) fn converse(data: &[u8], pace: Pace) -> Conversation {
    let hub = hub(Authentication::None { open: false }, CLOSED.clone(), pace);
    runtime().block_on(serve(&hub, data, false))
}

/// As [`check_connections`]. The first client is an administrator, and the second one can log in as
/// one, or as somebody else. They have a database of their own, and the clock of the computer,
/// since a database takes its time.
///
/// # Panics
///
/// As [`check_connections`].
pub fn check_administrator(data: &[u8]) {
    administer(data);
}

/// As [`check_administrator`]. Returns the outcome.
pub(super) fn administer(data: &[u8]) -> Conversation {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("fuzzing.sqlite3");
    fs::write(&path, &*USERS).expect("a temporary folder can be written");
    let store = Store::open(&path, &StoreOptions::default()).expect("the database can be opened");
    let hub = hub(
        Authentication::None { open: false },
        store.clone(),
        Pace::default(),
    );
    let runtime = Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime can be made").block_on(async {
        let held = serve(&hub, data, true).await;
        store.close().await;
        held
    })
}

/// A database with the users `m.curie`, an administrator, and `n.bohr`, who is none. Their
/// passwords are `radium` and `atom`.
static USERS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("users.sqlite3");
    let mut database = Database::open(&path).expect("a new database can be opened");
    for (name, password, is_admin) in [("m.curie", "radium", true), ("n.bohr", "atom", false)] {
        let password = HashedPassword::new(name, password, MINIMUM_ROUNDS).expect("the password is one");
        database
            .insert_user(name, &password, is_admin)
            .expect("the database is new");
    }
    drop(database);
    fs::read(path).expect("the database can be read")
});

/// Performs the acts that these bytes encode, until all peers are gone.
async fn serve(hub: &Arc<Hub>, data: &[u8], administered: bool) -> Conversation {
    let routing = Arc::clone(&hub.routing);
    let expiring = tokio::spawn(async move { routing.expire_in_time().await });
    let mut peers = Vec::new();
    for number in 0..INTRODUCTIONS.len() {
        let is_admin = administered && number == 0;
        peers.push(Some(Peer::connect(hub, number, is_admin).await));
    }
    while hub.routing.registry().counts() != (2, 2) {
        yield_now().await;
    }
    let (mut rest, mut said, mut gone) = (data, 0, Vec::new());
    while said < SAID
        && let Some((number, act)) = next_act(&mut rest)
    {
        match &act {
            Act::Say(bytes) => said += bytes.len(),
            // A pause would take real time there.
            Act::Pause(_) if administered => continue,
            _ => {}
        }
        if let Some(mut peer) = peers[number].take() {
            if peer.act(act).await {
                peers[number] = Some(peer);
            } else {
                gone.push(peer.serving);
            }
        }
    }
    // All at once, since a client waits for its services as long as they are connected.
    let ending: Vec<_> = peers
        .into_iter()
        .map(|peer| peer.map(|peer| tokio::spawn(peer.end())))
        .collect();
    let mut all_heard = Vec::new();
    for (number, peer) in ending.into_iter().enumerate() {
        if let Some(peer) = peer {
            let (heard, cut_through) = peer.await.expect("a connection ends and nothing panics");
            all_heard.push((number, heard, cut_through));
        }
    }
    for serving in gone {
        let ended = timeout(TIME, serving).await;
        let ended = ended.expect("a connection ends soon after its peer is gone");
        ended.expect("serving a connection does not panic");
    }
    expiring.abort();
    let counters: HashMap<_, _> = hub.routing.counters.all().collect();
    let mut heard = <[String; INTRODUCTIONS.len()]>::default();
    for (number, bytes, cut_through) in all_heard {
        check_heard(&bytes, cut_through, counters["cut"] > 0);
        heard[number] = String::from_utf8_lossy(&bytes).into_owned();
    }
    let registry = hub.routing.registry();
    assert_eq!(registry.counts(), (0, 0), "somebody stayed");
    assert_eq!(registry.in_flight(), 0, "a request stayed");
    assert_eq!(registry.contradiction(), None);
    Conversation { counters, heard }
}

/// Asserts that the manager sends whole frames. For a peer with the feature, a line may be marked
/// as broken off; the last line of a peer that was cut may end anywhere.
fn check_heard(heard: &[u8], cut_through: bool, cut: bool) {
    let mut lines = heard.split_inclusive(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let is_broken_off = cut_through && line.ends_with(frames::BROKEN_OFF);
        let is_cut = cut && lines.peek().is_none() && !line.ends_with(b"\n");
        let is_whole = || labwire_wire::Envelope::scan(line.trim_ascii()).is_ok();
        assert!(
            is_broken_off || is_cut || is_whole(),
            "{:?} is no frame",
            String::from_utf8_lossy(line)
        );
    }
}
