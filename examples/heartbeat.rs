//! A heartbeat: the service sends a number to all linked clients once a second.
//!
//! ```console
//! $ cargo run --example heartbeat
//! $ cargo run --example watch_heartbeat    # in another terminal
//! ```

use std::time::Duration;

use labwire_service::{ConnectOptions, IntoService, Locked, Runner, ServiceError, args, service};

/// A heart that beats.
#[derive(Debug)]
pub struct Heartbeat {
    alive: bool,
    counter: u64,
    period: Duration,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            alive: true,
            counter: 0,
            period: Duration::from_secs(1),
        }
    }
}

/// A heart that beats: it tells all linked clients a number, which grows.
#[service]
impl Heartbeat {
    /// Stops the heart.
    pub fn kill(&mut self) {
        self.alive = false;
    }

    /// Begins to count from zero again.
    pub fn reset(&mut self) {
        self.counter = 0;
    }

    /// Changes how fast the heart beats.
    pub fn set_heart_rate(&mut self, beats_per_second: f64) -> Result<(), ServiceError> {
        if beats_per_second.is_nan() || beats_per_second <= 0.0 {
            return Err(ServiceError::new(
                "ValueError",
                "a heart rate must be greater than 0",
            ));
        }
        self.period = Duration::try_from_secs_f64(1.0 / beats_per_second)?;
        Ok(())
    }
}

/// Returns the service with a background task that beats until the heart is stopped.
pub fn runner() -> Runner<Locked<Heartbeat>> {
    let heart = Heartbeat::default().into_service();
    Runner::new(heart.clone()).background(|service| async move {
        loop {
            let mut state = heart.state().await;
            if !state.alive {
                return;
            }
            let (beat, period) = (state.counter, state.period);
            state.counter += 1;
            // The methods of the service wait for the state too.
            drop(state);
            // Without a connection the beat is skipped.
            let _ = service.notifier().notify(args![beat]);
            tokio::time::sleep(period).await;
        }
    })
}

/// Starts the service.
///
/// Fails if the manager cannot be reached or refuses the service.
pub fn main() -> anyhow::Result<()> {
    runner().options(ConnectOptions::from_environment()?).start()?;
    Ok(())
}
