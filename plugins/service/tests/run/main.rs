// SPDX-License-Identifier: MIT OR Apache-2.0
//! Jobs with real children: the administrator's commands, and programs that behave as the real
//! managers' do.

mod bench;
mod commands;
mod files;
mod kernel;
mod managers;
mod watch;
