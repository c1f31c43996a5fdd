// SPDX-License-Identifier: MIT OR Apache-2.0
//! Flows: crowds of them made at once, real ones with traffic, and the kernel's tables of both.

mod ctnetlink;
mod inject;
mod table;

pub use inject::{Crowd, Harvest, Transport};
pub use table::{Entry, Expectation, Tuple, count, differences, expectations, read, same};
