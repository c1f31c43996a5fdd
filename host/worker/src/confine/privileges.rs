//! Changes the account and the capabilities.

use caps::{CapSet, Capability, CapsHashSet};

/// CAP_NET_ADMIN.
pub const NET_ADMIN: u64 = 1 << 12;
/// CAP_IPC_LOCK, to lock memory beyond the limit.
pub const IPC_LOCK: u64 = 1 << 14;

fn allowed(bits: u64) -> CapsHashSet {
    let all = caps::all().into_iter();
    all.filter(|capability| bits & capability.bitmask() != 0)
        .collect()
}

/// Drops all capabilities but `bits` from the bounding set, so that they cannot come back, not even by a set-uid
/// program. Empties the ambient set, which children would inherit.
///
/// # Errors
/// No CAP_SETPCAP.
pub fn cut_bounding_set(bits: u64) -> Result<(), String> {
    let _ = rustix::thread::clear_ambient_capability_set();
    let allowed = allowed(bits);
    let bounding = caps::read(None, CapSet::Bounding).map_err(|error| error.to_string())?;
    for capability in bounding.difference(&allowed) {
        caps::drop(None, CapSet::Bounding, *capability).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// # Errors
/// No privilege to change it.
pub fn change_account(uid: u32, gid: u32) -> Result<(), String> {
    // The capabilities survive the change; keep_only cuts them next.
    let _ = rustix::thread::set_keep_capabilities(true);
    let check = |result: i32| match result {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error().to_string()),
    };
    // SAFETY: numbers only; the group first, as afterwards it may not be changed. libc's calls
    // change every thread, of which there is one.
    unsafe {
        check(libc::setgroups(0, std::ptr::null()))?;
        check(libc::setresgid(gid, gid, gid))?;
        check(libc::setresuid(uid, uid, uid))?;
    }
    let _ = rustix::thread::set_keep_capabilities(false);
    // After the change of the uid, /proc/self belongs to root; the plugin is opened through it.
    let readable = rustix::process::DumpableBehavior::Dumpable;
    rustix::process::set_dumpable_behavior(readable).map_err(|errno| errno.to_string())
}

/// Keeps the capabilities `bits`, and those of `welcome` that this process has.
///
/// # Errors
/// The kernel's, or this process does not have one of `bits`.
pub fn keep_only(bits: u64, welcome: u64) -> Result<(), String> {
    let permitted = caps::read(None, CapSet::Permitted).map_err(|error| error.to_string())?;
    let wanted = allowed(bits | welcome);
    let kept: CapsHashSet = wanted.intersection(&permitted).copied().collect();
    for (set, wanted) in [
        (CapSet::Effective, &kept),
        (CapSet::Inheritable, &CapsHashSet::new()),
        (CapSet::Permitted, &kept),
    ] {
        caps::set(None, set, wanted).map_err(|error| error.to_string())?;
    }
    let missing: Vec<String> = allowed(bits)
        .difference(&permitted)
        .map(Capability::to_string)
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!("not available: {}", missing.join(", ")))
    }
}

/// Lets programs that this process starts inherit `bits`, which this process must have.
///
/// # Errors
/// The kernel's.
pub fn pass_on(bits: u64) -> Result<(), String> {
    for capability in allowed(bits) {
        for set in [CapSet::Inheritable, CapSet::Ambient] {
            caps::raise(None, set, capability).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

/// # Errors
/// The kernel's.
pub fn no_new_privileges() -> Result<(), String> {
    rustix::thread::set_no_new_privs(true).map_err(|errno| errno.to_string())
}

/// Hides the memory of this process from others of the same account.
pub fn hide_memory() {
    let hidden = rustix::process::DumpableBehavior::NotDumpable;
    let _ = rustix::process::set_dumpable_behavior(hidden);
}
