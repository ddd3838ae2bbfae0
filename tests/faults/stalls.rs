//! Expensive work, during which no other peer may have to wait.
//!
//! The main check of each case is at its end: no step of the manager's routing thread took longer
//! than 5 ms, by the manager's own count.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use crate::generator::{Task, run, spawn};
use crate::hostile::home_with_administrator;
use crate::observed::{IDLE_MEMORY, MIB, Subject};
use crate::outcomes::milliseconds;
use crate::peer::{Peer, Target, address, client, request};
use crate::runner::scaled;

/// Number of concurrent connection attempts.
const CONNECTING: usize = 32;

/// Memory of a request in flight in the manager, in bytes: its entry, in a table that may be half
/// empty.
const REQUEST: u64 = 256;

/// Connects peers with these identities, some at a time.
async fn join_all(
    target: &Target,
    group: u8,
    count: usize,
    identity: impl Fn(usize) -> Value,
) -> io::Result<Vec<Peer>> {
    let turns = Arc::new(Semaphore::new(CONNECTING));
    let joining: Vec<_> = (0..count)
        .map(|number| {
            let (target, turns, identity) = (target.clone(), Arc::clone(&turns), identity(number));
            spawn(async move {
                let _turn = turns.acquire().await;
                Peer::join(&target, address(group, number), identity).await
            })
        })
        .collect();
    let mut peers = Vec::new();
    for task in joining {
        peers.push(task.ended().await?);
    }
    Ok(peers)
}

/// Reads and discards everything until the connection ends.
async fn swallow(mut peer: Peer) {
    while let Ok(bytes @ [_, ..]) = peer.reader.fill_buf().await {
        let count = bytes.len();
        peer.reader.consume(count);
    }
}

/// Starts a service that accepts requests and never answers.
fn start_well(target: &Target) -> Task<()> {
    let target = target.clone();
    spawn(swallow(run(async move {
        Peer::service(&target, "Well").await.expect("the manager serves")
    })))
}

/// Inserts so many rows of connections, in the manager's form.
fn record_connections(database: &Path, rows: usize) {
    let mut database = Connection::open(database).expect("the database is there");
    let change = database.transaction().expect("nobody else uses it");
    {
        let mut insert = change
            .prepare("INSERT INTO connections VALUES (NULL, ?1, ?2, ?3, ?4, ?5)")
            .expect("the table is there");
        for number in 0..rows {
            let port = i64::try_from(1_024 + number % 50_000).expect("ports are small");
            let row = params![
                "2026-01-01T12:00:00",
                "192.0.2.1",
                "bench.example.org",
                port,
                "disconnected"
            ];
            insert.execute(row).expect("the table takes rows");
        }
    }
    change.commit().expect("the disk has room");
}

pub(crate) fn a_listing_of_all_connections_stalls_nobody() -> String {
    let (rows, times) = scaled((10_000, 3), (100_000, 10));
    let home = home_with_administrator();
    record_connections(&home.path("manager.sqlite3"), rows);
    let mut subject = Subject::start_in(home, &["--disable-tls"]);
    let begun = Instant::now();
    for _ in 0..times {
        let listed = subject.ask("connections_table.connections");
        // Together with the connections since then, there are more rows than the maximum of a
        // listing.
        let count = listed.as_array().map_or(0, Vec::len);
        assert!(count >= rows, "{count} rows are listed");
    }
    let took = begun.elapsed();
    let figures = format!(
        "{times} listings of {rows} connections, {} each",
        milliseconds(took / times)
    );
    // The rows and their text, while the next listing is created.
    subject.finish(&figures, IDLE_MEMORY + 2 * rows as u64 * 1_024)
}

/// Length of the attributes of each service, in bytes: close to the default limit.
const ATTRIBUTES: usize = 60_000;

fn huge_service(number: usize) -> Value {
    let attributes = json!({ "describe": "x".repeat(ATTRIBUTES) });
    json!({ "type": "service", "name": format!("Library {number}"), "attributes": attributes })
}

/// Requests the manager's identity, and returns its length.
async fn read_identity(peer: &mut Peer, services: usize) -> io::Result<usize> {
    let ask = request("Manager", "identity", &json!([]), "1");
    peer.send(&ask).await?;
    let line = peer.line().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let count = line.matches("\"max_clients\":").count();
    assert!(count >= services, "{count} services are listed");
    Ok(line.len())
}

