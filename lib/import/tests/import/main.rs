// SPDX-License-Identifier: MIT OR Apache-2.0
//! The import by whole files: what it makes of configurations, what it reads, and what it takes at most.

mod before;
mod common;
mod corpus;
mod differences;
mod ignored;
mod keepalived;
mod limits;
mod nodes;
mod priorities;
mod reading;
mod scripts;
mod steps;
mod two_files;
