//! Keeps a subscription of topics for days.

use std::convert::Infallible;
use std::sync::Arc;

use labwire_home::present;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::connection::Connection;
use crate::failure::Failure;
use crate::feed::{Cause, Event, Events, send_of_topics};
use crate::following::{BACKOFF, Forbidden, connected};
use crate::permission::is_lacking;
use crate::report::check_labwire;

/// Subscribes over each connection, and sends the values as events.
///
/// # Errors
/// If the manager has no topics or refuses the subscription; one that it does not permit as `forbidden` says. Unless `reconnect` is set, also if it
/// does not answer, or the connection is lost.
pub(crate) async fn follow(
    pattern: Arc<str>,
    reconnect: bool,
    forbidden: Forbidden,
    mut connections: watch::Receiver<Option<Connection>>,
    events: Events,
) -> Result<Infallible, Failure> {
    let mut waits = BACKOFF.waits();
    let mut told = String::new();
    loop {
        let connection = connected(&mut connections).await;
        match values(&connection, &pattern, &events).await {
            Ok(()) => {
                waits = BACKOFF.waits();
                told.clear();
            }
            Err(refused) if reconnect && forbidden == Forbidden::Waits && is_lacking(&refused) => {
                let (time, reason) = (present(), refused.to_string());
                if told != reason {
                    told.clone_from(&reason);
                    send_of_topics(&events, &pattern, Event::Waiting { time, reason }).await;
                }
            }
            Err(Failure::NoManager(_) | Failure::TimedOut(_)) if reconnect => {}
            Err(failure) => return Err(failure),
        }
        sleep(waits.next_wait()).await;
    }
}

/// Subscribes over this connection, and sends the values until it is lost.
async fn values(connection: &Connection, pattern: &Arc<str>, events: &Events) -> Result<(), Failure> {
    let client = connection.client();
    check_labwire(connection, "topics").await?;
    let mut values = connection.in_time(client.subscribe(pattern)).await?;
    let (time, manager) = (present(), client.manager());
    send_of_topics(events, pattern, Event::Linked { time, manager }).await;
    while let Some(value) = values.next().await {
        let time = present();
        send_of_topics(events, pattern, Event::Published { time, value }).await;
    }
    let (now, cause) = (present(), Cause::Manager);
    let reason = client.closed().await;
    let time = connection.broken().unwrap_or(now);
    send_of_topics(events, pattern, Event::Away { time, reason, cause }).await;
    Ok(())
}
