// SPDX-License-Identifier: MIT OR Apache-2.0
//! Flows: crowds created at once, real ones with traffic, and the kernel's tables of both.

mod capture;
mod connections;
mod create;
mod ctnetlink;
mod ftp;
mod inject;
mod packets;
mod table;
mod talk;
mod transfer;

pub use capture::{Capture, Eyes, Path};
pub use connections::Connections;
pub use create::create;
pub use ftp::{Control, Mode};
pub use inject::{Crowd, Harvest, Transport};
pub use packets::{Packets, Sent};
pub use table::{Entry, Expectation, Tuple, count, differences, expectations, flush, read, same};
pub use talk::{Questions, Session};
pub use transfer::{Ends, Transfer};
