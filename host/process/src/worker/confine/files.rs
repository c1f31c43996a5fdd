//! Restricts the files that the plugin may open, and the processes outside that it may reach, by Landlock, as far as
//! this kernel supports it.

use std::os::fd::BorrowedFd;

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope, make_bitflags,
};
use spared_message::load::Load;

use super::privileges::NET_ADMIN;
use crate::worker::process::PLUGIN_FD;

/// Programs and libraries, which may be read and executed.
const PROGRAMS: [&str; 8] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc/alternatives",
];

/// Files of the C library and of the kernel, which may be read.
const READABLE: [&str; 14] = [
    "/etc/group",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/localtime",
    "/etc/machine-id",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/proc",
    "/run/systemd",
    "/sys",
];

/// Devices that may be read and written.
const WRITABLE: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"];

/// Network settings, which may be read and written with CAP_NET_ADMIN. The kernel itself requires that capability in
/// the namespace that the settings belong to.
const NET_SETTINGS: &str = "/proc/sys/net";

/// Rights to create and control devices. No plugin needs them for its files.
const DEVICES: BitFlags<AccessFs> = make_bitflags!(AccessFs::{MakeChar | MakeBlock | IoctlDev});

/// Leaves access to the files above, the plugin's own folder, and the paths that its configuration and its descriptor
/// name. No other file can be opened from now on, such as /etc/spared with its key.
///
/// # Errors
/// The kernel has no Landlock.
pub fn restrict(load: &Load) -> Result<(), String> {
    result_of(enforce(load))
}

/// Denies access to all files.
///
/// # Errors
/// The kernel has no Landlock.
pub fn restrict_all() -> Result<(), String> {
    result_of(no_rules().and_then(|rules| Ok(rules.restrict_self()?.ruleset)))
}

/// Leaves access to programs and libraries, and to the files that they read.
///
/// # Errors
/// The kernel has no Landlock.
pub fn restrict_to_programs() -> Result<(), String> {
    let rules = no_rules().and_then(programs);
    result_of(rules.and_then(|rules| Ok(rules.restrict_self()?.ruleset)))
}

/// Returns true if this kernel has Landlock, so that workers are restricted.
pub fn is_enforceable() -> bool {
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1));
    rules.and_then(Ruleset::create).is_ok()
}

fn result_of(enforced: Result<RulesetStatus, landlock::RulesetError>) -> Result<(), String> {
    match enforced {
        Ok(RulesetStatus::NotEnforced) => Err("this kernel has no landlock".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

fn no_rules() -> Result<RulesetCreated, landlock::RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))?
        // no signal to a process outside, not even to one of the same account
        .scope(Scope::from_all(ABI::V6))?
        .create()
}

fn enforce(load: &Load) -> Result<RulesetStatus, landlock::RulesetError> {
    let all = AccessFs::from_all(ABI::V5);
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    // Most programs truncate a setting when they open it, as with any file.
    let write = AccessFs::WriteFile | AccessFs::Truncate;
    let mut rules = programs(no_rules()?)?;
    // SAFETY: the host placed it there, and it is closed only after loading.
    let plugin = unsafe { BorrowedFd::borrow_raw(PLUGIN_FD) };
    rules = rules.add_rule(PathBeneath::new(
        plugin,
        AccessFs::ReadFile | AccessFs::Execute,
    ))?;
    if load.capabilities & NET_ADMIN != 0 {
        rules = allow_for_good(rules, NET_SETTINGS, read | write)?;
    }
    for path in &load.files {
        rules = allow(rules, path, read | AccessFs::Execute)?;
    }
    for path in &load.writable {
        rules = allow(rules, path, all & !DEVICES)?;
    }
    if let Some(path) = &load.state_dir {
        rules = allow(rules, path, all)?;
    }
    Ok(rules.restrict_self()?.ruleset)
}

fn programs(mut rules: RulesetCreated) -> Result<RulesetCreated, landlock::RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    for path in PROGRAMS {
        rules = allow(rules, path, read | AccessFs::Execute)?;
    }
    for path in READABLE {
        rules = allow(rules, path, read)?;
    }
    for path in WRITABLE {
        rules = allow(rules, path, AccessFs::ReadFile | AccessFs::WriteFile)?;
    }
    Ok(rules)
}

/// Adds a rule. A path that does not exist needs none.
fn allow(
    rules: RulesetCreated,
    path: &str,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, landlock::RulesetError> {
    match PathFd::new(path) {
        Ok(fd) => rules.add_rule(PathBeneath::new(fd, access)),
        Err(_) => Ok(rules),
    }
}

/// Adds a rule and keeps its path open until the process ends. A rule belongs to an inode, and procfs frees inodes that
/// are not in use: the next lookup would find another inode, without the rule.
fn allow_for_good(
    rules: RulesetCreated,
    path: &str,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, landlock::RulesetError> {
    let Ok(fd) = PathFd::new(path) else {
        return Ok(rules);
    };
    let rules = rules.add_rule(PathBeneath::new(&fd, access));
    std::mem::forget(fd);
    rules
}