pub(crate) fn huge_identities_stall_nobody_whoever_comes_and_goes() -> String {
    let (services, askers, times) = scaled((60, 3, 4), (900, 4, 10));
    // Their identities exceed the default budget.
    let subject = Subject::start(&["--disable-tls", "--budget-identities", "256MiB"]);
    let target = subject.target.clone();
    let mut peers = run(async move {
        let peers = join_all(&target, 9, services, huge_service).await;
        peers.expect("the manager serves")
    });
    let begun = Instant::now();
    let asking: Vec<_> = (0..askers)
        .map(|number| {
            let target = subject.target.clone();
            spawn(async move {
                let mut peer = Peer::join(&target, address(10, number), client("Ada")).await?;
                let mut bytes = 0;
                for _ in 0..times {
                    bytes += read_identity(&mut peer, services).await?;
                }
                io::Result::Ok(bytes)
            })
        })
        .collect();
    let mut changes = 0;
    while asking.iter().any(|task| !task.is_finished()) {
        let (target, number) = (subject.target.clone(), services + changes);
        let next = run(async move {
            let joined = Peer::join(&target, address(9, number), huge_service(number)).await;
            joined.expect("the manager serves")
        });
        let place = changes % services;
        peers[place] = next;
        changes += 1;
    }
    let bytes: usize = asking
        .into_iter()
        .map(|task| task.join().expect("the manager answers"))
        .sum();
    let took = begun.elapsed();
    run(async move { drop(peers) });
    let count = askers * times;
    let figures = format!(
        "{count} identities of {} MiB in {:.1} s, while {changes} services of {services} came and went",
        bytes / count / (1 << 20),
        took.as_secs_f64()
    );
    // The services' texts, and the unread frames about services that have left.
    let most = IDLE_MEMORY + 64 * MIB + 4 * (services * ATTRIBUTES) as u64;
    subject.finish(&figures, most)
}

pub(crate) fn refused_links_cost_little_however_many_clients_are_linked() -> String {
    /// Maximum size of one answer, in bytes; a request has about a hundred.
    const ANSWER: usize = 2_048;
    let (linked, refused) = scaled((100, 2_000), (1_000, 50_000));
    let subject = Subject::start(&["--disable-tls"]);
    let target = subject.target.clone();
    let (peers, bytes, took) = run(async move {
        let scarce = json!({ "type": "service", "name": "Scarce", "attributes": {}, "max_clients": linked });
        let mut peers = vec![Peer::join(&target, address(11, 0), scarce).await?];
        let mut clients = join_all(&target, 11, linked, |_| client("Ada Lovelace")).await?;
        for client in &mut clients {
            client.link("Scarce").await?;
        }
        peers.append(&mut clients);
        let outsider = Peer::join(&target, address(12, 0), client("outsider")).await?;
        let begun = Instant::now();
        let Peer {
            mut reader,
            mut writer,
        } = outsider;
        let line = format!("{}\r\n", request("Manager", "link", &json!(["Scarce"]), "1"));
        let writing = spawn(async move {
            writer.write_all(line.repeat(refused).as_bytes()).await?;
            writer.flush().await?;
            io::Result::Ok(writer)
        });
        let (mut answer, mut bytes) = (String::new(), 0);
        for _ in 0..refused {
            answer.clear();
            bytes += reader.read_line(&mut answer).await?;
            assert!(answer.contains(&format!("and {} more", linked - 32)), "{answer}");
        }
        let took = begun.elapsed();
        writing.ended().await?;
        io::Result::Ok((peers, bytes, took))
    })
    .expect("the manager serves");
    let each = bytes / refused;
    assert!(each <= ANSWER, "a refusal has {each} bytes");
    run(async move { drop(peers) });
    let figures = format!(
        "{refused} refused links with a service that has {linked}, {each} bytes each, in {}",
        milliseconds(took)
    );
    subject.finish(&figures, IDLE_MEMORY + 128 * MIB)
}

/// Reads that many lines, each of which must contain the text.
async fn read_lines(peer: &mut Peer, count: usize, text: &str) -> io::Result<()> {
    for _ in 0..count {
        let line = peer.line().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if !line.contains(text) {
            return Err(io::Error::other(line));
        }
    }
    Ok(())
}

