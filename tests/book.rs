//! The book in `docs`: its links lead somewhere, its sessions print what it shows, and its lists are
//! complete.

mod generated;
mod links;
mod messages;
mod page;
mod reference;
mod sessions;
mod shape;
mod sources;
