// Services at a manager in the process, for the examples in the documentation.

use std::env;
use std::error::Error;
use std::process::{Child, Command};

use labwire_client::{Client, Link, LinkedClient};
use labwire_service::{ConnectOptions, IntoService, Runner};
use labwire_testing::TestManager;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// What a process finds in its environment that was started to be an example's `main`.
const PROGRAM: &str = "LABWIRE_EXAMPLE";

/// Runs a service, and an example of a client that is linked with it.
pub(crate) fn serve<S: IntoService>(service: S, example: impl AsyncFnOnce(Link) -> Result<(), Failure>) {
    run(async |options| {
        let running = Runner::new(service).options(options.clone()).connect().await?;
        let client = Client::connect("Ada", options).await?;
        let link = client.link(running.handle().name()).await?;
        example(link).await
    });
}

/// Runs an example that connects services by itself, with the options that lead to its manager.
pub(crate) fn run(example: impl AsyncFnOnce(ConnectOptions) -> Result<(), Failure>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let manager = TestManager::start().await;
        example(options(&manager)).await.unwrap();
    });
}

fn options(manager: &TestManager) -> ConnectOptions {
    ConnectOptions::new()
        .host(TestManager::HOST)
        .port(manager.port())
        .without_tls()
}

/// Runs the `main` that calls this in a process of its own, whose environment names a manager. In that process it
/// gives `false` at once; here it gives `true` when a client has looked at the service, and the process has ended
/// well after a SIGTERM.
pub(crate) fn ran_as_a_program(
    service: &str,
    look: impl AsyncFnOnce(LinkedClient) -> Result<(), Failure>,
) -> bool {
    if env::var_os(PROGRAM).is_some() {
        return false;
    }
    run(async |options| {
        let mut command = Command::new(env::current_exe()?);
        command
            .args(env::args_os().skip(1))
            .env(PROGRAM, service)
            .env("LABWIRE_MANAGER", options.address())
            .env("LABWIRE_DISABLE_TLS", "true");
        let mut program = Program(command.spawn()?);
        // It waits until the service is there.
        look(LinkedClient::connect(service, options).await?).await?;
        let process = rustix::process::Pid::from_child(&program.0);
        rustix::process::kill_process(process, rustix::process::Signal::TERM)?;
        assert!(program.0.wait()?.success());
        Ok(())
    });
    true
}

/// A process that does not outlive an example which fails.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