pub(crate) fn a_service_leaves_at_once_whatever_its_callers_wait_for() -> String {
    let (clients, requests) = scaled((10, 4_000), (50, 60_000));
    let all = clients * requests;
    // The crowd's one thread has low priority: it may read nothing for seconds.
    let mut subject = Subject::start(&["--disable-tls", "--stall", "1m"]);
    let well = start_well(&subject.target);
    let target = subject.target.clone();
    let (oven, peers) = run(async move {
        let oven = Peer::service(&target, "Oven").await?;
        let peers = join_all(&target, 13, clients, |_| client("Ada")).await?;
        io::Result::Ok((oven, peers))
    })
    .expect("the manager serves");
    let asking: Vec<_> = peers
        .into_iter()
        .map(|mut peer| {
            spawn(async move {
                let mut lines = Vec::new();
                for number in 0..requests {
                    let ask = request("Well", "wish", &json!([]), &number.to_string());
                    lines.extend_from_slice(format!("{ask}\r\n").as_bytes());
                }
                let ask = request("Oven", "heat", &json!([]), "heat");
                lines.extend_from_slice(format!("{ask}\r\n").as_bytes());
                peer.send_bytes(&lines).await.expect("the manager reads");
                peer
            })
        })
        .collect();
    let peers: Vec<_> = asking.into_iter().map(Task::join).collect();
    subject.wait_for_statistic("in_flight", |in_flight| in_flight >= (all + clients) as u64);
    let told = |peers: Vec<Peer>, count: usize, text: &'static str| -> (Vec<Peer>, Duration) {
        let begun = Instant::now();
        let reading = |mut peer: Peer| async move {
            let read = read_lines(&mut peer, count, text).await;
            read.expect("there is one error for each request");
            peer
        };
        let reading: Vec<_> = peers.into_iter().map(|peer| spawn(reading(peer))).collect();
        (reading.into_iter().map(Task::join).collect(), begun.elapsed())
    };
    run(async move { drop(oven) });
    let (peers, few) = told(peers, 1, "'Oven' Service left before it replied");
    drop(well);
    let (peers, many) = told(peers, requests, "'Well' Service left before it replied");
    run(async move { drop(peers) });
    let figures = format!(
        "{clients} callers with {requests} requests each at another service knew in {} that theirs had left, and in {} \
         that the other had",
        milliseconds(few),
        milliseconds(many)
    );
    subject.finish(&figures, IDLE_MEMORY + 128 * MIB + all as u64 * REQUEST)
}

pub(crate) fn half_closed_clients_cost_nothing_while_they_wait() -> String {
    /// Maximum share of a processor that the manager may use meanwhile, the bystanders' requests
    /// included.
    const SHARE: f64 = 0.15;
    /// The manager keeps them for four seconds.
    const WATCHED: Duration = Duration::from_secs(2);
    let clients = scaled(300, 6_000);
    let mut subject = Subject::start(&["--disable-tls"]);
    let well = start_well(&subject.target);
    let target = subject.target.clone();
    let mut peers = run(async move {
        let mut peers = join_all(&target, 14, clients, |_| client("Ada")).await?;
        for peer in &mut peers {
            peer.send(&request("Well", "wish", &json!([]), "1")).await?;
        }
        io::Result::Ok(peers)
    })
    .expect("the manager serves");
    subject.wait_for_statistic("in_flight", |in_flight| in_flight >= clients as u64);
    let peers = run(async move {
        for peer in &mut peers {
            peer.writer.shutdown().await?;
        }
        io::Result::Ok(peers)
    })
    .expect("the connections are open");
    let process = subject.process();
    let (used, begun) = (process.processor_time(), Instant::now());
    std::thread::sleep(WATCHED);
    let used = process.processor_time().saturating_sub(used);
    let share = used.as_secs_f64() / begun.elapsed().as_secs_f64();
    let waiting = subject.statistic("in_flight");
    assert!(waiting >= clients as u64, "{waiting} clients still wait");
    assert!(share < SHARE, "the manager used {share:.2} of a processor");
    run(async move { drop((peers, well)) });
    let figures = format!(
        "{clients} half-closed clients waited, {:.0} % of a processor",
        share * 100.0
    );
    subject.finish(&figures, IDLE_MEMORY + clients as u64 * 24 * 1_024)
}
