//! Administrators' requests about groups, roles, sets and grants.

mod totp;

use std::convert::Infallible;
use std::str::FromStr;

use bytes::Bytes;
use jiff::Timestamp;
use labwire_access::{Grantee, Pattern, Permission, PermissionError, Scope, permissions_to_use};
use labwire_store::{
    AccessChange, AccessError, AccountChange, IssuedToken, NewToken, StoreError, StoreList,
    explain_permission, token_to_serve,
};
use serde_json::{Value, json};

use super::{Known, Values, refused};
use crate::hub::Hub;
use crate::refusal::Refusal;

/// What one text of a token allows.
struct Uses(Vec<Permission>);

impl FromStr for Uses {
    type Err = PermissionError;

    fn from_str(text: &str) -> Result<Self, PermissionError> {
        permissions_to_use(text).map(Self)
    }
}

impl Values {
    /// Lists or changes groups, roles, sets and grants, or explains a decision. A change applies when
    /// this returns.
    pub(super) async fn ask_about_access(&self, hub: &Hub) -> Result<Bytes, Refusal> {
        let store = &hub.admission.store;
        let list = match self.request {
            Known::AccessGroups => Some(StoreList::Groups),
            Known::AccessRoles => Some(StoreList::Roles),
            Known::AccessSets => Some(StoreList::Sets),
            Known::AccessLabels => Some(StoreList::Labels),
            Known::AccessGrants => Some(StoreList::Grants),
            Known::AccessUsers => Some(StoreList::Accounts),
            Known::AccessTokens => Some(StoreList::Tokens),
            Known::AccessTotp => Some(StoreList::Totp),
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
        match self.request {
            Known::AddToken => return self.add_token(hub).await,
            Known::RevokeToken => return self.revoke_token(hub).await,
            Known::EnableTotp | Known::ConfirmTotp | Known::DisableTotp | Known::NewTotpCodes => {
                return self.change_totp(store).await;
            }
            Known::DisableUser | Known::EnableUser | Known::SetUser => return self.change_account(hub).await,
            _ => {}
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
            Known::AddLabel | Known::RemoveLabel => {
                let text = name(0)?;
                let pattern = Pattern::new(&text)
                    .map_err(|error| refused(&AccessError::Pattern { text, error }.into()))?;
                let labels = self.parsed(1, |_, error: Infallible| match error {})?;
                match self.request {
                    Known::AddLabel if !labels.is_empty() => AccessChange::AddLabels { pattern, labels },
                    Known::AddLabel => return Err(self.wrong()),
                    _ => AccessChange::RemoveLabels { pattern, labels },
                }
            }
            Known::Revoke => AccessChange::Revoke(self.number(0)?),
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
        let until = self.time(4)?;
        let role = self.text(0)?.to_owned();
        Ok(AccessChange::Grant { role, to, on, until })
    }

    /// Adds a token. Returns its number and its secret.
    async fn add_token(&self, hub: &Hub) -> Result<Bytes, Refusal> {
        let mut may: Vec<Permission> = self
            .parsed(1, |text, error| AccessError::Permission { text, error })?
            .into_iter()
            .flat_map(|Uses(permissions)| permissions)
            .collect();
        if let Some(name) = self.optional_text(2)? {
            may.extend(token_to_serve(&name).map_err(|error| refused(&error.into()))?);
        }
        let new = NewToken {
            user: self.text(0)?.to_owned(),
            may,
            until: self.time(3)?,
            note: self.optional_text(4)?.unwrap_or_default(),
        };
        let added = hub.admission.store.add_token(new).await;
        let IssuedToken { id, secret } = added.map_err(|error| refused(&error))?;
        Ok(json!({ "id": id, "secret": secret }).to_string().into())
    }

    /// Revokes a token, and ends the connections of peers that have logged in with it.
    async fn revoke_token(&self, hub: &Hub) -> Result<Bytes, Refusal> {
        let revoked = hub.admission.store.revoke_token(self.number(0)?).await;
        revoked.map_err(|error| refused(&error))?;
        hub.accounts.reload().await;
        Ok(Value::Null.to_string().into())
    }

    /// Changes an account, and ends the connections of a user who is disabled.
    async fn change_account(&self, hub: &Hub) -> Result<Bytes, Refusal> {
        let user = self.text(0)?.to_owned();
        let change = match self.request {
            Known::DisableUser => AccountChange::Disable {
                user,
                reason: self.optional_text(1)?.unwrap_or_default(),
            },
            Known::EnableUser => AccountChange::Enable { user },
            _ => AccountChange::Describe {
                user,
                full_name: self.optional_text(1)?,
                email: self.optional_text(2)?,
            },
        };
        let changed = hub.admission.store.change_account(change).await;
        changed.map_err(|error| refused(&error))?;
        hub.accounts.reload().await;
        Ok(Value::Null.to_string().into())
    }

    fn number(&self, index: usize) -> Result<i64, Refusal> {
        let number = self.optional(index).and_then(Value::as_i64);
        number.ok_or_else(|| self.wrong())
    }

    /// Returns a time of RFC 3339 in seconds since 1970.
    fn time(&self, index: usize) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.optional_text(index)? else {
            return Ok(None);
        };
        let time = Timestamp::from_str(&text).map_err(|_| refused(&AccessError::Time { text }.into()))?;
        Ok(Some(time.as_second()))
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
