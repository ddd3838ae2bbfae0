//! Frames with buffers under random schedules. Peers talk over connections in memory: they send and
//! read in pieces of any size, some have the feature `binary` or `cut-through` and some do not, some
//! descriptions are wrong, and some peers vanish within the raw bytes of a frame.
//!
//! What each peer must receive follows from the numbers in the frames: their bytes are known.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use labwire_store::Store;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, timeout};

use super::connections::{CLOSED, local_peer, runtime};
use crate::config::{Authentication, Limits};
use crate::hub::Hub;
use crate::logging::LogControl;
use crate::pace::Pace;
use crate::peer;
use crate::record::Recording;
use crate::registry::ManagerIdentity;
use crate::simulation::Choices;

/// Longer than anything here may take.
const TIME: Duration = Duration::from_mins(10);

/// The capacity of a connection, in bytes.
const ON_ITS_WAY: usize = 8 * 1024;

/// Numbers of bytes of arrays.
const LENGTHS: [usize; 7] = [0, 1, 30, 200, 3_000, 20_000, 90_000];

/// The requests of each client, and the notifications of the service.
const COUNT: usize = 12;

/// Random numbers of one peer.
struct Random(Choices<'static>);

impl Random {
    fn new(seed: u64, peer: u64) -> Self {
        Self(Choices::Seed(seed.wrapping_mul(31).wrapping_add(peer)))
    }

    fn below(&mut self, count: usize) -> usize {
        self.0.below(count)
    }

    fn length(&mut self) -> usize {
        LENGTHS[self.below(LENGTHS.len())]
    }
}

/// Returns the bytes of the array of this name.
fn raw(name: &str, length: usize) -> Vec<u8> {
    let start = name
        .bytes()
        .fold(7_u64, |sum, byte| sum * 31 % 65_521 + u64::from(byte));
    (start..)
        .take(length)
        .map(|number| (number * 2_654_435_761).to_le_bytes()[1])
        .collect()
}

/// Returns a frame with one array, whose reference is `$`.
fn frame(members: &str, raw: &[u8]) -> Vec<u8> {
    let length = raw.len();
    let members = members.replace('$', "{\"$buffer\":0}");
    let line = format!(r#"{{"buffers":[{{"dtype":"|u1","shape":[{length}],"bytes":{length}}}],{members}}}"#);
    [line.as_bytes(), b"\r\n", raw, b"\n"].concat()
}

/// A frame that a peer has received.
#[derive(Debug)]
struct Heard {
    line: Value,
    raw: Vec<u8>,
    /// Whether its raw bytes were aborted.
    is_broken_off: bool,
}

impl Heard {
    fn text(&self, member: &str) -> &str {
        self.line[member].as_str().unwrap_or_default()
    }

    /// Returns the bytes of the array that `value` is or refers to.
    fn array(&self, value: &Value) -> Vec<u8> {
        if let Some(text) = value["$array"]["base64"].as_str() {
            return STANDARD.decode(text).expect("the manager sends base64");
        }
        assert_eq!(value["$buffer"], 0, "{value}");
        self.raw.clone()
    }
}

/// The receiving half of a connection.
struct Ear {
    half: ReadHalf<DuplexStream>,
    bytes: VecDeque<u8>,
    random: Random,
}

impl Ear {
    /// Reads until there are `count` bytes, or a line feed. Returns `None` at the end.
    async fn take(&mut self, count: Option<usize>) -> Option<Vec<u8>> {
        loop {
            let end = match count {
                Some(count) => (self.bytes.len() >= count).then_some(count),
                None => self.bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1),
            };
            if let Some(end) = end {
                return Some(self.bytes.drain(..end).collect());
            }
            let mut piece = vec![0; 1 + self.random.below(20_000)];
            let read = self.half.read(&mut piece).await.ok()?;
            if read == 0 {
                return None;
            }
            self.bytes.extend(&piece[..read]);
            if self.random.below(4) == 0 {
                yield_now().await;
            }
        }
    }

    /// Returns the next frame; `None` at the end of the connection. Lines that are broken off are left
    /// out.
    async fn hear(&mut self) -> Option<Heard> {
        loop {
            let line = self.take(None).await?;
            if line.ends_with(b"\x18\r\n") {
                continue;
            }
            let text = String::from_utf8(line).expect("the manager sends text");
            let value: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text:?} is no JSON"));
            if !text.starts_with("{\"buffers\":[") {
                return Some(Heard {
                    line: value,
                    raw: Vec::new(),
                    is_broken_off: false,
                });
            }
            let length = value["buffers"][0]["bytes"].as_u64().expect("it has one buffer");
            let raw = self
                .take(Some(usize::try_from(length).expect("it is short")))
                .await?;
            let end = self.take(None).await?;
            assert!(end == b"\n" || end == b"\x18\r\n", "{text} ends with {end:?}");
            return Some(Heard {
                line: value,
                raw,
                is_broken_off: end != b"\n",
            });
        }
    }
}

