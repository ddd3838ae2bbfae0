//! A request of a client.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use labwire_device::payload::{Received, split_arguments};
use labwire_wire::{Envelope, Line, Member, Uid, quoted};

use crate::bind::{Bound, Parameter};
use crate::caller::Caller;
use crate::cancellation::{Cancellation, Stop};
use crate::error::ServiceError;
use crate::notifier::Notifier;
use crate::outbox::Outbox;
use crate::progress::{Latest, Progress};
use crate::reply::Reply;
use crate::running::ServiceHandle;
use crate::turn;

/// A request of a client: the requester, the attribute and the arguments.
///
/// A method with a parameter of this type, or of a reference to it, receives the request that it
/// executes; clients do not see the parameter. Clones share the request.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # fn main() {
/// use labwire_service::{Keywords, Positional, Request, args, service};
///
/// struct Door;
///
/// #[service]
/// impl Door {
///     pub fn open(&self, request: &Request) -> String {
///         // All clients that are linked with the service hear of it; without any, nobody does.
///         let _ = request.notifier().notify(args!["opened", by = request.requester()]);
///         format!("opened for {}", request.requester())
///     }
///
///     pub fn knock(&self, args: Positional, kwargs: Keywords, request: Request) -> String {
///         assert!(!request.uid().is_empty());
///         [request.attribute(), request.args_json(), request.kwargs_json()].join(" ")
///     }
/// }
///
/// # support::serve(Door, async |door| {
/// // What a client gets:
/// let opened: String = door.call("open", ()).await?;
/// assert!(opened.starts_with("opened for Ada["));
/// let knocked: String = door.call("knock", args![3, loud = true]).await?;
/// assert_eq!(knocked, r#"knock [3] {"loud":true}"#);
/// # Ok(())
/// # });
/// # }
/// ```
#[derive(Clone)]
pub struct Request {
    inner: Arc<Inner>,
}

struct Inner {
    attribute: String,
    requester: String,
    uid: Uid<'static>,
    line: Line,
    args: Option<Range<usize>>,
    kwargs: Option<Range<usize>>,
    abandoned: Abandoned,
    service: ServiceHandle,
    stop: Stop,
    deadline: Option<Duration>,
    /// The JSON text of its sender, if the manager tells who that is.
    caller: Option<Range<usize>>,
    /// The queue for progress and items, if the client wants them.
    listener: Option<Outbox>,
    latest: Latest,
}

impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Request")
            .field("attribute", &self.attribute())
            .field("requester", &self.requester())
            .field("uid", &self.uid())
            .finish_non_exhaustive()
    }
}

/// Set when the connection of a request is lost, so that its reply cannot be delivered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Abandoned(Arc<AtomicBool>);

impl Abandoned {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Request {
    /// Parses a request. Returns `None` if the attribute or the requester is missing.
    pub(crate) fn read(
        line: Line,
        envelope: &Envelope,
        abandoned: &Abandoned,
        service: &ServiceHandle,
        outbox: &Outbox,
    ) -> Option<Self> {
        let text = |member| {
            let text = envelope.string(line.content(), member).ok().flatten();
            text.map(std::borrow::Cow::into_owned)
        };
        let uid = envelope.uid(line.content()).ok().flatten();
        let uid = uid.unwrap_or_default().into_owned();
        let deadline = envelope.raw(line.content(), Member::Deadline);
        let deadline = deadline.and_then(|seconds| std::str::from_utf8(seconds).ok()?.parse().ok());
        let is_wanted = envelope.raw(line.content(), Member::Progress) == Some(b"true");
        let inner = Inner {
            attribute: text(Member::Attribute)?,
            stop: Stop::default(),
            deadline: deadline.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            // Another manager passes on what the client wrote.
            caller: envelope.span(Member::Caller).filter(|_| outbox.takes_buffers()),
            listener: is_wanted.then(|| outbox.clone()),
            latest: Latest::default(),
            requester: text(Member::Requester)?,
            uid,
            args: envelope.span(Member::Args),
            kwargs: envelope.span(Member::Kwargs),
            abandoned: abandoned.clone(),
            service: service.clone(),
            line,
        };
        Some(Self {
            inner: Arc::new(inner),
        })
    }

    /// Returns the requested attribute: the name of a method or a value.
    ///
    /// See the example of [`Request`].
    pub fn attribute(&self) -> &str {
        &self.inner.attribute
    }

    /// Returns the network name of the client, `NAME[HOST:PORT]`. The manager sets it, not the
    /// client.
    ///
    /// See the example of [`Request`].
    pub fn requester(&self) -> &str {
        &self.inner.requester
    }

