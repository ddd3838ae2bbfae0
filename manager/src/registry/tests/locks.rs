//! Locks that are waited for and broken.

use super::*;
use crate::bounds::{FREE_LOCK_WAITS, MOST_LOCK_WAITS, MOST_WAITS};
use crate::refusal::{LockCause, LockRefusal};

const WAIT: Option<Duration> = Some(Duration::from_mins(1));

fn present() -> Moment {
    Moment {
        time: at(0),
        instant: Instant::now(),
    }
}

impl Registry {
    /// Requests a lock. Returns whether it waits.
    fn waits_for(
        &mut self,
        client: PeerId,
        service: &str,
        shared: bool,
        wait: Option<Duration>,
    ) -> Result<bool, Refusal> {
        let terms = Terms {
            shared,
            ..Terms::default()
        };
        let acquired = self.acquire_lock(client, service, terms, wait, &Uid::EMPTY, present())?;
        Ok(matches!(acquired, Acquired::Waits))
    }

    fn broken(
        &mut self,
        service: &str,
        client: Option<&str>,
        newest: Ticket,
    ) -> Result<Vec<Arc<str>>, Refusal> {
        let cause = LockCause::Broken {
            by: "ada".into(),
            reason: None,
        };
        let broken = self.break_lock(service, client, newest, &cause, at(0));
        broken.map(|broken| broken.clients)
    }

    fn settle(&mut self) -> usize {
        std::iter::from_fn(|| self.next_settled(present())).count()
    }
}

#[test]
fn clients_that_are_linked_do_not_pass_one_that_waits_for_a_shared_lock() {
    let mut registry = registry();
    service(&mut registry, "S", -1);
    let [first, second, unlinked] = ["a", "b", "c"].map(|name| client(&mut registry, name));
    for linked in [first, second] {
        registry.linked(linked, "S").unwrap();
    }
    assert_eq!(registry.waits_for(first, "S", true, None), Ok(false));
    assert_eq!(registry.waits_for(unlinked, "S", true, WAIT), Ok(true));
    // Otherwise the two could hold the lock in turns for ever.
    assert!(registry.waits_for(second, "S", true, None).is_err());
    assert_eq!(registry.waits_for(second, "S", true, WAIT), Ok(true));
    registry.released(first, "S").unwrap();
    assert_eq!(registry.settle(), 1, "both are granted together");
    assert_eq!(registry.counts(), (3, 1));
    assert!(registry.unlinked(unlinked, "S").is_ok());
}

#[test]
fn a_request_that_was_granted_while_locks_are_broken_is_broken_too() {
    let mut registry = registry();
    service(&mut registry, "S", -1);
    let [holder, waiting, later] = ["a", "b", "c"].map(|name| client(&mut registry, name));
    assert_eq!(registry.waits_for(holder, "S", false, WAIT), Ok(false));
    assert_eq!(registry.waits_for(waiting, "S", false, WAIT), Ok(true));
    let newest = registry.newest_lock();
    registry.unlinked(holder, "S").unwrap();
    registry.settle();
    assert_eq!(registry.waits_for(later, "S", false, WAIT), Ok(true));
    assert_eq!(registry.broken("S", None, newest).unwrap(), ["b[h:1]".into()]);
    registry.settle();
    assert!(
        registry.broken("S", None, newest).unwrap().is_empty(),
        "it is newer"
    );
    assert_eq!(
        registry.broken("S", Some("c[h:1]"), newest).unwrap(),
        ["c[h:1]".into()],
        "it is named"
    );
    assert!(registry.broken("S", Some("c[h:1]"), newest).is_err());
    assert!(registry.broken("S", Some("nobody"), newest).is_err());
}

#[test]
fn all_clients_together_wait_for_so_many_locks_and_each_for_some() {
    let mut registry = registry();
    let names: Vec<_> = (0..MOST_WAITS).map(|number| format!("S{number}")).collect();
    let holder = client(&mut registry, "holder");
    for name in &names {
        service(&mut registry, name, -1);
        registry.waits_for(holder, name, false, WAIT).unwrap();
    }
    let mut waits = 0;
    for number in 0..300 {
        let client = client(&mut registry, &format!("c{number}"));
        let count = names
            .iter()
            .take_while(|name| registry.waits_for(client, name, false, WAIT).is_ok())
            .count();
        assert!(count >= FREE_LOCK_WAITS, "{count}");
        waits += count;
    }
    assert!(
        (MOST_LOCK_WAITS / 2..MOST_LOCK_WAITS + 300 * FREE_LOCK_WAITS).contains(&waits),
        "{waits}"
    );
    assert_eq!(registry.lock_waits.used(), waits);
    let last = client(&mut registry, "last");
    let refusal = names
        .iter()
        .find_map(|name| registry.waits_for(last, name, false, WAIT).err());
    let Some(Refusal::Lock(refusal)) = refusal else {
        panic!("{refusal:?}");
    };
    assert!(
        matches!(*refusal, LockRefusal::WaitsOverBudget { .. }),
        "{refusal:?}"
    );
    let clients: Vec<_> = registry.clients.iter().map(|(id, _)| id).collect();
    for client in clients {
        registry.leave(client);
    }
    assert_eq!((registry.lock_waits.used(), registry.lock_waits.users()), (0, 0));
}

#[test]
fn the_ends_of_many_locks_are_forgotten_in_several_steps() {
    const COUNT: usize = 1_000;
    let mut registry = registry();
    let id = service(&mut registry, "S", -1);
    let clients: Vec<_> = (0..COUNT)
        .map(|number| client(&mut registry, &format!("c{number}")))
        .collect();
    for client in &clients {
        registry.linked(*client, "S").unwrap();
    }
    for client in &clients {
        registry.waits_for(*client, "S", true, None).unwrap();
    }
    let newest = registry.newest_lock();
    while !registry.broken("S", None, newest).unwrap().is_empty() {}
    let mut leaving = gone(&mut registry, id);
    let mut steps = 0;
    while let Some(event) = registry.next_concerned(&mut leaving, &Refusal::Stopping) {
        assert!(matches!(event, Event::Forgotten), "{event:?}");
        steps += 1;
    }
    assert!((10..COUNT).contains(&steps), "{steps}");
    assert!(
        clients
            .iter()
            .all(|id| registry.clients[*id].ended_locks.is_empty())
    );
}
