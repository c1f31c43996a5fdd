//! Functions of the host for a plugin under trial: they do little and record everything.

mod groups;
mod messages;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::ThreadId;

use spared_abi as abi;
use spared_contract::Scope;
use spared_contract::check::{NAME_MAX, WEIGHT_MAX, is_state};
use spared_records::monotonic::now_ns;
use spared_worker::settings::Settings;

use messages::{send, send_local, sign, verify};

const EPERM: abi::Status = -1;
const EINVAL: abi::Status = -22;

/// Lines of log that a check shows: a plugin that logs each role would hide the findings.
const LINES_MAX: u32 = 20;
static LINES: AtomicU32 = AtomicU32::new(0);

/// Record of what a plugin did.
pub struct Record {
    thread: ThreadId,
    pub woken: AtomicBool,
    /// Functions marked `[loop]` that were called from another thread.
    pub trespasses: Mutex<Vec<String>>,
    pub settings: RefCell<Settings>,
    lent: RefCell<Vec<Box<str>>>,
    /// Calls of fail(), as "key: why".
    pub failures: RefCell<Vec<String>>,
    pub timers: RefCell<BTreeMap<u32, u64>>,
    pub watches: RefCell<BTreeMap<c_int, u32>>,
    pub done: RefCell<BTreeMap<u64, abi::Status>>,
    /// Number of calls of extensions: follow, claim, publish, report.
    pub requests: Cell<u32>,
    /// The peer plugin is connected.
    pub is_up: Cell<bool>,
    /// Number of messages to the peer.
    pub sent: Cell<u64>,
    /// A message was refused: writable() is due.
    pub is_full: Cell<bool>,
    pub partners_up: RefCell<BTreeSet<u32>>,
    /// Partners to whom a message was refused: writable() is due.
    pub partners_full: RefCell<BTreeSet<u32>>,
    /// Tickets of requests to sign or verify.
    pub tickets: RefCell<Vec<u64>>,
    /// Messages refused within this callback.
    refused: Cell<u32>,
    pub is_configuring: Cell<bool>,
    /// Calls that a host would refuse.
    pub misuses: RefCell<BTreeSet<String>>,
}

impl Record {
    pub fn new() -> Self {
        Self {
            thread: std::thread::current().id(),
            woken: AtomicBool::new(false),
            trespasses: Mutex::default(),
            settings: RefCell::default(),
            lent: RefCell::default(),
            failures: RefCell::default(),
            timers: RefCell::default(),
            watches: RefCell::default(),
            done: RefCell::default(),
            requests: Cell::new(0),
            is_up: Cell::new(false),
            sent: Cell::new(0),
            is_full: Cell::new(false),
            partners_up: RefCell::default(),
            partners_full: RefCell::default(),
            tickets: RefCell::default(),
            refused: Cell::new(0),
            is_configuring: Cell::new(false),
            misuses: RefCell::default(),
        }
    }

    /// Ends the loans to the callback that returned.
    pub fn callback_returned(&self) {
        self.lent.borrow_mut().clear();
        self.refused.set(0);
    }

