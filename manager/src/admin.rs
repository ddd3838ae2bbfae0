//! The requests of administrators: an explicit table, without reflection.

mod access;

use std::sync::Arc;

use bytes::Bytes;
use labwire_access::Action;
use labwire_store::{COMPATIBLE_ROUNDS, DEFAULT_ROUNDS, StoreError, StoreList};
use labwire_wire::Executed;
use serde_json::{Value, json};

use crate::bounds::MOST_REASON;
use crate::config::Authentication;
use crate::history::{Question, Wrong};
use crate::hub::{Admission, Hub, Operation, Routing};
use crate::logging::Level;
use crate::refusal::{LockCause, LockRefusal, Refusal, excerpt};
use crate::registry::Listing;
use crate::router::Call;

/// The outcome of an administrator's request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The result, as JSON text.
    Result(Bytes),
    /// The result is a list.
    Listing(Listing),
    /// The manager stops. The closed connection is the answer that Python clients wait for.
    Shutdown,
}

impl Outcome {
    fn text(text: String) -> Self {
        Self::Result(text.into())
    }
}

/// An administrator's request, with arguments that fit its parameters.
pub(crate) struct Request(Values);

impl Request {
    /// Finds the request that `call` names.
    ///
    /// # Errors
    /// [`Refusal::NoSuchAttribute`] and [`Refusal::Arguments`].
    pub(crate) fn of(call: Call) -> Result<Self, Refusal> {
        let Call {
            attribute,
            arguments,
            uid: _,
        } = call;
        let unknown = || Refusal::NoSuchAttribute(excerpt(&attribute).to_owned());
        let request = Known::from_name(&attribute).ok_or_else(unknown)?;
        let wrong = || Refusal::Arguments {
            attribute: request.name().to_owned(),
            expected: request.parameters().1,
        };
        let values = arguments
            .ok_or_else(wrong)?
            .bind(request.parameters().0)
            .ok_or_else(wrong)?;
        Ok(Self(Values { request, values }))
    }

    /// Returns what is recorded of it.
    pub(crate) fn recorded(&self) -> RecordedRequest {
        let Self(Values { request, values }) = self;
        let names = request.parameters().0;
        let arguments: Vec<_> = names
            .iter()
            .zip(values)
            .filter(|(name, _)| !SECRETS.contains(name))
            .filter_map(|(name, value)| Some(format!("{name}={}", shown(name, value.as_ref()?))))
            .collect();
        let place = names.iter().position(|name| *name == "service");
        let service = place
            .filter(|_| request.changes())
            .and_then(|place| values.get(place)?.as_ref()?.as_str());
        RecordedRequest {
            attribute: request.name(),
            service: service.map(|service| excerpt(service).into()),
            arguments: (!arguments.is_empty()).then(|| arguments.join(" ")),
            only_reads: !request.changes(),
        }
    }

    /// Answers a request that needs only the registry and the port. Returns `None` for any other.
    pub(crate) fn answer_at_once(&self, operation: &Operation) -> Option<Outcome> {
        let listing = match self.0.request {
            Known::Clients => Listing::Clients,
            Known::Services => Listing::Services,
            Known::ServiceLinks | Known::Links => Listing::Links,
            Known::ServiceLocks | Known::Locks => Listing::Locks,
            Known::Sessions => Listing::Sessions,
            Known::Port => return Some(Outcome::text(operation.port().to_string())),
            _ => return None,
        };
        Some(Outcome::Listing(listing))
    }