/// The sending half of a connection.
struct Mouth {
    half: WriteHalf<DuplexStream>,
    random: Random,
}

impl Mouth {
    /// Sends bytes in pieces. Returns `false` if the manager has closed the connection.
    async fn say(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let most = [10, 1_000, 100_000][self.random.below(3)];
            let count = (1 + self.random.below(most)).min(bytes.len());
            if self.half.write_all(&bytes[..count]).await.is_err() {
                return false;
            }
            bytes = &bytes[count..];
            for _ in 0..self.random.below(3) {
                yield_now().await;
            }
        }
        true
    }

    /// Sends a frame, or only its beginning and then the end of the connection. Returns whether the
    /// frame is whole.
    async fn say_part(&mut self, frame: &[u8], is_whole: bool) -> bool {
        if is_whole {
            return self.say(frame).await;
        }
        let count = self.random.below(frame.len());
        self.say(&frame[..count]).await;
        // Fails if the manager has closed the connection.
        let _ = self.half.shutdown().await;
        false
    }
}

async fn connect(hub: &Arc<Hub>, number: u16, identity: &str, seed: u64) -> (Ear, Mouth, JoinHandle<()>) {
    let (near, far) = duplex(ON_ITS_WAY);
    let (hub, address) = (Arc::clone(hub), local_peer(hub, number).await);
    let serving = tokio::spawn(async move {
        let mut near = near;
        let deadline = Instant::now() + TIME;
        let introduction = peer::introduce(&hub, &address, &mut near, deadline).await;
        let introduction = introduction.expect("the identity is valid");
        peer::serve(&hub, &address, near, None, introduction, || ()).await;
    });
    let (half, writer) = split(far);
    let random = |half: u64| Random::new(seed, u64::from(number) * 2 + half);
    let mut ear = Ear {
        half,
        bytes: VecDeque::new(),
        random: random(0),
    };
    let mut mouth = Mouth {
        half: writer,
        random: random(1),
    };
    assert!(mouth.say(format!("{{{identity}}}\r\n").as_bytes()).await);
    // The question for the identity.
    ear.hear().await.expect("the manager asks");
    (ear, mouth, serving)
}

/// What happened in a schedule.
#[derive(Debug, Default, PartialEq, Eq)]
struct Happened {
    replies: usize,
    errors: usize,
    notifications: usize,
    broken_off: usize,
}

