//! What differs between operating systems, with one implementation for each.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::{
    Mode, folder_for_owner, keep_name, mode_of, open_to_lock, open_to_read_within, open_to_write,
    operating_system,
};
#[cfg(unix)]
pub use unix::{for_owner, give_to_owner_of, others_can_read};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::{
    Mode, folder_for_owner, keep_name, mode_of, open_to_lock, open_to_read_within, open_to_write,
    operating_system,
};
#[cfg(windows)]
pub use windows::{for_owner, give_to_owner_of, others_can_read};
