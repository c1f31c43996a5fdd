// SPDX-License-Identifier: MIT OR Apache-2.0
//! Jobs with real children: the administrator's commands, and programs that behave like the real managers.

mod bench;
mod commands;
mod files;
mod kernel;
mod managers;
mod watch;
