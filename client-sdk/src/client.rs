//! A client: a connection to a manager.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use labwire_device::payload::{Arguments, IntoArguments};
use labwire_device::{ConnectError, Introduction, Session};
use labwire_wire::MANAGER_NAME;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::call::{Call, Request};
use crate::command::{Command, Target};
use crate::driver::Driver;
use crate::engine::{Config, Engine};
use crate::error::CallError;
use crate::handle::Handle;
use crate::holder::Holder;
use crate::identities::Identities;
use crate::link::Link;
use crate::lock::LockGuard;
use crate::lock_options::LockOptions;
use crate::options::ClientOptions;
use crate::session_state::SessionState;
use crate::status::{About, ConnectionState};
use crate::ticket::Ticket;
use crate::uids::Uids;

/// A connection to a manager, used to find services and link with them.
///
/// A `Client` is a handle: clones share the connection. The connection ends when
/// [`disconnect`](Self::disconnect) is called, or when the last handle is dropped. [`Link`]s and
/// the values made from them count as handles.
///
/// A client that ends in one of these ways, or with its runtime (also when `main` returns or a panic
/// unwinds it), leaves the manager at once. A program that is killed, also by Ctrl-C if it does not
/// handle that, or that ends with [`std::process::exit`], does not say that it leaves: the manager takes it for one whose connection broke, and
/// keeps its links and locks for the [grace period](crate::ConnectOptions::session_grace), 30 s by
/// default. To release them at once, wait for Ctrl-C with `tokio::signal::ctrl_c` and then
/// disconnect, or turn sessions off: with
/// [`session(false)`](crate::ConnectOptions::session), or with the variable `LABWIRE_SESSION=false`.
///
/// One task owns the connection. It runs on the runtime in which the client was created.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::lab(|options| async move {
/// use labwire_client::{Client, args};
///
/// let client = Client::connect("Ada", options).await?;
/// let thermometer = client.link("Thermometer").await?;
/// let celsius: f64 = thermometer.call("read", args![3]).await?;
/// assert_eq!(celsius, 21.5);
///
/// let same_connection = client.clone();
/// assert_eq!(same_connection.network_name(), client.network_name());
/// client.disconnect().await;
/// assert!(!same_connection.is_connected());
/// # Ok(())
/// # });
/// ```
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Client")
            .field("network_name", &self.network_name())
            .field("manager", &self.manager())
            .field("connected", &self.is_connected())
            .finish()
    }
}

impl Client {
    /// Connects to a manager as a client of this name.
    ///
    /// Cancel safe: if the future is dropped early, the connection is closed.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// use labwire_client::Client;
    ///
    /// // `options` are ConnectOptions::new() with the port of this example's manager.
    /// let client = Client::connect("Ada", options).await?;
    /// assert!(client.network_name().starts_with("Ada["));
    /// client.disconnect().await;
    /// assert!(!client.is_connected());
    /// # Ok(())
    /// # });
    /// ```
    pub async fn connect(
        name: impl Into<String>,
        options: impl Into<ClientOptions>,
    ) -> Result<Self, ConnectError> {
        let (name, options) = (name.into(), options.into());
        let introduction = Introduction::client(&name).session(options.connect.kept_session());
        let connection = labwire_device::connect(&options.connect, &introduction).await?;
        let config = Config {
            name: name.clone(),
            buffer: options.buffer,
            backoff: options.connect.backoff(),
        };
        let grace = connection.session.as_ref().map(Session::grace);
        let uids = Uids::new();
        let (engine, status) = Engine::new(config, uids.clone(), About::new(&connection), grace);
        let connect = options.connect.clone();
        let (handle, commands) = Handle::new(name.into(), options, uids, status);
        let driver = Driver::new(engine, commands, connect, introduction);
        tokio::spawn(driver.run(connection));
        let handle = Arc::new(handle);
        Ok(Self { handle })
    }

    /// Returns the name that was passed to [`connect`](Self::connect) or [`spawn`](Self::spawn).
    ///
    /// See the example of [`spawn`](Self::spawn).
    pub fn name(&self) -> &str {
        self.handle.name()
    }

    /// Returns the client's name on the network, as in `Ada[lab-pc:50123]`. It changes when the client
    /// is registered anew, and stays when it returns to its [session](Self::session).
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::Client;
    /// # let client = Client::connect("Ada", options).await?;
    /// assert!(client.network_name().starts_with("Ada["));
    /// assert!(client.manager().starts_with("Manager["));
    /// assert!(client.network_name().ends_with(&format!(":{}]", client.local_port())));
    /// # Ok(())
    /// # });
    /// ```
    pub fn network_name(&self) -> String {
        self.handle.status().borrow().about.network_name.clone()
    }

    /// Returns the manager's name, as in `Manager[lab-pc:1875]`.
    ///
    /// See the example of [`network_name`](Self::network_name).
    pub fn manager(&self) -> String {
        self.handle.status().borrow().about.manager.clone()
    }

    /// Returns the local port of the connection. It changes with each new connection.
    ///
    /// See the example of [`network_name`](Self::network_name).
    pub fn local_port(&self) -> u16 {
        self.handle.status().borrow().about.local_port
    }