    /// Returns the uid that the client gave the request; empty if it gave none, as at a terminal.
    /// For a number these are the digits that the client wrote.
    ///
    /// See the example of [`Request`].
    pub fn uid(&self) -> &str {
        self.inner.uid.as_str()
    }

    /// Returns the uid with its JSON type.
    pub(crate) fn typed_uid(&self) -> &Uid<'static> {
        &self.inner.uid
    }

    /// Returns the positional arguments as the client wrote them: the JSON text of an array.
    ///
    /// See the example of [`Request`].
    pub fn args_json(&self) -> &str {
        self.json(self.inner.args.clone(), "[]")
    }

    /// Returns the keyword arguments as the client wrote them: the JSON text of an object.
    ///
    /// See the example of [`Request`].
    pub fn kwargs_json(&self) -> &str {
        match self.json(self.inner.kwargs.clone(), "{}") {
            // Some clients write `null` for no keyword arguments.
            "null" => "{}",
            kwargs => kwargs,
        }
    }

    fn json(&self, span: Option<Range<usize>>, absent: &'static str) -> &str {
        let text = span.map(|span| &self.inner.line.content()[span]);
        // Invalid UTF-8 becomes an empty text, which binding rejects.
        text.map_or(absent, |text| std::str::from_utf8(text).unwrap_or_default())
    }

