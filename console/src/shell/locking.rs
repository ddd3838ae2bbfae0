//! Locks on services.

use std::time::Duration;

use labwire_client::{CallError, Link, Lock, LockGuard};
use labwire_home::present;
use tokio::time::timeout;

use super::links::HeldLock;
use super::session::ShellSession;
use super::split::typed_name;
use super::terms::Terms;
use crate::failure::Failure;
use crate::linking::{explained_in_shell, not_alone};
use crate::output::one_line;

/// The time after which a lock is said to be waited for.
const A_MOMENT: Duration = Duration::from_millis(300);

impl ShellSession {
    /// Locks a service, with a link if there is none.
    pub(super) async fn lock(&self, service: &str, is_shared: bool, terms: &Terms) -> Result<(), Failure> {
        let is_labwire = self.shared.known().is_labwire();
        if !terms.are_none() && !is_labwire {
            // It may not have been asked yet.
            self.refresh().await?;
        }
        let is_labwire = self.shared.known().is_labwire();
        if !terms.are_none() && !is_labwire {
            return Err(Failure::Usage(
                "ttl, wait and reason need a manager of Labwire, this is another one".to_owned(),
            ));
        }
        let held = self.shared.link(service).filter(Link::is_linked);
        if held.is_none() {
            self.require(service).await?;
        }
        let held_already = self.shared.links().get_mut(service).and_then(|held| {
            let lock = held.lock.as_ref().filter(|lock| lock.is_shared == is_shared)?;
            lock.guard.is_held().then(|| lock.guard.clients().to_vec())
        });
        if let Some(clients) = held_already {
            // A second guard would share the lock, and dropping the first one would end it.
            let text = format!("'{}' is locked already", one_line(service));
            return self.shared.screen.answer("lock", &clients, text);
        }
        let kind = if is_shared { Lock::Shared } else { Lock::Exclusive };
        // A lock of the other kind must be released first.
        let before = match self.shared.links().get_mut(service) {
            Some(held) if held.lock.as_ref().is_some_and(|lock| lock.is_shared != is_shared) => {
                held.lock.take()
            }
            _ => None,
        };
        if let Some(lock) = before {
            self.connection.in_time(lock.guard.release()).await?;
        }
        let guard = self.locked(service, held.as_ref(), kind, terms).await?;
        let clients = guard.clients().to_vec();
        if held.is_none() {
            self.shared.keep(guard.link().clone());
        }
        if let Some(held) = self.shared.links().get_mut(service) {
            held.lock = Some(HeldLock {
                guard,
                is_shared,
                since: present(),
            });
        }
        self.shared.known().selected = Some(service.to_owned());
        let text = format!(
            "'{}' is locked for {}",
            one_line(service),
            one_line(&clients.join(", "))
        );
        self.shared.screen.answer("lock", &clients, text)
    }

    /// Requests a lock, with a link if there is none, and waits for it if its terms say so.
    async fn locked(
        &self,
        service: &str,
        link: Option<&Link>,
        kind: Lock,
        terms: &Terms,
    ) -> Result<LockGuard, Failure> {
        let (wait, options) = (terms.wait(), terms.options(kind));
        let new = match link {
            // The refusal of the link says more about the cause.
            None if terms.are_none() => Some(self.link_for_call(service).await?),
            _ => None,
        };
        let request = async {
            match link.or(new.as_ref()) {
                Some(link) => link.lock(options).await,
                None => self.connection.client().lock(service, options).await,
            }
        };
        let answer = self.connection.answer(wait, request);
        tokio::pin!(answer);
        let answered = if let Ok(answered) = timeout(A_MOMENT, &mut answer).await {
            answered
        } else {
            let screen = &self.shared.screen;
            if screen.is_of_person() && !wait.is_zero() {
                let name = one_line(service);
                screen.message(format_args!("waiting for the lock on '{name}'; Ctrl-C gives up"));
            }
            answer.await
        };
        match answered? {
            Ok(guard) => Ok(guard),
            Err(error) => Err(self.refused(service, error).await),
        }
    }

    /// Returns the failure of a lock that was refused. It names the cause and the remedy.
    async fn refused(&self, service: &str, error: CallError) -> Failure {
        let is_locked = error.lock().is_some_and(|lock| lock.holder.is_some());
        // The manager of MSL-Network does not say what is in the way. One of Labwire may refuse a lock
        // for another reason, such as a permission that is missing.
        let is_in_use = error.lock().is_some() || !self.shared.known().is_labwire();
        match error.into() {
            refused @ Failure::Refused(_) if is_locked => {
                explained_in_shell(&self.connection, service, refused).await
            }
            Failure::Refused(text) if is_in_use => {
                let text = not_alone(&self.connection, service, text).await;
                let name = typed_name(service);
                let name = one_line(&name);
                Failure::Refused(text).with_hint(Some(format!(
                    "share it with: lock {name} shared; or wait until no other client is linked: lock {name} wait=60"
                )))
            }
            failure => failure,
        }
    }

    /// Releases the lock on a service.
    pub(super) async fn unlock(&self, service: &str) -> Result<(), Failure> {
        let lock = self
            .shared
            .links()
            .get_mut(service)
            .and_then(|held| held.lock.take());
        let Some(lock) = lock else {
            return Err(self.not_linked(service, "lock on"));
        };
        let others = self.connection.in_time(lock.guard.release()).await?;
        let text = if others.is_empty() {
            format!("'{}' is not locked any more", one_line(service))
        } else {
            let others = one_line(&others.join(", "));
            format!("the lock on '{}' is still held by {others}", one_line(service))
        };
        self.shared.screen.answer("unlock", &others, text)
    }
}
