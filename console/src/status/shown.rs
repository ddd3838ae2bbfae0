//! What a status shows, in both forms.

use std::collections::HashMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use labwire_client::Identities;
use labwire_home::present;
use serde::{Deserialize, Serialize};

use crate::connection::Connection;
use crate::counted::counted;
use crate::failure::Failure;
use crate::output::{STRONG, one_line, say_json, shell_argument, table};
use crate::report::{Peer, Report, is_reported};
use crate::times::{readable_age, readable_time};

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
        #[serde(skip_serializing_if = "Option::is_none")]
        approvals: Option<u64>,
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
    /// What it has logged in with besides or in place of a password.
    #[serde(rename = "login_with", skip_serializing_if = "Option::is_none")]
    with: Option<&'a str>,
}

impl User<'_> {
    /// Returns it for people. The number of a certificate is too long for a table.
    fn shown(&self) -> String {
        let Some(user) = self.user.map(one_line) else {
            return missing();
        };
        match self.with.and_then(|with| with.strip_prefix("the ")) {
            Some(with) if with.starts_with("certificate ") => format!("{user} (certificate)"),
            Some(with) if with.starts_with("token ") => format!("{user} ({})", one_line(with)),
            _ => user,
        }
    }
}

/// A session, as the manager lists it for administrators.
#[derive(Deserialize)]
struct Session {
    name: String,
    user: Option<String>,
    #[serde(default)]
    with: Option<String>,
}

/// The data of one picture.
pub(super) struct Shown {
    manager: String,
    time: Timestamp,
    identities: Identities,
    /// `None` if the manager does not report it.
    report: Option<Report>,
    /// The users by the names of their peers, if they were requested.
    users: Option<HashMap<String, (String, Option<String>)>>,
}

impl Shown {
    /// Requests the data, and with `with_users` also who has logged in.
    pub(super) async fn request(connection: &Connection, with_users: bool) -> Result<Self, Failure> {
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
                    .filter_map(|session| Some((session.name, (session.user?, session.with))))
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
        let user = users.get(name);
        Some(User {
            user: user.map(|(user, _)| user.as_str()),
            with: user.and_then(|(_, with)| with.as_deref()),
        })
    }

