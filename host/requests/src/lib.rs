//! What people ask of a pair: a request and a [`View`] of what this node knows go in, steps or a
//! refusal come out. [`questions`] are those that wait for an answer, and [`watchers`] are the plugins that
//! ask to be told. No input or output, and no access to the loop.

#![forbid(unsafe_code)]

mod against;
mod caller;
mod orders;
pub mod questions;
mod relay;
pub mod rows;
pub mod switch;
#[cfg(test)]
mod tests;
mod view;
pub mod watchers;
pub mod words;

pub use caller::Caller;
pub use orders::ForcePlan;
pub use relay::Relay;
pub use view::View;
