//! Invalid pointers and lengths, and calls at the wrong time or on the wrong thread.

use std::ffi::{CString, c_char};
use std::ptr;
use std::sync::atomic::Ordering;
use std::thread;

use spared_abi::{self as abi, Bytes, Status, Str};

use crate::act::TOKEN;
use crate::end::map;
use crate::host::call;
use crate::host::{ctx, half, host, log, say, say_status};

const ENDLESS: usize = isize::MAX as usize;

/// An unmapped address.
pub fn unmapped<T>() -> *const T {
    ptr::without_provenance(16)
}

/// A text without NUL, in front of a page that cannot be read.
pub fn unterminated() -> *const c_char {
    const PAGE: usize = 4096;
    // SAFETY: two pages of its own, the second of which is then protected.
    unsafe {
        let both = libc::PROT_READ | libc::PROT_WRITE;
        let pages = map(2 * PAGE, both, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1);
        ptr::write_bytes(pages.cast::<u8>(), b'a', PAGE);
        libc::mprotect(pages.byte_add(PAGE), PAGE, libc::PROT_NONE);
        pages.cast()
    }
}

fn long(length: usize) -> CString {
    CString::new(vec![b'a'; length]).unwrap_or_default()
}

// ---- log and fail

pub fn log_null() -> Status {
    let null = Str {
        ptr: ptr::null(),
        len: ENDLESS,
    };
    log(abi::LOG_INFO, null);
    say("log of NULL: passed over");
    0
}

pub fn log_unmapped() -> Status {
    let text = Str {
        ptr: unmapped(),
        len: 100,
    };
    log(abi::LOG_INFO, text);
    0
}

pub fn log_endless() -> Status {
    let text = Str {
        ptr: unterminated(),
        len: ENDLESS,
    };
    log(abi::LOG_INFO, text);
    0
}

pub fn log_odd() -> Status {
    let bytes = [0xffu8; 33];
    let text = Str {
        ptr: bytes[1..].as_ptr().cast(),
        len: 31,
    };
    log(u32::MAX, text);
    say("log of an odd address: taken");
    0
}

pub fn log_no_utf8() -> Status {
    let bytes = [0xc0u8, 0x80, 0xff, 0xed, 0xa0, 0x80];
    let text = Str {
        ptr: bytes.as_ptr().cast(),
        len: bytes.len(),
    };
    log(abi::LOG_WARN, text);
    say("log of no UTF-8: taken");
    0
}

/// A line that looks as if the host had written it.
pub fn log_forged() -> Status {
    let text = "mine\nERROR vrrp: forged by a plugin\x1b[2J\r\x07\u{9b}31m";
    log(abi::LOG_ERROR, Str::of(text));
    log(abi::LOG_EVENT, Str::of(text));
    0
}

pub fn log_level() -> Status {
    [0, 7, 77, u32::MAX]
        .into_iter()
        .for_each(|level| log(level, Str::of("of a level that is none")));
    0
}

pub fn log_long() -> Status {
    log(abi::LOG_INFO, Str::of(&"long ".repeat(20_000)));
    0
}

pub fn log_no_ctx() -> Status {
    if let Some(log) = host().and_then(|host| host.log) {
        // SAFETY: none, on purpose.
        unsafe { log(ptr::null_mut(), abi::LOG_INFO, Str::of("nobody's")) };
    }
    0
}

pub fn fail_null() -> Status {
    let why = Str {
        ptr: ptr::null(),
        len: ENDLESS,
    };
    for _ in 0..1000 {
        call!(fail, ptr::null(), why);
    }
    -libc::EINVAL
}

pub fn fail_from_thread() -> Status {
    let called = thread::spawn(|| call!(fail, c"key".as_ptr(), Str::of("why")));
    say_status("fail from a thread", called.join().unwrap_or_default())
}

// ---- configuration

fn get(key: *const c_char, out: *mut Str) -> Status {
    say_status("config_get", call!(config_get, key, out))
}

pub fn config_null() -> Status {
    get(ptr::null(), ptr::null_mut());
    call!(config_len, ptr::null(), ptr::null_mut());
    let mut out = Str::EMPTY;
    get(ptr::null(), &raw mut out)
}

pub fn config_unmapped() -> Status {
    let mut out = Str::EMPTY;
    get(unmapped(), &raw mut out)
}

pub fn config_unterminated() -> Status {
    let mut out = Str::EMPTY;
    get(unterminated(), &raw mut out)
}

pub fn config_out_unmapped() -> Status {
    get(c"@node".as_ptr(), unmapped::<Str>().cast_mut())
}

pub fn config_long() -> Status {
    let mut out = Str::EMPTY;
    let dots = CString::new(".".repeat(1 << 20)).unwrap_or_default();
    get(dots.as_ptr(), &raw mut out);
    get(long(1 << 20).as_ptr(), &raw mut out)
}

pub fn extension_null() -> Status {
    let found = host().and_then(|host| host.extension).map(|extension| {
        // SAFETY: none, on purpose.
        unsafe { extension(ctx(), ptr::null()) }
    });
    say(&format!("extension NULL: {found:?}"));
    0
}

pub fn extension_unmapped() -> Status {
    if let Some(extension) = host().and_then(|host| host.extension) {
        // SAFETY: none, on purpose.
        unsafe { extension(ctx(), unmapped()) };
    }
    0
}

// ---- descriptors and timers

pub fn watch_none() -> Status {
    for fd in [-1, i32::MIN, i32::MAX] {
        call!(watch_fd, fd, !abi::FLAGS_REQUIRED);
    }
    say_status("watch_fd -1", call!(watch_fd, -1, 1))
}

/// Watches the worker's own socket.
pub fn watch_host_socket() -> Status {
    say_status(
        "watch_fd 3",
        call!(watch_fd, 3, abi::FD_READ | abi::FD_WRITE),
    )
}

