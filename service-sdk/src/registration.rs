//! Registers a service with its manager: for the first time, and again after the connection was
//! lost.

use std::time::Instant;

use labwire_device::{
    ConnectError, ConnectOptions, Connection, Introduction, Reconnector, Remains, Session, connect,
};
use tracing::{debug, info, warn};

use crate::error::RunError;
use crate::status_lines::{StatusLines, span};

/// The registration of a service. It tells its changes to the log and in status lines.
pub(crate) struct Registration {
    options: ConnectOptions,
    introduction: Introduction,
    /// `None` if a lost connection is final.
    reconnector: Option<Reconnector>,
    lines: StatusLines,
}

impl Registration {
    /// Creates the registration of a service that is not connected yet.
    pub(crate) fn new(options: ConnectOptions, introduction: Introduction, lines: StatusLines) -> Self {
        Self {
            reconnector: Reconnector::new(&options, &introduction),
            options,
            introduction,
            lines,
        }
    }

    /// Registers the service for the first time. If it reconnects and `waits` is true, waits until
    /// there is a manager.
    ///
    /// A name that is taken is an error: most likely somebody has started the service twice. If a
    /// program or its computer has died, the manager notices it when the name is asked for again
    /// from the same address, within 2 s.
    pub(crate) async fn first(&mut self, waits: bool) -> Result<Connection, ConnectError> {
        let mut connected = connect(&self.options, &self.introduction).await;
        let mut is_told = false;
        loop {
            match (connected, self.reconnector.as_mut().filter(|_| waits)) {
                (Err(error), Some(reconnector)) if error.is_transient() && !error.is_name_taken() => {
                    debug!("not connected yet: {error}");
                    if !is_told {
                        self.lines.write(format_args!("waiting for the manager: {error}"));
                        is_told = true;
                    }
                    connected = reconnector.attempt().await;
                }
                (connected, _) => {
                    let connection = connected?;
                    let (name, manager) = (&connection.network_name, &connection.manager);
                    info!("the service {name} is connected to {manager}");
                    self.lines
                        .write(format_args!("registered as {name} at {manager}"));
                    return Ok(connection);
                }
            }
        }
    }

    /// Begins to renew the registration, whose connection was lost for this reason. Returns to the
    /// session if there is one. Returns `None` if the loss is final.
    pub(crate) fn renew(
        &mut self,
        reason: &RunError,
        back: Option<(Session, Remains)>,
    ) -> Option<Renewal<'_>> {
        let reconnector = self.reconnector.as_mut()?;
        warn!(
            "{reason}; the service {} connects again",
            self.introduction.name()
        );
        self.lines
            .write(format_args!("disconnected: {reason}; connecting again"));
        reconnector.connection_lost();
        if let Some((session, remains)) = back {
            reconnector.return_to(session, remains);
        }
        Some(Renewal {
            reconnector,
            lines: &self.lines,
            lost: Instant::now(),
        })
    }
}

/// A registration whose connection was lost.
pub(crate) struct Renewal<'a> {
    reconnector: &'a mut Reconnector,
    lines: &'a StatusLines,
    lost: Instant,
}

impl Renewal<'_> {
    /// Registers the service again, however long that takes. Returns an error if the manager refuses
    /// it for a reason that waiting does not change.
    ///
    /// Waits also for a name that is taken. The service that has it may be this one: a manager
    /// notices a lost connection after a while only, and older managers perhaps never. If it is
    /// another one, this service is back when that one has ended.
    pub(crate) async fn finish(self) -> Result<Connection, ConnectError> {
        let mut is_told = false;
        loop {
            match self.reconnector.attempt().await {
                Err(error) if error.is_transient() => {
                    debug!("not connected again yet: {error}");
                    // A person may have to end the other service.
                    if error.is_name_taken() && !is_told {
                        self.lines
                            .write(format_args!("waiting until its name is free: {error}"));
                        is_told = true;
                    }
                }
                connected => {
                    let connection = connected?;
                    let (name, manager) = (&connection.network_name, &connection.manager);
                    let kept = if connection.resumed.is_some() {
                        ", session kept"
                    } else {
                        ""
                    };
                    info!("the service {name} is connected to {manager} again{kept}");
                    self.lines.write(format_args!(
                        "back after {}{kept}, registered as {name} at {manager}",
                        span(self.lost.elapsed())
                    ));
                    return Ok(connection);
                }
            }
        }
    }
}