    /// Links with a service.
    ///
    /// A client has at most one link with each service: a second call for the same service returns
    /// another handle of that link. Fails with [`CallError::Manager`] when the service does not
    /// exist, has as many clients as it allows, or is locked.
    ///
    /// Cancel safe: if the future is dropped early, the link ends unless another handle holds it.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::{Client, args};
    /// # let client = Client::connect("Ada", options).await?;
    /// let thermometer = client.link("Thermometer").await?;
    /// let celsius: f64 = thermometer.call("read", args![3]).await?;
    /// let error = client.link("Oven").await.unwrap_err();
    /// assert!(error.to_string().contains("the 'Oven' service does not exist"));
    /// # Ok(())
    /// # });
    /// ```
    pub async fn link(&self, service: &str) -> Result<Link, CallError> {
        let room = self.handle.room().await;
        let uid = self.handle.uid();
        let service: Arc<str> = Arc::from(service);
        let target = Target::new(MANAGER_NAME, "link");
        let ticket = Ticket::send(&self.handle, uid, target, |reply| Command::Link {
            uid,
            service: Arc::clone(&service),
            room: Some(room),
            reply,
        })?;
        // If this future is dropped while it waits, the holder's drop leaves the link.
        let holder = Arc::new(Holder::new(uid, Arc::clone(&self.handle)));
        let status = ticket.await?;
        Ok(Link::new(holder, service, status))
    }

