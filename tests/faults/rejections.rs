//! Tens of thousands of rejected connections.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;

use crate::generator::{Task, run, spawn};
use crate::observed::{IDLE_MEMORY, Subject};
use crate::peer::{Peer, Target, address, client};
use crate::runner::scaled;

/// Bytes that all of them together may add to the log.
const LOG_BYTES: u64 = 64 * 1024;

/// Rows that they may add to the table of connections.
const ROWS: usize = 500;

/// Sends an invalid identity, and reads the reason of the refusal.
async fn be_rejected(target: &Target, from: Ipv4Addr) -> io::Result<()> {
    let mut peer = Peer::connect(target, from).await?;
    peer.expect_asked("identity").await?;
    peer.send_bytes(b"{\"result\":\"I am nobody\"}\r\n").await?;
    let told = peer.frame().await?;
    let is_told = told["message"]
        .as_str()
        .is_some_and(|text| text.contains("is no identity"));
    is_told
        .then_some(())
        .ok_or_else(|| io::Error::other(told.to_string()))
}

fn log_size(subject: &Subject) -> u64 {
    let files = fs::read_dir(subject.manager.home().path("logs")).expect("the manager logs");
    files
        .map(|file| {
            file.and_then(|file| file.metadata())
                .expect("the file stays")
                .len()
        })
        .sum()
}

pub(crate) fn rejected_connections_fill_neither_the_log_nor_the_table_of_connections() -> String {
    const AT_ONCE: usize = 64;
    const ADDRESSES: usize = 8;
    let rejected = scaled(2_000, 22_000);
    let mut subject = Subject::start(&["--disable-tls"]);
    let size_before = log_size(&subject);
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let begun = Instant::now();
    let rejecting: Vec<_> = (0..rejected)
        .map(|number| {
            let (target, turns) = (subject.target.clone(), Arc::clone(&turns));
            spawn(async move {
                let _turn = turns.acquire().await;
                let told = be_rejected(&target, address(5, number % ADDRESSES)).await;
                told.expect("the manager says why");
            })
        })
        .collect();
    rejecting.into_iter().for_each(Task::join);
    let took = begun.elapsed().as_secs_f64();
    // An accepted peer, so that the log and the table are written up to here.
    let target = subject.target.clone();
    let let_in = run(async move {
        Peer::join(&target, Ipv4Addr::LOCALHOST, client("Ada"))
            .await
            .map(drop)
    });
    let_in.expect("the manager serves on");
    subject.manager.wait_for_log("Ada[");
    let rows = subject.ask("connections_table.connections");
    let rows = rows.as_array().expect("a list of rows");
    let of_strangers = rows.iter().filter(|row| {
        let message = row[5].as_str().expect("a message is a text");
        message.starts_with("rejected") || message.starts_with("new connection request")
    });
    let of_strangers = of_strangers.count();
    let added = log_size(&subject) - size_before;
    let [log_left_out, audit_left_out] =
        ["log_left_out", "audit_left_out"].map(|name| subject.statistic(name));
    assert!(
        added < LOG_BYTES,
        "{rejected} rejected connections added {added} bytes to the log"
    );
    assert!(
        of_strangers < ROWS,
        "{rejected} rejected connections added {of_strangers} rows"
    );
    let all = rejected as u64;
    assert!(
        log_left_out > all / 2 && audit_left_out > all / 2,
        "{log_left_out} and {audit_left_out}"
    );
    let figures = format!(
        "{rejected} rejected connections in {took:.1} s added {added} bytes to the log and {of_strangers} rows to the \
         table of connections; left out {log_left_out} lines and {audit_left_out} connections"
    );
    subject.finish(&figures, 2 * IDLE_MEMORY)
}
