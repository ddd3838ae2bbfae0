//! `labwire link` and `labwire unlock`.

use clap::Args;
use jiff::Timestamp;
use labwire_client::{Link, SessionState};
use labwire_home::present;
use serde::Serialize;
use tokio::time::Instant;

use crate::breaks::{Breaks, changed};
use crate::connection::ConnectionArgs;
use crate::counted::counted;
use crate::failure::Failure;
use crate::following::away_changed;
use crate::held::{self, Held};
use crate::linking::{explained_to_unlock, link};
use crate::output::{OutputArgs, aside, one_line, say, say_json, shell_argument};
use crate::stop::Stop;

pub(crate) const LINK_EXAMPLES: &str = "\
Examples:
  labwire link DMM
  labwire link DMM --hold";

pub(crate) const LINK_AFTER_HELP: &str = "\
Examples:
  labwire link DMM
  labwire link DMM --hold

Without --hold, it links and unlinks: it shows whether the service can be used.
With it, the link keeps a place at a service that limits its clients, and keeps
others from locking the service for themselves. It ends with Ctrl-C. When the
connection breaks, the manager keeps the place for 30 s (LABWIRE_SESSION_GRACE).
When the service or the manager is restarted, it links again.

With --json, each change is one object: event (linked, away, back, unlinked),
service and time. away has cause: the connection with the manager broke
(connection), or that of the service did or it has left (service). Then follows
back, with cause and seconds, if the place was kept, and otherwise linked.

Exit codes: see `labwire --help`. Ctrl-C ends --hold with 0.";

pub(crate) const UNLOCK_EXAMPLES: &str = "\
Examples:
  labwire unlock DMM";

pub(crate) const UNLOCK_AFTER_HELP: &str = "\
Examples:
  labwire unlock DMM

Ends `labwire lock` for this service and this manager, if you started it on this
computer, also if you named the manager in another way: localhost, 127.0.0.1 and
the name of this computer are the same. Other programs release their locks
themselves. With --json, the result is one object: service and released (the
number of processes).

Exit codes: 4 if no such lock was held; see `labwire --help`.";

#[derive(Args, Debug)]
pub struct LinkArgs {
    /// The name of the service
    service: String,
    /// Keep the link until Ctrl-C
    #[arg(long)]
    hold: bool,
    #[command(flatten)]
    form: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Args, Debug)]
pub struct UnlockArgs {
    /// The name of the service
    service: String,
    #[command(flatten)]
    form: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// What happened to a link or a lock.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum Happened {
    Linked,
    Unlinked,
    /// These clients hold a lock.
    Locked {
        clients: Vec<String>,
    },
    Released,
    Lost,
    Away {
        cause: Cause,
    },
    /// After this time.
    Back {
        cause: Cause,
        seconds: f64,
    },
}

/// What is away.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Cause {
    /// The connection with the manager.
    Connection,
    Service,
}

impl Happened {
    /// Returns that something is back that is away since then.
    pub(crate) fn back(cause: Cause, since: Instant) -> Self {
        let seconds = since.elapsed().as_secs_f64();
        Self::Back { cause, seconds }
    }
}

/// A change, as an object of JSON.
#[derive(Serialize)]
struct Change<'a> {
    #[serde(flatten)]
    happened: &'a Happened,
    service: &'a str,
    time: Timestamp,
}

/// Shows a change: the object, or the text.
pub(crate) fn show(form: OutputArgs, happened: &Happened, service: &str, text: &str) -> Result<(), Failure> {
    if !form.json {
        return say(format_args!("{} {text}", one_line(service)));
    }
    say_json(&Change {
        happened,
        service,
        time: present(),
    })
}

/// As [`show`], for a change that people are told on standard error.
pub(crate) async fn note(form: OutputArgs, happened: Happened, service: &str) -> Result<(), Failure> {
    if !form.json {
        return Ok(());
    }
    let service = service.to_owned();
    aside(move || show(form, &happened, &service, "")).await
}

pub(crate) async fn link_service(arguments: &LinkArgs, stop: Stop) -> Result<(), Failure> {
    let LinkArgs { service, form, .. } = arguments;
    let connection = if arguments.hold {
        arguments.connection.connect_lasting("link").await?
    } else {
        arguments.connection.connect("link").await?
    };
    let link = link(&connection, service).await?;
    let count = link.identity().attributes.len();
    show(
        *form,
        &Happened::Linked,
        service,
        &format!("is linked: it has {}", counted(count, "attribute")),
    )?;
    if arguments.hold {
        stop.begin()?;
        let _breaks = Breaks::report(connection.client());
        tokio::select! {
            biased;
            _ = stop.requested() => {}
            held = hold(&link, *form) => held?,
        }
    }
    // The link may be away, and ends with the connection.
    let _ = link.unlink().await;
    show(*form, &Happened::Unlinked, service, "is not linked any more")?;
    connection.disconnect().await;
    Ok(())
}

/// Keeps the link, and shows when the connection or the service is away and back.
async fn hold(link: &Link, form: OutputArgs) -> Result<(), Failure> {
    let client = link.client();
    let shown = |happened, text| {
        let service = link.service().to_owned();
        aside(move || show(form, &happened, &service, text))
    };
    let mut session = client.session();
    let mut is_away = link.is_service_away();
    let (mut broken, mut away) = (Instant::now(), Instant::now());
    loop {
        tokio::select! {
            biased;
            now = changed(&client, session) => {
                session = now;
                let cause = Cause::Connection;
                match now {
                    SessionState::Away => {
                        broken = Instant::now();
                        note(form, Happened::Away { cause }, link.service()).await?;
                    }
                    SessionState::Kept => note(form, Happened::back(cause, broken), link.service()).await?,
                    _ => {}
                }
            }
            now = away_changed(link, is_away) => {
                is_away = now;
                let cause = Cause::Service;
                if is_away {
                    away = Instant::now();
                    shown(Happened::Away { cause }, "is away; its place is kept").await?;
                } else {
                    shown(Happened::back(cause, away), "is back").await?;
                }
            }
            () = link.unlinked() => {
                let cause = if client.is_connected() { Cause::Service } else { Cause::Connection };
                shown(Happened::Away { cause }, "is away; waiting for it").await?;
                link.linked().await?;
                is_away = link.is_service_away();
                shown(Happened::Linked, "is linked again").await?;
            }
        }
    }
}

/// The result of `labwire unlock`, as an object of JSON.
#[derive(Serialize)]
struct Released<'a> {
    service: &'a str,
    released: usize,
}

pub(crate) async fn unlock_service(arguments: &UnlockArgs) -> Result<(), Failure> {
    let service = &arguments.service;
    let released = held::release(&Held {
        service: service.clone(),
        manager: arguments.connection.address()?,
    })
    .await?;
    if released > 0 {
        return if arguments.form.json {
            say_json(&Released { service, released })
        } else {
            say(format_args!("{} is released", one_line(service)))
        };
    }
    // The manager's refusal of a link names the holder of a lock.
    let connection = arguments.connection.connect("unlock").await?;
    let refused = match connection.link(service).await {
        Err(refused @ Failure::Refused(_)) => Some(explained_to_unlock(&connection, service, refused).await),
        linked => linked.err(),
    };
    connection.disconnect().await;
    let none = format!(
        "no `labwire lock {}` of yours runs on this computer",
        shell_argument(service)
    );
    Err(match refused {
        Some(Failure::Refused(text)) => Failure::Refused(format!("{none}\n{text}")),
        Some(other) => other,
        None => Failure::Refused(format!("{none}, and the service is not locked")),
    })
}
