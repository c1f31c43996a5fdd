//! Functions of the host, as the behaviours call them.

use std::ffi::{CStr, c_void};
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use spared_abi::{self as abi, Status, Str};

static HOST: AtomicPtr<abi::Host> = AtomicPtr::new(ptr::null_mut());

pub fn keep(host: *const abi::Host) {
    HOST.store(host.cast_mut(), Ordering::Release);
}

/// None before the instance is created.
pub fn host() -> Option<&'static abi::Host> {
    // SAFETY: it outlives the instance.
    unsafe { HOST.load(Ordering::Acquire).as_ref() }
}

pub fn ctx() -> *mut c_void {
    host().map_or(ptr::null_mut(), |host| host.ctx)
}

/// Calls a function of the host's table; 0 if it is not there.
macro_rules! call {
    ($function:ident $(, $argument:expr)* $(,)?) => {
        match $crate::host::host().and_then(|host| host.$function) {
            // SAFETY: none, on purpose.
            Some(function) => unsafe { function($crate::host::ctx() $(, $argument)*) },
            None => Default::default(),
        }
    };
}

pub(crate) use call;

pub fn log(level: u32, text: Str) {
    if let Some(log) = host().and_then(|host| host.log) {
        // SAFETY: none, on purpose: the text may be invalid.
        unsafe { log(ctx(), level, text) };
    }
}

pub fn say(text: &str) {
    log(abi::LOG_INFO, Str::of(text));
}

/// Logs the status that a host function returned.
pub fn say_status(what: &str, status: Status) -> Status {
    match status {
        0.. => say(&format!("{what}: answered {status}")),
        _ => say(&format!(
            "{what}: refused: {}",
            io::Error::from_raw_os_error(-status)
        )),
    }
    0
}

/// Logs an attempt that succeeded although it must not; true if it failed.
pub fn must_fail(what: &str, result: i64) -> bool {
    match result < 0 {
        true => true,
        false => {
            say(&format!("ALLOWED: {what}"));
            false
        }
    }
}

/// Sets the timer to be called again at once.
pub fn again() -> Status {
    after_ns(0)
}

pub fn after_ns(delay_ns: u64) -> Status {
    let Some(now) = host().and_then(|host| host.now) else {
        return 0;
    };
    // SAFETY: the contract: ctx is the host's.
    let at_ns = unsafe { now(ctx()) } + delay_ns;
    call!(timer, 1, at_ns)
}

/// The host's half of an extension.
pub fn half<T>(id: &CStr) -> Option<&'static T> {
    let extension = host()?.extension?;
    // SAFETY: the contract: valid until destroy, and of the type of the id.
    unsafe { extension(ctx(), id.as_ptr()).cast::<T>().as_ref() }
}