    /// Prints an object of JSON for the manager and for each peer.
    pub(super) fn print_json(&self) -> Result<(), Failure> {
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
            approvals: summary
                .map(|summary| summary.approvals)
                .filter(|count| *count > 0),
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
    pub(super) fn text(&self) -> String {
        let manager = one_line(&self.manager);
        let Identities {
            clients, services, ..
        } = &self.identities;
        let Some(Report { summary, .. }) = &self.report else {
            let mut text = format!(
                "{STRONG}{manager}{STRONG:#}, {}, {}\n",
                counted(services.len(), "service"),
                counted(clients.len(), "client")
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
        let to_approve = summary.to_approve();
        let mut text = format!(
            "{STRONG}{manager}{STRONG:#}, up {}, {} in flight{}\n",
            readable_age(summary.uptime_seconds),
            counted(summary.in_flight, "request"),
            to_approve.map_or_else(String::new, |text| format!(", {text} (labwire approve)")),
        );
        self.add_services(&mut text);
        self.add_clients(&mut text);
        self.add_hint(&mut text);
        text
    }

    /// Adds the table of peers of one kind: the columns of that kind, the users if they were requested,
    /// and the state if there is anything to say about one of the peers.
    fn add_peers(
        &self,
        text: &mut String,
        header: &[&str],
        peers: &[Peer],
        cells: impl Fn(&Peer) -> Vec<String>,
    ) {
        let mut header = header.to_vec();
        if self.users.is_some() {
            header.insert(1, "USER");
        }
        let has_states = peers.iter().any(|peer| peer.state(self.time).is_some());
        if has_states {
            header.push("STATE");
        }
        let row = |peer: &Peer| {
            let mut row = cells(peer);
            if let Some(user) = self.user(&peer.name) {
                row.insert(1, user.shown());
            }
            if has_states {
                row.push(peer.state(self.time).unwrap_or_default());
            }
            row
        };
        add_table(text, &header, peers.iter().map(row).collect());
    }

    fn add_services(&self, text: &mut String) {
        let Some(report) = &self.report else { return };
        let header = [
            "SERVICE",
            "IN FLIGHT",
            "OLDEST",
            "CALLS",
            "ERRORS",
            "LINKS",
            "LOCKED BY",
        ];
        self.add_peers(text, &header, &report.services, |peer| {
            vec![
                one_line(&peer.name),
                peer.in_flight.to_string(),
                peer.oldest_seconds.map_or_else(missing, readable_time),
                peer.requests.to_string(),
                peer.errors.to_string(),
                peer.link_count.to_string(),
                peer.holders(self.time).unwrap_or_else(missing),
            ]
        });
    }

    /// Adds a hint about the first service that has not answered for a long time.
    fn add_hint(&self, text: &mut String) {
        let services = self.report.iter().flat_map(|report| &report.services);
        let mut silent = services.filter(|peer| peer.no_reply_since(self.time).is_some());
        if let Some(peer) = silent.next() {
            let _ = write!(
                text,
                "\n'{}' is busy, or hangs: its oldest request has no reply yet.\nDoes it answer another one? labwire \
                 ping {}\n",
                one_line(&peer.name),
                shell_argument(&peer.name)
            );
        }
    }

    fn add_clients(&self, text: &mut String) {
        let Some(report) = &self.report else { return };
        let header = ["CLIENT", "IN FLIGHT", "CALLS", "ERRORS", "LINKED WITH"];
        self.add_peers(text, &header, &report.clients, |peer| {
            vec![
                one_line(&peer.name),
                peer.in_flight.to_string(),
                peer.requests.to_string(),
                peer.errors.to_string(),
                peer.linked().unwrap_or_else(missing),
            ]
        });
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::report::Away;

    fn shown(services: Vec<Peer>) -> Shown {
        Shown {
            manager: "Manager[lab:1875]".to_owned(),
            time: present(),
            identities: Identities {
                hostname: "lab".to_owned(),
                port: 1875,
                language: "Labwire 1".to_owned(),
                os: "Linux".to_owned(),
                attributes: BTreeMap::default(),
                clients: BTreeMap::new(),
                services: BTreeMap::new(),
                others: BTreeMap::default(),
            },
            report: Some(Report {
                services,
                ..Report::default()
            }),
            users: None,
        }
    }

    fn service(name: &str, oldest_seconds: Option<f64>) -> Peer {
        Peer {
            name: name.to_owned(),
            in_flight: 1,
            oldest_seconds,
            ..Peer::default()
        }
    }

    #[test]
    fn a_service_that_does_not_answer_for_long_is_marked_with_a_hint() {
        let text = shown(vec![service("Busy", Some(59.9)), service("Idle", None)]).text();
        assert!(!text.contains("STATE") && !text.contains("hangs"), "{text}");

        let silent = shown(vec![service("Busy", Some(59.9)), service("Old Oven", Some(60.0))]);
        let text = silent.text();
        let since = silent.time - jiff::SignedDuration::from_mins(1);
        let mark = format!("no reply since {}", crate::moment::moment(since));
        let marked: Vec<_> = text
            .lines()
            .filter(|line| line.trim_end().ends_with(&mark))
            .collect();
        assert!(marked.len() == 1 && marked[0].starts_with("Old Oven "), "{text}");
        assert!(text.contains("STATE"), "{text}");
        assert!(
            text.trim_end().ends_with("labwire ping 'Old Oven'")
                && text.contains("'Old Oven' is busy, or hangs"),
            "{text}"
        );

        // Its place is kept, and it cannot answer meanwhile.
        let now = present();
        let away = Peer {
            away: Some(Away {
                since: now,
                until: now,
            }),
            ..service("Oven", Some(600.0))
        };
        let text = shown(vec![away, service("Odd", Some(f64::MAX))]).text();
        assert!(
            text.contains("away until ") && !text.contains("no reply"),
            "{text}"
        );
    }
}