    /// Executes the request of that user, who is an administrator or was granted this request.
    pub(crate) async fn execute(self, hub: &Hub, user: &str, is_admin: bool) -> Result<Outcome, Refusal> {
        if let Some(outcome) = self.answer_at_once(&hub.operation) {
            return Ok(outcome);
        }
        let Self(values) = self;
        let changing = values.request.changes().then(|| hub.begin_change());
        let outcome = match values.request {
            Known::ShutdownManager => {
                hub.routing.request_shutdown();
                Outcome::Shutdown
            }
            // In the other modes there is no password, and MSL-Network returns null too.
            Known::Password => match hub.admission.authentication {
                Authentication::Password(_) => return Err(Refusal::PasswordKept),
                _ => Outcome::text(Value::Null.to_string()),
            },
            Known::BreakLock => {
                let broken = values.break_lock(&hub.routing, user).await?;
                Outcome::text(json!(broken).to_string())
            }
            Known::Stats => Outcome::text(hub.statistics().to_string()),
            Known::History => {
                let answer = values.question()?.answer(&hub.routing.events.record, is_admin);
                Outcome::Result(answer.await?)
            }
            Known::SetLoggingLevel => Outcome::text(values.set_logging_level(&hub.operation)?.to_string()),
            request if request.is_about_access() => Outcome::Result(values.ask_about_access(hub).await?),
            request => {
                let answer = values.ask_store(&hub.admission).await?;
                if matches!(request, Known::InsertUser | Known::UpdateUser | Known::DeleteUser) {
                    hub.rules_changed().await;
                    hub.accounts.reload().await;
                }
                Outcome::Result(answer)
            }
        };
        if let Some(changing) = changing {
            changing.end();
        }
        Ok(outcome)
    }
}

/// Returns the value of an argument for the record. One of another type than its parameter's may be anything, such as
/// a password in the wrong place.
fn shown(name: &str, value: &Value) -> String {
    let is_in_place = match name {
        "username" | "user" | "hostname" => value.is_string(),
        "is_admin" => value.is_boolean(),
        "rounds" => value.is_number(),
        _ => true,
    };
    if is_in_place {
        value.to_string()
    } else {
        "…".to_owned()
    }
}

fn refused(error: &StoreError) -> Refusal {
    Refusal::Store {
        text: error.peer_text(),
        // A database can fail after it has written.
        executed: if error.is_callers_mistake() {
            Executed::No
        } else {
            Executed::Maybe
        },
    }
}

/// Returns what a peer must be allowed for a request, where there are rules: any one of them. A
/// refusal names the first. Returns `None` if there is no such request.
pub(crate) fn needed(call: &Call) -> Option<Vec<(Action, &str)>> {
    Known::from_name(&call.attribute)?;
    let mut needed = vec![(Action::Administer, call.attribute.as_str())];
    if let Some(service) = concerned(call) {
        needed.insert(0, (Action::BreakLock, service));
    }
    Some(needed)
}

/// Returns the service whose lock a request breaks.
pub(crate) fn concerned(call: &Call) -> Option<&str> {
    let request = Known::from_name(&call.attribute)?;
    let arguments = call.arguments.as_ref()?;
    (request == Known::BreakLock)
        .then(|| arguments.first_text("service"))
        .flatten()
}

/// The parameters whose values are secrets.
const SECRETS: [&str; 2] = ["password", "code"];

/// What is recorded of a request.
#[derive(Debug)]
pub(crate) struct RecordedRequest {
    pub(crate) attribute: &'static str,
    /// The service that it concerns.
    pub(crate) service: Option<Arc<str>>,
    /// Its arguments without secrets, for people.
    pub(crate) arguments: Option<String>,
    /// Whether it changes nothing. Such a request is recorded once for each connection.
    pub(crate) only_reads: bool,
}

impl Known {
    /// Returns whether the request changes something.
    fn changes(self) -> bool {
        matches!(
            self,
            Self::InsertUser
                | Self::UpdateUser
                | Self::DeleteUser
                | Self::InsertHostname
                | Self::DeleteHostname
                | Self::SetLoggingLevel
                | Self::ShutdownManager
                | Self::BreakLock
                | Self::AddGroup
                | Self::RemoveGroup
                | Self::JoinGroup
                | Self::LeaveGroup
                | Self::AddRole
                | Self::RemoveRole
                | Self::AddSet
                | Self::RemoveSet
                | Self::AddLabel
                | Self::RemoveLabel
                | Self::Grant
                | Self::Revoke
                | Self::AddToken
                | Self::RevokeToken
                | Self::EnableTotp
                | Self::ConfirmTotp
                | Self::DisableTotp
                | Self::NewTotpCodes
                | Self::DisableUser
                | Self::EnableUser
                | Self::SetUser
        )
    }
}

