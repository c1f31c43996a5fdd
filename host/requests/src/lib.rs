//! What people ask of a pair: a request and a [`View`] of what this node knows go in, steps or a
//! refusal come out. No input or output, and no access to the loop.

#![forbid(unsafe_code)]

mod against;
pub mod switch;
#[cfg(test)]
mod tests;
mod view;

pub use view::View;
