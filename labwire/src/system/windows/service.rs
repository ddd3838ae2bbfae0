//! A program that the service manager of Windows starts and stops.

use std::sync::OnceLock;
use std::time::Duration;

use windows_service::service::{
    ServiceControl, ServiceControlAccept, ServiceExitCode, ServiceState, ServiceStatus, ServiceType,
};
use windows_service::service_control_handler::{self, ServiceControlHandlerResult, ServiceStatusHandle};
use windows_service::service_dispatcher;

/// The name in messages of Windows. A service that has a process of its own may be installed with any.
const NAME: &str = "labwire";

/// What Windows is told about the time that a start and a stop may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the service does until it is to stop. Returns whether it has succeeded.
static WORK: OnceLock<fn() -> bool> = OnceLock::new();

/// What tells Windows about the state of the service.
static STATUS: OnceLock<ServiceStatusHandle> = OnceLock::new();

/// Does the work of a service, and returns once it has stopped.
///
/// # Errors
/// If this process was not started by the service manager of Windows.
pub(crate) fn run(work: fn() -> bool) -> windows_service::Result<()> {
    // Called once per process: Windows allows no second call either.
    let _ = WORK.set(work);
    service_dispatcher::start(NAME, service_main)
}

/// Tells Windows that the service has started. Does nothing in a program that is no service.
pub(crate) fn tell_running() {
    tell(ServiceState::Running, ServiceExitCode::NO_ERROR);
}

fn tell(state: ServiceState, exit_code: ServiceExitCode) {
    let Some(handle) = STATUS.get() else {
        return;
    };
    let (accepted, wait_hint) = match state {
        ServiceState::Running => (
            ServiceControlAccept::STOP | ServiceControlAccept::SHUTDOWN,
            Duration::ZERO,
        ),
        ServiceState::StartPending | ServiceState::StopPending => (ServiceControlAccept::empty(), PATIENCE),
        _ => (ServiceControlAccept::empty(), Duration::ZERO),
    };
    // Fails only if Windows has ended the service already.
    let _ = handle.set_service_status(ServiceStatus {
        service_type: ServiceType::OWN_PROCESS,
        current_state: state,
        controls_accepted: accepted,
        exit_code,
        checkpoint: 0,
        wait_hint,
        process_id: None,
    });
}

/// Windows calls this on a thread of its own. The arguments are those of a start by hand, and not used.
extern "system" fn service_main(_count: u32, _arguments: *mut *mut u16) {
    let Ok(handle) = service_control_handler::register(NAME, handle) else {
        return;
    };
    let _ = STATUS.set(handle);
    tell(ServiceState::StartPending, ServiceExitCode::NO_ERROR);
    let is_done = WORK.get().is_some_and(|work| work());
    let exit_code = if is_done {
        ServiceExitCode::NO_ERROR
    } else {
        ServiceExitCode::ServiceSpecific(1)
    };
    tell(ServiceState::Stopped, exit_code);
}

fn handle(control: ServiceControl) -> ServiceControlHandlerResult {
    match control {
        ServiceControl::Stop | ServiceControl::Shutdown => {
            tell(ServiceState::StopPending, ServiceExitCode::NO_ERROR);
            labwire_device::request_stop();
            ServiceControlHandlerResult::NoError
        }
        ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
        _ => ServiceControlHandlerResult::NotImplemented,
    }
}
