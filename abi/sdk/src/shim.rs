//! C functions that a descriptor points to; each enters the instance under `catch_unwind`.

use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use spared_abi as abi;
use spared_contract::Surroundings;

use crate::error::{EINVAL, ENOTRECOVERABLE};
use crate::host::Host;
use crate::ready::Ready;
use crate::{Applied, Error, Plugin, Progress, Token, logger, run, text};

/// The instance that `self` of the C functions points to.
pub(crate) struct Instance<T> {
    pub(crate) plugin: T,
    pub(crate) host: Host,
    /// Set by a panic: the plugin must not be touched again.
    poisoned: bool,
}

/// Runs `work` on the instance; a panic poisons it.
///
/// # Safety
/// `instance` comes from [`create`] of the same `T`, was not destroyed, and is not in use.
pub(crate) unsafe fn enter<T: Plugin>(
    instance: *mut c_void,
    work: impl FnOnce(&mut Instance<T>) -> abi::Status,
) -> abi::Status {
    // SAFETY: the caller's promise.
    let Some(instance) = (unsafe { instance.cast::<Instance<T>>().as_mut() }) else {
        return -EINVAL;
    };
    if instance.poisoned {
        return -ENOTRECOVERABLE;
    }
    match catch_unwind(AssertUnwindSafe(|| work(instance))) {
        Ok(status) => status,
        Err(payload) => {
            instance.poisoned = true;
            // A payload whose drop panics would unwind into C.
            std::mem::forget(payload);
            instance.host.fail("", "the plugin panicked");
            -ENOTRECOVERABLE
        }
    }
}

pub(crate) fn progress(host: Host, result: Result<Progress, Error>) -> abi::Status {
    match result {
        Ok(Progress::Done) => 0,
        Ok(Progress::Pending) => abi::PENDING,
        Err(error) => host.report(&error),
    }
}

pub(crate) unsafe extern "C" fn create<T: Plugin>(
    host: *const abi::Host,
    instance: *mut *mut c_void,
) -> abi::Status {
    if host.is_null() || instance.is_null() {
        return -EINVAL;
    }
    // SAFETY: the contract of create: host outlives the instance.
    let host = unsafe { Host::from_raw(host) };
    logger::install(host);
    let plugin = match catch_unwind(AssertUnwindSafe(|| T::create(host))) {
        Ok(Ok(plugin)) => plugin,
        Ok(Err(error)) => return host.report(&error),
        Err(payload) => {
            std::mem::forget(payload);
            host.fail("", "the plugin panicked");
            return -ENOTRECOVERABLE;
        }
    };
    let boxed = Box::new(Instance {
        plugin,
        host,
        poisoned: false,
    });
    // SAFETY: the contract of create: instance points to a writable pointer.
    unsafe { *instance = Box::into_raw(boxed).cast() };
    0
}

pub(crate) unsafe extern "C" fn destroy<T: Plugin>(instance: *mut c_void) {
    if instance.is_null() {
        return;
    }
    // SAFETY: the contract of destroy: it comes from create, and nothing is called afterwards.
    let instance = unsafe { Box::from_raw(instance.cast::<Instance<T>>()) };
    if instance.poisoned {
        // Its drop may rely on state that the panic left half done.
        std::mem::forget(instance);
        return;
    }
    if let Err(payload) = catch_unwind(AssertUnwindSafe(move || drop(instance))) {
        std::mem::forget(payload);
    }
}

pub(crate) unsafe extern "C" fn configure<T: Plugin>(
    instance: *mut c_void,
    toml: abi::Str,
    flags: u32,
) -> abi::Status {
    if flags & abi::FLAGS_REQUIRED != 0 {
        return -EINVAL;
    }
    // SAFETY: the contract of configure: toml is lent for the call.
    let toml = unsafe { text::read(toml) };
    let check_only = flags & abi::CONFIGURE_CHECK != 0;
    // SAFETY: the contract of the descriptor.
    unsafe {
        enter::<T>(instance, |instance| {
            let settings = match read::<T>(instance.host, &toml) {
                Ok(settings) => settings,
                Err(error) => return instance.host.report(&error),
            };
            if check_only {
                return 0;
            }
            match instance.plugin.configure(settings) {
                Ok(Applied::Live) => 0,
                Ok(Applied::Restart) => abi::RESTART,
                Err(error) => instance.host.report(&error),
            }
        })
    }
}

/// Settings without a fault, whose scopes are declared.
fn read<T: Plugin>(host: Host, toml: &str) -> Result<T::Settings, Error> {
    let surroundings = Surroundings {
        node: host.config_get(c"@node").unwrap_or_default(),
        nodes: host.texts("@nodes"),
        ..Surroundings::default()
    };
    let (settings, scopes) = run::read::<T>(toml, &surroundings)?;
    for (key, scope) in scopes {
        host.declare_scope(&key, scope);
    }
    Ok(settings)
}

pub(crate) unsafe extern "C" fn start<T: Plugin>(instance: *mut c_void, token: u64) -> abi::Status {
    // SAFETY: the contract of the descriptor.
    unsafe {
        enter::<T>(instance, |it| {
            progress(it.host, it.plugin.start(Token(token)))
        })
    }
}

pub(crate) unsafe extern "C" fn stop<T: Plugin>(instance: *mut c_void, token: u64) -> abi::Status {
    // SAFETY: the contract of the descriptor.
    unsafe {
        enter::<T>(instance, |it| {
            progress(it.host, it.plugin.stop(Token(token)))
        })
    }
}

pub(crate) unsafe extern "C" fn fd<T: Plugin>(
    instance: *mut c_void,
    fd: c_int,
    events: u32,
) -> abi::Status {
    // SAFETY: the contract of the descriptor.
    unsafe {
        enter::<T>(instance, |it| {
            it.plugin.fd(fd, Ready(events));
            0
        })
    }
}

pub(crate) unsafe extern "C" fn timer<T: Plugin>(instance: *mut c_void, id: u32) -> abi::Status {
    // SAFETY: the contract of the descriptor.
    unsafe {
        enter::<T>(instance, |it| {
            it.plugin.timer(id);
            0
        })
    }
}

pub(crate) unsafe extern "C" fn woken<T: Plugin>(instance: *mut c_void) -> abi::Status {
    // SAFETY: the contract of the descriptor.
    unsafe {
        enter::<T>(instance, |it| {
            it.plugin.woken();
            0
        })
    }
}