    /// Locks a service, and links with it. Waits for the lock if the [options](LockOptions::wait)
    /// say so: also for a service that is locked by others, and therefore refuses links.
    ///
    /// Fails with [`CallError::Manager`] when the service does not exist, and when the lock was not
    /// free in time; [`CallError::lock`] then returns who holds it. See [`Link::lock`] for the kinds
    /// of locks.
    ///
    /// Cancel safe: if the future is dropped early, the lock is released, or no longer waited for.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use std::time::Duration;
    /// # use labwire_client::{Client, args};
    /// # let client = Client::connect("Ada", options).await?;
    /// use labwire_client::{Lock, LockOptions};
    ///
    /// let bob = client.spawn("Bob").await?;
    /// let of_bob = bob.lock("Thermometer", Lock::Exclusive).await?;
    /// let terms = LockOptions::new(Lock::Exclusive).wait(Duration::from_secs(60));
    /// let (guard, released) = tokio::join!(client.lock("Thermometer", terms), of_bob.release());
    /// released?;
    /// let celsius: f64 = guard?.link().call("read", args![3]).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn lock(&self, service: &str, options: impl Into<LockOptions>) -> Result<LockGuard, CallError> {
        LockGuard::acquire_with_link(&self.handle, service, options.into()).await
    }

    /// Requests the identities of the manager and of all connected clients and services. Cancel
    /// safe: if the future is dropped early, the reply is ignored.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::Client;
    /// # let client = Client::connect("Ada", options).await?;
    /// let identities = client.identities().await?;
    /// assert!(identities.services.contains_key("Echo"));
    /// println!("{identities}");
    /// # Ok(())
    /// # });
    /// ```
    pub async fn identities(&self) -> Result<Identities, CallError> {
        self.manager_call("identity", Arguments::new()).await
    }

    /// Creates a request to the manager that is reserved for administrators.
    ///
    /// The manager asks for credentials, unless the client has already logged in as an
    /// administrator. The answers are the [username](crate::ConnectOptions::username) and
    /// [password](crate::ConnectOptions::password) of the options, or are typed at the terminal. A
    /// wrong answer ends the connection.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// use labwire_client::{Client, args};
    ///
    /// let client = Client::connect("Ada", options.username("ada").password("difference engine")).await?;
    /// let registered: bool = client
    ///     .admin_request("users_table.is_user_registered", args!["n.bohr"])
    ///     .await?;
    /// assert!(!registered);
    /// # Ok(())
    /// # });
    /// ```
    pub fn admin_request<T: DeserializeOwned>(
        &self,
        attribute: &str,
        arguments: impl IntoArguments,
    ) -> Call<T> {
        self.manager_call(attribute, arguments.into_arguments())
    }

    /// Measures the time from a request to the manager to its answer. The request has no effect: it is
    /// to end a link that does not exist, which this manager and MSL-Network's refuse alike.
    ///
    /// Cancel safe.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use std::time::Duration;
    /// # use labwire_client::Client;
    /// # let client = Client::connect("Ada", options).await?;
    /// assert!(client.ping().await? < Duration::from_secs(10));
    /// # Ok(())
    /// # });
    /// ```
    pub async fn ping(&self) -> Result<Duration, CallError> {
        let begun = Instant::now();
        let nothing = Arguments::new().positional("");
        match self.manager_call::<IgnoredAny>("unlink", nothing).await {
            Ok(_) | Err(CallError::Manager { .. }) => Ok(begun.elapsed()),
            Err(error) => Err(error),
        }
    }

    /// Returns the part that all handles share.
    pub(crate) fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    pub(crate) fn manager_call<T: DeserializeOwned>(&self, attribute: &str, arguments: Arguments) -> Call<T> {
        let target = Target::new(MANAGER_NAME, attribute);
        Call::new(Request::to_manager(&self.handle, target, arguments), None)
    }

    /// Opens another connection to the same manager, with the same options, under another name.
    /// Cancel safe, like [`connect`](Self::connect).
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::Client;
    /// # let client = Client::connect("Ada", options).await?;
    /// let bob = client.spawn("Bob").await?;
    /// assert_eq!(client.identities().await?.clients.len(), 2);
    /// assert_eq!(bob.name(), "Bob");
    /// # Ok(())
    /// # });
    /// ```
    pub async fn spawn(&self, name: impl Into<String>) -> Result<Self, ConnectError> {
        Self::connect(name, self.handle.options().clone()).await
    }

    /// Returns the state of the session with the manager: whether the manager keeps one, and whether
    /// the last return has found it.
    ///
    /// See the example of [`SessionState`].
    pub fn session(&self) -> SessionState {
        self.handle.status().borrow().session
    }

    /// Waits until the state of the session is another one. Returns the new state; the same one when
    /// the client has ended.
    ///
    /// Cancel safe.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// use labwire_client::{Client, SessionState};
    ///
    /// /// Returns whether the session was kept when the connection breaks next.
    /// async fn kept_next_time(client: &Client) -> bool {
    ///     let mut state = client.session();
    ///     while state != SessionState::Away {
    ///         state = client.session_changed(state).await;
    ///     }
    ///     client.session_changed(SessionState::Away).await == SessionState::Kept
    /// }
    /// # let client = Client::connect("Ada", options).await?;
    /// # tokio::select! {
    /// #     biased;
    /// #     _ = kept_next_time(&client) => panic!("the connection is not broken"),
    /// #     () = std::future::ready(()) => {}
    /// # }
    /// # Ok(())
    /// # });
    /// ```
    pub async fn session_changed(&self, from: SessionState) -> SessionState {
        let mut statuses = self.handle.status().clone();
        let changed = statuses.wait_for(|status| status.session != from);
        changed.await.map_or(from, |status| status.session)
    }

    /// Returns whether there is a connection. While a client reconnects or returns to its
    /// [session](Self::session), there is none.
    ///
    /// See the example of [`connected`](Self::connected).
    pub fn is_connected(&self) -> bool {
        let status = self.handle.status().borrow();
        matches!(status.connection, ConnectionState::Connected)
    }

    /// Waits until there is a connection. Returns `false` once the connection has ended
    /// permanently.
    ///
    /// Cancel safe.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::Client;
    /// # let client = Client::connect("Ada", options).await?;
    /// assert!(client.is_connected() && client.connected().await);
    /// client.disconnect().await;
    /// assert!(!client.connected().await);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn connected(&self) -> bool {
        let mut statuses = self.handle.status().clone();
        let settled = statuses.wait_for(|status| !matches!(status.connection, ConnectionState::Reconnecting));
        settled
            .await
            .is_ok_and(|status| matches!(status.connection, ConnectionState::Connected))
    }

    /// Waits until the connection has ended permanently, and returns the reason. A client that
    /// [reconnects](crate::ConnectOptions::reconnect) ends when it disconnects, or when the manager
    /// refuses it. Another one also ends when its connection is lost and it could not return to its
    /// [session](Self::session) within the grace period, or has none.
    ///
    /// Cancel safe.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::Client;
    /// # let client = Client::connect("Ada", options).await?;
    /// let watched = client.clone();
    /// let watcher = tokio::spawn(async move { watched.closed().await });
    /// client.disconnect().await;
    /// assert_eq!(watcher.await?, "the client has disconnected");
    /// # Ok(())
    /// # });
    /// ```
    pub async fn closed(&self) -> String {
        let mut statuses = self.handle.status().clone();
        let closed = statuses.wait_for(|status| matches!(status.connection, ConnectionState::Closed(_)));
        match closed.await.as_deref().map(|status| &status.connection) {
            Ok(ConnectionState::Closed(reason)) => reason.to_string(),
            _ => "the client has ended".to_owned(),
        }
    }

    /// Disconnects from the manager. Links end, locks are released, and calls in flight fail.
    ///
    /// Cancel safe: the client disconnects even if the future is dropped after the first poll.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::Client;
    /// # let client = Client::connect("Ada", options).await?;
    /// use labwire_client::{CallError, args};
    ///
    /// let echo = client.link("Echo").await?;
    /// client.disconnect().await;
    /// let error = echo.call::<()>("echo", args![]).await.unwrap_err();
    /// assert!(matches!(error, CallError::Disconnected { .. }));
    /// # Ok(())
    /// # });
    /// ```
    pub async fn disconnect(&self) {
        self.handle.notice(Command::Disconnect);
        self.closed().await;
    }
}

/// Access to the client of a link.
impl Link {
    /// Returns the client that has the link.
    ///
    /// See the example of [`service`](Self::service).
    pub fn client(&self) -> Client {
        Client {
            handle: Arc::clone(self.handle()),
        }
    }
}
