//! Confines this process to what its plugin needs, before foreign code runs in it.
//!
//! The order matters. Real time and limits need privileges. Privileges are dropped before file access is restricted.
//! All of that precedes the constructors of the library. System calls come last, because loading needs some. A step
//! that is impossible here (an ordinary user, an old kernel) is reported and skipped. A plugin that runs as root is not
//! confined: its children are the machine's own services, which would inherit it.

mod allowed_calls;
mod denied_calls;
mod files;
mod group;
mod limits;
mod privileges;

use spared_abi::CALLS_SOCKETS;

pub use allowed_calls::{GROUPS, group_names, is_refusal};
pub use limits::{PRIORITY, lift_descriptor_limit, lift_memory_limit, lock_memory, real_time};
use spared_message::load::Load;

/// Performs the steps before the library is opened, and returns those that failed.
pub fn before_load(load: &Load) -> Vec<String> {
    let mut missed = Vec::new();
    let mut step = |what: &str, result: Result<(), String>| {
        if let Err(why) = result {
            missed.push(format!("{what} ({why})"));
        }
    };
    name_process(&load.name);
    if let Some(group) = &load.control_group {
        step("a control group of its own", group::join(group));
    }
    if load.root {
        step("resetting OOM score and umask", limits::forget_the_hosts());
        return missed;
    }
    if load.realtime {
        step("real-time priority", limits::real_time(PRIORITY));
    }
    step("limits", limits::set(load.realtime));
    if let Some(bytes) = load.memory {
        step("memory limit", limits::set_memory(bytes));
    }
    step(
        "OOM score",
        limits::be_killed_before_the_host(&load.name, load.realtime),
    );
    step(
        "limiting the bounding set",
        privileges::cut_bounding_set(load.capabilities),
    );
    if let Some((uid, gid)) = load.uid_gid {
        step("process limit", limits::set_processes());
        step(
            "an account of its own",
            privileges::change_account(uid, gid),
        );
    }
    step(
        "dropping capabilities",
        privileges::keep_only(load.capabilities, for_loading(load)),
    );
    step("no_new_privs", privileges::no_new_privileges());
    step("file rules", files::restrict(load));
    missed
}

/// Performs the steps before the plugin's first callback, and adds those that failed to `missed`.
pub fn after_load(load: &Load, missed: &mut Vec<String>) {
    let mut step = |what: &str, result: Result<(), String>| {
        if let Err(why) = result {
            missed.push(format!("{what} ({why})"));
        }
    };
    privileges::hide_memory();
    if load.root {
        return;
    }
    if load.realtime {
        step("locked memory", lock_memory());
        step(
            "dropping capabilities",
            privileges::keep_only(load.capabilities, 0),
        );
    }
    step("system call rules", denied_calls::deny());
    if load.calls != 0 {
        step(
            "its list of system calls",
            allowed_calls::enforce(load.calls),
        );
    }
}

/// Confines a process that loads no plugin and opens no file, and returns the steps that failed.
pub fn without_plugin(name: &str) -> Vec<String> {
    let mut missed = Vec::new();
    let mut step = |what: &str, result: Result<(), String>| {
        if let Err(why) = result {
            missed.push(format!("{what} ({why})"));
        }
    };
    name_process(name);
    step("limits", limits::set(false));
    // This fails without the privilege; then no capability could come back anyway.
    let _ = privileges::cut_bounding_set(0);
    step("dropping capabilities", privileges::keep_only(0, 0));
    step("no_new_privs", privileges::no_new_privileges());
    step("file rules", files::restrict_all());
    privileges::hide_memory();
    step("system call rules", denied_calls::deny());
    step(
        "its list of system calls",
        allowed_calls::enforce(CALLS_SOCKETS),
    );
    missed
}

/// Confines the process that runs `nft`, which inherits all of it, and returns the steps that failed.
pub fn for_firewall(account: Option<(u32, u32)>) -> Vec<String> {
    const NAME: &str = "firewall";
    let mut missed = Vec::new();
    let mut step = |what: &str, result: Result<(), String>| {
        if let Err(why) = result {
            missed.push(format!("{what} ({why})"));
        }
    };
    name_process(NAME);
    step("limits", limits::set(false));
    step("OOM score", limits::be_killed_before_the_host(NAME, false));
    step(
        "limiting the bounding set",
        privileges::cut_bounding_set(privileges::NET_ADMIN),
    );
    if let Some((uid, gid)) = account {
        step("process limit", limits::set_processes());
        step(
            "an account of its own",
            privileges::change_account(uid, gid),
        );
    }
    step(
        "dropping capabilities",
        privileges::keep_only(privileges::NET_ADMIN, 0),
    );
    step(
        "CAP_NET_ADMIN for programs",
        privileges::pass_on(privileges::NET_ADMIN),
    );
    step("no_new_privs", privileges::no_new_privileges());
    step("file rules", files::restrict_to_programs());
    privileges::hide_memory();
    step("system call rules", denied_calls::deny());
    step("its list of system calls", allowed_calls::enforce(GROUPS));
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
