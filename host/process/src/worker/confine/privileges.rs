//! Changes the account and the capabilities.

use rustix::io::Errno;
use rustix::thread::{self, CapabilitySet, CapabilitySets};

use crate::worker::capabilities;

pub const NET_ADMIN: u64 = CapabilitySet::NET_ADMIN.bits();
/// To lock memory beyond the limit.
pub const IPC_LOCK: u64 = CapabilitySet::IPC_LOCK.bits();

/// Drops all capabilities but `bits` from the bounding set, so that they cannot come back, not even by a set-uid
/// program. Empties the ambient set, which children would inherit.
///
/// # Errors
/// No CAP_SETPCAP.
pub fn cut_bounding_set(bits: u64) -> Result<(), String> {
    let _ = thread::clear_ambient_capability_set();
    for bit in (0..u64::BITS).map(|number| 1 << number) {
        let capability = CapabilitySet::from_bits_retain(bit);
        match thread::capability_is_in_bounding_set(capability) {
            // the kernel knows none with this number, nor with a higher one
            Err(Errno::INVAL) => return Ok(()),
            Ok(true) if bits & bit == 0 => thread::remove_capability_from_bounding_set(capability)
                .map_err(|errno| errno.to_string())?,
            other => drop(other.map_err(|errno| errno.to_string())?),
        }
    }
    Ok(())
}

/// # Errors
/// No privilege to change it.
pub fn change_account(uid: u32, gid: u32) -> Result<(), String> {
    // The capabilities survive the change; keep_only cuts them next.
    let _ = thread::set_keep_capabilities(true);
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
    let _ = thread::set_keep_capabilities(false);
    // The uid change made /proc/self root's; the plugin is opened through it.
    let readable = rustix::process::DumpableBehavior::Dumpable;
    rustix::process::set_dumpable_behavior(readable).map_err(|errno| errno.to_string())
}

/// Keeps the capabilities `bits`, and those of `welcome` that this process has.
///
/// # Errors
/// The kernel's, or this process does not have one of `bits`.
pub fn keep_only(bits: u64, welcome: u64) -> Result<(), String> {
    let permitted = thread::capabilities(None).map_err(|errno| errno.to_string())?;
    let permitted = permitted.permitted.bits();
    let kept = CapabilitySet::from_bits_retain((bits | welcome) & permitted);
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    thread::set_capabilities(None, sets).map_err(|errno| errno.to_string())?;
    match bits & !permitted {
        0 => Ok(()),
        missing => Err(format!(
            "not available: {}",
            capabilities::names(missing).join(", ")
        )),
    }
}

/// Lets programs that this process starts inherit `bits`, which this process must have.
///
/// # Errors
/// The kernel's.
pub fn pass_on(bits: u64) -> Result<(), String> {
    let passed = CapabilitySet::from_bits_retain(bits);
    let mut sets = thread::capabilities(None).map_err(|errno| errno.to_string())?;
    sets.inheritable |= passed;
    thread::set_capabilities(None, sets).map_err(|errno| errno.to_string())?;
    for capability in passed.iter() {
        thread::configure_capability_in_ambient_set(capability, true)
            .map_err(|errno| errno.to_string())?;
    }
    Ok(())
}

/// # Errors
/// The kernel's.
pub fn no_new_privileges() -> Result<(), String> {
    thread::set_no_new_privs(true).map_err(|errno| errno.to_string())
}

/// Hides the memory of this process from others of the same account.
pub fn hide_memory() {
    let hidden = rustix::process::DumpableBehavior::NotDumpable;
    let _ = rustix::process::set_dumpable_behavior(hidden);
}