/// Declares the table: each request's name, its parameters, and their description.
macro_rules! requests {
    ($($variant:ident $name:literal [$($parameter:literal),*] $words:literal;)*) => {
        /// Every request that an administrator can send.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Known { $($variant),* }

        impl Known {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$variant),*];

            fn from_name(name: &str) -> Option<Self> {
                Some(match name {
                    $($name => Self::$variant,)*
                    _ => return None,
                })
            }

            fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            fn parameters(self) -> (&'static [&'static str], &'static str) {
                match self { $(Self::$variant => (&[$($parameter),*], $words)),* }
            }
        }
    };
}

requests! {
    Usernames "users_table.usernames" [] "no arguments";
    Users "users_table.users" [] "no arguments";
    IsUserRegistered "users_table.is_user_registered" ["username"] "a username";
    IsAdmin "users_table.is_admin" ["username"] "a username";
    IsPasswordValid "users_table.is_password_valid" ["username", "password"] "a username and a password";
    InsertUser "users_table.insert" ["username", "password", "is_admin", "rounds"] "a username, a password, is_admin (true or false) and, if wanted, rounds";
    UpdateUser "users_table.update" ["username", "password", "is_admin", "rounds"] "a username and password=… or is_admin=… or both";
    DeleteUser "users_table.delete" ["username"] "a username";
    Hostnames "hostnames_table.hostnames" [] "no arguments";
    InsertHostname "hostnames_table.insert" ["hostname"] "a hostname";
    DeleteHostname "hostnames_table.delete" ["hostname"] "a hostname";
    Connections "connections_table.connections" ["start", "end"] "start=… and end=…, each yyyy-mm-dd or yyyy-mm-ddTHH:MM:SS, or none";
    SetLoggingLevel "set_logging_level" ["level"] "a level: DEBUG, INFO, WARNING, ERROR, CRITICAL or a number";
    ShutdownManager "shutdown_manager" [] "no arguments";
    Password "password" [] "no arguments";
    Port "port" [] "no arguments";
    Clients "clients" [] "no arguments";
    Services "services" [] "no arguments";
    Links "links" [] "no arguments";
    Locks "locks" [] "no arguments";
    ServiceLinks "service_links" [] "no arguments";
    ServiceLocks "service_locks" [] "no arguments";
    Stats "stats" [] "no arguments";
    Sessions "sessions" [] "no arguments";
    AccessGroups "access.groups" [] "no arguments";
    AccessRoles "access.roles" [] "no arguments";
    AccessSets "access.sets" [] "no arguments";
    AccessLabels "access.labels" [] "no arguments";
    AccessGrants "access.grants" [] "no arguments";
    AddGroup "access.add_group" ["group"] "the name of a group";
    RemoveGroup "access.remove_group" ["group"] "the name of a group";
    JoinGroup "access.join_group" ["group", "user"] "the name of a group and a username";
    LeaveGroup "access.leave_group" ["group", "user"] "the name of a group and a username";
    AddRole "access.add_role" ["role", "permissions"] "the name of a role and an array of permissions";
    RemoveRole "access.remove_role" ["role", "permissions"] "the name of a role and, if only some are to be removed, an array of permissions";
    AddSet "access.add_set" ["set", "patterns"] "the name of a set and an array of patterns of services";
    RemoveSet "access.remove_set" ["set", "patterns"] "the name of a set and, if only some are to be removed, an array of patterns";
    AddLabel "access.add_label" ["service", "labels"] "the name of a service, or a pattern, and an array of labels";
    RemoveLabel "access.remove_label" ["service", "labels"] "the name of a service, or a pattern, and, if only some are to be removed, an array of labels";
    Grant "access.grant" ["role", "user", "group", "on", "until"] "the name of a role, user=… or group=…, and, if wanted, on=\"PATTERN\", on=\"@SET\" or on=\"@SET+SET\" and until=\"TIME\"";
    Revoke "access.revoke" ["id"] "the number of a grant";
    AccessTokens "access.tokens" [] "no arguments";
    AddToken "access.add_token" ["user", "may", "register", "until", "note"] "a username, may=[…] with what the token allows, such as \"DMM.read*\", or register=\"SERVICE\", and, if wanted, until=\"TIME\" and note=\"TEXT\"";
    RevokeToken "access.revoke_token" ["id"] "the number of a token";
    AccessTotp "access.totp" [] "no arguments";
    EnableTotp "access.enable_totp" ["user"] "a username";
    ConfirmTotp "access.confirm_totp" ["user", "code"] "a username and a code of six digits, as a text";
    DisableTotp "access.disable_totp" ["user"] "a username";
    NewTotpCodes "access.new_totp_codes" ["user"] "a username";
    AccessUsers "access.users" [] "no arguments";
    DisableUser "access.disable_user" ["user", "reason"] "a username and, if wanted, reason=\"TEXT\"";
    EnableUser "access.enable_user" ["user"] "a username";
    SetUser "access.set_user" ["user", "full_name", "email"] "a username and full_name=\"TEXT\" or email=\"ADDRESS\" or both";
    Explain "access.explain" ["user", "permission"] "a username and a permission, such as \"call DMM.read\"";
    History "history" ["service", "user", "peer", "kind", "outcome", "since", "until", "before", "after", "limit", "attribute"] "if wanted, service=\"NAME\", attribute=\"NAME\", user=\"NAME\", peer=\"NAME\", kind=…, outcome=…, since=…, until=…, limit=NUMBER above 0, and before=NUMBER or after=NUMBER";
    BreakLock "break_lock" ["service", "client", "reason"] "the name of a service and, if wanted, client=\"NAME[HOST:PORT]\" and reason=\"TEXT\"";
}

