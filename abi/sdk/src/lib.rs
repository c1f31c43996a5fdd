//! Write a spared plugin in safe Rust.
//!
//! A plugin is a `cdylib` with one type that implements [`Plugin`], and [`plugin!`]:
//!
//! ```
//! use spared_sdk::{Error, Host, Plugin, RoleEvent, Roles, Progress, Token, config::Config};
//!
//! struct Counter {
//!     changes: u64,
//! }
//!
//! impl Plugin for Counter {
//!     type Settings = ();
//!
//!     fn create(_host: Host) -> Result<Self, Error> {
//!         Ok(Self { changes: 0 })
//!     }
//! #   fn read(_config: &Config) -> Result<(), Error> { Ok(()) }
//! }
//!
//! impl Roles for Counter {
//!     fn role(&mut self, event: &RoleEvent, _token: Token) -> Result<Progress, Error> {
//!         self.changes += 1;
//!         log::info!("{} is now {}: {}", event.group, event.role, event.why);
//!         Ok(Progress::Done)
//!     }
//! }
//!
//! spared_sdk::plugin!(Counter {
//!     name: "counter",
//!     summary: "counts role changes",
//!     parts: [roles],
//! });
//! ```
//!
//! Callbacks beyond [`Plugin`] are grouped into *parts*, each a trait named in `parts`: [`Roles`],
//! [`Transfer`], [`Query`], [`Interfaces`], [`Groups`], [`Peer`], [`Local`], [`Identity`], [`Watch`], [`Documents`].
//! Functions of the host are methods of [`Host`], which is cheap to copy.
//!
//! A plugin that has much to decide is best written in two halves: an [`Engine`] without I/O, and its [`Io`].
//! [`Runner`] makes a plugin of them. It handles timers, slices of work, the channel to the peer, and calls that are
//! completed later.
//!
//! [`Alarm`] keeps one timer at the next timeout of an engine. The feature `child` runs programs without waiting for
//! them. The feature `replica` replicates tables to the peer (`replicated`).
//!
//! All methods run on one thread and are never called within each other. A panic is caught at the boundary: the
//! instance is not called again, and its worker is restarted. Lines of the crate `log` reach the host: debug lines only
//! with `SPARED_LOG=debug` in the environment, trace lines only with `SPARED_LOG=trace`.

#![deny(missing_docs)]

pub mod hex;
#[cfg(feature = "replica")]
pub mod replicated;

mod alarm;
mod check;
mod documents;
mod engine;
mod error;
mod group;
mod host;
mod identity;
mod interface;
mod local;
mod logger;
mod peer;
mod plugin;
mod ready;
mod runner;
mod status;

mod export;
#[doc(hidden)]
pub mod run;

pub use alarm::Alarm;
pub use check::{Checks, Trouble};
pub use documents::{Document, DocumentHandle, Documents};
pub use engine::{Commands, Engine, Io};
pub use error::Error;
pub use group::{Additions, GroupHandle, Groups};
pub use host::{Host, Waker};
pub use identity::{Identity, IdentityError, IdentityHandle};
pub use interface::{InterfaceHandle, Interfaces, OpenSockets, Sockets};
pub use local::{Local, LocalHandle, Partner};
pub use peer::{Peer, PeerHandle, SendError};
pub use plugin::{Answer, Applied, Plugin, Progress, Query, Roles, Token, Transfer, Verb};
pub use ready::{Interest, Ready};
pub use runner::Runner;
/// Numbers and limits of the contract.
pub use spared_abi as abi;
#[cfg(feature = "child")]
pub use spared_child as child;
pub use spared_config_reader as config;
pub use spared_contract::{
    AddressClaim, Cause, CauseKind, Claims, Directive, Elapsed, EventRecord, Family, FindingRecord,
    Forced, GroupHeadline, InterfaceEvent, LogLevel, PairStatus, Publication, Role, RoleEvent,
    RouteClaim, RuleClaim, SocketKind, Unit, Value, VerdictWord, VirtualRouterClaim, nanoseconds,
};
pub use status::{Watch, WatchHandle, Watched};
