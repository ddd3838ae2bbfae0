//! `labwire link`, `labwire lock` and `labwire unlock`.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use labwire_client::{Link, Lock, LockGuard};
use labwire_home::present;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::connection::{Connection, ConnectionArgs, Seconds};
use crate::failure::Failure;
use crate::held::{self, Announcement, Held};
use crate::linking::{link, not_alone};
use crate::output::{OutputArgs, message, one_line, say, say_json, shell_argument, tell};
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
service or the manager is restarted, it links again.

With --json, each change is one object: event (linked, away, unlinked), service
and time.

Exit codes: see `labwire --help`. Ctrl-C ends --hold with 0.";

pub(crate) const LOCK_EXAMPLES: &str = "\
Examples:
  labwire lock DMM
  labwire lock DMM --wait 60
  labwire unlock DMM";

pub(crate) const LOCK_AFTER_HELP: &str = "\
Examples:
  labwire lock DMM                 no other client can link with it
  labwire lock DMM --shared        the clients that are linked stay
  labwire lock DMM --wait 60       try again for a minute if it is in use
  labwire unlock DMM               in another terminal

A lock belongs to a connection: it lasts while this command runs. It ends with
Ctrl-C, with `labwire unlock` on the same computer, and when the service or the
connection is lost; the last is an error. Others are told who holds it: --name.

With --json, each change is one object: event (locked, released, lost), service,
time, and for locked clients: the names of all that hold a lock.

Exit codes: see `labwire --help`. A lock that is lost is 3; Ctrl-C is 0.";

pub(crate) const UNLOCK_EXAMPLES: &str = "\
Examples:
  labwire unlock DMM";

pub(crate) const UNLOCK_AFTER_HELP: &str = "\
Examples:
  labwire unlock DMM

Ends `labwire lock` for this service and this manager, if you started it on this
computer. Other programs release their locks themselves. With --json, the result
is one object: service and released (the number of processes).

Exit codes: 4 if no such lock was held; see `labwire --help`.";

/// How often a service that is in use is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(500);

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
pub struct LockArgs {
    /// The name of the service
    service: String,
    /// Share the service with the other clients that are linked now
    #[arg(long)]
    shared: bool,
    /// If the service is in use, retry for this time [default: fail at once]
    #[arg(long, value_name = "SECONDS")]
    wait: Option<Seconds>,
    /// The name of the holder, for others [default: your user name]
    #[arg(long)]
    name: Option<String>,
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
fn show(
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

pub(crate) async fn link_service(arguments: &LinkArgs, mut stop: Stop) -> Result<(), Failure> {
    let LinkArgs { service, form, .. } = arguments;
    let connection = if arguments.hold {
        arguments.connection.connect_lasting().await?
    } else {
        arguments.connection.connect().await?
    };
    let link = link(&connection, service).await?;
    let count = link.identity().attributes.len();
    show(
        *form,
        "linked",
        service,
        None,
        &format!("is linked: it has {count} attributes"),
    )?;
    if arguments.hold {
        loop {
            tokio::select! {
                biased;
                () = stop.requested() => break,
                () = link.unlinked() => {}
            }
            show(*form, "away", service, None, "is away; waiting for it")?;
            tokio::select! {
                biased;
                () = stop.requested() => break,
                linked = link.linked() => linked?,
            }
            show(*form, "linked", service, None, "is linked again")?;
        }
    }
    // The link may be away, and ends with the connection.
    let _ = link.unlink().await;
    show(*form, "unlinked", service, None, "is not linked any more")?;
    connection.disconnect().await;
    Ok(())
}

/// Returns the name of this process's user account, for where no variable has it, as in a service of
/// the system.
#[cfg(unix)]
fn account() -> String {
    let id = rustix::process::getuid().as_raw();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(id) && !name.is_empty()).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("user-{id}"))
}

/// Returns the name of the commands: the system sets a variable.
#[cfg(not(unix))]
fn account() -> String {
    crate::connection::NAME.to_owned()
}

