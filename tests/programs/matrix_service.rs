//! The service for every kind of client: the counterpart of `python/matrix_service.py`.

use labwire_service::{
    ConnectOptions, Keywords, Notifier, NotifyError, Positional, Runner, ServiceError, args, service,
};

struct Bench {
    notifier: Notifier,
}

#[service]
impl Bench {
    pub fn add(&self, x: f64, y: f64) -> f64 {
        x + y
    }

    pub fn power(&self, x: f64, #[default(2)] n: i32) -> f64 {
        x.powi(n)
    }

    pub fn echo(&self, args: Positional, kwargs: Keywords) -> (Positional, Keywords) {
        (args, kwargs)
    }

    pub fn check(&self, x: f64) -> Result<bool, ServiceError> {
        if x < 0.0 {
            return Err(ServiceError::new("ValueError", "the value is < 0"));
        }
        Ok(true)
    }

    pub fn emit(&self, value: f64, unit: String) -> Result<(), NotifyError> {
        self.notifier.notify(args![value, unit = unit])
    }

    pub fn shutdown_service(&self) -> &'static str {
        "bye"
    }
}

fn main() -> anyhow::Result<()> {
    let name = std::env::args().nth(1).expect("the name of the service is given");
    let notifier = Notifier::new();
    Runner::new(Bench {
        notifier: notifier.clone(),
    })
    .notifier(notifier)
    .name(name)
    .max_clients(2)
    .options(ConnectOptions::from_environment()?)
    .start()?;
    Ok(())
}
