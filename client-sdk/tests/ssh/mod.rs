//! The SSH module against real servers: OpenSSH's `sshd` on a free port of this computer, with keys of its own, and
//! the agent that belongs to it. Passwords are tried on a server inside the test, which has accounts of its own.

mod host_keys;
mod login;
mod password;
mod run;
mod server;
mod start;
