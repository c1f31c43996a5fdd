//! Confines this process to what its plugin needs, before foreign code runs in it.
//!
//! The order matters. Real time and limits need privileges. Privileges are dropped before file access is restricted.
//! All of that precedes the constructors of the library. System calls come last, because loading needs some. A step
//! that is impossible here (an ordinary user, an old kernel) is reported and skipped. A plugin that runs as root is not
//! confined: its children are the machine's own services, which would inherit it.

mod allowed_calls;
mod control_group;
mod denied_calls;
mod files;
mod limits;
mod privileges;

use spared_abi::CALLS_SOCKETS;

pub use allowed_calls::{GROUPS, group_names, is_refusal};
pub use files::is_enforceable as restricts_files;
pub use limits::{PRIORITY, lift_descriptor_limit, lift_memory_limit, lock_memory, real_time};
use spared_message::load::Load;

/// Steps of a confinement that failed, each with its reason.
#[derive(Debug, Default)]
pub struct Missed(pub Vec<String>);

impl Missed {
    fn step(&mut self, what: &str, result: Result<(), String>) {
        if let Err(why) = result {
            self.0.push(format!("{what} ({why})"));
        }
    }

    /// Leaves a process an account and capabilities, and those of `welcome` until its plugin is loaded.
    fn leave(&mut self, account: Option<(u32, u32)>, capabilities: u64, welcome: u64) {
        let cut = privileges::cut_bounding_set(capabilities);
        self.step("limiting the bounding set", cut);
        if let Some((uid, gid)) = account {
            self.step("process limit", limits::set_processes());
            let changed = privileges::change_account(uid, gid);
            self.step("an account of its own", changed);
        }
        let kept = privileges::keep_only(capabilities, welcome);
        self.step("dropping capabilities", kept);
    }

    /// Denies system calls, and all that are not on the list of these groups, if there are any.
    fn limit_calls(&mut self, groups: u32) {
        self.step("system call rules", denied_calls::deny());
        if groups != 0 {
            let listed = allowed_calls::enforce(groups);
            self.step("its list of system calls", listed);
        }
    }
}

/// Performs the steps before the library is opened, and returns those that failed.
pub fn before_load(load: &Load) -> Missed {
    let mut missed = Missed::default();
    name_process(&load.name);
    if let Some(group) = &load.control_group {
        missed.step("a control group of its own", control_group::join(group));
    }
    if load.root {
        missed.step("resetting OOM score and umask", limits::forget_the_hosts());
        return missed;
    }
    if load.realtime {
        missed.step("real-time priority", limits::real_time(PRIORITY));
    }
    missed.step("limits", limits::set(load.realtime));
    if let Some(bytes) = load.memory {
        missed.step("memory limit", limits::set_memory(bytes));
    }
    let score = limits::be_killed_before_the_host(&load.name, load.realtime);
    missed.step("OOM score", score);
    missed.leave(load.uid_gid, load.capabilities, for_loading(load));
    missed.step("no_new_privs", privileges::no_new_privileges());
    missed.step("file rules", files::restrict(load));
    missed
}

/// Performs the steps before the plugin's first callback, and adds those that failed to `missed`.
pub fn after_load(load: &Load, missed: &mut Missed) {
    privileges::hide_memory();
    if load.root {
        return;
    }
    if load.realtime {
        missed.step("locked memory", lock_memory());
        let kept = privileges::keep_only(load.capabilities, 0);
        missed.step("dropping capabilities", kept);
    }
    missed.limit_calls(load.calls);
}

/// Confines a process that loads no plugin and opens no file, and returns the steps that failed.
pub fn without_plugin(name: &str) -> Missed {
    let mut missed = Missed::default();
    name_process(name);
    missed.step("limits", limits::set(false));
    // This fails without the privilege; then no capability could come back anyway.
    let _ = privileges::cut_bounding_set(0);
    missed.step("dropping capabilities", privileges::keep_only(0, 0));
    missed.step("no_new_privs", privileges::no_new_privileges());
    missed.step("file rules", files::restrict_all());
    privileges::hide_memory();
    missed.limit_calls(CALLS_SOCKETS);
    missed
}

/// Confines the process that runs `nft`, which inherits all of it, and returns the steps that failed.
pub fn for_firewall(account: Option<(u32, u32)>) -> Missed {
    const NAME: &str = "firewall";
    let mut missed = Missed::default();
    name_process(NAME);
    missed.step("limits", limits::set(false));
    let score = limits::be_killed_before_the_host(NAME, false);
    missed.step("OOM score", score);
    missed.leave(account, privileges::NET_ADMIN, 0);
    let passed = privileges::pass_on(privileges::NET_ADMIN);
    missed.step("CAP_NET_ADMIN for programs", passed);
    missed.step("no_new_privs", privileges::no_new_privileges());
    missed.step("file rules", files::restrict_to_programs());
    privileges::hide_memory();
    missed.limit_calls(GROUPS);
    missed
}

/// Capabilities needed until loading is done. Memory is locked after it. If the memory limit cannot be raised (a host
/// without the unit's LimitMEMLOCK or CAP_SYS_RESOURCE), that takes CAP_IPC_LOCK.
fn for_loading(load: &Load) -> u64 {
    if load.realtime {
        privileges::IPC_LOCK
    } else {
        0
    }
}

/// Sets the name in ps and top, such as "spared-vrrp"; the kernel cuts it at 15 bytes.
fn name_process(name: &str) {
    if let Ok(name) = std::ffi::CString::new(format!("spared-{name}")) {
        let _ = rustix::thread::set_name(&name);
    }
}
