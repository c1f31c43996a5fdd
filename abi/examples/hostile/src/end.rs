//! Ends of the process, and standstills.

use std::ffi::{c_int, c_void};
use std::hint::black_box;
use std::ptr;
use std::thread;
use std::time::Duration;

use spared_abi::Status;

const LONG: Duration = Duration::from_secs(3600);

pub fn segv() -> Status {
    // SAFETY: none; that is the point.
    unsafe { ptr::without_provenance_mut::<u8>(16).write_volatile(1) };
    hang()
}

/// A mapped file that ends before the mapping does.
pub fn bus() -> Status {
    // SAFETY: none; that is the point.
    unsafe {
        let empty = libc::memfd_create(c"empty".as_ptr(), libc::MFD_CLOEXEC);
        let page = map(4096, libc::PROT_READ, libc::MAP_SHARED, empty);
        page.cast::<u8>().read_volatile();
    }
    hang()
}

/// # Safety
/// As mmap(2).
pub unsafe fn map(length: usize, protection: c_int, flags: c_int, file: c_int) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, file, 0) }
}

pub fn raise(signal: c_int) -> Status {
    // SAFETY: numbers only; the default is in force again first.
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

/// Through the boundary, which is not for that.
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
    // SAFETY: ends the process, all threads of it.
    thread::spawn(|| unsafe { libc::syscall(libc::SYS_exit_group, 0) });
    hang()
}

/// The thread that the host speaks with is no more, and the process goes on.
pub fn exit_first_thread() -> Status {
    thread::spawn(|| thread::sleep(LONG));
    // SAFETY: ends this thread.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    0
}

/// Another program in its place.
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

/// Hangs, and takes no signal that can be refused.
pub fn deaf() -> Status {
    for signal in 1..=64 {
        // SAFETY: numbers only.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    hang()
}
