//! Clients and services whose connections break, at a real manager: their sessions go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use labwire_client::{
    Backoff, CallError, Client, ClientOptions, Executed, Lock, LockOptions, SessionState, args,
};
use labwire_service::{
    Array, ConnectOptions, Notifier, Progress, Runner, RunningService, ServiceError, ServiceState, service,
};
use labwire_testing::TestManager;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::proxy::Proxy;

/// The time limit for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// Fails the test if it takes too long.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it takes too long")
}

#[derive(Clone)]
struct Dmm {
    gate: Arc<Semaphore>,
    calls: Arc<AtomicUsize>,
    begun: Arc<Semaphore>,
    notifier: Notifier,
}

#[service]
impl Dmm {
    /// Answers once the gate is open.
    pub async fn read(&self, x: u64) -> u64 {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.begun.add_permits(1);
        self.gate.acquire().await.unwrap().forget();
        x
    }

    pub async fn long(&self, length: usize) -> String {
        self.calls.fetch_add(1, Ordering::SeqCst);
        "x".repeat(length)
    }

    /// Returns bytes that look like line ends.
    pub async fn image(&self, length: usize) -> Array {
        self.calls.fetch_add(1, Ordering::SeqCst);
        image(length)
    }

    pub async fn echo(&self, image: Array) -> Array {
        self.calls.fetch_add(1, Ordering::SeqCst);
        image
    }

    pub async fn film(&self, length: usize, progress: &Progress) -> Result<usize, ServiceError> {
        for _ in 0..3 {
            progress.send_item(image(length)).await?;
        }
        progress.set(image(3))?;
        Ok(length)
    }
}

fn image(length: usize) -> Array {
    Array::from(vec![b'\n'; length])
}

impl Dmm {
    fn new() -> Self {
        Self {
            gate: Arc::new(Semaphore::new(0)),
            calls: Arc::new(AtomicUsize::new(0)),
            begun: Arc::new(Semaphore::new(0)),
            notifier: Notifier::new(),
        }
    }

    async fn serve(&self, options: ConnectOptions) -> RunningService {
        let runner = Runner::new(self.clone())
            .name("DMM")
            .notifier(self.notifier.clone());
        soon(runner.options(options).connect()).await.unwrap()
    }

