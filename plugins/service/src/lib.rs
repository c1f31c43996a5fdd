//! Services, hooks and interfaces whose state follows the role.
//!
//! This file and `run` are all the I/O; `engine` holds what decides, `manager` how each service
//! manager is spoken to, `config` the file. *spared-service*(5) is the manual of every key.
#![forbid(unsafe_code)]

pub mod config;
pub mod error;
pub mod job;
pub mod manager;
pub mod run;
