//! Ends of the process, and standstills.

use std::ffi::{c_int, c_void};
use std::hint::black_box;
use std::ptr;
use std::thread;
use std::time::Duration;

use spared_abi::Status;

const LONG: Duration = Duration::from_secs(3600);

pub fn segv() -> Status {
    // SAFETY: none, on purpose.
    unsafe { ptr::without_provenance_mut::<u8>(16).write_volatile(1) };
    hang()
}

/// Reads a mapped file beyond its end.
pub fn bus() -> Status {
    // SAFETY: none, on purpose.
    unsafe {
        let empty = libc::memfd_create(c"empty".as_ptr(), libc::MFD_CLOEXEC);
        let page = map(4096, libc::PROT_READ, libc::MAP_SHARED, empty);
        page.cast::<u8>().read_volatile();
    }
    hang()
}

/// # Safety
/// As mmap(2).
unsafe fn map(length: usize, protection: c_int, flags: c_int, file: c_int) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, file, 0) }
}

pub fn raise(signal: c_int) -> Status {
    // SAFETY: numbers only; the default action is restored first.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
    hang()
}

pub fn kill_group() -> Status {
    // SAFETY: its own process group, which the host made for it.
    unsafe { libc::kill(0, libc::SIGKILL) };
    hang()
}

pub fn alarm() -> Status {
    // SAFETY: numbers only.
    unsafe { libc::alarm(1) };
    0
}

pub fn abort() -> Status {
    std::process::abort()
}

/// Unwinds through the C boundary.
pub fn panic() -> Status {
    panic!("as its name says")
}

pub fn overflow() -> Status {
    fn deeper(depth: u64) -> u64 {
        let page = black_box([depth; 512]);
        match depth {
            u64::MAX => 0,
            _ => deeper(depth + 1).wrapping_add(page[7]),
        }
    }
    deeper(0) as Status
}

pub fn exit(code: i32) -> Status {
    std::process::exit(code)
}

pub fn exit_from_thread() -> Status {
    // SAFETY: ends the process with all its threads.
    thread::spawn(|| unsafe { libc::syscall(libc::SYS_exit_group, 0) });
    hang()
}

/// Ends the plugin's thread, while the process goes on.
pub fn exit_first_thread() -> Status {
    thread::spawn(|| thread::sleep(LONG));
    // SAFETY: ends this thread.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    0
}

/// Replaces the worker by another program.
pub fn exec() -> Status {
    let words = [c"/bin/sleep".as_ptr(), c"60".as_ptr(), ptr::null()];
    // SAFETY: NULL ends the list.
    unsafe { libc::execv(words[0], words.as_ptr()) };
    0
}

pub fn hang() -> Status {
    loop {
        thread::sleep(LONG);
    }
}

pub fn spin() -> Status {
    loop {
        std::hint::spin_loop();
    }
}

/// Hangs, and ignores every signal that can be ignored.
pub fn deaf() -> Status {
    for signal in 1..=64 {
        // SAFETY: numbers only.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    hang()
}
