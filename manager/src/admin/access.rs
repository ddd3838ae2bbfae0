//! Administrators' requests about groups, roles, sets and grants.

use std::str::FromStr;

use bytes::Bytes;
use jiff::Timestamp;
use labwire_access::{Grantee, Scope};
use labwire_store::{AccessChange, AccessError, StoreError, StoreList, explain_permission};
use serde_json::{Value, json};

use super::{Known, Values, refused};
use crate::hub::Hub;
use crate::refusal::Refusal;

impl Values {
    /// Lists or changes groups, roles, sets and grants, or explains a decision. A change applies when
    /// this returns.
    pub(super) async fn ask_about_access(&self, hub: &Hub) -> Result<Bytes, Refusal> {
        let store = &hub.admission.store;
        let list = match self.request {
            Known::AccessGroups => Some(StoreList::Groups),
            Known::AccessRoles => Some(StoreList::Roles),
            Known::AccessSets => Some(StoreList::Sets),
            Known::AccessGrants => Some(StoreList::Grants),
            _ => None,
        };
        if let Some(list) = list {
            return store.list(list).await.map_err(|error| refused(&error));
        }
        if self.request == Known::Explain {
            let (user, permission) = (self.text(0)?.to_owned(), self.text(1)?.to_owned());
            let now = hub.routing.present().seconds();
            let explained = store
                .with_access(move |rows| Ok(explain_permission(rows, &user, &permission, now)?.to_json()))
                .await;
            return Ok(explained.map_err(|error| refused(&error))?.to_string().into());
        }
        let change = self.access_change()?;
        let id = store
            .change_access(change)
            .await
            .map_err(|error| refused(&error))?;
        hub.rules_changed().await;
        Ok(json!(id).to_string().into())
    }

    fn access_change(&self) -> Result<AccessChange, Refusal> {
        let name = |index: usize| self.text(index).map(str::to_owned);
        Ok(match self.request {
            Known::AddGroup => AccessChange::AddGroup(name(0)?),
            Known::RemoveGroup => AccessChange::RemoveGroup(name(0)?),
            Known::JoinGroup => AccessChange::Join {
                group: name(0)?,
                user: name(1)?,
            },
            Known::LeaveGroup => AccessChange::Leave {
                group: name(0)?,
                user: name(1)?,
            },
            Known::AddRole | Known::RemoveRole => {
                let role = name(0)?;
                let permissions = self.parsed(1, |text, error| AccessError::Permission { text, error })?;
                match self.request {
                    Known::AddRole if !permissions.is_empty() => AccessChange::AddRole { role, permissions },
                    Known::AddRole => return Err(self.wrong()),
                    _ => AccessChange::RemoveRole { role, permissions },
                }
            }
            Known::AddSet | Known::RemoveSet => {
                let set = name(0)?;
                let patterns = self.parsed(1, |text, error| AccessError::Pattern { text, error })?;
                match self.request {
                    Known::AddSet if !patterns.is_empty() => AccessChange::AddSet { set, patterns },
                    Known::AddSet => return Err(self.wrong()),
                    _ => AccessChange::RemoveSet { set, patterns },
                }
            }
            Known::Revoke => {
                let id = self.optional(0).and_then(Value::as_i64);
                AccessChange::Revoke(id.ok_or_else(|| self.wrong())?)
            }
            _ => self.grant()?,
        })
    }

    fn grant(&self) -> Result<AccessChange, Refusal> {
        let to = match (self.optional_text(1)?, self.optional_text(2)?) {
            (Some(user), None) => Grantee::User(user),
            (None, Some(group)) => Grantee::Group(group),
            _ => return Err(self.wrong()),
        };
        let on = match self.optional_text(3)? {
            Some(text) => text
                .parse()
                .map_err(|error| refused(&AccessError::Scope { text, error }.into()))?,
            None => Scope::everything(),
        };
        let until = match self.optional_text(4)? {
            Some(text) => Some(
                Timestamp::from_str(&text)
                    .map_err(|_| refused(&AccessError::Time { text }.into()))?
                    .as_second(),
            ),
            None => None,
        };
        let role = self.text(0)?.to_owned();
        Ok(AccessChange::Grant { role, to, on, until })
    }

    /// Parses an array of texts. No array is an empty one.
    fn parsed<T: FromStr>(
        &self,
        index: usize,
        wrong: impl Fn(String, T::Err) -> AccessError,
    ) -> Result<Vec<T>, Refusal> {
        let Some(value) = self.optional(index) else {
            return Ok(Vec::new());
        };
        let texts = value.as_array().ok_or_else(|| self.wrong())?;
        let parse = |text: &Value| {
            let text = text.as_str().ok_or_else(|| self.wrong())?;
            text.parse()
                .map_err(|error| refused(&StoreError::Access(wrong(text.to_owned(), error))))
        };
        texts.iter().map(parse).collect()
    }
}
