//! Stores what this node knows: its configuration, the pair, the administrator's standing orders, and the record of
//! each second. [`NodeView`] reads these and all other owners, and makes facts for the verdict, the status and causes.
//!
//! [`peer`] is the exchange between both hosts. No owner here changes another, and nothing waits. [`network`] alone acts:
//! it is the only one that changes the kernel.

#![forbid(unsafe_code)]

mod builds;
pub mod files;
pub mod machine;
mod needs;
pub mod network;
mod node_config;
pub mod orders;
mod pair;
pub mod peer;
mod policy_rules;
pub mod recorder;
mod sysctls;
mod transitions;
mod view;

pub use node_config::NodeConfig;
pub use orders::Orders;
pub use pair::Pair;
pub use recorder::Recorder;
pub use transitions::{in_force, pending_for_stop};
pub use view::{NodeView, Rows, StatusRows};
