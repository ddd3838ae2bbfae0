//! Administrators' requests about the second factor of users.

use bytes::Bytes;
use labwire_store::{Store, StoreError};
use serde_json::{Value, json};

use super::super::{Known, Values, refused};
use crate::refusal::Refusal;

impl Values {
    /// Changes the second factor of a user. It is asked for from the next login on; connections stay.
    pub(super) async fn change_totp(&self, store: &Store) -> Result<Bytes, Refusal> {
        let user = self.text(0)?;
        let refuse = |error: StoreError| refused(&error);
        let answer = match self.request {
            Known::EnableTotp => store.enable_totp(user).await.map_err(refuse)?.describe(),
            Known::NewTotpCodes => {
                let codes = store.renew_recovery_codes(user).await.map_err(refuse)?;
                json!({ "user": user, "recovery_codes": codes })
            }
            Known::ConfirmTotp => {
                store.confirm_totp(user, self.text(1)?).await.map_err(refuse)?;
                Value::Null
            }
            _ => {
                store.disable_totp(user).await.map_err(refuse)?;
                Value::Null
            }
        };
        Ok(answer.to_string().into())
    }
}
