//! A client together with its link with one service.

use std::ops::Deref;
use std::time::Duration;

use tokio::time::Instant;

use crate::client::Client;
use crate::error::Error;
use crate::link::Link;
use crate::options::ClientOptions;

/// The name of a client for which none is given.
pub(crate) const DEFAULT_NAME: &str = "LinkedClient";

/// The first and the longest pause before the manager is asked again for a missing service.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// The least time that the manager has to answer, also after the timeout.
const LAST_CHANCE: Duration = Duration::from_secs(1);

/// A client together with its link with one service.
///
/// Connecting waits until the service is available. Dereferences to its [`Link`].
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::lab(|options| async move {
/// use labwire_client::{LinkedClient, args};
///
/// let math = LinkedClient::connect("BasicMath", options).await?;
/// let sum: f64 = math.call("add", args![1, 2]).await?;
/// assert_eq!(sum, 3.0);
/// math.disconnect().await;
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct LinkedClient {
    client: Client,
    link: Link,
}

impl Deref for LinkedClient {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.link
    }
}

impl LinkedClient {
    /// Connects under the name `LinkedClient` and links with a service.
    ///
    /// The [timeout](crate::ConnectOptions::timeout) of the options covers both steps. If the
    /// service is missing, the client tries again until the timeout, then fails with
    /// [`Error::Unavailable`].
    ///
    /// Cancel safe.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// use std::time::Duration;
    /// use labwire_client::{Error, LinkedClient, args};
    ///
    /// let math = LinkedClient::connect("BasicMath", options.clone()).await?;
    /// assert_eq!(math.call::<f64>("add", args![1, 2]).await?, 3.0);
    ///
    /// let hasty = options.timeout(Duration::from_millis(400));
    /// let error = LinkedClient::connect("Oven", hasty).await.unwrap_err();
    /// assert!(matches!(error, Error::Unavailable { .. }));
    /// # Ok(())
    /// # });
    /// ```
    pub async fn connect(service: &str, options: impl Into<ClientOptions>) -> Result<Self, Error> {
        Self::connect_as(DEFAULT_NAME, service, options).await
    }

    /// Connects under this name and links with a service, as [`connect`](Self::connect) does.
    /// Cancel safe: if the future is dropped early, the connection is closed.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::LinkedClient;
    /// let math = LinkedClient::connect_as("Ada", "BasicMath", options).await?;
    /// assert_eq!((math.client().name(), math.link().service()), ("Ada", "BasicMath"));
    /// # Ok(())
    /// # });
    /// ```
    pub async fn connect_as(
        name: impl Into<String>,
        service: &str,
        options: impl Into<ClientOptions>,
    ) -> Result<Self, Error> {
        let options = options.into();
        let timeout = options.connect.connect_timeout();
        let start = Instant::now();
        let client = Client::connect(name, options).await?;
        let mut pause = PAUSES.0;
        loop {
            // Connecting may have used up the timeout, if a person had to be asked.
            let rest = timeout.saturating_sub(start.elapsed()).max(LAST_CHANCE);
            match tokio::time::timeout(rest, client.link(service)).await {
                Ok(Ok(link)) => return Ok(Self { client, link }),
                Ok(Err(error)) if !error.is_absence() => return Err(error.into()),
                outcome if outcome.is_err() || start.elapsed() + pause > timeout => {
                    return Err(Error::Unavailable {
                        service: service.to_owned(),
                        timeout,
                    });
                }
                _ => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Returns the client that has the link.
    ///
    /// See the example of [`connect_as`](Self::connect_as).
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the link.
    ///
    /// See the example of [`connect_as`](Self::connect_as).
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Opens another connection with the same options under another name, and links with the same
    /// service.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::LinkedClient;
    /// let first = LinkedClient::connect("Echo", options).await?;
    /// let second = first.spawn("Second").await?;
    /// first.disconnect().await;
    /// assert!(!first.is_connected() && second.is_connected());
    /// # Ok(())
    /// # });
    /// ```
    pub async fn spawn(&self, name: impl Into<String>) -> Result<Self, Error> {
        let options = self.handle().options().clone();
        Self::connect_as(name, self.service(), options).await
    }

    /// Disconnects from the manager, as [`Client::disconnect`] does.
    ///
    /// See the example of [`spawn`](Self::spawn).
    pub async fn disconnect(&self) {
        self.client.disconnect().await;
    }

    /// Returns whether there is a connection, as [`Client::is_connected`] does.
    ///
    /// See the example of [`spawn`](Self::spawn).
    pub fn is_connected(&self) -> bool {
        self.client.is_connected()
    }
}