/// A task that ends with its owner.
struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Answers requests in their order, and notifies between them. Vanishes within a frame if `vanishes`.
async fn serve(mut ear: Ear, mut mouth: Mouth, vanishes: bool) -> Happened {
    let (requests, mut asked) = mpsc::unbounded_channel::<(String, String)>();
    let mut hearing = Task(tokio::spawn(async move {
        let mut happened = Happened::default();
        let mut last = std::collections::HashMap::new();
        while let Some(heard) = ear.hear().await {
            if heard.is_broken_off {
                happened.broken_off += 1;
                continue;
            }
            if heard.line["error"] == true {
                // Its last reply was not whole.
                happened.errors += 1;
                continue;
            }
            let (requester, uid) = (heard.text("requester").to_owned(), heard.text("uid").to_owned());
            let number: usize = uid.parse().expect("uids are numbers");
            let before = last.insert(requester.clone(), number);
            assert!(
                before.is_none_or(|before| before < number),
                "{uid} came after {before:?}"
            );
            let name = format!("{} {uid}", &requester[..1]);
            let length = heard.text("attribute")[1..].parse().expect("it has the length");
            assert_eq!(heard.array(&heard.line["args"][0]), raw(&name, length), "{name}");
            happened.replies += 1;
            if requests.send((requester, uid)).is_err() {
                break;
            }
        }
        happened
    }));
    let mut notified = 0;
    while let Some((requester, uid)) = asked.recv().await {
        if notified < COUNT && mouth.random.below(2) == 0 {
            let bytes = raw(&format!("N {notified}"), mouth.random.length());
            let members =
                format!(r#""error":false,"result":[[{notified},$],{{}}],"service":"S","uid":"notification""#);
            assert!(mouth.say(&frame(&members, &bytes)).await);
            notified += 1;
        }
        let name = format!("R {requester} {uid}");
        let bytes = raw(&name, mouth.random.length());
        let members = format!(r#""error":false,"requester":"{requester}","result":{{"a":$}},"uid":"{uid}""#);
        let is_whole = !vanishes || mouth.random.below(2 * COUNT) > 0;
        if !mouth.say_part(&frame(&members, &bytes), is_whole).await {
            break;
        }
    }
    (&mut hearing.0).await.unwrap_or_default()
}

/// Sends requests, and checks that each one ends once, in order. `name` is one letter.
async fn ask(mut ear: Ear, mut mouth: Mouth, name: &'static str, vanishes: bool) -> Happened {
    let link = r#"{"service":"Manager","attribute":"link","args":["S"],"uid":"link"}"#;
    assert!(mouth.say(format!("{link}\r\n").as_bytes()).await);
    let linked = ear.hear().await.expect("the manager answers");
    assert_eq!(linked.line["error"], false, "{linked:?}");
    let requester = linked.text("requester").to_owned();
    let is_binary = name != "e";
    let (wrong, mut expected_wrong) = mpsc::unbounded_channel();
    let asking = tokio::spawn(async move {
        for uid in 0..COUNT {
            let length = mouth.random.length();
            let bytes = raw(&format!("{name} {uid}"), length);
            let members = format!(r#""service":"S","attribute":"a{length}","uid":"{uid}","args":[$]"#);
            let mut request = frame(&members, &bytes);
            if !is_binary {
                let array = format!(
                    r#"{{"$array":{{"dtype":"|u1","shape":[{length}],"base64":"{}"}}}}"#,
                    STANDARD.encode(&bytes)
                );
                request = format!("{{{}}}\r\n", members.replace('$', &array)).into_bytes();
            } else if mouth.random.below(5) == 0 {
                let at = request.windows(3).position(|part| part == b"|u1");
                request[at.expect("it has a type") + 1] = b'x';
                let _ = wrong.send(uid);
            }
            let is_whole = !vanishes || mouth.random.below(COUNT) > 0;
            if !mouth.say_part(&request, is_whole).await {
                return None;
            }
        }
        Some(mouth)
    });
    let mut happened = Happened::default();
    let (mut ended, mut next_reply, mut next_notification) = (vec![false; COUNT], 0, None);
    while ended.iter().any(|ended| !ended) {
        let Some(heard) = ear.hear().await else {
            assert!(
                vanishes,
                "{name}: the connection ended before its requests: {ended:?}"
            );
            break;
        };
        if heard.is_broken_off {
            happened.broken_off += 1;
            continue;
        }
        if heard.text("uid") == "notification" {
            let number = heard.line["result"][0][0].as_u64().expect("it has a number");
            // The first ones were for those who were linked before.
            assert!(
                next_notification.is_none_or(|next| next == number),
                "{name}: {number} came instead of {next_notification:?}"
            );
            next_notification = Some(number + 1);
            let array = heard.array(&heard.line["result"][0][1]);
            assert_eq!(array, raw(&format!("N {number}"), array.len()));
            happened.notifications += 1;
            continue;
        }
        if heard.text("uid").is_empty() {
            assert!(vanishes, "{name}: {heard:?}");
            happened.errors += 1;
            continue;
        }
        let uid: usize = heard
            .text("uid")
            .parse()
            .unwrap_or_else(|_| panic!("{name}: {heard:?}"));
        assert!(
            !std::mem::replace(&mut ended[uid], true),
            "{name}: {uid} ended twice"
        );
        if heard.line["error"] == true {
            happened.errors += 1;
            continue;
        }
        assert!(uid >= next_reply, "{name}: the reply to {uid} came too late");
        next_reply = uid + 1;
        let array = heard.array(&heard.line["result"]["a"]);
        assert_eq!(array, raw(&format!("R {requester} {uid}"), array.len()));
        happened.replies += 1;
    }
    if vanishes {
        asking.abort();
    } else {
        asking.await.expect("it does not panic");
        let mut wrongs = 0;
        while expected_wrong.recv().await.is_some() {
            wrongs += 1;
        }
        assert!(happened.errors >= wrongs, "{name}: {wrongs} wrong frames");
    }
    happened
}

const ALL: &str = r#""features":["binary","cut-through"]"#;

/// Runs the schedule of a seed.
async fn converse(seed: u64, store: Store) -> (Vec<Happened>, u64) {
    let limits = Limits {
        queue: 256 * 1024,
        ..Limits::default()
    };
    let manager = ManagerIdentity::sample();
    let authentication = Authentication::None { open: false };
    let hub = Hub::new(
        &manager,
        authentication,
        limits,
        Pace::in_bytes(),
        (store, Recording::Nothing),
        LogControl::none(),
    );
    let routing = Arc::clone(&hub.routing);
    let expiring = tokio::spawn(async move { routing.expire_in_time().await });
    let mut random = Random::new(seed, 1_000);
    let is_alone = random.below(3) == 0;
    let (service_vanishes, client_vanishes) = (random.below(4) == 0, random.below(3) == 0);
    let limit = if is_alone { ",\"max_clients\":1" } else { "" };
    let identity = format!(r#""result":{{"type":"service","name":"S","attributes":{{}},{ALL}{limit}}}"#);
    let (ear, mouth, serving) = connect(&hub, 5, &identity, seed).await;
    while hub.routing.registry().counts() != (0, 1) {
        yield_now().await;
    }
    let mut connections = vec![serving];
    let service = tokio::spawn(serve(ear, mouth, service_vanishes));
    let features = ["\"features\":[\"binary\"]", "\"features\":[]", ALL];
    let clients = [
        ("b", features[0]),
        ("e", features[1]),
        ("a", features[2]),
        ("k", features[2]),
    ];
    let mut asking = Vec::new();
    for (number, (name, features)) in clients.into_iter().enumerate() {
        let is_chosen = !is_alone || name == "a";
        if !is_chosen {
            continue;
        }
        let identity = format!(r#""result":{{"type":"client","name":"{name}",{features}}}"#);
        let number = 6 + u16::try_from(number).expect("there are few");
        let (ear, mouth, serving) = connect(&hub, number, &identity, seed).await;
        connections.push(serving);
        let vanishes = client_vanishes && (name == "k" || is_alone);
        asking.push(tokio::spawn(ask(ear, mouth, name, vanishes)));
    }
    let mut happened = Vec::new();
    for client in asking {
        happened.push(client.await.expect("a client finds nothing wrong"));
    }
    let broken_off = hub.routing.counters.all().find(|(name, _)| *name == "broken_off");
    // The service ends once no requests can come.
    let ended = timeout(TIME, async {
        while hub.routing.registry().counts().0 > 0 {
            yield_now().await;
        }
    });
    ended.await.expect("who is done leaves");
    service.abort();
    let _ = service.await;
    for connection in connections {
        let ended = timeout(TIME, connection).await;
        ended
            .expect("a connection ends with its peer")
            .expect("nothing panics");
    }
    expiring.abort();
    let registry = hub.routing.registry();
    assert_eq!(registry.in_flight(), 0, "a request stayed");
    assert_eq!(registry.contradiction(), None);
    (happened, broken_off.map_or(0, |(_, count)| count))
}

#[test]
fn frames_with_buffers_arrive_once_and_in_order_whatever_happens() {
    let (mut sums, mut broken_off) = (Happened::default(), 0);
    for seed in 0..60 {
        // Making it takes a runtime, which cannot be made within another one.
        let store = CLOSED.clone();
        let conversation = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            runtime().block_on(async { timeout(TIME, converse(seed, store)).await.expect("it ends") })
        }));
        let (happened, count) = conversation.unwrap_or_else(|_| panic!("in the schedule of seed {seed}"));
        broken_off += count;
        for client in happened {
            sums.replies += client.replies;
            sums.errors += client.errors;
            sums.notifications += client.notifications;
            sums.broken_off += client.broken_off;
        }
    }
    println!("{sums:?}, {broken_off} broken off");
    let counts = [sums.replies, sums.errors, sums.notifications, sums.broken_off];
    assert!(counts.iter().all(|count| *count > 0), "{sums:?}");
    assert!(broken_off >= sums.broken_off as u64, "{sums:?} {broken_off}");
}
