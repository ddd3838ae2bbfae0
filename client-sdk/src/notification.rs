//! A notification.

use std::sync::Arc;

use labwire_device::payload::{DecodeError, Received};
use labwire_wire::array_elements;
use serde::de::DeserializeOwned;

/// A message that a service sent without a request: positional and keyword arguments.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::lab(|options| async move {
/// # use labwire_client::Client;
/// # let client = Client::connect("Ada", options).await?;
/// use labwire_client::{Notification, args};
///
/// let heartbeat = client.link("Heartbeat").await?;
/// let mut beats = heartbeat.notifications();
/// heartbeat.call::<()>("beat", args![72]).await?;
/// let beat: Notification = beats.next().await.expect("the service is there");
/// assert_eq!((beat.service(), beat.lost()), ("Heartbeat", 0));
/// assert_eq!((beat.positional_json(), beat.keywords_json()), ("[72]", "{}"));
/// assert_eq!(beat.decode::<(u64,)>()?, (72,));
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Notification {
    service: Arc<str>,
    positional: Received,
    keywords: Received,
    lost: u64,
}

impl Notification {
    /// Returns the size of its arguments, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.positional.size() + self.keywords.len()
    }

    /// Splits `result`, the JSON text of `[args, kwargs]`. Returns `None` if it is anything else.
    pub(crate) fn new(service: Arc<str>, result: &Received) -> Option<Self> {
        let parts = array_elements(result).ok()?;
        let [positional, keywords] = parts[..] else {
            return None;
        };
        std::str::from_utf8(result).ok()?;
        Some(Self {
            service,
            positional: result.part(positional),
            keywords: result.part(keywords),
            lost: 0,
        })
    }

    /// Returns the positional arguments: the JSON text of an array.
    pub(crate) fn positional(&self) -> &Received {
        &self.positional
    }

    /// Adds the number of notifications that were dropped just before this one.
    pub(crate) fn add_lost(&mut self, count: u64) {
        self.lost += count;
    }

    /// Returns the name of the service that sent the notification.
    ///
    /// See the example of [`Notification`].
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Returns the number of notifications of the service that were dropped just before this one,
    /// because the reader was too slow.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// use labwire_client::{Client, ClientOptions, args};
    ///
    /// let newest_only = ClientOptions::from(options).notification_queue(1);
    /// let client = Client::connect("Ada", newest_only).await?;
    /// let heartbeat = client.link("Heartbeat").await?;
    /// let mut beats = heartbeat.notifications();
    /// for count in 1..=5 {
    ///     // The service notifies before it replies.
    ///     heartbeat.call::<()>("beat", args![count]).await?;
    /// }
    /// let beat = beats.next().await.expect("the service is there");
    /// assert_eq!((beat.decode::<(u64,)>()?, beat.lost()), ((5,), 4));
    /// # Ok(())
    /// # });
    /// ```
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Decodes the positional arguments, as a tuple or any other type that serde can deserialize
    /// from an array.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::{Client, args};
    /// # let client = Client::connect("Ada", options).await?;
    /// let heartbeat = client.link("Heartbeat").await?;
    /// let mut beats = heartbeat.notifications();
    /// heartbeat.call::<()>("beat", args![72]).await?;
    /// let beat = beats.next().await.expect("the service is there");
    /// let (count,): (u64,) = beat.decode()?;
    /// assert_eq!(count, 72);
    /// # Ok(())
    /// # });
    /// ```
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        self.positional.decode()
    }

    /// Decodes the keyword arguments, as a struct with these fields or as a map.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::{Client, args};
    /// # let client = Client::connect("Ada", options).await?;
    /// use std::collections::HashMap;
    ///
    /// let heartbeat = client.link("Heartbeat").await?;
    /// let mut beats = heartbeat.notifications();
    /// heartbeat.call::<()>("beat", args![72]).await?;
    /// let beat = beats.next().await.expect("the service is there");
    /// let named: HashMap<String, f64> = beat.decode_keywords()?;
    /// assert!(named.is_empty() && beat.lost() == 0);
    /// # Ok(())
    /// # });
    /// ```
    pub fn decode_keywords<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        self.keywords.decode()
    }

    /// Returns the positional arguments as the service wrote them: the JSON text of an array.
    ///
    /// See the example of [`Notification`].
    pub fn positional_json(&self) -> &str {
        text(&self.positional)
    }

    /// Returns the keyword arguments as the service wrote them: the JSON text of an object.
    ///
    /// See the example of [`Notification`].
    pub fn keywords_json(&self) -> &str {
        text(&self.keywords)
    }
}

/// Converts a part of a notification to text. `new` has checked that it is UTF-8.
fn text(part: &[u8]) -> &str {
    std::str::from_utf8(part).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn arguments_are_read_by_position_and_by_name() {
        let result = Bytes::from_static(br#"[ [1, "a"], {"unit": "V"} ]"#).into();
        let notification = Notification::new("S".into(), &result).unwrap();
        assert_eq!(
            notification.decode::<(u8, String)>().unwrap(),
            (1, "a".to_owned())
        );
        let keywords: std::collections::HashMap<String, String> = notification.decode_keywords().unwrap();
        assert_eq!(keywords["unit"], "V");
        assert!(notification.decode::<(u8,)>().is_err());
    }
}