impl Known {
    /// Returns whether it is about groups, roles, sets and grants.
    fn is_about_access(self) -> bool {
        self.name().starts_with("access.")
    }
}

/// The arguments of one request, in the order of its parameters.
struct Values {
    request: Known,
    values: Vec<Option<Value>>,
}

impl Values {
    fn wrong(&self) -> Refusal {
        let (_, expected) = self.request.parameters();
        Refusal::Arguments {
            attribute: self.request.name().to_owned(),
            expected,
        }
    }

    fn optional(&self, index: usize) -> Option<&Value> {
        self.values.get(index)?.as_ref().filter(|value| !value.is_null())
    }

    fn text(&self, index: usize) -> Result<&str, Refusal> {
        self.optional(index)
            .and_then(Value::as_str)
            .ok_or_else(|| self.wrong())
    }

    fn optional_text(&self, index: usize) -> Result<Option<String>, Refusal> {
        self.optional(index)
            .map(|_| self.text(index).map(str::to_owned))
            .transpose()
    }

    fn optional_bool(&self, index: usize) -> Result<Option<bool>, Refusal> {
        let as_bool = |value: &Value| value.as_bool().ok_or_else(|| self.wrong());
        self.optional(index).map(as_bool).transpose()
    }

    fn rounds(&self, index: usize) -> Result<u32, Refusal> {
        let Some(value) = self.optional(index) else {
            return Ok(DEFAULT_ROUNDS);
        };
        let rounds = value.as_u64().and_then(|rounds| u32::try_from(rounds).ok());
        rounds
            .filter(|&rounds| rounds >= COMPATIBLE_ROUNDS)
            .ok_or_else(|| self.wrong())
    }

