//! What differs between operating systems, with one implementation for each.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::{
    GIVE_CREATE, GIVE_READ, GIVE_WRITE, KEEP_FROM_OTHERS, ReloadSignal, can_create_in, can_read, can_write,
    have_same_owner, is_pipe, keep_file_size_limit, prepare_descriptors, tell_running, user_name,
};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::{
    GIVE_CREATE, GIVE_READ, GIVE_WRITE, KEEP_FROM_OTHERS, ReloadSignal, can_create_in, can_read, can_write,
    have_same_owner, is_pipe, keep_file_size_limit, prepare_descriptors, run_service, tell_running,
    user_name,
};
