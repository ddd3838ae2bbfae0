//! The service that disconnects in mid-call.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use labwire_service::{ConnectOptions, RunError, Runner, ServiceError, service};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Heats for the requested time.
struct Heater {
    heating: Arc<Notify>,
}

/// An oven.
#[service(name = "Oven")]
impl Heater {
    /// Heats to a temperature in degrees Celsius, and stays there for that long.
    pub async fn heat(&self, celsius: f64, #[default(1.0)] seconds: f64) -> Result<f64, ServiceError> {
        let span = Duration::try_from_secs_f64(seconds)?;
        self.heating.notify_one();
        tokio::time::sleep(span).await;
        Ok(celsius)
    }
}

/// The oven's service, which can be aborted.
pub(super) struct Oven {
    serving: JoinHandle<Result<(), RunError>>,
    heating: Arc<Notify>,
}

impl Oven {
    /// Starts the service, and waits until it is registered.
    pub(super) async fn start(options: ConnectOptions) -> anyhow::Result<Self> {
        let heating = Arc::new(Notify::new());
        let heater = Heater {
            heating: Arc::clone(&heating),
        };
        let (tell, registered) = tokio::sync::oneshot::channel();
        // Its manager is this program, and so are the lines that are printed.
        let runner = Runner::new(heater)
            .options(options.without_reconnect())
            .status_lines(false)
            .background(|_| async move {
                let _ = tell.send(());
            });
        let serving = tokio::spawn(runner.run());
        if registered.await.is_err() {
            match serving.await {
                Ok(Err(error)) => return Err(error.into()),
                _ => bail!("the service 'Oven' has ended before it began"),
            }
        }
        Ok(Self { serving, heating })
    }

    /// Waits until a call to `heat` has started.
    pub(super) async fn heats(&self) {
        self.heating.notified().await;
    }

    /// Aborts the service during its call: its connection closes without a farewell, as when its
    /// program is killed.
    pub(super) fn cut_off(&self) {
        self.serving.abort();
    }
}
