//! The services that run with a manager.

use std::fmt;
use std::pin::Pin;

use labwire_manager::LogControl;
use labwire_service::{ConnectOptions, IntoService, RunError, Runner, RunningService, Service};
use tokio::sync::{oneshot, watch};

use super::error::RunServicesError;
use super::options::ManagerOptions;
use super::running::{RunningServices, StopOnDrop};
use super::serve::{run_all, serve};
use crate::cli::start::Serving;

type Connecting = Pin<Box<dyn Future<Output = Result<RunningService, RunError>> + Send>>;
pub(super) type Connect = Box<dyn FnOnce(ConnectOptions) -> Connecting + Send>;

/// The services that run with a manager in one process.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/support/example.rs")); }
/// use labwire::{ManagerOptions, RunServicesError, Services};
/// use labwire_service::{Runner, service};
///
/// struct Adder;
///
/// #[service]
/// impl Adder {
///     pub fn add(&self, a: f64, b: f64) -> f64 {
///         a + b
///     }
///     pub fn shutdown_service(&self) {}
/// }
///
/// fn main() -> Result<(), RunServicesError> {
/// #     let look = |options: labwire_client::ConnectOptions, _: &std::path::Path| {
/// #         for name in ["Adder", "Second"] {
/// #             let adder = labwire_client::blocking::LinkedClient::connect(name, options.clone())?;
/// #             assert_eq!(adder.call::<f64>("add", (1, 2))?, 3.0);
/// #             adder.shutdown_service::<()>(())?;
/// #         }
/// #         Ok(())
/// #     };
/// #     if support::ran_as_a_program(&[], look) { return Ok(()) }
///     Services::new()
///         .with(Adder)
///         .with_runner(Runner::new(Adder).name("Second").max_clients(1))
///         .start(ManagerOptions::new().port(0).without_tls())
/// }
/// ```
#[derive(Default)]
#[must_use = "services do not run before `start`"]
pub struct Services {
    connects: Vec<Connect>,
}

impl fmt::Debug for Services {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Services")
            .field("count", &self.connects.len())
            .finish()
    }
}

impl Services {
    /// Returns an empty list of services.
    ///
    /// See the example of [`Services`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a service.
    ///
    /// See the example of [`Services`].
    pub fn with<S: Service>(self, service: impl IntoService<Service = S>) -> Self {
        self.with_runner(Runner::new(service))
    }

    /// Adds a service with options. The connection options of its runner are replaced.
    ///
    /// See the example of [`Services`].
    pub fn with_runner<S: Service>(mut self, runner: Runner<S>) -> Self {
        // The manager is there already: a service that cannot connect is a mistake to be told.
        let connect: Connect =
            Box::new(move |options| Box::pin(runner.options(options).wait_for_manager(false).connect()));
        self.connects.push(connect);
        self
    }

    pub(super) fn into_connects(self) -> Vec<Connect> {
        self.connects
    }