    /// Binds the arguments to parameters by Python's rules. Fails with a `TypeError` that names the
    /// method and the argument.
    ///
    /// For services without the macro:
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # fn main() {
    /// # use std::sync::Arc;
    /// # use labwire_service::{Attribute, Attributes, Service, args};
    /// use labwire_service::{Parameter, Reply, Request, ServiceError};
    ///
    /// fn power(request: &Request) -> Result<Reply, ServiceError> {
    ///     let mut bound = request.bind(&[Parameter::required("x"), Parameter::optional("n")])?;
    ///     let x: f64 = bound.required()?;
    ///     let n: i32 = bound.optional(|| 2)?;
    ///     Reply::value(&x.powi(n))
    /// }
    ///
    /// # struct Math;
    /// # impl Service for Math {
    /// #     fn attributes(&self) -> Attributes { Attributes::new().with(Attribute::method("power", "(x, n=2)")) }
    /// #     async fn call(self: Arc<Self>, request: Request) -> Result<Reply, ServiceError> { power(&request) }
    /// # }
    /// # support::serve(Math, async |math| {
    /// // What clients of it get:
    /// assert_eq!(math.call::<f64>("power", args![3]).await?, 9.0);
    /// assert_eq!(math.call::<f64>("power", args![2, n = 5]).await?, 32.0);
    /// let error = math.call::<f64>("power", args!["two"]).await.unwrap_err();
    /// assert!(error.to_string().contains("TypeError: power() argument 'x': invalid type"));
    /// # Ok(())
    /// # });
    /// # }
    /// ```
    pub fn bind(&self, parameters: &[Parameter]) -> Result<Bound<'_>, ServiceError> {
        let arguments = split_arguments(self.args_json().as_bytes(), self.kwargs_json().as_bytes());
        let arguments = arguments.map_err(|error| {
            let text = format!("the arguments of {}() cannot be read: {error}", self.attribute());
            ServiceError::new("TypeError", text)
        })?;
        let arrays = Received::of_line(&self.inner.line, 0..0);
        Bound::new(self.attribute(), parameters, arguments, arrays)
    }

    /// Creates the error for an attribute that the service does not have.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # fn main() {
    /// # use std::sync::Arc;
    /// # use labwire_service::{Attributes, Reply, Request, Service, ServiceError};
    /// struct Clock;
    ///
    /// impl Service for Clock {
    /// #   fn attributes(&self) -> Attributes { Attributes::new() }
    ///     // …
    ///     async fn call(self: Arc<Self>, request: Request) -> Result<Reply, ServiceError> {
    ///         match request.attribute() {
    ///             "hour" => Reply::value(&12),
    ///             _ => Err(request.unknown_attribute()),
    ///         }
    ///     }
    /// }
    ///
    /// # support::serve(Clock, async |clock| {
    /// // What a client gets:
    /// let error = clock.get::<u8>("minute").await.unwrap_err();
    /// assert!(error.to_string().contains("AttributeError: the 'Clock' service has no attribute 'minute'"));
    /// # Ok(())
    /// # });
    /// # }
    /// ```
    pub fn unknown_attribute(&self) -> ServiceError {
        let text = format!(
            "the {} service has no attribute {}",
            quoted(self.service().name()),
            quoted(self.attribute())
        );
        ServiceError::new("AttributeError", text)
    }

    /// Runs blocking work on a thread for blocking work, at most
    /// [`Runner::concurrency`](crate::Runner::concurrency) at once.
    ///
    /// The place in the queue is taken by this call, even if the future is polled later. Work that
    /// has begun is not interrupted.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # fn main() {
    /// # use std::sync::Arc;
    /// # use std::time::Duration;
    /// # use labwire_service::{Attributes, Reply, Request, Service, ServiceError};
    /// struct Meter;
    ///
    /// impl Service for Meter {
    /// #   fn attributes(&self) -> Attributes { Attributes::new() }
    ///     // …
    ///     async fn call(self: Arc<Self>, request: Request) -> Result<Reply, ServiceError> {
    ///         let measured = request.blocking(|| {
    ///             // The driver of the instrument keeps its thread waiting.
    ///             std::thread::sleep(Duration::from_millis(20));
    ///             Reply::value(&1.5)
    ///         });
    ///         measured.await
    ///     }
    /// }
    ///
    /// # support::serve(Meter, async |meter| {
    /// // What a client gets:
    /// assert_eq!(meter.call::<f64>("measure", ()).await?, 1.5);
    /// # Ok(())
    /// # });
    /// # }
    /// ```
    pub fn blocking(
        &self,
        work: impl FnOnce() -> Result<Reply, ServiceError> + Send + 'static,
    ) -> impl Future<Output = Result<Reply, ServiceError>> + Send + 'static {
        turn::blocking(std::future::ready(()), self.clone(), |(), _| work())
    }

    /// Returns whether the connection of the request is lost, so that its reply cannot be
    /// delivered. A long-running method can check this and stop.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # fn main() {
    /// use labwire_service::{Request, service};
    ///
    /// struct Scanner;
    ///
    /// #[service]
    /// impl Scanner {
    ///     pub fn scan(&self, lines: u32, request: &Request) -> u32 {
    ///         // One line after the other, for as long as somebody wants them.
    ///         (0..lines).take_while(|_| !request.is_abandoned()).count() as u32
    ///     }
    /// }
    ///
    /// # support::serve(Scanner, async |scanner| {
    /// // What a client gets that stays:
    /// assert_eq!(scanner.call::<u32>("scan", (100,)).await?, 100);
    /// # Ok(())
    /// # });
    /// # }
    /// ```
    pub fn is_abandoned(&self) -> bool {
        self.inner.abandoned.0.load(Ordering::Relaxed)
    }

    /// Returns who sends the request, in the words of the manager; `None` if the manager does not tell,
    /// or was not [asked](crate::Attributes::with_callers).
    ///
    /// For services without the macro; with it, a method takes a [`Caller`].
    pub fn caller(&self) -> Option<Caller> {
        let span = self.inner.caller.clone()?;
        serde_json::from_slice(&self.inner.line.content()[span]).ok()
    }

    /// Returns what tells that the request is to be stopped.
    ///
    /// For services without the macro; with it, a method takes a [`Cancellation`].
    pub fn cancellation(&self) -> Cancellation {
        Cancellation::new(self.clone())
    }

    /// Returns what reports how far the request has come.
    ///
    /// For services without the macro; with it, a method takes a [`Progress`].
    pub fn progress(&self) -> Progress {
        Progress::new(self.clone())
    }

    pub(crate) fn stop(&self) -> &Stop {
        &self.inner.stop
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.inner.deadline
    }

    /// Returns the queue for progress and items, if the client wants them.
    pub(crate) fn listener(&self) -> Option<&Outbox> {
        self.inner.listener.as_ref()
    }

    pub(crate) fn latest(&self) -> &Latest {
        &self.inner.latest
    }

    /// Returns the notifier for the clients that are linked with the service.
    ///
    /// See the example of [`Request`].
    pub fn notifier(&self) -> &Notifier {
        self.service().notifier()
    }

    /// Returns the service that executes the request.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # fn main() {
    /// use labwire_service::{Request, service};
    ///
    /// struct Plotter;
    ///
    /// #[service]
    /// impl Plotter {
    ///     /// Ends the service, after the reply.
    ///     pub fn power_off(&self, request: &Request) -> String {
    ///         request.service().shut_down();
    ///         format!("{} ends", request.service().name())
    ///     }
    /// }
    ///
    /// # support::serve(Plotter, async |plotter| {
    /// // What a client gets:
    /// assert_eq!(plotter.call::<String>("power_off", ()).await?, "Plotter ends");
    /// # Ok(())
    /// # });
    /// # }
    /// ```
    pub fn service(&self) -> &ServiceHandle {
        &self.inner.service
    }

    /// Returns a number that no other request in flight has.
    pub(crate) fn number(&self) -> usize {
        Arc::as_ptr(&self.inner).addr()
    }

    /// Returns the length of the request in bytes.
    pub(crate) fn length(&self) -> usize {
        let line = &self.inner.line;
        line.content().len() + line.raw().map_or(0, Bytes::len)
    }
}
