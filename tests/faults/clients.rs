//! Clients that are killed or stopped while they hold locks or wait for replies.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::sync::{Barrier, Semaphore};
use tokio::time::timeout;

use crate::generator::{Task, block_on, run, spawn};
use crate::observed::{IDLE_MEMORY, Subject};
use crate::outcomes::milliseconds;
use crate::peer::{Peer, Target, address, client, reply, request};
use crate::programs::start_lock_holder;
use crate::runner::scaled;
use crate::support::DEADLINE;
use crate::support::process::Signal;

/// Time after which no peer may see a dead client any more.
const NO_GHOST: Duration = Duration::from_secs(1);

/// A reply of so many bytes never fits into the socket's buffers: the manager is still writing it.
const LONG_REPLY: usize = 512 * 1024;

/// A reply that fits into the socket's buffers, and is not read.
const SHORT_REPLY: usize = 32 * 1024;

/// One of so many clients gets a long reply.
const LONG: usize = 8;

/// Number of concurrent connection attempts.
const CONNECTING: usize = 32;

/// Answers every request with a text of the requested length.
async fn answer_at_length(mut service: Peer) {
    let text = |length: usize| Value::from("x".repeat(length));
    let (short, long) = (text(SHORT_REPLY), text(LONG_REPLY));
    while let Ok(Some(line)) = service.line_without_deadline().await {
        let asked: Value = serde_json::from_str(&line).expect("the manager writes JSON");
        let payload = if asked["attribute"] == "read_all" {
            &long
        } else {
            &short
        };
        let answered = service.send(&reply(&asked, payload)).await;
        answered.expect("the manager reads");
    }
}

/// Connects, locks a service if one is given, requests a reply, waits for its beginning and for all
/// other clients, then resets the connection.
async fn reset_in_mid_reply(
    target: Target,
    number: usize,
    locks: Option<String>,
    turns: Arc<Semaphore>,
    others: Arc<Barrier>,
) -> io::Result<()> {
    let turn = turns.acquire_owned().await;
    let mut peer = Peer::join_to_reset(&target, address(4, number), client("Ada")).await?;
    peer.link("Library").await?;
    if let Some(service) = locks {
        peer.link(&service).await?;
        peer.lock(&service).await?;
    }
    drop(turn);
    let attribute = if number.is_multiple_of(LONG) {
        "read_all"
    } else {
        "read"
    };
    peer.send(&request("Library", attribute, &json!([]), "1")).await?;
    let mut beginning = [0; 1_000];
    peer.reader.read_exact(&mut beginning).await?;
    assert!(!beginning.contains(&b'\n'), "the reply is longer");
    others.wait().await;
    Ok(())
}

