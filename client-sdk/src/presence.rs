//! Whether the service of a link is there: what a linked client hears about its connection.

use crate::link::Link;
use crate::status::LinkState;

/// The connection of the service.
impl Link {
    /// Returns whether the service is away: its connection broke, and the manager keeps its place
    /// until it returns or its grace period is over. The link stays meanwhile. New calls fail, or
    /// wait if the service has asked for [that](crate::ConnectOptions::keep_callers).
    ///
    /// It is `false` after the service has left for good; then the client is not
    /// [linked](Self::is_linked) either. A client without a [session](crate::ConnectOptions::session)
    /// hears only that the service has left, and one that links with a service that is away hears only
    /// of its return.
    ///
    /// See the example of [`service_away_changed`](Self::service_away_changed).
    pub fn is_service_away(&self) -> bool {
        self.status().borrow().is_service_away
    }

    /// Waits until the service [is away](Self::is_service_away) or not, other than `from`. Returns
    /// the new state; the same one when the link has ended.
    ///
    /// Cancel safe.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::Client;
    /// # let client = Client::connect("Ada", options).await?;
    /// use labwire_client::Link;
    ///
    /// async fn tell(link: Link) {
    ///     let mut is_away = link.is_service_away();
    ///     while link.is_linked() {
    ///         is_away = link.service_away_changed(is_away).await;
    ///         println!("{} is {}", link.service(), if is_away { "away" } else { "here" });
    ///     }
    /// }
    /// let thermometer = client.link("Thermometer").await?;
    /// assert!(!thermometer.is_service_away());
    /// let told = tokio::spawn(tell(thermometer.clone()));
    /// thermometer.unlink().await?;
    /// told.await?;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn service_away_changed(&self, from: bool) -> bool {
        let mut statuses = self.status().clone();
        let changed =
            statuses.wait_for(|status| status.is_service_away != from || status.state == LinkState::Ended);
        changed.await.map_or(from, |status| match status.state {
            LinkState::Ended => from,
            _ => status.is_service_away,
        })
    }
}
