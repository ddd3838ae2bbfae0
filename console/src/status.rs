//! `labwire status`: who is connected, and what they do.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};

use anstream::adapter::strip_str;
use clap::Args;
use jiff::Timestamp;
use labwire_client::Identities;
use labwire_home::present;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::connection::{Connection, ConnectionArgs, Seconds};
use crate::failure::Failure;
use crate::output::{OutputArgs, STRONG, one_line, say, say_json, table, tell};
use crate::report::{Peer, Report, is_reported};
use crate::screen::{Input, Screen, inputs};
use crate::stop::Stop;
use crate::times::{readable_age, readable_time};

pub(crate) const EXAMPLES: &str = "\
Examples:
  labwire status
  labwire status --watch
  labwire status --json | jq -c 'select(.kind == \"service\")'";

pub(crate) const AFTER_HELP: &str = "\
Examples:
  labwire status
  labwire status --watch
  labwire status --json | jq -c 'select(.kind == \"service\")'

CALLS are the requests that were forwarded since the peer connected, ERRORS
those that were answered with an error, OLDEST the time that a service has held
its oldest request. With --users, the user of each peer that has logged in is
shown too; the manager asks for the login of an administrator.

With --json, each object has a kind: \"manager\" (time, name, uptime_seconds,
clients, services, in_flight), then \"service\" and \"client\", with the members
that protocol.md lists under Status, and with --users user (a name or null).
With --watch, all of them are printed repeatedly.

MSL-Network's manager reports names only: then everything else is missing.

Exit codes: see `labwire --help`. Ctrl-C ends --watch with 0.";

#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Show it repeatedly, until Ctrl-C
    #[arg(long, short)]
    watch: bool,
    /// With --watch, the time between two requests
    #[arg(long, value_name = "SECONDS", default_value = "2", requires = "watch")]
    every: Seconds,
    /// Show who has logged in, for administrators
    #[arg(long)]
    users: bool,
    #[command(flatten)]
    form: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl StatusArgs {
    /// Returns whether it runs until Ctrl-C.
    pub(crate) fn is_watching(&self) -> bool {
        self.watch
    }
}

/// An object of JSON.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Told<'a> {
    Manager {
        time: Timestamp,
        name: &'a str,
        uptime_seconds: Option<f64>,
        clients: u64,
        services: u64,
        in_flight: Option<u64>,
    },
    Service {
        #[serde(flatten)]
        peer: &'a Peer,
        #[serde(flatten)]
        user: Option<User<'a>>,
    },
    Client {
        #[serde(flatten)]
        peer: &'a Peer,
        #[serde(flatten)]
        user: Option<User<'a>>,
    },
    /// A peer of a manager that does not report its status.
    #[serde(rename = "service")]
    ServiceName { name: &'a str },
    #[serde(rename = "client")]
    ClientName { name: &'a str },
}

/// The user of a peer; `None` if it has not logged in.
#[derive(Serialize)]
struct User<'a> {
    user: Option<&'a str>,
}

/// A session, as the manager lists it for administrators.
#[derive(Deserialize)]
struct Session {
    name: String,
    user: Option<String>,
}

/// The data of one picture.
struct Shown {
    manager: String,
    time: Timestamp,
    identities: Identities,
    /// `None` if the manager does not report it.
    report: Option<Report>,
    /// The users by the names of their peers, if they were requested.
    users: Option<HashMap<String, String>>,
}

impl Shown {
    async fn request(connection: &Connection, with_users: bool) -> Result<Self, Failure> {
        let client = connection.client();
        let identities = connection.identities().await?;
        let report = if is_reported(&identities) {
            Some(Report::request(connection).await?)
        } else {
            None
        };
        let users = if with_users {
            let sessions: Vec<Session> = client.admin_request("sessions", ()).await?;
            let users = sessions.into_iter();
            Some(
                users
                    .filter_map(|session| Some((session.name, session.user?)))
                    .collect(),
            )
        } else {
            None
        };
        Ok(Self {
            manager: client.manager(),
            time: present(),
            identities,
            report,
            users,
        })
    }