pub(crate) fn clients_that_reset_in_the_middle_of_a_reply_leave_no_ghost() -> String {
    let (clients, locks) = scaled((100, 10), (1_000, 50));
    let mut subject = Subject::start(&["--disable-tls"]);
    let target = subject.target.clone();
    let (library, cabinets) = run(async move {
        let library = Peer::service(&target, "Library")
            .await
            .expect("the manager serves");
        let mut cabinets = Vec::new();
        for number in 0..locks {
            let cabinet = Peer::service(&target, &format!("Cabinet {number}")).await;
            cabinets.push(cabinet.expect("the manager serves"));
        }
        (library, cabinets)
    });
    let answering = spawn(answer_at_length(library));
    let (turns, others) = (
        Arc::new(Semaphore::new(CONNECTING)),
        Arc::new(Barrier::new(clients + 1)),
    );
    let resetting: Vec<_> = (0..clients)
        .map(|number| {
            let locks = (number < locks).then(|| format!("Cabinet {number}"));
            let (turns, others) = (Arc::clone(&turns), Arc::clone(&others));
            let resetting = reset_in_mid_reply(subject.target.clone(), number, locks, turns, others);
            spawn(async {
                resetting
                    .await
                    .expect("a client comes as far as the middle of its reply");
            })
        })
        .collect();
    let met = block_on(async { timeout(DEADLINE, others.wait()).await });
    met.expect("all clients come as far as the middle of their reply");
    resetting.into_iter().for_each(Task::join);
    let reset = Instant::now();
    // The services are still connected; no client is, nor are its links and locks.
    let bystanders = 2;
    subject.wait_for_statistic("clients", |clients| clients == bystanders);
    let ghosts = |places: Value| -> usize {
        let lists = places
            .as_object()
            .expect("links and locks are by service")
            .clone();
        lists
            .values()
            .map(|names| names.as_array().map_or(0, Vec::len))
            .sum()
    };
    assert_eq!(
        ghosts(subject.ask("service_links")),
        1,
        "only the bystander is linked"
    );
    assert_eq!(ghosts(subject.ask("service_locks")), 0, "nobody holds a lock");
    let target = subject.target.clone();
    run(async move {
        let mut heir = Peer::client(&target, "heir").await?;
        for number in 0..locks {
            let cabinet = format!("Cabinet {number}");
            heir.link(&cabinet).await?;
            heir.lock(&cabinet).await?;
        }
        io::Result::Ok(())
    })
    .expect("every lock is free");
    let took = reset.elapsed();
    assert!(took < NO_GHOST, "there were ghosts for {took:?}");
    drop((answering, cabinets));
    let figures = format!(
        "{clients} clients reset in mid-reply, {locks} of them with locks; all gone and all locks taken anew in {}",
        milliseconds(took)
    );
    // Queued for the clients that do not read: a reply for each, in a buffer that has grown by
    // doubling.
    let replies = clients.div_ceil(LONG) * LONG_REPLY + clients * SHORT_REPLY;
    let most = IDLE_MEMORY + 2 * replies as u64;
    subject.finish(&figures, most)
}

/// Tries to link with a locked service, and returns how long the refusal took.
async fn be_refused(peer: &mut Peer, service: &str) -> Duration {
    let asked = Instant::now();
    let refused = peer
        .ask_manager("link", json!([service]))
        .await
        .expect("the manager answers");
    let message = refused["message"].as_str().unwrap_or_default();
    assert!(message.contains("service is locked"), "{refused}");
    asked.elapsed()
}

pub(crate) fn a_lock_whose_holder_is_stopped_refuses_at_once_and_goes_with_its_holder() -> String {
    const REFUSED_AT_ONCE: Duration = Duration::from_millis(500);
    let attempts = scaled(50, 500);
    let subject = Subject::start(&["--disable-tls"]);
    let target = subject.target.clone();
    let oven = run(async move { Peer::service(&target, "Oven").await.expect("the manager serves") });
    let mut holder = start_lock_holder(&subject.manager, "Oven");
    holder.signal(Signal::STOP);
    let target = subject.target.clone();
    let (mut peer, longest) = run(async move {
        let mut peer = Peer::client(&target, "Ada").await.expect("the manager serves");
        let mut longest = Duration::ZERO;
        for _ in 0..attempts {
            longest = longest.max(be_refused(&mut peer, "Oven").await);
        }
        (peer, longest)
    });
    assert!(longest < REFUSED_AT_ONCE, "a refusal took {longest:?}");
    let killed = Instant::now();
    holder.signal(Signal::KILL);
    let took = run(async move {
        while peer.link("Oven").await.is_err() {
            assert!(killed.elapsed() < NO_GHOST, "the lock is still held");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        peer.lock("Oven").await.expect("nobody else is linked");
        killed.elapsed()
    });
    holder.wait();
    drop(oven);
    let figures = format!(
        "{attempts} refusals of a stopped holder's lock, the slowest in {}; free {} after it was killed",
        milliseconds(longest),
        milliseconds(took)
    );
    subject.finish(&figures, IDLE_MEMORY)
}
