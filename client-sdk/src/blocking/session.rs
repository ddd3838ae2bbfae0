//! The state of the session of a client, and of the services of its links.

use super::client::Client;
use super::link::Link;
use crate::session_state::SessionState;

/// The session with the manager.
impl Client {
    /// Returns the state of the session with the manager. See
    /// [`Client::session`](crate::Client::session).
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use labwire_client::blocking::Client;
    /// use labwire_client::SessionState;
    ///
    /// let client = Client::connect("Ada", options.session(false))?;
    /// assert_eq!(client.session(), SessionState::None);
    /// # Ok(())
    /// # });
    /// ```
    pub fn session(&self) -> SessionState {
        self.parts().0.session()
    }

    /// Waits until the state of the session is another one, and returns it. See
    /// [`Client::session_changed`](crate::Client::session_changed).
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use labwire_client::blocking::Client;
    /// # let client = Client::connect("Ada", options)?;
    /// use labwire_client::SessionState;
    ///
    /// let watched = client.clone();
    /// let watcher = std::thread::spawn(move || watched.session_changed(SessionState::New));
    /// client.disconnect();
    /// // The client has ended, and the state stays.
    /// assert_eq!(watcher.join().unwrap(), SessionState::New);
    /// # Ok(())
    /// # });
    /// ```
    pub fn session_changed(&self, from: SessionState) -> SessionState {
        let (client, background) = self.parts();
        background.wait(client.session_changed(from))
    }
}

/// The connection of the service.
impl Link {
    /// Returns whether the service is away. See
    /// [`Link::is_service_away`](crate::Link::is_service_away).
    ///
    /// See the example of [`service_away_changed`](Self::service_away_changed).
    pub fn is_service_away(&self) -> bool {
        self.parts().0.is_service_away()
    }

    /// Waits until the service is away or not, other than `from`, and returns the new state. See
    /// [`Link::service_away_changed`](crate::Link::service_away_changed).
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use labwire_client::blocking::Client;
    /// # let client = Client::connect("Ada", options)?;
    /// let link = client.link("Echo")?;
    /// assert!(!link.is_service_away());
    /// let watched = link.clone();
    /// let watcher = std::thread::spawn(move || watched.service_away_changed(false));
    /// link.unlink()?;
    /// // The link has ended, and the state stays.
    /// assert!(!watcher.join().unwrap());
    /// # Ok(())
    /// # });
    /// ```
    pub fn service_away_changed(&self, from: bool) -> bool {
        let (link, background) = self.parts();
        background.wait(link.service_away_changed(from))
    }
}
