//! Small programs that show Labwire, one idea each.
//!
//! Every file beside this folder is a program: `cargo run --example echo` starts the first of them.
//! The programs read the address of the manager from the environment (see
//! [`ConnectOptions::from_environment`]); the default is this computer. The services are also
//! modules of this library, so that other programs can start them:
//!
//! | program | what it shows |
//! |---|---|
//! | `echo` | the smallest service |
//! | `basic_math` | slow methods that overlap, values as attributes, errors |
//! | `my_array` | lists, defaults |
//! | `camera` | arrays, as raw bytes |
//! | `heartbeat` | notifications, a background task, state that changes |
//! | `digital_multimeter`, `simulated_multimeter` | an instrument that speaks SCPI over TCP or a serial port |
//! | `simulated_instrument` | an instrument for the files in `instruments/`, which need no code |
//! | `shutdownable_services` | a manager and its services in one program, which clients can end |
//! | `asynchronous`, `synchronous` | six slow calls at once, and one after the other |
//! | `typed_client` | calling a service like a function |
//! | `blocking_script` | a script without async |
//! | `watch_heartbeat` | listening to notifications |
//! | `remote_service`, `remote_start` | starting a manager and a service on another computer |
//!
//! [`ConnectOptions::from_environment`]: labwire_client::ConnectOptions::from_environment

#[path = "../basic_math.rs"]
pub mod basic_math;
#[path = "../camera.rs"]
pub mod camera;
#[path = "../digital_multimeter.rs"]
pub mod digital_multimeter;
#[path = "../echo.rs"]
pub mod echo;
#[path = "../heartbeat.rs"]
pub mod heartbeat;
#[path = "../my_array.rs"]
pub mod my_array;
#[path = "../simulated_multimeter.rs"]
pub mod simulated_multimeter;

pub use basic_math::BasicMath;
pub use camera::Camera;
pub use digital_multimeter::DigitalMultimeter;
pub use echo::Echo;
pub use heartbeat::Heartbeat;
pub use my_array::MyArray;
pub use simulated_multimeter::SimulatedMultimeter;

/// Compiles the Rust code of the READMEs and of the book with the examples.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[doc = include_str!("../../client-sdk/README.md")]
#[doc = include_str!("../../docs/src/tutorials/sdk.md")]
#[doc = include_str!("../../service-sdk/README.md")]
struct Readme;