pub fn watch_all() -> Status {
    let watched = (0..1100).filter(|fd| call!(watch_fd, *fd, !abi::FLAGS_REQUIRED) == 0);
    let watched = watched.count();
    say(&format!("watch_fd: {watched} watched"));
    0
}

pub fn timers_many() -> Status {
    let mut last = 0;
    for id in 0..10_000 {
        last = call!(timer, id + 10, u64::MAX - u64::from(id));
    }
    say_status("timer", last)
}

// ---- answers

pub fn put_unasked() -> Status {
    call!(put_u64, u64::MAX, ptr::null(), u32::MAX, 7);
    say_status(
        "put_text",
        call!(put_text, 0, c"key".as_ptr(), Str::of("nobody asked")),
    )
}

fn token() -> u64 {
    TOKEN.load(Ordering::Relaxed)
}

pub fn put_too_much() -> Status {
    let text = "x".repeat(10_000);
    let mut last = 0;
    for _ in 0..10 {
        last = call!(put_text, token(), c"much".as_ptr(), Str::of(&text));
    }
    say_status("put_text", last)
}

pub fn put_forged() -> Status {
    let text = "\x1b[2J\nr1: OK\u{202e}";
    call!(put_text, token(), c"role\nforged".as_ptr(), Str::of(text));
    call!(put_text, token(), ptr::null(), Str::of(text));
    say("put_text of control characters: taken");
    0
}

pub fn done_unasked() -> Status {
    for token in 0..1000 {
        call!(done, token, 0);
    }
    say_status("done", call!(done, u64::MAX, i32::MIN))
}

pub fn done_twice() -> Status {
    call!(done, token(), 0);
    call!(done, token(), -libc::EIO);
    say("done twice: passed over");
    1
}

pub fn done_77() -> Status {
    call!(done, token(), 77);
    1
}

// ---- the peer

fn send(bytes: Bytes) -> Status {
    let send = half::<abi::Peer>(abi::PEER).and_then(|half| half.send);
    // SAFETY: none, on purpose.
    send.map_or(0, |send| unsafe { send(ctx(), bytes) })
}

pub fn send_null() -> Status {
    let bytes = Bytes {
        ptr: ptr::null(),
        len: ENDLESS,
    };
    say_status("send", send(bytes))
}

pub fn send_too_long() -> Status {
    say_status("send", send(Bytes::of(&[7; 65_537])))
}

fn in_sync(yes: u32, why: Str) -> Status {
    let in_sync = half::<abi::Peer>(abi::PEER).and_then(|half| half.in_sync);
    // SAFETY: none, on purpose.
    in_sync.map_or(0, |in_sync| unsafe { in_sync(ctx(), yes, why) })
}

pub fn sync_null() -> Status {
    let why = Str {
        ptr: ptr::null(),
        len: ENDLESS,
    };
    say_status("in_sync", in_sync(u32::MAX, why))
}

pub fn sync_long() -> Status {
    let why = "\x1b[2J not in sync\n".repeat(6000);
    say_status("in_sync", in_sync(0, Str::of(&why)))
}

// ---- checks, scopes, signatures

pub fn check(name: *const c_char, weight: u32, state: u32, why: Str) -> Status {
    let report = half::<abi::Check>(abi::CHECK).and_then(|half| half.report);
    // SAFETY: none, on purpose.
    report.map_or(0, |report| unsafe {
        report(ctx(), name, weight, state, why)
    })
}

pub fn check_null() -> Status {
    say_status("report", check(ptr::null(), 0, 100, Str::EMPTY))
}

pub fn check_lies() -> Status {
    let why = Str {
        ptr: ptr::null(),
        len: ENDLESS,
    };
    check(c"heavy".as_ptr(), u32::MAX, 100, why);
    say_status(
        "report",
        check(c"better than good".as_ptr(), 9999, 101, why),
    )
}

pub fn check_long() -> Status {
    let name = long(1 << 16);
    let why = "\x1b[2J\n".repeat(10_000);
    say_status("report", check(name.as_ptr(), 0, 100, Str::of(&why)))
}

pub fn scope_late() -> Status {
    let declare = half::<abi::Scope>(abi::SCOPE).and_then(|half| half.declare);
    // SAFETY: none, on purpose.
    let status = declare.map_or(0, |declare| unsafe {
        declare(ctx(), ptr::null(), u32::MAX);
        declare(ctx(), c"key".as_ptr(), 2)
    });
    say_status("declare", status)
}

pub fn sign(bytes: Bytes) -> Status {
    let sign = half::<abi::Identity>(abi::IDENTITY).and_then(|half| half.sign);
    // SAFETY: none, on purpose.
    sign.map_or(0, |sign| unsafe { sign(ctx(), 7, bytes) })
}

pub fn sign_null() -> Status {
    let bytes = Bytes {
        ptr: ptr::null(),
        len: ENDLESS,
    };
    say_status("sign", sign(bytes))
}

pub fn sign_too_long() -> Status {
    say_status("sign", sign(Bytes::of(&[7; 65_536])))
}

// ---- interfaces

pub fn follow(name: *const c_char, sockets: u32) -> Status {
    let follow = half::<abi::Interface>(abi::INTERFACE).and_then(|half| half.follow);
    // SAFETY: none, on purpose.
    follow.map_or(0, |follow| unsafe { follow(ctx(), name, sockets) })
}

pub fn follow_null() -> Status {
    say_status("follow", follow(ptr::null(), !abi::FLAGS_REQUIRED))
}

pub fn follow_path() -> Status {
    follow(long(1 << 16).as_ptr(), 0);
    say_status("follow", follow(c"../../etc/passwd".as_ptr(), 0))
}
