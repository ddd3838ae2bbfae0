//! A manager that is killed and started again under 100 services and 100 clients, which reconnect
//! automatically.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use labwire_client::{CallError, Client, ClientOptions, Executed, Link, Notifications, args};
use labwire_service::{Backoff, ConnectOptions, Notifier, NotifyError, Runner, RunningService, service};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::support::manager::{Home, Manager};
use super::support::process::Signal;

/// Number of services, and of clients.
const PEERS: usize = 100;

/// Timeout for all of them to be reconnected, from the moment in which the port is open.
const BACK: Duration = Duration::from_secs(10);

/// Timeout of anything else, with 200 peers on a slow machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Counts the executions of each request in all services, by its number.
#[derive(Default)]
struct Executions {
    counts: Mutex<HashMap<u64, usize>>,
    began: Notify,
}

struct Worker {
    executions: Arc<Executions>,
    notifier: Notifier,
}

#[service]
impl Worker {
    /// Executes until the service ends.
    pub async fn hold(&self, number: u64) {
        *self.executions.counts.lock().unwrap().entry(number).or_default() += 1;
        self.executions.began.notify_one();
        std::future::pending::<()>().await;
    }

    pub async fn double(&self, x: u64) -> u64 {
        2 * x
    }

    pub async fn emit(&self, number: u64) -> Result<(), NotifyError> {
        self.notifier.notify(args![number])
    }
}

fn start_manager(home: Home, port: u16) -> Manager {
    let mut command = home.command(&["start", "--port", &port.to_string()]);
    Manager::start_command(home, &mut command)
}

struct Peers {
    services: Vec<RunningService>,
    clients: Vec<(Link, Notifications)>,
    executions: Arc<Executions>,
}

async fn connect_peers(options: &ConnectOptions) -> Peers {
    let executions = Arc::new(Executions::default());
    let mut services = JoinSet::new();
    for number in 0..PEERS {
        let notifier = Notifier::new();
        let worker = Worker {
            executions: Arc::clone(&executions),
            notifier: notifier.clone(),
        };
        let runner = Runner::new(worker)
            .name(format!("Worker {number}"))
            .notifier(notifier);
        let options = options.clone();
        services.spawn(async move { runner.options(options).connect().await.unwrap() });
    }
    let services = services.join_all().await;
    let mut clients = JoinSet::new();
    for number in 0..PEERS {
        let options = ClientOptions::from(options.clone());
        clients.spawn(async move {
            let client = Client::connect(format!("Client {number}"), options)
                .await
                .unwrap();
            let link = client.link(&format!("Worker {number}")).await.unwrap();
            let notifications = link.notifications();
            (link, notifications)
        });
    }
    let clients = clients.join_all().await;
    Peers {
        services,
        clients,
        executions,
    }
}

/// A call in flight when the manager is killed ends with the error for that.
async fn held(link: Link, number: u64) {
    let error = link.call::<()>("hold", args![number]).await.unwrap_err();
    assert!(matches!(error, CallError::Disconnected { .. }), "{error}");
    assert_eq!(error.executed(), Executed::Maybe, "{error}");
}

/// Checks that a client is linked again, gets a reply and a notification.
async fn back(link: Link, mut notifications: Notifications, number: u64) {
    link.linked().await.unwrap();
    let double: u64 = link.call("double", args![number]).await.unwrap();
    assert_eq!(double, 2 * number);
    let () = link.call("emit", args![number]).await.unwrap();
    let notification = notifications.next().await.unwrap();
    assert_eq!(notification.decode::<(u64,)>().unwrap(), (number,));
}

#[test]
fn everyone_comes_back_to_a_manager_that_was_killed() {
    let manager = start_manager(Home::new(), 0);
    let port = manager.port();
    let options = ConnectOptions::new()
        .port(port)
        .certificate_file(manager.certificate())
        .timeout(PATIENCE)
        .reconnect(Backoff::new());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let peers = runtime.block_on(connect_peers(&options));
    let executions = Arc::clone(&peers.executions);

    // Each client has a call in flight, and each service executes one.
    let mut calls = JoinSet::new();
    for (number, (link, _)) in (0..).zip(&peers.clients) {
        calls.spawn_on(held(link.clone(), number), runtime.handle());
    }
    runtime.block_on(async {
        while executions.counts.lock().unwrap().len() < PEERS {
            tokio::time::timeout(PATIENCE, executions.began.notified())
                .await
                .unwrap();
        }
    });

    let home = kill(manager);
    runtime.block_on(async {
        let ended = tokio::time::timeout(PATIENCE, calls.join_all()).await.unwrap();
        assert_eq!(ended.len(), PEERS);
    });

    let manager = start_manager(home, port);
    let open = Instant::now();
    let mut returning = JoinSet::new();
    for (number, (link, notifications)) in (1_000..).zip(peers.clients) {
        returning.spawn_on(back(link, notifications, number), runtime.handle());
    }
    runtime.block_on(async {
        let all = tokio::time::timeout(PATIENCE, returning.join_all())
            .await
            .unwrap();
        assert_eq!(all.len(), PEERS);
    });
    let took = open.elapsed();
    println!(
        "{PEERS} services and {PEERS} clients were back {:.2} s after the port was open",
        took.as_secs_f64()
    );
    assert!(took < BACK, "it took {took:?}");

    // No request was sent a second time.
    let counts = executions.counts.lock().unwrap();
    assert!(counts.values().all(|&count| count == 1), "{counts:?}");
    drop(counts);
    runtime.block_on(async {
        for service in peers.services {
            service.handle().shut_down();
        }
    });
    drop(manager);
}

/// Kills a manager without a graceful shutdown, and returns its files.
fn kill(mut manager: Manager) -> Home {
    manager.signal(Signal::KILL);
    assert!(!manager.wait_for_end().success());
    manager.take_home()
}
