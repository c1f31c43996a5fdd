// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shifts the clock of every program that preloads it, its monotonic clock left alone: what libfaketime
//! cannot be told without an environment, which workers and servers do not have. By an hour, or by the seconds in
//! /etc/clock-offset, which may change while the program runs.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use libc::{c_int, c_void, clockid_t, time_t, timespec, timeval};

const AHEAD_S: time_t = 3600;
/// Seconds, as the machine has numbers.
const OFFSET_FILE: &std::ffi::CStr = c"/etc/clock-offset";

/// The file in memory; null without one.
static OFFSET: AtomicPtr<time_t> = AtomicPtr::new(ptr::null_mut());

/// Called before main(), when the program may still open files.
#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C" fn() = map_offset;

extern "C" fn map_offset() {
    // SAFETY: a constant path, and a mapping that stays; a file that is too short ends the program.
    unsafe {
        let file = libc::open(OFFSET_FILE.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return;
        }
        let (size, shared) = (size_of::<time_t>(), libc::MAP_SHARED);
        let mapped = libc::mmap(ptr::null_mut(), size, libc::PROT_READ, shared, file, 0);
        libc::close(file);
        if mapped != libc::MAP_FAILED {
            OFFSET.store(mapped.cast(), Ordering::Relaxed);
        }
    }
}

fn ahead_s() -> time_t {
    let mapped = OFFSET.load(Ordering::Relaxed);
    if mapped.is_null() {
        AHEAD_S
    } else {
        // SAFETY: mapped for the life of the program; a number that is written at once is read whole.
        unsafe { mapped.read_volatile() }
    }
}

/// # Safety
/// As clock_gettime(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    // SAFETY: the caller's pointer is the kernel's to check.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
    let real = matches!(clock, libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE);
    if result == 0 && real {
        // SAFETY: the kernel has just written there.
        unsafe { (*time).tv_sec += ahead_s() };
    }
    if result == 0 { 0 } else { -1 }
}

/// # Safety
/// As gettimeofday(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(time: *mut timeval, zone: *mut c_void) -> c_int {
    // SAFETY: the caller's pointers are the kernel's to check.
    let result = unsafe { libc::syscall(libc::SYS_gettimeofday, time, zone) };
    if result == 0 && !time.is_null() {
        // SAFETY: the kernel has just written there.
        unsafe { (*time).tv_sec += ahead_s() };
    }
    if result == 0 { 0 } else { -1 }
}

/// # Safety
/// As time(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn time(time: *mut time_t) -> time_t {
    let mut now = timeval {
        tv_sec: 0,
        tv_usec: 0,
    };
    // SAFETY: it is on this stack.
    unsafe { gettimeofday(&raw mut now, ptr::null_mut()) };
    if !time.is_null() {
        // SAFETY: the caller's, as time(2) has it.
        unsafe { *time = now.tv_sec };
    }
    now.tv_sec
}
