//! Services at a real manager, asked by peers that speak the wire, and by real MSL-Network clients.

#![allow(
    clippy::unwrap_used,
    clippy::unnecessary_wraps,
    clippy::cast_precision_loss,
    reason = "a test that cannot go on has failed, and its services are made up"
)]

mod arguments;
mod calls;
mod life;
mod peer;
mod proxy;
mod python;
mod reconnect;
#[path = "../../../tests/support/requirements.rs"]
#[allow(dead_code, reason = "the tests of the binary use more of it")]
mod requirements;
mod sessions;
mod state;
