//! The attributes of a service at its start.

use std::sync::Arc;

use tracing::warn;

use crate::attributes::{Attribute, Attributes, DESCRIBE};
use crate::service::Service;

/// The attributes, and whether the service has its own `describe`.
pub(crate) struct Offer {
    pub(crate) attributes: Attributes,
    pub(crate) describes_itself: bool,
}

/// Reads a service's attributes on a thread that may block, and hides the given ones.
pub(crate) async fn read_offer<S: Service>(service: Arc<S>, hidden: Vec<String>) -> Offer {
    let read = tokio::task::spawn_blocking(move || service.attributes());
    let mut attributes = match read.await {
        Ok(attributes) => attributes,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Attributes::new(),
        },
    };
    let describes_itself = attributes.has(DESCRIBE);
    if !describes_itself {
        let describe = Attribute::method(DESCRIBE, "() -> dict").description("What the service offers.");
        attributes = attributes.with(describe);
    }
    for name in hidden {
        if !attributes.hide(&name) {
            warn!("the service has no attribute '{name}' that could be hidden");
        }
    }
    Offer {
        attributes,
        describes_itself,
    }
}
