//! Runs one plugin in a process of its own.
//!
//! The host's half is [`process`] (starting, messages, killing, the short-lived check) and [`mod@file`] (opening files
//! that can be trusted). The worker's half is [`run()`], the whole of `spared worker`: it confines itself, loads the
//! plugin, and drives it from one loop. `spared_contract` defines the messages between both halves.

mod build;
pub mod callback_status;
pub mod capabilities;
mod confine;
mod descriptor;
pub mod error_output;
pub mod file;
mod loader;
mod note;
pub mod process;
mod run;

use spared_contract::Descriptor;

/// Sets SCHED_FIFO for the host's loop, below its workers; children get ordinary scheduling.
///
/// # Errors
/// The kernel's: no privilege, or a control group without real-time share.
pub fn real_time_for_host() -> Result<(), String> {
    confine::real_time(confine::PRIORITY - 10)
}

/// Sets SCHED_FIFO for the host's thread that polls the carrier, below the host's loop.
///
/// # Errors
/// As for [`real_time_for_host`].
pub fn real_time_for_carrier() -> Result<(), String> {
    confine::real_time(confine::PRIORITY - 20)
}

/// Locks the host's memory, as far as its limit allows.
///
/// # Errors
/// The memory that stays unlocked, and the reason.
pub fn lock_memory_for_host() -> Result<(), String> {
    confine::lift_memory_limit();
    confine::lock_memory()
}

/// Lets the host have as many descriptors as its unit allows. It keeps seven sockets for each interface with a virtual
/// router.
pub fn lift_descriptor_limit_for_host() {
    confine::lift_descriptor_limit();
}

/// Takes all rights from this process that `spared link` does not need: capabilities, files, system calls. Returns the
/// steps that failed.
pub fn confine_without_plugin(name: &str) -> Vec<String> {
    confine::without_plugin(name).0
}

/// Takes all rights from this process that `spared firewall` does not need: all but CAP_NET_ADMIN, which the programs
/// that it starts inherit. Returns the steps that failed.
pub fn confine_for_firewall(account: Option<(u32, u32)>) -> Vec<String> {
    confine::for_firewall(account).0
}

/// Reads the descriptor of the plugin `name` from the note in its file. No code of the file runs.
///
/// # Errors
/// The file is no plugin, or the fault in the descriptor.
pub fn describe(name: &str, file: std::os::fd::BorrowedFd<'_>) -> Result<Descriptor, String> {
    let descriptor = note::read(file).map_err(|why| match why {
        note::Fault::File(why) => format!("{name}.so {why}"),
        note::Fault::Note(why) => format!("{name}.so: {why}"),
    })?;
    let descriptor = descriptor.ok_or_else(|| loader::refusal(name, file))?;
    descriptor::check(name, &descriptor)?;
    Ok(descriptor)
}

pub use build::Build;
pub use confine::{group_names, is_refusal, restricts_files};
pub use descriptor::is_name;
pub use run::run;
