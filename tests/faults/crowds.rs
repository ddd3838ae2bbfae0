//! Many peers, and more than the limits allow.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::generator::{run, spawn};
use crate::hostile::home_with_administrator;
use crate::observed::{IDLE_MEMORY, MIB, Subject};
use crate::outcomes::milliseconds;
use crate::peer::{Peer, Target, address, client};
use crate::runner::scaled;
use crate::support::process::through;

/// Number of concurrent connection attempts.
const CONNECTING: usize = 64;

/// Memory of an idle client in the manager, in bytes: its task, its registry entry, its links, and
/// its socket in the runtime.
const IDLE_CLIENT: u64 = 16 * 1024;

/// Connects many clients, some at a time. Each links with the service, if one is given.
async fn connect(
    target: &Target,
    group: u8,
    clients: usize,
    link: Option<&'static str>,
) -> io::Result<Vec<Peer>> {
    let turns = Arc::new(Semaphore::new(CONNECTING));
    let connecting: Vec<_> = (0..clients)
        .map(|number| {
            let (target, turns) = (target.clone(), Arc::clone(&turns));
            tokio::spawn(async move {
                let _turn = turns.acquire().await;
                let mut peer = Peer::join(&target, address(group, number), client("Ada")).await?;
                if let Some(service) = link {
                    peer.link(service).await?;
                }
                io::Result::Ok(peer)
            })
        })
        .collect();
    let mut peers = Vec::new();
    for task in connecting {
        peers.push(task.await.expect("nothing panics")?);
    }
    Ok(peers)
}

/// Closes connections at the rate at which ten thousand clients leave within two seconds. If they
/// leave at once, a bystander may wait once for 150 ms, until the manager has processed each of
/// them. That is below the maximum, but in such a short case it is more than one request in a
/// hundred.
async fn leave(mut peers: Vec<Peer>) {
    while !peers.is_empty() {
        peers.truncate(peers.len().saturating_sub(100));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Connects to a full manager, and returns the reason in its error.
async fn be_turned_away(target: &Target, number: usize) -> String {
    let mut peer = Peer::connect(target, address(6, number))
        .await
        .expect("the manager accepts");
    let frame = peer.frame().await.expect("a reason comes before the close");
    let closed = peer.line().await.expect("the connection is closed");
    assert_eq!(closed, None, "it goes on after {frame}");
    frame["message"]
        .as_str()
        .expect("an error has a message")
        .to_owned()
}

pub(crate) fn idle_clients_are_served_up_to_the_limit_and_the_next_are_told_why() -> String {
    let (clients, more) = scaled((500, 100), (10_000, 1_000));
    // The bystanders, the administrator and the service are connections, too.
    let limit = (clients + 4).to_string();
    let mut subject = Subject::start(&["--disable-tls", "--connections", &limit]);
    let target = subject.target.clone();
    let before = subject.process().memory("VmRSS");
    let begun = Instant::now();
    let (service, idle) = run(async move {
        let service = Peer::service(&target, "Balance")
            .await
            .expect("the manager serves");
        let idle = connect(&target, 5, clients, Some("Balance")).await;
        (service, idle.expect("there is room for all of them"))
    });
    let connected = begun.elapsed();
    let linked = subject.ask("service_links")["Balance"].as_array().map(Vec::len);
    assert_eq!(linked, Some(clients));
    let each = subject.process().memory("VmRSS").saturating_sub(before) / clients as u64;
    assert!(each < IDLE_CLIENT, "an idle client costs {each} bytes");
    let begun = Instant::now();
    let refusing: Vec<_> = (0..more)
        .map(|number| {
            let target = subject.target.clone();
            spawn(async move { be_turned_away(&target, number).await })
        })
        .collect();
    for task in refusing {
        let reason = task.join();
        assert!(reason.contains(&limit), "this tells no limit: {reason}");
    }
    let refused = begun.elapsed();
    let counted = subject.statistic("too_many_connections");
    assert_eq!(counted, more as u64);
    run(leave(idle));
    drop(service);
    let figures = format!(
        "{clients} linked idle clients in {:.1} s, {} KiB each; the next {more} refused with a reason in {}",
        connected.as_secs_f64(),
        each.div_ceil(1024),
        milliseconds(refused)
    );
    let most = IDLE_MEMORY + clients as u64 * IDLE_CLIENT + 64 * MIB;
    subject.finish(&figures, most)
}

pub(crate) fn a_manager_without_descriptors_neither_spins_nor_stays_deaf() -> String {
    /// Maximum share of a processor that the manager may use meanwhile, the bystanders' requests
    /// included.
    const SPIN: f64 = 0.3;
    const DEAF: Duration = Duration::from_secs(1);
    let descriptors = scaled(100, 500);
    let time = Duration::from_secs(scaled(2, 10));
    let home = home_with_administrator();
    let options = ["--disable-tls"];
    let mut command = home.command(&["start", "--port", "0"]);
    command.args(options);
    let limited = format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"");
    let mut command = through("sh", &["-c", &limited], &command);
    let mut subject = Subject::start_command(home, &mut command, &options);
    // Connections that are not accepted wait in the system's queue, unnoticed by their peers.
    let crowd: Vec<_> = (0..2 * descriptors)
        .map(|number| {
            let target = subject.target.clone();
            spawn(async move { Peer::join(&target, address(7, number), client("Ada")).await })
        })
        .collect();
    subject.wait_for_statistic("accept_failures", |failures| failures > 0);
    let process = subject.process();
    let (used, begun) = (process.processor_time(), Instant::now());
    std::thread::sleep(time);
    let used = process.processor_time().saturating_sub(used);
    let share = used.as_secs_f64() / begun.elapsed().as_secs_f64();
    assert!(
        share < SPIN,
        "the manager used {share:.2} of a processor while it had no descriptors"
    );
    let (sockets, others) = process.descriptors();
    let failures = subject.statistic("accept_failures");
    let served = crowd.iter().filter(|task| task.is_finished()).count();
    let target = subject.target.clone();
    let closed = Instant::now();
    drop(crowd);
    run(async move { Peer::client(&target, "Ada").await.map(drop) }).expect("the manager serves on");
    let deaf = closed.elapsed();
    assert!(deaf < DEAF, "a newcomer was served after {deaf:?}");
    let figures = format!(
        "{} of {descriptors} descriptors taken by {served} clients for {:.0} s, {:.0} % of a processor, {failures} \
         failed attempts to accept; a newcomer served {} after they had gone",
        sockets + others,
        time.as_secs_f64(),
        share * 100.0,
        milliseconds(deaf)
    );
    subject.finish(&figures, IDLE_MEMORY)
}