    /// Waits until a call executes.
    async fn begun(&self) {
        soon(self.begun.acquire()).await.unwrap().forget();
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

fn at(port: u16) -> ConnectOptions {
    let backoff = Backoff::new().maximum(Duration::from_millis(100));
    ConnectOptions::new()
        .host(TestManager::HOST)
        .port(port)
        .without_tls()
        .reconnect(backoff)
}

async fn until(client: &Client, state: SessionState) {
    soon(async {
        let mut now = client.session();
        while now != state {
            now = client.session_changed(now).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_returns_has_its_link_lock_calls_and_notifications() {
    let manager = TestManager::start().await;
    let proxy = Proxy::to(manager.port()).await;
    let dmm = Dmm::new();
    let _running = dmm.serve(at(manager.port())).await;
    let client = soon(Client::connect("Ada", at(proxy.port()))).await.unwrap();
    assert_eq!(client.session(), SessionState::New);
    let name = client.network_name();
    let options = LockOptions::new(Lock::Exclusive);
    let guard = soon(client.lock("DMM", options)).await.unwrap();
    let link = guard.link().clone();
    let mut notifications = link.notifications();
    let mut pending = Vec::new();
    for x in 0..3_u64 {
        pending.push(link.call::<u64>("read", args![x]).send().await.unwrap());
        dmm.begun().await;
    }
    dmm.notifier.notify((1,)).unwrap();
    assert_eq!(
        soon(notifications.next())
            .await
            .unwrap()
            .decode::<(u64,)>()
            .unwrap(),
        (1,)
    );

    proxy.cut();
    until(&client, SessionState::Away).await;
    assert!(guard.is_held() && !link.is_linked() && !client.is_connected());
    dmm.notifier.notify((2,)).unwrap();
    dmm.gate.add_permits(3);
    // Nobody else can take the service meanwhile.
    let other = soon(Client::connect("Bob", at(manager.port()))).await.unwrap();
    assert!(soon(other.link("DMM")).await.is_err());

    proxy.repair();
    until(&client, SessionState::Kept).await;
    for (x, pending) in pending.into_iter().enumerate() {
        assert_eq!(soon(pending).await.unwrap(), x as u64);
    }
    assert!(guard.is_held() && link.is_linked());
    assert_eq!(client.network_name(), name);
    let next = soon(notifications.next()).await.unwrap();
    assert_eq!((next.decode::<(u64,)>().unwrap(), next.lost()), ((2,), 0));
    assert_eq!(dmm.calls(), 3);
    assert_eq!(proxy.count("\"link\""), 1, "it has not linked again");
}

#[tokio::test]
async fn a_reply_that_was_cut_in_half_goes_on() {
    let manager = TestManager::start().await;
    let proxy = Proxy::to(manager.port()).await;
    let dmm = Dmm::new();
    let _running = dmm.serve(at(manager.port())).await;
    let client = soon(Client::connect("Ada", at(proxy.port()))).await.unwrap();
    let link = soon(client.link("DMM")).await.unwrap();
    for length in [1_000, 50_000, 500_000_usize] {
        let before = client.session();
        proxy.cut_after(length as u64 / 2);
        let reply: String = soon(link.call("long", args![length]).send())
            .await
            .map(soon)
            .unwrap()
            .await
            .unwrap();
        assert_eq!(reply.len(), length);
        assert_eq!(client.session(), SessionState::Kept, "it was {before:?}");
    }
    assert_eq!(dmm.calls(), 3);
}

#[tokio::test]
async fn arrays_that_were_cut_in_half_go_on() {
    let manager = TestManager::start().await;
    let proxy = Proxy::to(manager.port()).await;
    let dmm = Dmm::new();
    let _running = dmm.serve(at(manager.port())).await;
    let client = soon(Client::connect("Ada", at(proxy.port()))).await.unwrap();
    let link = soon(client.link("DMM")).await.unwrap();
    for (length, cut) in [
        (1_000, 2),
        (1_000, 500),
        (50_000, 49_000),
        (200_000, 100_000_usize),
    ] {
        proxy.cut_after(cut as u64);
        let reply = link.call::<Array>("image", args![length]).send().await.unwrap();
        assert_eq!(soon(reply).await.unwrap(), image(length));
        until(&client, SessionState::Kept).await;
        proxy.cut_after(cut as u64 + 200);
        let mut film = link.call::<usize>("film", args![length]).follow().await.unwrap();
        let mut items = film.items::<Array>();
        let progress = film.progress();
        for _ in 0..3 {
            assert_eq!(soon(items.next()).await.unwrap().unwrap(), image(length));
        }
        assert_eq!(soon(film).await.unwrap(), length);
        let latest: Array = progress.latest().unwrap().decode().unwrap();
        assert_eq!(latest, image(3));
        assert!(link.is_linked());
    }
    assert_eq!(dmm.calls(), 4);
}

#[tokio::test]
async fn a_service_that_is_cut_off_amid_an_array_receives_the_rest() {
    let manager = TestManager::start().await;
    let proxy = Proxy::to(manager.port()).await;
    let dmm = Dmm::new();
    let running = dmm.serve(at(proxy.port()).keep_callers(true)).await;
    let client = soon(Client::connect("Ada", at(manager.port()))).await.unwrap();
    let link = soon(client.link("DMM")).await.unwrap();
    for (length, cut) in [(1_000, 500), (50_000, 49_000), (500_000, 250_000_usize)] {
        proxy.cut_after(cut as u64);
        let reply = link
            .call::<Array>("echo", args![image(length)])
            .send()
            .await
            .unwrap();
        assert_eq!(soon(reply).await.unwrap(), image(length));
        soon(running.handle().wait_for(ServiceState::Connected)).await;
        assert!(running.handle().session_kept());
    }
    assert_eq!(dmm.calls(), 3);
}

#[tokio::test]
async fn a_client_that_does_not_reconnect_returns_to_its_session_all_the_same() {
    let manager = TestManager::start().await;
    let proxy = Proxy::to(manager.port()).await;
    let dmm = Dmm::new();
    let _running = dmm.serve(at(manager.port())).await;
    let options = ConnectOptions::new()
        .host(TestManager::HOST)
        .port(proxy.port())
        .without_tls();
    let client = soon(Client::connect("Ada", options)).await.unwrap();
    let link = soon(client.link("DMM")).await.unwrap();
    let pending = link.call::<u64>("read", args![7]).send().await.unwrap();
    dmm.begun().await;
    proxy.cut();
    until(&client, SessionState::Away).await;
    dmm.gate.add_permits(1);
    proxy.repair();
    assert_eq!(soon(pending).await.unwrap(), 7);
    // When the manager ends, so does the client.
    let pending = link.call::<u64>("read", args![8]).send().await.unwrap();
    dmm.begun().await;
    manager.kill().await;
    proxy.cut();
    let error = soon(pending).await.unwrap_err();
    assert_eq!(error.executed(), Executed::Maybe);
}

/// How long connections are refused: for several attempts.
const REFUSED: Duration = Duration::from_millis(1_500);

#[tokio::test]
async fn connections_that_are_refused_meanwhile_do_not_end_the_return() {
    let manager = TestManager::start().await;
    let (near, far) = (Proxy::to(manager.port()).await, Proxy::to(manager.port()).await);
    let dmm = Dmm::new();
    let running = dmm.serve(at(far.port()).keep_callers(true)).await;
    for reconnects in [false, true] {
        let options = if reconnects {
            at(near.port())
        } else {
            ConnectOptions::new()
                .host(TestManager::HOST)
                .port(near.port())
                .without_tls()
        };
        let client = soon(Client::connect("Ada", options)).await.unwrap();
        let name = client.network_name();
        let guard = soon(client.lock("DMM", Lock::Exclusive)).await.unwrap();
        let pending = guard.link().call::<u64>("read", args![7]).send().await.unwrap();
        dmm.begun().await;
        near.refuse();
        far.refuse();
        until(&client, SessionState::Away).await;
        soon(running.handle().wait_for(ServiceState::Reconnecting)).await;
        tokio::time::sleep(REFUSED).await;
        near.repair();
        far.repair();
        until(&client, SessionState::Kept).await;
        soon(running.handle().wait_for(ServiceState::Connected)).await;
        assert!(guard.is_held() && running.handle().session_kept());
        assert_eq!(client.network_name(), name);
        dmm.gate.add_permits(1);
        assert_eq!(soon(pending).await.unwrap(), 7);
        soon(client.disconnect()).await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_reconnect_ends_when_its_grace_period_is_over() {
    let manager = TestManager::start().await;
    let proxy = Proxy::to(manager.port()).await;
    let options = ConnectOptions::new()
        .host(TestManager::HOST)
        .port(proxy.port())
        .without_tls()
        .session_grace(Duration::from_secs(1));
    let client = soon(Client::connect("Ada", options)).await.unwrap();
    let broken = std::time::Instant::now();
    proxy.refuse();
    let reason = soon(client.closed()).await;
    assert!(broken.elapsed() >= Duration::from_secs(1), "{reason}");
    assert!(
        reason.contains("could not return to its session within its grace period"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_manager_that_was_started_again_ends_the_return_at_once() {
    let manager = TestManager::start().await;
    let dmm = Dmm::new();
    let _running = dmm.serve(at(manager.port())).await;
    let options = ConnectOptions::new()
        .host(TestManager::HOST)
        .port(manager.port())
        .without_tls()
        .session_grace(Duration::from_hours(1));
    let client = soon(Client::connect("Ada", options)).await.unwrap();
    let stopped = manager.kill().await;
    until(&client, SessionState::Away).await;
    let _manager = stopped.start().await;
    let reason = soon(client.closed()).await;
    assert!(
        reason.contains("the manager was restarted, or the time of the session is over"),
        "{reason}"
    );
}

#[tokio::test]
async fn linked_clients_hear_that_a_service_is_away_and_back() {
    let manager = TestManager::start().await;
    let proxy = Proxy::to(manager.port()).await;
    let dmm = Dmm::new();
    let running = dmm.serve(at(proxy.port())).await;
    let client = soon(Client::connect("Ada", at(manager.port()))).await.unwrap();
    let link = soon(client.link("DMM")).await.unwrap();
    for _ in 0..2 {
        assert!(!link.is_service_away());
        proxy.cut();
        assert!(soon(link.service_away_changed(false)).await);
        assert!(link.is_service_away() && link.is_linked());
        proxy.repair();
        assert!(!soon(link.service_away_changed(true)).await);
    }
    proxy.cut();
    assert!(soon(link.service_away_changed(false)).await);
    proxy.repair();
    soon(running.handle().wait_for(ServiceState::Connected)).await;
    running.handle().shut_down();
    soon(link.unlinked()).await;
    assert!(!link.is_service_away());
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_end_leave_nothing_behind() {
    let manager = TestManager::start().await;
    let options = at(manager.port()).session_grace(Duration::from_hours(1));
    let observer = soon(Client::connect("observer", options.clone())).await.unwrap();
    let ends: [fn(Client); 3] = [
        drop,
        |client| tokio::runtime::Handle::current().block_on(client.disconnect()),
        |client| {
            let _client = client;
            std::panic::resume_unwind(Box::new("a panic of the test"));
        },
    ];
    for ended in ends {
        let options = options.clone();
        let program = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let client = runtime.block_on(Client::connect("Ada", options)).unwrap();
            let _entered = runtime.enter();
            ended(client);
        });
        // The panic of one of them is expected.
        let _ = tokio::task::spawn_blocking(move || program.join()).await.unwrap();
        soon(async {
            while observer.identities().await.unwrap().clients.len() > 1 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
    let program = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        // The runtime ends, and the service with it.
        drop(runtime.block_on(Dmm::new().serve(options)));
    });
    tokio::task::spawn_blocking(move || program.join())
        .await
        .unwrap()
        .unwrap();
    soon(async {
        while !observer.identities().await.unwrap().services.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn after_the_grace_period_calls_end_and_the_client_registers_anew() {
    let manager = TestManager::start().await;
    let proxy = Proxy::to(manager.port()).await;
    let dmm = Dmm::new();
    let _running = dmm.serve(at(manager.port())).await;
    let options = at(proxy.port()).session_grace(Duration::from_secs(1));
    let client = soon(Client::connect("Ada", options)).await.unwrap();
    let guard = soon(client.lock("DMM", LockOptions::new(Lock::Exclusive)))
        .await
        .unwrap();
    let link = guard.link().clone();
    let pending = link.call::<u64>("read", args![1]).send().await.unwrap();
    dmm.begun().await;
    proxy.cut();
    until(&client, SessionState::Away).await;
    let error = soon(pending).await.unwrap_err();
    assert!(
        matches!(
            error,
            CallError::Disconnected {
                executed: Executed::Maybe,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(!guard.is_held());
    // The manager has released the lock in one step.
    let other = soon(Client::connect("Bob", at(manager.port()))).await.unwrap();
    let options = LockOptions::new(Lock::Exclusive).wait(PATIENCE);
    drop(soon(other.lock("DMM", options)).await.unwrap());
    proxy.repair();
    until(&client, SessionState::Lost).await;
    soon(link.linked()).await.unwrap();
    dmm.gate.add_permits(2);
    assert_eq!(
        soon(async { link.call::<u64>("read", args![2]).await })
            .await
            .unwrap(),
        2
    );
    assert_eq!(dmm.calls(), 2);
}

#[tokio::test]
async fn a_service_that_returns_sends_the_replies_that_were_not_read() {
    let manager = TestManager::start().await;
    let proxy = Proxy::to(manager.port()).await;
    let dmm = Dmm::new();
    let running = dmm.serve(at(proxy.port()).keep_callers(true)).await;
    let name = running.network_name();
    let client = soon(Client::connect("Ada", at(manager.port()))).await.unwrap();
    let link = soon(client.link("DMM")).await.unwrap();
    let mut notifications = link.notifications();
    for x in 0..10_u64 {
        let pending = link.call::<u64>("read", args![x]).send().await.unwrap();
        dmm.begun().await;
        proxy.cut();
        assert_eq!(
            soon(running.handle().wait_for(ServiceState::Reconnecting)).await,
            ServiceState::Reconnecting
        );
        dmm.gate.add_permits(1);
        proxy.repair();
        assert_eq!(soon(pending).await.unwrap(), x);
        assert_eq!(
            soon(running.handle().wait_for(ServiceState::Connected)).await,
            ServiceState::Connected
        );
        assert!(running.handle().session_kept());
    }
    assert_eq!(dmm.calls(), 10);
    assert_eq!(running.network_name(), name);
    assert!(link.is_linked());
    dmm.notifier.notify((1,)).unwrap();
    let next = soon(notifications.next()).await.unwrap();
    assert_eq!((next.decode::<(u64,)>().unwrap(), next.lost()), ((1,), 0));
}

#[tokio::test]
async fn callers_of_a_service_that_does_not_keep_them_are_told_at_once() {
    let manager = TestManager::start().await;
    let proxy = Proxy::to(manager.port()).await;
    let dmm = Dmm::new();
    let running = dmm.serve(at(proxy.port())).await;
    let client = soon(Client::connect("Ada", at(manager.port()))).await.unwrap();
    let link = soon(client.link("DMM")).await.unwrap();
    let pending = link.call::<u64>("read", args![1]).send().await.unwrap();
    dmm.begun().await;
    proxy.cut();
    assert_eq!(soon(pending).await.unwrap_err().executed(), Executed::Maybe);
    let refused = soon(async { link.call::<u64>("read", args![2]).await })
        .await
        .unwrap_err();
    assert_eq!(refused.executed(), Executed::No);
    assert!(link.is_linked());
    proxy.repair();
    soon(running.handle().wait_for(ServiceState::Reconnecting)).await;
    soon(running.handle().wait_for(ServiceState::Connected)).await;
    dmm.gate.add_permits(2);
    assert_eq!(
        soon(async { link.call::<u64>("read", args![3]).await })
            .await
            .unwrap(),
        3
    );
}

#[tokio::test]
async fn after_a_restart_of_the_manager_everybody_registers_anew() {
    let manager = TestManager::start().await;
    let dmm = Dmm::new();
    let running = dmm.serve(at(manager.port())).await;
    let client = soon(Client::connect("Ada", at(manager.port()))).await.unwrap();
    let link = soon(client.link("DMM")).await.unwrap();
    let pending = link.call::<u64>("read", args![1]).send().await.unwrap();
    dmm.begun().await;
    let stopped = manager.kill().await;
    until(&client, SessionState::Away).await;
    soon(running.handle().wait_for(ServiceState::Reconnecting)).await;
    let _manager = stopped.start().await;
    assert_eq!(soon(pending).await.unwrap_err().executed(), Executed::Maybe);
    until(&client, SessionState::Lost).await;
    soon(link.linked()).await.unwrap();
    assert!(!running.handle().session_kept());
    dmm.gate.add_permits(2);
    assert_eq!(
        soon(async { link.call::<u64>("read", args![2]).await })
            .await
            .unwrap(),
        2
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_many_breaks_each_call_ends_once_with_its_own_reply() {
    let manager = TestManager::start().await;
    let (near, far) = (Proxy::to(manager.port()).await, Proxy::to(manager.port()).await);
    let dmm = Dmm::new();
    let _running = dmm.serve(at(far.port()).keep_callers(true)).await;
    let options = ClientOptions::from(at(near.port())).buffer(1_000);
    let client = soon(Client::connect("Ada", options)).await.unwrap();
    let link = soon(client.link("DMM")).await.unwrap();
    dmm.gate.add_permits(10_000);
    let (mut done, mut unread) = (0_usize, 0_usize);
    let mut rng = fastrand::Rng::with_seed(7);
    for round in 0..25_u64 {
        let mut pending = Vec::new();
        for x in 0..20_u64 {
            let call = link.call::<u64>("read", args![round * 100 + x]);
            pending.push((round * 100 + x, soon(call.send()).await.unwrap()));
        }
        let way = if rng.bool() { &near } else { &far };
        if rng.bool() {
            way.cut();
            tokio::task::yield_now().await;
            way.repair();
        } else {
            way.cut_after(rng.u64(1..2_000));
        }
        for (x, pending) in pending {
            match soon(pending).await {
                Ok(y) => {
                    assert_eq!(x, y);
                    done += 1;
                }
                // The break came before the manager had read the request.
                Err(error) => {
                    assert_eq!(error.executed(), Executed::No, "{error}");
                    unread += 1;
                }
            }
        }
    }
    assert_eq!(done + unread, 500);
    assert_eq!(dmm.calls(), done, "none was executed twice, or for nothing");
    assert!(done > 100, "{done} done, {unread} unread");
}
