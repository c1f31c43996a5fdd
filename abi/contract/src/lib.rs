//! Messages between the daemon and its plugins. Each type in them is defined here and nowhere else.
//!
//! The daemon, the SDK and plugins use these types as they are. [`ToPlugin`] and [`FromPlugin`] are the messages, and
//! [`codec`] is their encoding. Numbers and bits are the constants of `spared-abi`.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod address;
mod cause;
pub mod cbor;
pub mod channel;
pub mod check;
mod claims;
pub mod codec;
mod config;
mod config_table;
mod descriptor;
mod directive;
mod elapsed;
mod interface;
mod log_level;
mod message;
mod named;
pub mod note;
mod pair_status;
mod publication;
mod record;
mod role;
mod role_event;
mod row;
pub mod schema;

pub use cause::{Cause, CauseKind};
pub use claims::{AddressClaim, Claims, Family, RouteClaim, RuleClaim, VirtualRouterClaim};
pub use config::{Failure, HOST_KEYS, RootsFile, Scope, Surroundings};
pub use config_table::{ConfigTable, ConfigValue, Float, TABLE_DEPTH_MAX, TABLE_SIZE_MAX};
pub use descriptor::{Descriptor, Verb};
pub use directive::Directive;
pub use elapsed::Elapsed;
pub use interface::{InterfaceEvent, SocketKind, check_interface};
pub use log_level::LogLevel;
pub use message::{CALL_TIMEOUT_AT_START_MS, CALL_TIMEOUT_MS, Call, FromPlugin, ToPlugin};
pub use pair_status::{EventRecord, FindingRecord, GroupHeadline, PairStatus, VerdictWord};
pub use publication::Publication;
pub use role::{Forced, Role};
pub use role_event::RoleEvent;
pub use row::{Row, Unit, Value, nanoseconds};