impl LockArgs {
    /// Returns the name of the client.
    fn client_name(&self) -> String {
        let user = || {
            ["USER", "LOGNAME", "USERNAME"]
                .iter()
                .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        };
        let name = self.name.clone().or_else(user);
        name.unwrap_or_else(account)
    }

    async fn lock_once(&self, connection: &Connection) -> Result<(Link, LockGuard), Failure> {
        let kind = if self.shared {
            Lock::Shared
        } else {
            Lock::Exclusive
        };
        let link = link(connection, &self.service).await?;
        match connection.in_time(link.lock(kind)).await {
            Ok(guard) => Ok((link, guard)),
            Err(Failure::Refused(text)) => Err(self.not_alone(connection, text).await),
            Err(failure) => Err(failure),
        }
    }

    /// Returns the failure of a lock that was refused for as long as it may wait.
    fn waited(&self, text: &str) -> Failure {
        let seconds = self.wait.map_or(0.0, |time| time.duration().as_secs_f64());
        let reason = text.lines().next().unwrap_or_default();
        Failure::Refused(format!("{reason}; it was tried for {seconds} s")).with_hint(Some(format!(
            "wait longer with a higher --wait; if the lock is yours, release it with: labwire unlock {}",
            shell_argument(&self.service)
        )))
    }

    /// Returns the failure of a lock that other clients hinder, which the manager refused with a text.
    async fn not_alone(&self, connection: &Connection, text: String) -> Failure {
        let text = not_alone(connection, &self.service, text).await;
        let argument = shell_argument(&self.service);
        Failure::Refused(text).with_hint(Some(format!(
            "share it with: labwire lock {argument} --shared; or wait until no other client is linked: labwire lock \
             {argument} --wait SECONDS"
        )))
    }

    /// Locks, and tries again for as long as it may wait.
    async fn lock(&self, connection: &Connection) -> Result<(Link, LockGuard), Failure> {
        let end = self.wait.map(|time| Instant::now() + time.duration());
        let mut is_told = false;
        loop {
            match self.lock_once(connection).await {
                Err(Failure::Refused(text)) if end.is_some_and(|end| Instant::now() < end) => {
                    if !is_told {
                        let reason = text.lines().next().unwrap_or_default();
                        tell(format_args!("labwire: {}; trying again", message(reason)));
                        is_told = true;
                    }
                    sleep(TRY_AGAIN).await;
                }
                Err(Failure::Refused(text)) if end.is_some() => return Err(self.waited(&text)),
                locked => return locked,
            }
        }
    }
}

pub(crate) async fn lock_service(arguments: &LockArgs, mut stop: Stop) -> Result<(), Failure> {
    let LockArgs { service, form, .. } = arguments;
    let name = arguments.client_name();
    let connection = arguments.connection.connect_as(&name).await?;
    let (link, guard) = tokio::select! {
        biased;
        () = stop.requested() => return Err(Failure::Interrupted),
        locked = arguments.lock(&connection) => locked?,
    };
    let announcement = Announcement::new(&Held {
        service: service.clone(),
        manager: arguments.connection.address()?,
    })?;
    let text = match guard.clients().len() {
        0 | 1 => "is locked, until Ctrl-C or `labwire unlock`".to_owned(),
        count => format!("is locked, until Ctrl-C or `labwire unlock`; {count} clients hold a lock"),
    };
    show(*form, "locked", service, Some(guard.clients()), &text)?;
    let is_lost = tokio::select! {
        biased;
        () = stop.requested() => false,
        () = announcement.release_requested() => false,
        () = guard.lost() => true,
    };
    if is_lost {
        show(*form, "lost", service, None, "is not locked any more")?;
        return Err(Failure::NoManager(format!(
            "the lock on '{}' is lost: the service or the connection has ended",
            one_line(service)
        )));
    }
    connection.in_time(guard.release()).await?;
    drop(link);
    show(*form, "released", service, None, "is released")?;
    connection.disconnect().await;
    Ok(())
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
    let connection = arguments.connection.connect().await?;
    let refused = link(&connection, service).await.err();
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
