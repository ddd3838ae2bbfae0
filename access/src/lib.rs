//! Who may do what: roles, grants and decisions. Pure: no I/O, and the time is an argument.
//!
//! A [`Permission`] names an [`Action`] and what it applies to, such as `call DMM.read*`. A *role*
//! is a named list of permissions; [`BUILT_IN_ROLES`] are always there. A [`Grant`] gives a role to
//! a user or to a group of users, for everything or for some services, for ever or until a time. A
//! *set* gives several patterns of services a name, which permissions and grants write as `@NAME`; `@NAME+OTHER` are the
//! services that are in both sets. So a set is also a *label* of the services in it.
//!
//! [`Rows`] contain all of that as it is stored. A [`Policy`] is made of them once, and
//! [`Policy::rights`] returns the [`Rights`] of one user: [`Rights::decide`] decides about one
//! [`Access`], [`Rights::on`] returns a decision for all attributes of one service, for a program
//! that decides often, and [`Rights::explain`] returns the reasons rule by rule.
//!
//! A token allows less than its user may do: [`Rights::within`] returns what both allow.
//!
//! There are only permissions, no prohibitions: what no grant allows is refused. So the order of
//! grants does not matter, and another grant never takes something away. A permission with
//! [`Effect::Ask`], such as `ask call Laser.set_power`, lets a request wait until somebody approves it; a
//! permission without it wins, so that another grant never adds a question either.
//!
//! ```
//! use labwire_access::{Access, Grant, Grantee, Policy, Rows, User};
//!
//! let rows = Rows {
//!     users: vec![User { id: 1, name: "ada".to_owned(), is_admin: false }],
//!     grants: vec![Grant {
//!         id: 1,
//!         role: "operator".to_owned(),
//!         to: Grantee::User("ada".to_owned()),
//!         on: "DMM*".parse()?,
//!         until: Some(1_000),
//!     }],
//!     ..Rows::default()
//! };
//! let policy = Policy::new(&rows);
//! let rights = policy.rights(policy.user("ada"));
//! let (before, after) = (999, 1_000);
//! assert!(rights.decide(&Access::call("DMM2", "read"), before).is_allowed());
//! for (access, now) in [
//!     (Access::call("DMM2", "read"), after),
//!     (Access::call("Oven", "read"), before),
//! ] {
//!     assert!(!rights.decide(&access, now).is_allowed(), "{access}");
//! }
//! assert_eq!(Access::call("Oven", "read").to_string(), "call Oven.read");
//! # Ok::<_, labwire_access::ScopeError>(())
//! ```

mod action;
mod built_in;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod names;
mod objects;
mod pattern;
mod permission;
mod policy;
mod rights;
mod scope;
mod tokens;

pub use action::{Access, Action, UnknownAction};
pub use built_in::{ADMINISTRATOR, BUILT_IN_ROLES, EVERYONE, permissions_of_built_in};
pub use names::{MOST_NAME_BYTES, NameError, check_name};
pub use objects::Membership;
pub use pattern::{MOST_COMPARED_BYTES, MOST_PATTERN_BYTES, MOST_STARS, Pattern, PatternError};
pub use permission::{Effect, Permission, PermissionError};
pub use policy::{Grant, Grantee, Load, MOST_COMPARISONS, Policy, Rows, User};
pub use rights::{Coverage, Decision, Reason, Rights, Until, Verdict};
pub use scope::{MOST_SETS, Scope, ScopeError};
pub use tokens::{permissions_to_serve, permissions_to_use};
