//! The links and locks that the shell holds.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use labwire_client::{Client, Link, LockGuard};
use serde::Serialize;

use super::known::Known;
use super::screen::Screen;
use crate::moment::moment;
use crate::output::one_line;
use crate::shortened::shortened;

/// The most columns of the name of a service in the prompt.
const LONGEST_NAME: usize = 30;

/// A link.
pub(crate) struct Held {
    pub(crate) link: Link,
    pub(crate) lock: Option<HeldLock>,
    /// Whether the client was linked at the last report.
    pub(crate) was_linked: bool,
    /// Whether its service was away when it was looked at last.
    pub(crate) was_away: bool,
}

/// A lock.
pub(crate) struct HeldLock {
    pub(crate) guard: LockGuard,
    pub(crate) is_shared: bool,
    pub(crate) since: Timestamp,
}

/// The state that the shell, the task that watches the connection, and the completer share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) screen: Screen,
    pub(crate) known: Arc<Mutex<Known>>,
    links: Arc<Mutex<BTreeMap<String, Held>>>,
}

/// A link, as an object of JSON.
#[derive(Serialize)]
pub(crate) struct Listed {
    pub(crate) service: String,
    /// `linked`, or `away` while the service or the connection is.
    pub(crate) link: &'static str,
    /// `exclusive` or `shared`.
    pub(crate) lock: Option<&'static str>,
    pub(crate) locked_since: Option<Timestamp>,
}

impl Shared {
    pub(crate) fn new(screen: Screen, known: Arc<Mutex<Known>>) -> Self {
        Self {
            screen,
            known,
            links: Arc::default(),
        }
    }

    /// Returns the list of services. The guard must not be held across an `.await`.
    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the links. The guard must not be held across an `.await`.
    pub(crate) fn links(&self) -> MutexGuard<'_, BTreeMap<String, Held>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the link with a service, if the shell holds one.
    pub(crate) fn link(&self, service: &str) -> Option<Link> {
        self.links().get(service).map(|held| held.link.clone())
    }

    /// Keeps a link, and shows its notifications until it ends.
    pub(crate) fn keep(&self, link: Link) {
        let service = link.service().to_owned();
        let mut notifications = link.notifications();
        let screen = self.screen.clone();
        tokio::spawn(async move {
            while let Some(notification) = notifications.next().await {
                screen.notification(&notification);
            }
        });
        let held = Held {
            was_linked: link.is_linked(),
            was_away: link.is_service_away(),
            link,
            lock: None,
        };
        self.links().insert(service, held);
        self.list_linked();
    }

    /// Forgets a link. Its lock is released.
    pub(crate) fn forget(&self, service: &str) -> Option<Link> {
        let held = self.links().remove(service);
        self.list_linked();
        held.map(|held| held.link)
    }

    /// Updates the names of the linked services for the completer.
    fn list_linked(&self) {
        let linked = self.links().keys().cloned().collect();
        self.known().linked = linked;
    }

    /// Lists the links.
    pub(crate) fn listed(&self) -> Vec<Listed> {
        let links = self.links();
        let listed = links.iter().map(|(service, held)| {
            let lock = held.lock.as_ref().filter(|lock| lock.guard.is_held());
            Listed {
                service: service.clone(),
                link: if held.link.is_linked() { "linked" } else { "away" },
                lock: lock.map(|lock| if lock.is_shared { "shared" } else { "exclusive" }),
                locked_since: lock.map(|lock| lock.since),
            }
        });
        listed.collect()
    }

    /// Shows the state in the prompt.
    pub(crate) fn refresh_prompt(&self, client: &Client) {
        if self.screen.is_of_person() {
            let selected = self.known().selected.clone();
            let prompt = prompt(selected.as_deref(), client.is_connected(), &self.listed());
            self.screen.set_prompt(prompt);
        }
    }
}

/// Returns the prompt: the selected service, if there is one, and the states of the links.
fn prompt(selected: Option<&str>, is_connected: bool, links: &[Listed]) -> String {
    let name = one_line(selected.unwrap_or("labwire"));
    let name = shortened(&name, LONGEST_NAME);
    let mut states = Vec::new();
    if !is_connected {
        states.push("not connected".to_owned());
    }
    let (of_selected, others): (Vec<_>, Vec<_>) = links
        .iter()
        .partition(|link| Some(link.service.as_str()) == selected);
    if let Some(link) = of_selected.first().filter(|_| is_connected) {
        states.push(match link.lock {
            Some("shared") => "locked, shared".to_owned(),
            Some(_) => "locked".to_owned(),
            None => link.link.to_owned(),
        });
    }
    let locks = others.iter().filter(|link| link.lock.is_some()).count();
    if !others.is_empty() {
        let more = if of_selected.is_empty() { "" } else { " more" };
        let mut text = counted(others.len(), "link", more);
        if locks > 0 {
            let _ = write!(text, ", {}", counted(locks, "lock", ""));
        }
        states.push(text);
    }
    if states.is_empty() {
        name
    } else {
        format!("{name} [{}]", states.join("; "))
    }
}

/// Returns `1 link`, `2 more links`.
fn counted(count: usize, noun: &str, before: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count}{before} {noun}{plural}")
}

/// Returns a link in words, for `status`.
pub(crate) fn described(link: &Listed) -> String {
    let Some(lock) = link.lock else {
        return match link.link {
            "away" => "away: the link comes back with the service".to_owned(),
            state => state.to_owned(),
        };
    };
    let since = link.locked_since.map(moment).unwrap_or_default();
    format!("locked, {lock}, since {since}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prompt_shows_the_selected_service_with_its_link_and_lock() {
        let link = |service: &str, link, lock| Listed {
            service: service.to_owned(),
            link,
            lock,
            locked_since: None,
        };
        let (echo, dmm) = (
            link("Echo", "linked", None),
            link("DMM", "linked", Some("exclusive")),
        );
        for (selected, is_connected, links, expected) in [
            (None, true, &[][..], "labwire"),
            (Some("Echo"), true, &[], "Echo"),
            (Some("Echo"), true, std::slice::from_ref(&echo), "Echo [linked]"),
            (Some("DMM"), true, std::slice::from_ref(&dmm), "DMM [locked]"),
            (None, true, std::slice::from_ref(&dmm), "labwire [1 link, 1 lock]"),
            (Some("X"), true, &[link("X", "away", None)], "X [away]"),
            (
                Some("X"),
                true,
                &[link("X", "linked", Some("shared"))],
                "X [locked, shared]",
            ),
            (Some("X"), false, &[link("X", "away", None)], "X [not connected]"),
        ] {
            assert_eq!(prompt(selected, is_connected, links), expected);
        }
        let both = [echo, dmm];
        assert_eq!(
            prompt(Some("Echo"), true, &both),
            "Echo [linked; 1 more link, 1 lock]"
        );
        assert_eq!(
            prompt(Some("X"), false, &both),
            "X [not connected; 2 links, 1 lock]"
        );
    }
}
