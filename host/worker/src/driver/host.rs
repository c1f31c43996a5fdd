//! The functions that a plugin calls: C shims over [`Driver`], and the tables that hold them.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

use rustix::io::Errno;
use spared_abi as abi;
use spared_contract::{LogLevel, Value};
use spared_records::monotonic::now_ns;

use super::{Driver, Outbound, groups, is_loop_thread, lent, misbehaviour, status};

pub const fn size<T>() -> u32 {
    size_of::<T>() as u32
}

pub const fn errno(errno: Errno) -> abi::Status {
    -errno.raw_os_error()
}

/// The table for a driver, which must stay where it is for as long as the plugin.
pub fn table(driver: *const Driver) -> abi::Host {
    abi::Host {
        size: size::<abi::Host>(),
        minor: abi::MINOR,
        ctx: driver.cast_mut().cast(),
        brand: abi::BRAND.as_ptr(),
        log: Some(log),
        wake: Some(wake),
        fail: Some(fail),
        config_get: Some(config_get),
        config_type: Some(config_type),
        config_keys: Some(config_keys),
        config_len: Some(config_len),
        watch_fd: Some(watch_fd),
        timer: Some(timer),
        now: Some(now),
        done: Some(done),
        put_text: Some(put_text),
        put_u64: Some(put_u64),
        put_i64: Some(put_i64),
        extension: Some(extension),
    }
}

static INTERFACE: abi::Interface = abi::Interface {
    size: size::<abi::Interface>(),
    reserved: 0,
    follow: Some(follow),
    unfollow: Some(unfollow),
};

static PEER: abi::Peer = abi::Peer {
    size: size::<abi::Peer>(),
    reserved: 0,
    send: Some(send),
    in_sync: Some(in_sync),
};

static IDENTITY: abi::Identity = abi::Identity {
    size: size::<abi::Identity>(),
    reserved: 0,
    sign: Some(sign),
    verify: Some(verify),
};

static LOCAL: abi::Local = abi::Local {
    size: size::<abi::Local>(),
    reserved: 0,
    send: Some(send_local),
};

static CHECK: abi::Check = abi::Check {
    size: size::<abi::Check>(),
    reserved: 0,
    report: Some(report),
    forget: Some(forget),
};

static SCOPE: abi::Scope = abi::Scope {
    size: size::<abi::Scope>(),
    reserved: 0,
    declare: Some(declare),
};

/// The driver behind `ctx`; None from a thread that may not call this.
///
/// # Safety
/// `ctx` came with the table.
pub(super) unsafe fn driver<'a>(ctx: *mut c_void, function: &str) -> Option<&'a Driver> {
    if !is_loop_thread() {
        let why = misbehaviour::wrong_thread(function);
        // SAFETY: outbound is for any thread.
        unsafe { outbound(ctx).log(LogLevel::Error, &why) };
        return None;
    }
    // SAFETY: the driver outlives the plugin, and is only used on this thread.
    unsafe { ctx.cast::<Driver>().as_ref() }
}

/// The part of the driver that any thread may use.
///
/// # Safety
/// `ctx` came with the table.
unsafe fn outbound<'a>(ctx: *mut c_void) -> &'a Outbound {
    // SAFETY: the driver outlives the plugin; the rest of it is not touched.
    unsafe { &(*ctx.cast::<Driver>()).outbound }
}

/// Begins a shim: gets the driver, or returns -EPERM.
macro_rules! enter {
    ($ctx:ident, $function:literal) => {
        // SAFETY: the contract: the plugin passes the ctx that it was given.
        match unsafe { $crate::driver::host::driver($ctx, $function) } {
            Some(driver) => driver,
            None => return $crate::driver::host::errno(rustix::io::Errno::PERM),
        }
    };
}
pub(super) use enter;

unsafe extern "C" fn log(ctx: *mut c_void, level: u32, text: abi::Str) {
    // SAFETY: the contract: ctx is ours, text is lent; outbound is for any thread.
    unsafe { outbound(ctx).log(level.into(), &lent::text(text)) };
}

unsafe extern "C" fn wake(ctx: *mut c_void) {
    // SAFETY: the contract: ctx is ours; outbound is for any thread.
    unsafe { outbound(ctx).wake() };
}

unsafe extern "C" fn fail(ctx: *mut c_void, key: *const c_char, why: abi::Str) -> abi::Status {
    let driver = enter!(ctx, "fail");
    // SAFETY: the contract: key and why are lent.
    let (key, why) = unsafe { (lent::c_text(key), lent::text(why)) };
    driver.note_failure(key, &why);
    0
}

