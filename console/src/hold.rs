//! `labwire link` and `labwire unlock`.

use clap::Args;
use jiff::Timestamp;
use labwire_client::Link;
use labwire_home::present;
use serde::Serialize;

use crate::breaks::Breaks;
use crate::connection::ConnectionArgs;
use crate::counted::counted;
use crate::failure::Failure;
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

With --json, each change is one object: event (linked, away, unlinked), service
and time.

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

/// A change, as an object of JSON.
#[derive(Serialize)]
struct Change<'a> {
    event: &'a str,
    service: &'a str,
    time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    clients: Option<&'a [String]>,
}

/// Shows a change: the object, or the text.
pub(crate) fn show(
    form: OutputArgs,
    event: &str,
    service: &str,
    clients: Option<&[String]>,
    text: &str,
) -> Result<(), Failure> {
    if !form.json {
        return say(format_args!("{} {text}", one_line(service)));
    }
    say_json(&Change {
        event,
        service,
        time: present(),
        clients,
    })
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
        "linked",
        service,
        None,
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
    show(*form, "unlinked", service, None, "is not linked any more")?;
    connection.disconnect().await;
    Ok(())
}

/// Keeps the link, and shows when it is away and back.
async fn hold(link: &Link, form: OutputArgs) -> Result<(), Failure> {
    let changed = |event, text| {
        let service = link.service().to_owned();
        aside(move || show(form, event, &service, None, text))
    };
    loop {
        link.unlinked().await;
        changed("away", "is away; waiting for it").await?;
        link.linked().await?;
        changed("linked", "is linked again").await?;
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
