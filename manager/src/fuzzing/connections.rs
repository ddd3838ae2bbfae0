//! Connections: whatever bytes come over them, what goes back is JSON, and nothing stays behind.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use labwire_wire::LineSplitter;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, timeout};

use crate::config::{Authentication, Limits};
use crate::handshake::{Ended, Handshake};
use crate::hub::Hub;
use crate::logging::LogControl;
use crate::names::PeerAddress;
use crate::peer;
use crate::registry::ManagerIdentity;
use crate::store::{Store, StoreOptions};

/// Longer than anything here may take.
const TIME: Duration = Duration::from_secs(30);

/// How much is on its way at once, in bytes.
const ON_ITS_WAY: usize = 1 << 20;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime can be made")
});

static STORE: LazyLock<Store> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    Store::open(&folder.path().join("fuzzing.sqlite3"), &StoreOptions::default())
        .expect("a new database can be opened")
});

fn hub(authentication: Authentication) -> Arc<Hub> {
    let identity = ManagerIdentity {
        hostname: "h".into(),
        port: 1875,
        language: String::new(),
        os: String::new(),
    };
    let limits = Limits {
        in_flight_per_client: 4,
        outbox: 64 * 1024,
        ..Limits::default()
    };
    Hub::new(
        identity,
        authentication,
        limits,
        STORE.clone(),
        LogControl::none(),
    )
}

async fn local_peer(hub: &Hub, port: u16) -> PeerAddress {
    let own = SocketAddr::from(([127, 0, 0, 1], 1875));
    hub.resolver
        .describe(SocketAddr::from(([127, 0, 0, 1], port)), own)
        .await
}

/// Holds a handshake with a peer that says these bytes. The first byte says how peers are authenticated; no
/// password is checked against the database, which would take as long as a thousand handshakes.
///
/// # Panics
///
/// When the manager says what is no JSON, or admits a name that nobody may have.
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
    RUNTIME.block_on(async {
        let hub = hub(authentication);
        let peer = local_peer(&hub, 5).await;
        let (mut near, mut far) = duplex(ON_ITS_WAY);
        let said = &said[..said.len().min(ON_ITS_WAY)];
        far.write_all(said).await.expect("there is room for it");
        far.shutdown().await.expect("the other end is there");
        let mut splitter = LineSplitter::new(hub.limits.handshake_line);
        let mut handshake = Handshake {
            hub: &hub,
            peer: &peer,
            stream: &mut near,
            splitter: &mut splitter,
        };
        let ended = timeout(TIME, handshake.run())
            .await
            .expect("the peer has said all");
        drop(near);
        let mut heard = Vec::new();
        far.read_to_end(&mut heard)
            .await
            .expect("a duplex stream can be read");
        check_heard(&heard);
        match ended {
            Ok(introduced) => {
                let name = introduced.identity.name;
                let forbidden =
                    name.trim().is_empty() || name.contains(char::is_control) || name == "Manager";
                assert!(!forbidden, "{name:?} was admitted");
                assert!(!introduced.is_admin, "nobody logged in");
            }
            Err(Ended::Refused(refusal)) => assert!(!refusal.to_string().is_empty()),
            Err(Ended::Closed(reason)) => assert!(!reason.is_empty()),
        }
    });
}

/// What peers say first, so that a fuzzer's bytes get past the handshake.
const INTRODUCTIONS: [&str; 4] = [
    "client a\n",
    "{\"type\":\"client\",\"name\":\"b\",\"features\":[\"origin\",\"unlinked\",\"registered\"],\"language\":\"Python\"}\n",
    "{\"type\":\"service\",\"name\":\"S\",\"attributes\":{},\"language\":\"Python\"}\n",
    "{\"type\":\"service\",\"name\":\"T\",\"attributes\":{},\"max_clients\":1}\n",
];

/// A peer of a manager in memory.
struct Peer {
    reader: ReadHalf<DuplexStream>,
    writer: WriteHalf<DuplexStream>,
    serving: JoinHandle<()>,
    heard: Vec<u8>,
}

impl Peer {
    async fn connect(hub: &Arc<Hub>, number: usize) -> Self {
        let (near, far) = duplex(ON_ITS_WAY);
        let port = 5 + u16::try_from(number).expect("there are few peers");
        let (hub, address) = (Arc::clone(hub), local_peer(hub, port).await);
        let serving = tokio::spawn(async move {
            let mut near = near;
            let deadline = Instant::now() + TIME;
            if let Some(introduction) = peer::introduce(&hub, &address, &mut near, deadline).await {
                peer::serve(&hub, &address, near, introduction, || ()).await;
            }
        });
        let (reader, mut writer) = split(far);
        let introduction = INTRODUCTIONS[number].as_bytes();
        writer
            .write_all(introduction)
            .await
            .expect("there is room for it");
        Self {
            reader,
            writer,
            serving,
            heard: Vec::new(),
        }
    }

    /// Reads what is there now.
    async fn hear(&mut self) {
        let mut piece = vec![0; 64 * 1024];
        while let Ok(Ok(count)) = timeout(Duration::ZERO, self.reader.read(&mut piece)).await {
            if count == 0 {
                return;
            }
            self.heard.extend_from_slice(&piece[..count]);
        }
    }

    async fn leave(mut self) {
        // Who was thrown out already is not there to be told.
        let _ = self.writer.shutdown().await;
        let rest = self.reader.read_to_end(&mut self.heard);
        let rest = timeout(TIME, rest)
            .await
            .expect("a connection ends soon after its peer does");
        rest.expect("a duplex stream can be read");
        self.serving.await.expect("serving a connection does not panic");
        check_heard(&self.heard);
    }
}

/// Serves two clients and two services, which say what these bytes say: each piece stands behind a byte with
/// its peer and its length. All of them are gone in the end, and so is everything that was theirs.
///
/// # Panics
///
/// When a connection panics or does not end, when the manager says what is no JSON, or when it keeps something.
pub fn check_connections(data: &[u8]) {
    RUNTIME.block_on(async {
        let hub = hub(Authentication::None { open: false });
        let mut peers = Vec::new();
        for number in 0..INTRODUCTIONS.len() {
            peers.push(Peer::connect(&hub, number).await);
        }
        let mut rest = &data[..data.len().min(ON_ITS_WAY / 2)];
        while let Some((&head, after)) = rest.split_first() {
            let (piece, after) = after.split_at(usize::from(head >> 2).min(after.len()));
            let peer = &mut peers[usize::from(head & 3)];
            // Who was thrown out says no more.
            let _ = peer.writer.write_all(piece).await;
            yield_now().await;
            rest = after;
        }
        for peer in &mut peers {
            peer.hear().await;
        }
        // All at once: a client waits for its services as long as they are there.
        let leaving: Vec<_> = peers.into_iter().map(|peer| tokio::spawn(peer.leave())).collect();
        for peer in leaving {
            peer.await.expect("leaving does not panic");
        }
        let registry = hub.registry();
        assert_eq!(registry.counts(), (0, 0), "somebody stayed");
        assert_eq!(registry.contradiction(), None);
    });
}

/// Everything that a manager says is whole lines of JSON, unless a service said what is passed on.
fn check_heard(heard: &[u8]) {
    for line in heard.split_inclusive(|byte| *byte == b'\n') {
        let is_whole = line.ends_with(b"\n") && labwire_wire::Envelope::scan(line.trim_ascii()).is_ok();
        assert!(is_whole, "{:?} is no frame", String::from_utf8_lossy(line));
    }
}
