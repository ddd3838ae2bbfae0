//! Administrators' requests, and the login that they need.

use std::sync::Arc;

use labwire_record::{Entry, Kind, Outcome as How};
use labwire_wire::{Executed, quoted};
use tokio::io::AsyncRead;
use tokio::task::yield_now;
use tracing::info;

use super::departure::Departure;
use super::inbox::Inbox;
use super::session::Session;
use crate::admin::{Outcome, RecordedRequest, Request};
use crate::attachment::{Administration, Decision, Next};
use crate::hub::{Hub, RefusedLogin};
use crate::principal::{Principal, Proof};
use crate::record::of_peer;
use crate::refusal::{Refusal, excerpt};
use crate::registry::PeerId;
use crate::router::Call;

/// A request that is being executed. If its peer's connection ends before the outcome is known, the change
/// may be made all the same: the record says so.
struct Unrecorded<'a> {
    hub: &'a Hub,
    id: PeerId,
    name: String,
    request: Option<RecordedRequest>,
}

impl Unrecorded<'_> {
    /// Returns the request, whose outcome is known now.
    fn end(mut self) -> Option<RecordedRequest> {
        self.request.take()
    }
}

impl Drop for Unrecorded<'_> {
    fn drop(&mut self) {
        if let Some(request) = self.request.take().filter(|request| !request.only_reads) {
            let why = "the connection has ended before the outcome was known".to_owned();
            record(self.hub, self.id, &self.name, request, How::Error, Some(why));
        }
    }
}

/// Writes an entry about an administrator's request, with its arguments and why it has failed.
fn record(hub: &Hub, id: PeerId, name: &str, request: RecordedRequest, outcome: How, why: Option<String>) {
    let registry = hub.routing.registry();
    let Some(principal) = registry.principal(id) else {
        return;
    };
    let texts: Vec<_> = [request.arguments, why].into_iter().flatten().collect();
    hub.routing.events.record.note(|| Entry {
        outcome,
        service: request.service,
        attribute: Some(request.attribute.into()),
        text: (!texts.is_empty()).then(|| texts.join(": ").into()),
        ..of_peer(Kind::Admin, name, principal)
    });
}

