//! Plans the requests of users: from a request and a [`View`] of what this node knows it makes steps or a refusal.
//! [`questions`] are requests that wait for answers, [`watchers`] are plugins that get the state of the pair, and
//! [`snapshot`] is what many read, and [`documents`] what plugins read. There is no input or output but in [`server`], the control socket, and no access to the loop.

#![forbid(unsafe_code)]

mod caller;
pub mod documents;
mod objections;
mod orders;
pub mod questions;
mod relay;
pub mod rows;
pub mod server;
pub mod snapshot;
pub mod switch;
#[cfg(test)]
mod tests;
pub mod verbs;
mod view;
pub mod watchers;

pub use caller::Caller;
pub use orders::ForcePlan;
pub use relay::Relay;
pub use view::View;
