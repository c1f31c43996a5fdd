//! What the daemon and its plugins tell each other: each type is defined here and nowhere else.
//!
//! The daemon, its messages and the SDK use these types as they are. The C interface has its own form of them,
//! `plugin.h`; driver and SDK convert.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod address;
mod cause;
mod claims;
mod directive;
mod interface;
mod log_level;
mod named;
mod pair_status;
mod role;
mod row;

pub use cause::{Cause, CauseKind};
pub use claims::{AddressClaim, Claims, Family, RouteClaim, VirtualRouterClaim};
pub use directive::Directive;
pub use interface::{InterfaceEvent, SocketKind};
pub use log_level::LogLevel;
pub use pair_status::{EventRecord, FindingRecord, GroupHeadline, PairStatus, VerdictWord};
pub use role::{Forced, Role};
pub use row::{Row, Unit, Value, nanoseconds};