unsafe extern "C" fn config_get(
    ctx: *mut c_void,
    key: *const c_char,
    out: *mut abi::Str,
) -> abi::Status {
    let driver = enter!(ctx, "config_get");
    if out.is_null() {
        return errno(Errno::INVAL);
    }
    // SAFETY: the contract: key is lent.
    let found = driver.settings.borrow().get(unsafe { lent::c_text(key) });
    match found {
        Ok(text) => {
            // SAFETY: checked above; the text is kept until the callback returns.
            unsafe { *out = driver.lend(text) };
            0
        }
        Err(why) => errno(why),
    }
}

unsafe extern "C" fn config_type(
    ctx: *mut c_void,
    key: *const c_char,
    kind: *mut u32,
) -> abi::Status {
    let driver = enter!(ctx, "config_type");
    if kind.is_null() {
        return errno(Errno::INVAL);
    }
    // SAFETY: the contract: key is lent.
    match driver.settings.borrow().kind(unsafe { lent::c_text(key) }) {
        Ok(found) => {
            // SAFETY: checked above.
            unsafe { *kind = found };
            0
        }
        Err(why) => errno(why),
    }
}

unsafe extern "C" fn config_keys(
    ctx: *mut c_void,
    key: *const c_char,
    index: u32,
    name: *mut abi::Str,
) -> abi::Status {
    let driver = enter!(ctx, "config_keys");
    if name.is_null() {
        return errno(Errno::INVAL);
    }
    // SAFETY: the contract: key is lent.
    let key = unsafe { lent::c_text(key) };
    let found = driver.settings.borrow().key(key, index);
    match found {
        Ok(text) => {
            // SAFETY: checked above; the text is kept until the callback returns.
            unsafe { *name = driver.lend(text) };
            0
        }
        Err(why) => errno(why),
    }
}

unsafe extern "C" fn config_len(
    ctx: *mut c_void,
    key: *const c_char,
    length: *mut u32,
) -> abi::Status {
    let driver = enter!(ctx, "config_len");
    if length.is_null() {
        return errno(Errno::INVAL);
    }
    // SAFETY: the contract: key is lent.
    match driver.settings.borrow().len(unsafe { lent::c_text(key) }) {
        Ok(found) => {
            // SAFETY: checked above.
            unsafe { *length = found };
            0
        }
        Err(why) => errno(why),
    }
}

unsafe extern "C" fn watch_fd(ctx: *mut c_void, fd: c_int, events: u32) -> abi::Status {
    let driver = enter!(ctx, "watch_fd");
    if let Err(why) = lent::check_flags("events", events) {
        return driver.refuse("watch_fd", &why);
    }
    let watched = driver.watches.borrow_mut().watch(fd, events);
    watched.map_or_else(errno, |()| 0)
}

unsafe extern "C" fn timer(ctx: *mut c_void, id: u32, at_ns: u64) -> abi::Status {
    let driver = enter!(ctx, "timer");
    let mut timers = driver.timers.borrow_mut();
    if at_ns == 0 {
        timers.cancel(id);
        return 0;
    }
    if timers.set(id, at_ns) {
        0
    } else {
        errno(Errno::NOSPC)
    }
}

unsafe extern "C" fn now(_ctx: *mut c_void) -> u64 {
    now_ns()
}

unsafe extern "C" fn done(ctx: *mut c_void, token: u64, status: abi::Status) -> abi::Status {
    enter!(ctx, "done").done(token, status);
    0
}

unsafe extern "C" fn put_text(
    ctx: *mut c_void,
    token: u64,
    key: *const c_char,
    value: abi::Str,
) -> abi::Status {
    let driver = enter!(ctx, "put_text");
    // SAFETY: the contract: key and value are lent.
    let (key, value) = unsafe { (lent::c_text(key), lent::text(value)) };
    driver.put(token, key, Value::Text(value.into_owned()))
}

unsafe extern "C" fn put_u64(
    ctx: *mut c_void,
    token: u64,
    key: *const c_char,
    kind: u32,
    value: u64,
) -> abi::Status {
    let driver = enter!(ctx, "put_u64");
    // SAFETY: the contract: key is lent.
    let key = unsafe { lent::c_text(key) };
    driver.put(token, key, Value::of_raw(kind, value))
}

unsafe extern "C" fn put_i64(
    ctx: *mut c_void,
    token: u64,
    key: *const c_char,
    kind: u32,
    value: i64,
) -> abi::Status {
    let driver = enter!(ctx, "put_i64");
    // SAFETY: the contract: key is lent.
    let key = unsafe { lent::c_text(key) };
    driver.put(token, key, Value::of_raw_signed(kind, value))
}