    /// Breaks locks on a service. Returns the names of the clients that held them.
    async fn break_lock(&self, routing: &Routing, user: &str) -> Result<Vec<String>, Refusal> {
        let client = self.optional_text(1)?;
        let reason = self.optional_text(2)?;
        if reason.as_ref().is_some_and(|reason| reason.len() > MOST_REASON) {
            return Err(LockRefusal::Reason.into());
        }
        let cause = LockCause::Broken {
            by: user.into(),
            reason: reason.map(Into::into),
        };
        let clients = routing
            .break_lock(self.text(0)?, client.as_deref(), &cause)
            .await?;
        Ok(clients.iter().map(ToString::to_string).collect())
    }

    /// Returns the question of a request for the record.
    fn question(&self) -> Result<Question, Refusal> {
        Question::read(|index| self.optional(index)).map_err(|wrong| match wrong {
            Wrong::Type => self.wrong(),
            Wrong::Refused(refusal) => refusal.into(),
        })
    }

    fn set_logging_level(&self, operation: &Operation) -> Result<bool, Refusal> {
        let level = match self.optional(0) {
            Some(Value::String(text)) => Level::parse(text),
            Some(Value::Number(number)) => Level::parse(&number.to_string()),
            _ => return Err(self.wrong()),
        };
        Ok(level.is_some_and(|level| operation.set_logging_level(level)))
    }

    /// Asks the database. Long lists are composed by its own thread.
    async fn ask_store(&self, admission: &Admission) -> Result<Bytes, Refusal> {
        let store = &admission.store;
        let refuse = |error: StoreError| refused(&error);
        let list = match self.request {
            Known::Usernames => Some(StoreList::Usernames),
            Known::Users => Some(StoreList::Users),
            Known::Hostnames => Some(StoreList::Hostnames),
            Known::Connections => Some(StoreList::Connections {
                start: self.optional_text(0)?,
                end: self.optional_text(1)?,
            }),
            _ => None,
        };
        if let Some(list) = list {
            return store.list(list).await.map_err(refuse);
        }
        let answer = match self.request {
            Known::IsUserRegistered => json!(store.is_user_registered(self.text(0)?).await.map_err(refuse)?),
            Known::IsAdmin => json!(store.is_admin(self.text(0)?).await.map_err(refuse)?),
            Known::IsPasswordValid => {
                let valid = store.is_password_valid(self.text(0)?, self.text(1)?);
                json!(valid.await.map_err(refuse)?)
            }
            Known::InsertUser => {
                let is_admin = self.optional_bool(2)?.ok_or_else(|| self.wrong())?;
                let (name, password) = (self.text(0)?, self.text(1)?);
                store
                    .insert_user(name, password, is_admin, self.rounds(3)?)
                    .await
                    .map_err(refuse)?;
                Value::Null
            }
            Known::UpdateUser => {
                let (password, is_admin) = (self.optional_text(1)?, self.optional_bool(2)?);
                let update = store.update_user(self.text(0)?, password.as_deref(), is_admin, self.rounds(3)?);
                update.await.map_err(refuse)?;
                Value::Null
            }
            Known::DeleteUser => {
                store.delete_user(self.text(0)?).await.map_err(refuse)?;
                Value::Null
            }
            Known::InsertHostname => {
                store.insert_hostname(self.text(0)?).await.map_err(refuse)?;
                admission.trust_changed().await;
                Value::Null
            }
            Known::DeleteHostname => {
                store.delete_hostname(self.text(0)?).await.map_err(refuse)?;
                admission.trust_changed().await;
                Value::Null
            }
            _ => return Err(Refusal::NoSuchAttribute(self.request.name().to_owned())),
        };
        Ok(answer.to_string().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_found_by_its_own_name_and_nothing_else_is() {
        for &request in Known::ALL {
            assert_eq!(Known::from_name(request.name()), Some(request));
        }
        for name in [
            "_password",
            "users_table.execute",
            "users_table",
            "__class__",
            "",
            "users_table.records",
        ] {
            assert_eq!(Known::from_name(name), None, "{name}");
        }
    }
}