    pub fn table(&self) -> abi::Host {
        abi::Host {
            size: size::<abi::Host>(),
            minor: abi::MINOR,
            ctx: ptr_of(self),
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
}

pub const fn size<T>() -> u32 {
    size_of::<T>() as u32
}

fn ptr_of(record: &Record) -> *mut c_void {
    std::ptr::from_ref(record).cast_mut().cast()
}

/// The record behind `ctx` if this is the plugin's thread; otherwise the call of `function` is noted.
///
/// # Safety
/// `ctx` is that of [`Record::table`], whose record lives.
unsafe fn record<'a>(ctx: *mut c_void, function: &str) -> Option<&'a Record> {
    let record = ctx.cast::<Record>();
    // SAFETY: the caller's promise; another thread uses only `thread` and `trespasses`.
    unsafe {
        if (*record).thread == std::thread::current().id() {
            return Some(&*record);
        }
        if let Ok(mut trespasses) = (*record).trespasses.lock() {
            trespasses.push(function.to_owned());
        }
    }
    None
}

macro_rules! enter {
    ($ctx:ident, $function:literal) => {
        // SAFETY: the contract: the plugin passes the ctx that it was given.
        match unsafe { record($ctx, $function) } {
            Some(record) => record,
            None => return EPERM,
        }
    };
}
use enter;

/// # Safety
/// `text` is NULL or NUL-terminated.
unsafe fn c_text<'a>(text: *const c_char) -> &'a str {
    if text.is_null() {
        return "";
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }
        .to_str()
        .unwrap_or("(not UTF-8)")
}

/// # Safety
/// `text` is empty or points to its bytes.
unsafe fn text(text: abi::Str) -> String {
    if text.ptr.is_null() || text.len == 0 {
        return String::new();
    }
    // SAFETY: the caller's promise.
    let bytes = unsafe { std::slice::from_raw_parts(text.ptr.cast::<u8>(), text.len) };
    String::from_utf8_lossy(bytes).into_owned()
}

unsafe extern "C" fn log(_ctx: *mut c_void, level: u32, line: abi::Str) {
    match LINES.fetch_add(1, Ordering::Relaxed) {
        // SAFETY: the contract: the text is lent.
        0..LINES_MAX => eprintln!("      log {level}: {}", unsafe { text(line) }),
        LINES_MAX => eprintln!("      more lines of its log are not shown"),
        _ => {}
    }
}

unsafe extern "C" fn wake(ctx: *mut c_void) {
    // SAFETY: the contract; this field is for any thread.
    unsafe { &(*ctx.cast::<Record>()).woken }.store(true, Ordering::Release);
}

unsafe extern "C" fn fail(ctx: *mut c_void, key: *const c_char, why: abi::Str) -> abi::Status {
    let record = enter!(ctx, "fail");
    // SAFETY: the contract: both are lent.
    let failure = unsafe { format!("{}: {}", c_text(key), text(why)) };
    record.failures.borrow_mut().push(failure);
    0
}

unsafe extern "C" fn config_get(
    ctx: *mut c_void,
    key: *const c_char,
    out: *mut abi::Str,
) -> abi::Status {
    let record = enter!(ctx, "config_get");
    // SAFETY: the contract: key is lent.
    let found = record.settings.borrow().get(unsafe { c_text(key) });
    // SAFETY: the contract: out is writable.
    found.map_or_else(
        |errno| -errno.raw_os_error(),
        |found| unsafe { lend(record, found, out) },
    )
}

/// Keeps a text until the callback returns.
///
/// # Safety
/// `out` is writable.
unsafe fn lend(record: &Record, text: String, out: *mut abi::Str) -> abi::Status {
    let text = text.into_boxed_str();
    // SAFETY: the caller's promise.
    unsafe { *out = abi::Str::of(&text) };
    record.lent.borrow_mut().push(text);
    0
}

unsafe extern "C" fn config_type(
    ctx: *mut c_void,
    key: *const c_char,
    kind: *mut u32,
) -> abi::Status {
    let record = enter!(ctx, "config_type");
    // SAFETY: the contract: key is lent.
    match record.settings.borrow().kind(unsafe { c_text(key) }) {
        Ok(found) => {
            // SAFETY: the contract: kind is writable.
            unsafe { *kind = found };
            0
        }
        Err(errno) => -errno.raw_os_error(),
    }
}

unsafe extern "C" fn config_keys(
    ctx: *mut c_void,
    key: *const c_char,
    index: u32,
    name: *mut abi::Str,
) -> abi::Status {
    let record = enter!(ctx, "config_keys");
    // SAFETY: the contract: key is lent.
    let found = record.settings.borrow().key(unsafe { c_text(key) }, index);
    // SAFETY: the contract: name is writable.
    found.map_or_else(
        |errno| -errno.raw_os_error(),
        |found| unsafe { lend(record, found, name) },
    )
}

unsafe extern "C" fn config_len(
    ctx: *mut c_void,
    key: *const c_char,
    length: *mut u32,
) -> abi::Status {
    let record = enter!(ctx, "config_len");
    // SAFETY: the contract: key is lent.
    match record.settings.borrow().len(unsafe { c_text(key) }) {
        Ok(found) => {
            // SAFETY: the contract: length is writable.
            unsafe { *length = found };
            0
        }
        Err(errno) => -errno.raw_os_error(),
    }
}

unsafe extern "C" fn watch_fd(ctx: *mut c_void, fd: c_int, events: u32) -> abi::Status {
    let record = enter!(ctx, "watch_fd");
    if events == 0 {
        record.watches.borrow_mut().remove(&fd);
    } else {
        record.watches.borrow_mut().insert(fd, events);
    }
    0
}

unsafe extern "C" fn timer(ctx: *mut c_void, id: u32, at_ns: u64) -> abi::Status {
    let record = enter!(ctx, "timer");
    if at_ns == 0 {
        record.timers.borrow_mut().remove(&id);
    } else {
        record.timers.borrow_mut().insert(id, at_ns);
    }
    0
}

unsafe extern "C" fn now(_ctx: *mut c_void) -> u64 {
    now_ns()
}

unsafe extern "C" fn done(ctx: *mut c_void, token: u64, status: abi::Status) -> abi::Status {
    enter!(ctx, "done").done.borrow_mut().insert(token, status);
    0
}

unsafe extern "C" fn put_text(
    ctx: *mut c_void,
    _token: u64,
    _key: *const c_char,
    _value: abi::Str,
) -> abi::Status {
    enter!(ctx, "put_text");
    0
}

unsafe extern "C" fn put_u64(
    ctx: *mut c_void,
    _token: u64,
    _key: *const c_char,
    _kind: u32,
    _value: u64,
) -> abi::Status {
    enter!(ctx, "put_u64");
    0
}

unsafe extern "C" fn put_i64(
    ctx: *mut c_void,
    _token: u64,
    _key: *const c_char,
    _kind: u32,
    _value: i64,
) -> abi::Status {
    enter!(ctx, "put_i64");
    0
}

unsafe extern "C" fn extension(_ctx: *mut c_void, id: *const c_char) -> *const c_void {
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
    static WATCH: abi::Watch = abi::Watch {
        size: size::<abi::Watch>(),
        reserved: 0,
        watch: Some(watch),
    };
    static ADDITION: abi::Addition = abi::Addition {
        size: size::<abi::Addition>(),
        reserved: 0,
        add: Some(add),
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
    // SAFETY: the contract: id is a C string.
    match unsafe { c_text(id) } {
        "spared.interface/1" => (&raw const INTERFACE).cast(),
        "spared.group/1" => (&raw const groups::GROUP).cast(),
        "spared.peer/1" => (&raw const PEER).cast(),
        "spared.identity/1" => (&raw const IDENTITY).cast(),
        "spared.local/1" => (&raw const LOCAL).cast(),
        "spared.status/1" => (&raw const WATCH).cast(),
        "spared.claim/1" => (&raw const ADDITION).cast(),
        "spared.check/1" => (&raw const CHECK).cast(),
        "spared.scope/1" => (&raw const SCOPE).cast(),
        _ => std::ptr::null(),
    }
}

fn request(record: &Record) -> abi::Status {
    record.requests.set(record.requests.get() + 1);
    0
}

unsafe extern "C" fn follow(ctx: *mut c_void, name: *const c_char, _sockets: u32) -> abi::Status {
    if name.is_null() {
        return EINVAL;
    }
    request(enter!(ctx, "follow"))
}

unsafe extern "C" fn unfollow(ctx: *mut c_void, _name: *const c_char) -> abi::Status {
    request(enter!(ctx, "unfollow"))
}

fn misuse(record: &Record, what: String) -> abi::Status {
    record.misuses.borrow_mut().insert(what);
    EINVAL
}

unsafe extern "C" fn in_sync(ctx: *mut c_void, _yes: u32, _why: abi::Str) -> abi::Status {
    request(enter!(ctx, "in_sync"))
}

unsafe extern "C" fn report(
    ctx: *mut c_void,
    name: *const c_char,
    weight: u32,
    state: u32,
    _why: abi::Str,
) -> abi::Status {
    let record = enter!(ctx, "report");
    // SAFETY: the contract: name is lent.
    let name = unsafe { c_text(name) };
    if !(1..=NAME_MAX).contains(&name.len()) || weight > WEIGHT_MAX || !is_state(state) {
        let what = format!(
            "reports the check {name:?} with weight {weight} and state {state}: \
             a name has 1-64 bytes, a weight is 0-9999, a state 0-100"
        );
        return misuse(record, what);
    }
    request(record)
}

unsafe extern "C" fn watch(ctx: *mut c_void, _what: u32) -> abi::Status {
    request(enter!(ctx, "watch"))
}

unsafe extern "C" fn add(
    ctx: *mut c_void,
    group: *const c_char,
    claims: *const abi::Claims,
) -> abi::Status {
    let record = enter!(ctx, "add");
    // SAFETY: the contract: both are lent.
    let (group, claims) = unsafe { (c_text(group), claims.as_ref()) };
    if group.is_empty() || claims.is_some_and(|claims| claims.virtual_router_count > 0) {
        return misuse(
            record,
            "adds a virtual router, or names no group".to_owned(),
        );
    }
    request(record)
}

unsafe extern "C" fn forget(ctx: *mut c_void, _name: *const c_char) -> abi::Status {
    request(enter!(ctx, "forget"))
}

unsafe extern "C" fn declare(ctx: *mut c_void, key: *const c_char, scope: u32) -> abi::Status {
    let record = enter!(ctx, "declare");
    // SAFETY: the contract: key is lent.
    let key = unsafe { c_text(key) };
    if key.is_empty() || Scope::from_raw(scope).is_none() {
        return misuse(record, format!("declares the key {key:?} of scope {scope}"));
    }
    if !record.is_configuring.get() {
        let what = format!("declares the key {key:?} outside configure");
        return misuse(record, what);
    }
    0
}