    /// Returns the user of a peer, if users were requested.
    fn user(&self, name: &str) -> Option<User<'_>> {
        let users = self.users.as_ref()?;
        let user = users.get(name).map(String::as_str);
        Some(User { user })
    }

    fn print_json(&self) -> Result<(), Failure> {
        let summary = self.report.as_ref().map(|report| &report.summary);
        let Identities {
            clients, services, ..
        } = &self.identities;
        say_json(&Told::Manager {
            time: self.time,
            name: &self.manager,
            uptime_seconds: summary.map(|summary| summary.uptime_seconds),
            clients: summary.map_or(clients.len() as u64, |summary| summary.clients),
            services: summary.map_or(services.len() as u64, |summary| summary.services),
            in_flight: summary.map(|summary| summary.in_flight),
        })?;
        let Some(report) = &self.report else {
            for name in services.keys() {
                say_json(&Told::ServiceName { name })?;
            }
            return clients
                .keys()
                .try_for_each(|name| say_json(&Told::ClientName { name }));
        };
        for peer in &report.services {
            let user = self.user(&peer.name);
            say_json(&Told::Service { peer, user })?;
        }
        report.clients.iter().try_for_each(|peer| {
            let user = self.user(&peer.name);
            say_json(&Told::Client { peer, user })
        })
    }

    /// Returns the text for people.
    fn text(&self) -> String {
        let manager = one_line(&self.manager);
        let Identities {
            clients, services, ..
        } = &self.identities;
        let Some(Report { summary, .. }) = &self.report else {
            let mut text = format!(
                "{STRONG}{manager}{STRONG:#}, {} services, {} clients\n",
                services.len(),
                clients.len()
            );
            for (kind, names) in [
                ("SERVICE", services.keys().collect::<Vec<_>>()),
                ("CLIENT", clients.keys().collect()),
            ] {
                let rows = names.iter().map(|name| vec![one_line(name)]).collect();
                add_table(&mut text, &[kind], rows);
            }
            return text;
        };
        let mut text = format!(
            "{STRONG}{manager}{STRONG:#}, up {}, {} in flight\n",
            readable_age(summary.uptime_seconds),
            counted(summary.in_flight, "request"),
        );
        self.add_services(&mut text);
        self.add_clients(&mut text);
        text
    }

    fn header<'a>(&self, header: &[&'a str]) -> Vec<&'a str> {
        let mut header = header.to_vec();
        if self.users.is_some() {
            header.insert(1, "USER");
        }
        header
    }

    fn row(&self, peer: &Peer, cells: Vec<String>) -> Vec<String> {
        let mut row = cells;
        if let Some(User { user }) = self.user(&peer.name) {
            row.insert(1, user.map_or_else(|| "-".to_owned(), one_line));
        }
        row
    }

    fn add_services(&self, text: &mut String) {
        let services = self.report.iter().flat_map(|report| &report.services);
        let rows = services
            .map(|peer| {
                let oldest = peer.oldest_seconds.map_or_else(|| "-".to_owned(), readable_time);
                let cells = vec![
                    one_line(&peer.name),
                    peer.in_flight.to_string(),
                    oldest,
                    peer.requests.to_string(),
                    peer.errors.to_string(),
                    peer.link_count.to_string(),
                    peer.holders(self.time).unwrap_or_else(missing),
                ];
                self.row(peer, cells)
            })
            .collect();
        let header = [
            "SERVICE",
            "IN FLIGHT",
            "OLDEST",
            "CALLS",
            "ERRORS",
            "LINKS",
            "LOCKED BY",
        ];
        add_table(text, &self.header(&header), rows);
    }

    fn add_clients(&self, text: &mut String) {
        let clients = self.report.iter().flat_map(|report| &report.clients);
        let rows = clients
            .map(|peer| {
                let cells = vec![
                    one_line(&peer.name),
                    peer.in_flight.to_string(),
                    peer.requests.to_string(),
                    peer.errors.to_string(),
                    peer.linked().unwrap_or_else(missing),
                ];
                self.row(peer, cells)
            })
            .collect();
        let header = ["CLIENT", "IN FLIGHT", "CALLS", "ERRORS", "LINKED WITH"];
        add_table(text, &self.header(&header), rows);
    }
}

