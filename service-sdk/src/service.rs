//! The service trait, and the conversion into a service.

use std::any::type_name;
use std::sync::Arc;

use crate::attributes::Attributes;
use crate::error::ServiceError;
use crate::reply::Reply;
use crate::request::Request;

/// A service: its attributes, and how it answers requests.
///
/// The attribute macro [`service`](macro@crate::service) implements this trait for an `impl` block.
/// By hand it is implemented like this:
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # fn main() {
/// use std::sync::Arc;
/// use labwire_service::{Attribute, Attributes, Parameter, Reply, Request, Service, ServiceError};
///
/// struct Math;
///
/// impl Service for Math {
///     fn name(&self) -> String {
///         "BasicMath".to_owned()
///     }
///
///     fn max_clients(&self) -> u32 {
///         10
///     }
///
///     fn attributes(&self) -> Attributes {
///         Attributes::new().with(Attribute::method("add", "(x: float, y: float) -> float"))
///     }
///
///     async fn call(self: Arc<Self>, request: Request) -> Result<Reply, ServiceError> {
///         match request.attribute() {
///             "add" => {
///                 let mut bound = request.bind(&[Parameter::required("x"), Parameter::required("y")])?;
///                 let (x, y): (f64, f64) = (bound.required()?, bound.required()?);
///                 Reply::value(&(x + y))
///             }
///             _ => Err(request.unknown_attribute()),
///         }
///     }
/// }
///
/// # support::serve(Math, async |math| {
/// // What a client finds:
/// assert_eq!((math.service(), math.identity().limit()), ("BasicMath", Some(10)));
/// assert_eq!(math.call::<f64>("add", (1, 2.5)).await?, 3.5);
/// # Ok(())
/// # });
/// # }
/// ```
pub trait Service: Send + Sync + Sized + 'static {
    /// Returns the name of the service on the network, unless the [`Runner`](crate::Runner) sets
    /// another one. The default is the name of the type.
    ///
    /// See the example of [`Service`].
    fn name(&self) -> String {
        let path = type_name::<Self>();
        let path = path.split('<').next().unwrap_or(path);
        path.rsplit("::").next().unwrap_or(path).to_owned()
    }

    /// Returns the maximum number of linked clients, unless the [`Runner`](crate::Runner) sets
    /// another one. 0, the default, means no limit.
    ///
    /// See the example of [`Service`].
    fn max_clients(&self) -> u32 {
        0
    }

    /// Returns the attributes of the service. Called once, before the service connects, on a thread
    /// that may block.
    ///
    /// See the example of [`Service`].
    fn attributes(&self) -> Attributes;

    /// Answers a request, whether the attribute is listed or not. The SDK refuses names that begin
    /// with an underscore.
    ///
    /// Called for one request after the other, in the order of arrival; must not block. The
    /// returned futures are executed concurrently. A panic becomes an error reply. A future is
    /// dropped before its completion only when the service ends.
    ///
    /// See the example of [`Service`].
    fn call(
        self: Arc<Self>,
        request: Request,
    ) -> impl Future<Output = Result<Reply, ServiceError>> + Send + 'static;
}

/// A service that is shared with the rest of the program.
///
/// ```
/// # use labwire_service::service;
/// # struct Thermometer;
/// # #[service]
/// # impl Thermometer {
/// #     pub fn read(&self) -> f64 { 20.0 }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), labwire_service::RunError> {
/// # let manager = labwire_testing::TestManager::start().await;
/// # let options = ConnectOptions::new().port(manager.port()).without_tls();
/// use std::sync::Arc;
/// use labwire_service::{ConnectOptions, Runner};
///
/// let thermometer = Arc::new(Thermometer);
/// let running = Runner::new(Arc::clone(&thermometer)).options(options).connect().await?;
/// assert_eq!(thermometer.read(), 20.0);
/// # Ok(())
/// # }
/// ```
impl<S: Service> Service for Arc<S> {
    fn name(&self) -> String {
        S::name(self)
    }

    fn max_clients(&self) -> u32 {
        S::max_clients(self)
    }

    fn attributes(&self) -> Attributes {
        S::attributes(self)
    }

    fn call(
        self: Arc<Self>,
        request: Request,
    ) -> impl Future<Output = Result<Reply, ServiceError>> + Send + 'static {
        S::call(Arc::clone(&self), request)
    }
}

/// A type that can be converted into a [`Service`]: services themselves, and types with `&mut self`
/// methods under [`service`](macro@crate::service), whose state is put into a lock.
///
/// ```
/// use labwire_service::{IntoService, Runner, Service, service};
///
/// struct Counter(u64);
///
/// #[service]
/// impl Counter {
///     pub fn increment(&mut self) -> u64 {
///         self.0 += 1;
///         self.0
///     }
/// }
///
/// fn named<T: IntoService>(service: T, place: &str) -> Runner<T::Service> {
///     let service = service.into_service();
///     let name = format!("{} of {place}", service.name());
///     Runner::new(service).name(name)
/// }
///
/// let runner = named(Counter(0), "hall 7");
/// assert!(format!("{runner:?}").contains("Counter of hall 7"));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a service",
    note = "put `#[labwire_service::service]` on its `impl` block, or implement `labwire_service::Service` for it"
)]
pub trait IntoService {
    /// The resulting service.
    type Service: Service;

    /// Converts it into a service.
    ///
    /// See the example of [`IntoService`].
    fn into_service(self) -> Self::Service;
}

impl<S: Service> IntoService for S {
    type Service = S;

    fn into_service(self) -> S {
        self
    }
}
