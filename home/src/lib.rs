//! The parts of Labwire that depend on the computer.
//!
//! These are the folder with the database, keys, certificates and logs, the creation of files in
//! it, the names and addresses of the computer, and its time zone; also how durations are written, and
//! suggestions for misspelt names, which its programs have in common.
//!
//! The manager and the peers of one computer share the folder: a client finds the certificate of a
//! manager of the same user at that manager's own path.
//!
//! ```
//! use labwire_home::{Home, create_private_folder};
//!
//! # let scratch = tempfile::tempdir()?;
//! # let folder = scratch.path();
//! let home = Home::at(folder);
//! create_private_folder(&home.logs_folder())?;
//! assert!(folder.join("logs").is_dir());
//! # Ok::<(), std::io::Error>(())
//! ```

mod computer;
mod durations;
mod files;
mod fingerprint;
mod folder;
mod local_time;
mod near;
mod system;
mod whole;

pub use computer::{hostname, local_addresses, operating_system};
pub use durations::parse_duration;
pub use files::{
    create_new_private_folder, create_private_file, create_private_folder, open_to_read, open_to_write,
    read_text, text_of_file,
};
pub use fingerprint::{fingerprint_sha1, fingerprint_sha256, hex_with_colons};
pub use folder::{Home, HomeError};
pub use local_time::{local_time_zone, present};
pub use near::nearest;
pub use system::{for_owner, give_to_owner_of, others_can_read};
pub use whole::{Existing, Readers, change_whole_file, write_whole_file};