/// Returns the text for a missing value.
fn missing() -> String {
    "-".to_owned()
}

/// Adds an empty line and a table, unless it has no rows.
fn add_table(text: &mut String, header: &[&str], rows: Vec<Vec<String>>) {
    if !rows.is_empty() {
        let _ = write!(text, "\n{}", table(header, rows));
    }
}

/// Returns a number and a noun, as in `1 request` and `2 requests`.
fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

pub(crate) async fn run(arguments: &StatusArgs, mut stop: Stop) -> Result<(), Failure> {
    let connection = if arguments.watch {
        arguments.connection.connect_lasting().await?
    } else {
        arguments.connection.connect().await?
    };
    let show = |shown: &Shown| {
        if arguments.form.json {
            shown.print_json()
        } else {
            say(shown.text().trim_end())
        }
    };
    if !arguments.watch {
        show(&Shown::request(&connection, arguments.users).await?)?;
        connection.disconnect().await;
        return Ok(());
    }
    if !arguments.form.json && io::stdout().is_terminal() {
        return watch(arguments, &connection, stop).await;
    }
    let mut pace = interval(arguments.every.duration());
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let next = async {
            pace.tick().await;
            connection.client().connected().await;
            Shown::request(&connection, arguments.users).await
        };
        let shown = tokio::select! {
            biased;
            () = stop.requested() => return Ok(()),
            shown = next => shown,
        };
        match shown {
            Ok(shown) => show(&shown)?,
            // The manager was stopped meanwhile; the next request waits until it is back.
            Err(Failure::NoManager(text)) => tell(format_args!("labwire: {text}")),
            Err(failure) => return Err(failure),
        }
    }
}

/// Draws the status on the whole screen, until a key or a signal ends it.
async fn watch(arguments: &StatusArgs, connection: &Connection, mut stop: Stop) -> Result<(), Failure> {
    let unusable = |error| Failure::Failed(format!("cannot use the terminal: {error}"));
    let mut text = Shown::request(connection, arguments.users).await?.text();
    let mut screen = Screen::enter().map_err(unusable)?;
    let mut keys = inputs();
    let mut statuses = statuses(connection.clone(), arguments);
    loop {
        let lines = text.lines().map(|line| {
            if screen.is_colored() {
                line.to_owned()
            } else {
                strip_str(line).to_string()
            }
        });
        let lines = lines.collect();
        screen.draw(lines).map_err(unusable)?;
        tokio::select! {
            biased;
            () = stop.requested() => return Ok(()),
            input = keys.recv() => match input {
                None | Some(Input::Quit) => return Ok(()),
                Some(Input::Resize(width, height)) => screen.resize((width, height)),
                Some(Input::Key(_)) => {}
            },
            Some(status) = statuses.recv() => match status {
                Ok(status) => text = status,
                // The next request waits until the manager is back.
                Err(Failure::NoManager(error)) => text = error,
                Err(failure) => return Err(failure),
            },
        }
    }
}

/// Requests the status at the pace of `--every`, as text, in a task of its own: a key that is pressed
/// must not interrupt a request.
fn statuses(connection: Connection, arguments: &StatusArgs) -> mpsc::Receiver<Result<String, Failure>> {
    let (every, with_users) = (arguments.every.duration(), arguments.users);
    let (sender, statuses) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut pace = interval(every);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pace.tick().await;
        loop {
            pace.tick().await;
            connection.client().connected().await;
            let shown = Shown::request(&connection, with_users).await;
            if sender.send(shown.map(|shown| shown.text())).await.is_err() {
                return;
            }
        }
    });
    statuses
}
