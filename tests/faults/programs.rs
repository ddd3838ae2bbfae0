//! Peers in processes of their own, which a case can kill or stop: this same program, started with
//! a role.

use std::process::{Command, ExitCode};

use labwire_client::{Client, Lock};
use labwire_service::{ConnectOptions, Runner, service};

use crate::support::manager::Manager;
use crate::support::process::Process;

/// The argument that makes this program a peer, followed by its role.
pub(crate) const ROLE: &str = "--as";

/// More requests than any case has in flight at one service.
const QUEUE: usize = 20_000;

struct Oven;

#[service]
impl Oven {
    pub fn double(&self, number: u64) -> u64 {
        2 * number
    }

    pub async fn heat(&self) -> u64 {
        std::future::pending().await
    }
}

/// Starts a service of that name in a process of its own, which answers `double` and never answers
/// `heat`.
pub(crate) fn start_service(manager: &Manager, name: &str) -> Process {
    let process = start(manager, &["service", name]);
    manager.wait_for_registered(name);
    process
}

/// Starts a client in a process of its own that holds the exclusive lock on a service.
pub(crate) fn start_lock_holder(manager: &Manager, service: &str) -> Process {
    let process = start(manager, &["lock-holder", service]);
    process.wait_for("that it holds the lock", |line| (line == "locked").then_some(()));
    process
}

fn start(manager: &Manager, arguments: &[&str]) -> Process {
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    command.arg(ROLE).args(arguments).envs(manager.environment());
    // A peer with a session would keep its place for a while after it was killed.
    command.env("LABWIRE_SESSION", "false");
    Process::spawn(arguments[0], &mut command)
}

/// Runs the peer that the arguments select.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let options = ConnectOptions::from_environment().expect("the case says where its manager is");
    match arguments {
        [role, name] if role == "service" => Runner::new(Oven)
            .name(name)
            .queue(QUEUE)
            .options(options)
            .start()
            .expect("the service is stopped by its case"),
        [role, service] if role == "lock-holder" => hold_lock(service),
        _ => panic!("no such role: {arguments:?}"),
    }
    ExitCode::SUCCESS
}

fn hold_lock(service: &str) {
    let options =
        labwire_client::ConnectOptions::from_environment().expect("the case says where its manager is");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a thread can wait for sockets").block_on(async {
        let client = Client::connect("holder", options)
            .await
            .expect("the manager serves");
        let link = client.link(service).await.expect("there is room for a link");
        let _lock = link.lock(Lock::Exclusive).await.expect("nobody else is linked");
        println!("locked");
        client.closed().await;
    });
}