unsafe extern "C" fn extension(_ctx: *mut c_void, id: *const c_char) -> *const c_void {
    if id.is_null() {
        return ptr::null();
    }
    // SAFETY: the contract: id is a C string.
    match unsafe { CStr::from_ptr(id) } {
        id if id == abi::INTERFACE => (&raw const INTERFACE).cast(),
        id if id == abi::GROUP => (&raw const groups::GROUP).cast(),
        id if id == abi::PEER => (&raw const PEER).cast(),
        id if id == abi::IDENTITY => (&raw const IDENTITY).cast(),
        id if id == abi::LOCAL => (&raw const LOCAL).cast(),
        id if id == abi::STATUS => (&raw const status::WATCH).cast(),
        id if id == abi::CLAIM => (&raw const groups::ADDITION).cast(),
        id if id == abi::CHECK => (&raw const CHECK).cast(),
        id if id == abi::SCOPE => (&raw const SCOPE).cast(),
        _ => ptr::null(),
    }
}

unsafe extern "C" fn follow(ctx: *mut c_void, name: *const c_char, sockets: u32) -> abi::Status {
    let driver = enter!(ctx, "follow");
    // SAFETY: the contract: name is lent.
    let name = unsafe { lent::c_text(name) };
    match lent::check_flags("sockets", sockets).and(spared_contract::check_interface(name)) {
        Ok(()) => driver.follow(name, sockets),
        Err(why) => driver.refuse("follow", &why),
    }
}

unsafe extern "C" fn unfollow(ctx: *mut c_void, name: *const c_char) -> abi::Status {
    let driver = enter!(ctx, "unfollow");
    // SAFETY: the contract: name is lent.
    driver.unfollow(unsafe { lent::c_text(name) })
}

unsafe extern "C" fn send(ctx: *mut c_void, message: abi::Bytes) -> abi::Status {
    let driver = enter!(ctx, "send");
    if is_missing(message) {
        return driver.refuse("send", "NULL message");
    }
    // SAFETY: the contract: the message is lent.
    driver.send_to_peer(unsafe { lent::slice(message.ptr, message.len) })
}

unsafe extern "C" fn send_local(
    ctx: *mut c_void,
    partner: u32,
    message: abi::Bytes,
) -> abi::Status {
    let driver = enter!(ctx, "send");
    if is_missing(message) {
        return driver.refuse("send", "NULL message");
    }
    // SAFETY: the contract: the message is lent.
    driver.send_to_partner(partner, unsafe { lent::slice(message.ptr, message.len) })
}

unsafe extern "C" fn in_sync(ctx: *mut c_void, yes: u32, why: abi::Str) -> abi::Status {
    let driver = enter!(ctx, "in_sync");
    // SAFETY: the contract: why is lent.
    driver.report_synchrony(yes != 0, &unsafe { lent::text(why) })
}

unsafe extern "C" fn sign(ctx: *mut c_void, ticket: u64, statement: abi::Bytes) -> abi::Status {
    let driver = enter!(ctx, "sign");
    if is_missing(statement) {
        return driver.refuse("sign", "NULL statement");
    }
    // SAFETY: the contract: the statement is lent.
    driver.sign(ticket, unsafe { lent::slice(statement.ptr, statement.len) })
}

unsafe extern "C" fn verify(
    ctx: *mut c_void,
    ticket: u64,
    statement: abi::Bytes,
    signature: abi::Bytes,
) -> abi::Status {
    let driver = enter!(ctx, "verify");
    if is_missing(statement) || is_missing(signature) {
        return driver.refuse("verify", "NULL statement or signature");
    }
    // SAFETY: the contract: both are lent.
    let (statement, signature) = unsafe {
        (
            lent::slice(statement.ptr, statement.len),
            lent::slice(signature.ptr, signature.len),
        )
    };
    driver.verify(ticket, statement, signature)
}

fn is_missing(bytes: abi::Bytes) -> bool {
    bytes.ptr.is_null() && bytes.len > 0
}

unsafe extern "C" fn report(
    ctx: *mut c_void,
    name: *const c_char,
    weight: u32,
    state: u32,
    why: abi::Str,
) -> abi::Status {
    let driver = enter!(ctx, "report");
    // SAFETY: the contract: name and why are lent.
    let (name, why) = unsafe { (lent::c_text(name), lent::text(why)) };
    driver.report_check(name, weight, state, &why)
}

unsafe extern "C" fn forget(ctx: *mut c_void, name: *const c_char) -> abi::Status {
    let driver = enter!(ctx, "forget");
    // SAFETY: the contract: name is lent.
    driver.forget_check(unsafe { lent::c_text(name) })
}

unsafe extern "C" fn declare(ctx: *mut c_void, key: *const c_char, scope: u32) -> abi::Status {
    let driver = enter!(ctx, "declare");
    // SAFETY: the contract: key is lent.
    driver.declare_scope(unsafe { lent::c_text(key) }, scope)
}