impl Session<'_> {
    /// Executes an administrator's request, or asks for the login that it needs.
    ///
    /// `unrouted` is the number of bytes received after the request.
    pub(super) async fn call(&mut self, call: Call, unrouted: usize) -> Result<(), Departure> {
        let from = self.sender();
        if from.log_limit.allows(from.name) {
            let attribute = quoted(excerpt(&call.attribute));
            info!("received an admin request {attribute} from {}", from.name);
        }
        if let Err(refusal) = self.attachment.expect_no_end() {
            self.refuse_administration(&call, &refusal);
            return Ok(());
        }
        match self.attachment.permit_administration(&call) {
            Administration::Allowed => self.execute(call).await,
            Administration::Refused(refusal) => self.refuse_administration(&call, &refusal),
            Administration::NeedsLogin => {
                self.attachment.follow_demotion();
                let next = self.attachment.login.call(call, unrouted);
                self.go_on_with(next).await?;
            }
        }
        Ok(())
    }

    fn refuse_administration(&self, call: &Call, refusal: &Refusal) {
        self.attachment
            .with_router(|router, from| router.refuse_administration(from, call, refusal));
    }

    /// Takes the first line as the answer to a login question, unless it is a request. Returns
    /// whether it was taken.
    pub(super) async fn take_credential<R: AsyncRead + Unpin>(
        &mut self,
        inbox: &mut Inbox<R>,
    ) -> Result<bool, Departure> {
        let is_answer = |incoming| self.attachment.is_answer(incoming);
        if !inbox.front().is_some_and(is_answer) {
            return Ok(false);
        }
        let Some(incoming) = inbox.take_front() else {
            return Ok(false);
        };
        let next = self.attachment.login.answer(&incoming, inbox.unrouted());
        self.go_on_with(next).await?;
        Ok(true)
    }

    async fn go_on_with(&mut self, next: Next) -> Result<(), Departure> {
        match next {
            Next::Wait => {}
            Next::Execute(call) => self.execute(call).await,
            Next::Refuse(call, refusal) => self.sender().refuse(&call.uid, &refusal),
            Next::AskUsername => self.attachment.ask("username", self.hub.routing.name()),
            Next::AskPassword(username) => self.attachment.ask("password", excerpt(&username)),
            Next::Check { username, password } => self.log_in(&username, &password).await?,
        }
        Ok(())
    }

    async fn execute(&mut self, call: Call) {
        let uid = call.uid.clone();
        // If the connection breaks meanwhile, this future is dropped.
        self.executing = Some(uid.clone());
        let (user, is_admin) = {
            let (registry, id) = (self.hub.routing.registry(), self.attachment.id());
            (registry.user_of(id), registry.is_administrator(id))
        };
        let outcome = match Request::of(call) {
            Ok(request) => {
                let unrecorded = Unrecorded {
                    hub: self.hub,
                    id: self.attachment.id(),
                    name: self.attachment.name().to_owned(),
                    request: Some(request.recorded()),
                };
                let outcome = request
                    .execute(self.hub, &user.unwrap_or_default(), is_admin)
                    .await;
                if let Some(recorded) = unrecorded.end() {
                    self.record(recorded, outcome.as_ref().err());
                }
                outcome
            }
            Err(refusal) => Err(refusal),
        };
        self.executing = None;
        let from = self.sender();
        match outcome {
            Ok(Outcome::Result(result)) => {
                from.answer(&uid, |frame| frame.shared(&result));
            }
            Ok(Outcome::Listing(listing)) => {
                let registry = self.hub.routing.registry();
                from.answer(&uid, |frame| registry.write_listing(listing, frame));
            }
            Ok(Outcome::Shutdown) => info!("{} asked the manager to shut down", from.name),
            Err(refusal) => {
                from.log(&refusal);
                from.refuse(&uid, &refusal);
            }
        }
    }

    /// Records an administrator's request that was executed, or failed.
    fn record(&mut self, request: RecordedRequest, failure: Option<&Refusal>) {
        if request.only_reads {
            // A program that asks for the same every second is recorded once.
            let is_known = !self.recorded_reads.insert(request.attribute);
            if is_known && failure.is_none() {
                return;
            }
        }
        let outcome = match failure.map(Refusal::executed) {
            None => How::Ok,
            Some(Executed::No) => How::Refused,
            Some(_) => How::Error,
        };
        let why = failure.map(Refusal::recorded);
        let (id, name) = (self.attachment.id(), self.attachment.name());
        record(self.hub, id, name, request, outcome, why);
    }

    async fn log_in(&mut self, username: &str, password: &str) -> Result<(), Departure> {
        let hub = self.hub;
        let login = hub.admission.check_user(self.peer.ip, username, password).await;
        let checked = match &login {
            Ok(outcome) => Ok(outcome.is_admin),
            Err(refused) => Err(refused.refusal.clone()),
        };
        let failure = login.as_ref().err().and_then(|refused| refused.failure);
        let (calls, refusal, ends_connection) = match self.attachment.login.decide(checked) {
            Decision::Execute(calls) => {
                if let Ok(outcome) = login {
                    self.attachment.set_principal(Principal {
                        proof: Proof::of_login(username, outcome),
                        from: Arc::clone(self.peer),
                    });
                }
                self.attachment.follow_demotion();
                // What ended the login while the password was checked ends the requests, too.
                for call in calls {
                    match self.attachment.permit_after_login(&call) {
                        Ok(()) => self.execute(call).await,
                        Err(refusal) => self.refuse_administration(&call, &refusal),
                    }
                    yield_now().await;
                }
                return Ok(());
            }
            Decision::Refuse {
                calls,
                refusal,
                ends_connection,
            } => (calls, refusal, ends_connection),
        };
        let from = self.sender();
        if from.log_limit.allows(from.name) {
            let username = quoted(excerpt(username));
            info!(
                "{} failed to log in as {username}: {}",
                from.name,
                refusal.summary()
            );
        }
        for call in &calls {
            from.refuse(&call.uid, &refusal);
        }
        let refused = RefusedLogin {
            refusal: refusal.clone(),
            failure,
        };
        hub.admission.record_failed_login(self.peer, username, &refused);
        if !ends_connection {
            return Ok(());
        }
        // As in the handshake, a wrong answer ends the connection.
        hub.admission.record(self.peer, &format!("rejected: {refusal}"));
        Err(Departure::WrongLogin)
    }
}