    /// Starts the manager and connects the services to it. They run until the last service has
    /// ended. Must be called within a tokio runtime. Logs only through `tracing`, and handles no
    /// signals.
    ///
    /// Cancel safe: dropping the future before it is done ends manager and services.
    ///
    /// ```
    /// # use labwire_service::service;
    /// # struct Adder;
    /// # #[service]
    /// # impl Adder {
    /// #     pub fn add(&self, a: f64, b: f64) -> f64 { a + b }
    /// #     pub fn shutdown_service(&self) {}
    /// # }
    /// # use labwire::{ManagerOptions, Services};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let scratch = tempfile::tempdir()?;
    /// # let home = labwire_home::Home::at(scratch.path());
    /// let options = ManagerOptions::new().port(0).without_tls();
    /// # let options = options.home(home);
    /// let running = Services::new().with(Adder).connect(options).await?;
    /// let adder = running.services()[0].clone();
    /// # let ending =
    /// tokio::spawn(async move { adder.shut_down() });
    /// // The last service ends, and the manager with it.
    /// assert!(running.wait().await.is_ok());
    /// # ending.await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn connect(self, options: ManagerOptions) -> Result<RunningServices, RunServicesError> {
        self.check()?;
        let plan = options.plan()?;
        // On another thread: creating a key takes a while.
        let prepared = tokio::task::spawn_blocking(move || plan.prepare().map(|ready| (plan, ready)));
        let (plan, ready) = prepared.await.map_err(anyhow::Error::from)??;
        ready.check_admission(&plan).await?;
        let certificate = ready.certificate_file();
        let (settings, _) = ready.into_settings(&plan, LogControl::none());
        let manager = plan.bind_manager(settings).await?;
        let (port, handle) = (manager.port(), manager.handle());
        let stop_on_drop = StopOnDrop::new(handle.clone());
        let (stop, stopped) = watch::channel(false);
        let (tell, connected) = oneshot::channel();
        let reach = options.reach(port, certificate.as_deref());
        let services = run_all(self, reach, stopped, |handles| {
            // If the receiver is gone, the future was dropped, and that has stopped the manager.
            let _ = tell.send(handles);
        });
        let serving = tokio::spawn(serve(manager, services, stop.clone()));
        match connected.await {
            Ok(handles) => {
                stop_on_drop.forget();
                Ok(RunningServices::new(port, handle, handles, stop, serving))
            }
            // A service cannot connect, so everything ends.
            Err(_) => match serving.await {
                Ok(Err(error)) => Err(error),
                Ok(Ok(())) => {
                    Err(anyhow::anyhow!("the manager was stopped before all services were there").into())
                }
                Err(error) => Err(anyhow::Error::from(error).into()),
            },
        }
    }

    /// Starts the manager and the services and serves until the last service has ended, on a
    /// runtime of its own. Call it in `main`. Logs to standard output and to a file, as
    /// `labwire start` does. The line that the manager runs is logged when all services are
    /// connected.
    ///
    /// `SIGINT` (Ctrl-C) and `SIGTERM` end the services gracefully: they finish their requests, and
    /// this returns `Ok`. A second signal does not wait for the requests. `SIGHUP` reloads
    /// certificate, key and trusted host names and reopens the log file.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/support/example.rs")); }
    /// # use labwire_service::service;
    /// # struct Adder;
    /// # #[service]
    /// # impl Adder {
    /// #     pub fn add(&self, a: f64, b: f64) -> f64 { a + b }
    /// #     pub fn shutdown_service(&self) {}
    /// # }
    /// # use labwire::{ManagerOptions, RunServicesError, Services};
    /// fn main() -> Result<(), RunServicesError> {
    /// #     let look = |options: labwire_client::ConnectOptions, home: &std::path::Path| {
    /// #         let adder = labwire_client::blocking::LinkedClient::connect("Adder", options)?;
    /// #         adder.shutdown_service::<()>(())?;
    /// #         // The thread that writes it may come later than the one that writes standard output.
    /// #         let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    /// #         while !std::fs::read_to_string(home.join("lab.log"))?.contains("Network Manager running on") {
    /// #             assert!(std::time::Instant::now() < deadline, "the log file does not say that it runs");
    /// #             std::thread::yield_now();
    /// #         }
    /// #         Ok(())
    /// #     };
    /// #     if support::ran_as_a_program(&[], look) { return Ok(()) }
    /// #     let log = std::path::PathBuf::from(std::env::var_os("LABWIRE_HOME").unwrap()).join("lab.log");
    ///     let options = ManagerOptions::new().port(0).without_tls().log_file(log).log_level("DEBUG");
    ///     Services::new().with(Adder).start(options)
    /// }
    /// ```
    pub fn start(self, options: ManagerOptions) -> Result<(), RunServicesError> {
        if tokio::runtime::Handle::try_current().is_ok() {
            return Err(RunServicesError::InsideRuntime);
        }
        self.check()?;
        let plan = options.plan()?;
        let (stop, stopped) = watch::channel(false);
        let ended = stop.clone();
        let serve_all = async move |serving: Serving| {
            let reach = options.reach(serving.manager.port(), serving.certificate.as_deref());
            let announcement = serving.announcement;
            let services = run_all(self, reach, stopped, |_| announcement.tell());
            Ok(serve(serving.manager, services, ended).await?)
        };
        Ok(plan.run(serve_all, move |_| {
            stop.send_replace(true);
        })?)
    }

    fn check(&self) -> Result<(), RunServicesError> {
        if self.connects.is_empty() {
            return Err(RunServicesError::NoServices);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use labwire_client::{Client, FirstUse, args};
    use labwire_home::Home;
    use labwire_service::service;
    use labwire_store::{COMPATIBLE_ROUNDS, Database, HashedPassword};
    use tempfile::TempDir;

    use super::*;
    use crate::run_services;

    struct Adder;

    #[service]
    impl Adder {
        pub fn add(&self, a: f64, b: f64) -> f64 {
            a + b
        }

        pub fn shutdown_service(&self) {}
    }

    fn options(home: &TempDir) -> ManagerOptions {
        ManagerOptions::new().port(0).home(Home::at(home.path()))
    }

    #[tokio::test]
    async fn a_manager_ends_when_its_last_service_leaves() {
        let home = tempfile::tempdir().unwrap();
        let services = Services::new()
            .with(Adder)
            .with_runner(Runner::new(Adder).name("Second"));
        let running = services.connect(options(&home).password("engine")).await.unwrap();
        let names: Vec<_> = running
            .services()
            .iter()
            .map(|service| service.name().to_owned())
            .collect();
        assert_eq!(names, ["Adder", "Second"]);
        // A client of the same home folder trusts the certificate.
        let reach = labwire_client::ConnectOptions::new()
            .port(running.port())
            .home(Home::at(home.path()))
            .first_use(FirstUse::Refuse)
            .manager_password("engine");
        let client = Client::connect("Client", reach).await.unwrap();
        for (name, left) in [("Adder", true), ("Second", false)] {
            let link = client.link(name).await.unwrap();
            assert_eq!(
                link.call::<serde_json::Value>("add", args![1, 2]).await.unwrap(),
                3.0
            );
            link.shutdown_service::<()>(()).await.unwrap();
            if left {
                client.identities().await.unwrap();
            }
        }
        running.wait().await.unwrap();
    }

    #[tokio::test]
    async fn services_end_with_their_manager_when_they_are_asked_to() {
        let home = tempfile::tempdir().unwrap();
        let services = Services::new().with(Adder);
        let running = services.connect(options(&home).without_tls()).await.unwrap();
        running.shut_down().await.unwrap();
    }

    #[tokio::test]
    async fn services_do_not_wait_for_a_manager_that_an_administrator_has_ended() {
        let home = tempfile::tempdir().unwrap();
        let hashed = HashedPassword::new("ada", "engine", COMPATIBLE_ROUNDS).unwrap();
        let database = Home::at(home.path()).database();
        let mut database = Database::open(&database).unwrap();
        database.insert_user("ada", &hashed, true).unwrap();
        let services = Services::new().with(Adder);
        let running = services.connect(options(&home).without_tls()).await.unwrap();
        let reach = labwire_client::ConnectOptions::new()
            .port(running.port())
            .without_tls()
            .username("ada")
            .password("engine");
        let client = Client::connect("Ada", reach).await.unwrap();
        client.admin_request::<()>("shutdown_manager", ()).await.unwrap();
        let ended = tokio::time::timeout(Duration::from_mins(1), running.wait()).await;
        ended.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_service_that_cannot_connect_ends_all() {
        let home = tempfile::tempdir().unwrap();
        let services = Services::new().with(Adder).with(Adder);
        let error = run_services(options(&home).without_tls(), services)
            .await
            .unwrap_err();
        assert!(matches!(error, RunServicesError::Connect(_)), "{error}");
        assert!(error.to_string().contains("Adder"), "{error}");
    }

    #[tokio::test]
    async fn nothing_is_left_when_nobody_waits_any_more() {
        let home = tempfile::tempdir().unwrap();
        let (ended, end) = tokio::sync::oneshot::channel();
        let (begun, waiting) = tokio::sync::oneshot::channel();
        let runner = Runner::new(Adder)
            .background(|_| async move {
                begun.send(()).unwrap();
                std::future::pending::<()>().await;
            })
            .on_shutdown(move || ended.send(()).unwrap());
        let run = run_services(options(&home).without_tls(), Services::new().with_runner(runner));
        tokio::select! {
            outcome = run => panic!("{outcome:?}"),
            begun = waiting => begun.unwrap(),
        }
        tokio::time::timeout(Duration::from_mins(1), end)
            .await
            .unwrap()
            .unwrap();
    }

    #[tokio::test]
    async fn without_services_there_is_nothing_to_run() {
        let error = run_services(ManagerOptions::new(), Services::new())
            .await
            .unwrap_err();
        assert!(matches!(error, RunServicesError::NoServices), "{error}");
        let error = Services::new().start(ManagerOptions::new()).unwrap_err();
        assert!(matches!(error, RunServicesError::InsideRuntime), "{error}");
    }
}
