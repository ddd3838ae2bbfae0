//! What a service is to those who write one.

use std::any::type_name;
use std::sync::Arc;

use crate::attributes::Attributes;
use crate::error::{RunError, ServiceError};
use crate::reply::Reply;
use crate::request::Request;
use crate::runner::Runner;

/// A service: what it offers, and how it answers.
///
/// Most services are an `impl` block with the attribute [`service`](macro@crate::service), which writes
/// this trait. By hand it is written like this:
///
/// ```
/// use std::sync::Arc;
/// use labwire_service::{Attribute, Attributes, Parameter, Reply, Request, Service, ServiceError};
///
/// struct Math;
///
/// impl Service for Math {
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
/// ```
pub trait Service: Send + Sync + Sized + 'static {
    /// The name of the service on the network, unless its [`Runner`] says otherwise; the name of the type, unless
    /// this is written.
    fn name(&self) -> String {
        let path = type_name::<Self>();
        let path = path.split('<').next().unwrap_or(path);
        path.rsplit("::").next().unwrap_or(path).to_owned()
    }

    /// How many clients may be linked with the service at once, unless its [`Runner`] says otherwise; 0, the
    /// default, is any number.
    fn max_clients(&self) -> u32 {
        0
    }

    /// What the service offers. It is asked for once, before the service connects, on a thread that may block.
    fn attributes(&self) -> Attributes;

    /// Answers a request, be the attribute listed or not. Names that begin with an underscore never come here.
    ///
    /// It is called for one request after the other, as they came, and must not block. The future that it gives is
    /// executed beside those of other requests. A panic is an error reply. The future is dropped before it is done
    /// only when the service ends.
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

/// What can be made a [`Service`]: services themselves, and types with `&mut self` methods under
/// [`service`](macro@crate::service), whose state goes into a lock.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a service",
    note = "put `#[labwire_service::service]` on its `impl` block, or implement `labwire_service::Service` for it"
)]
pub trait IntoService {
    /// The service that it becomes.
    type Service: Service;

    /// Makes it a service.
    fn into_service(self) -> Self::Service;
}

impl<S: Service> IntoService for S {
    type Service = S;

    fn into_service(self) -> S {
        self
    }
}

/// Starts a service in one word. The attribute [`service`](macro@crate::service) brings it into scope.
///
/// ```no_run
/// # use labwire_service::{ConnectOptions, service};
/// # struct Thermometer;
/// # #[service]
/// # impl Thermometer {
/// #     pub fn read(&self) -> f64 { 20.0 }
/// # }
/// # fn example() -> Result<(), labwire_service::RunError> {
/// // At the manager that the environment names, or the one on this computer:
/// Thermometer.start()?;
/// // With options:
/// Thermometer.runner().name("Hall 7").options(ConnectOptions::new().host("lab-pc")).start()
/// # }
/// ```
pub trait ServiceExt: IntoService + Sized {
    /// Connects to the manager that the environment names
    /// ([`ConnectOptions::from_environment`](crate::ConnectOptions::from_environment)), or to the one on this
    /// computer, and serves until the service ends; see [`Runner::start`].
    fn start(self) -> Result<(), RunError> {
        self.runner().start()
    }

    /// What runs the service, with options to be set.
    fn runner(self) -> Runner<Self::Service> {
        Runner::new(self)
    }
}

impl<S: IntoService> ServiceExt for S {}
