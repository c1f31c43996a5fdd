// SPDX-License-Identifier: MIT OR Apache-2.0
//! Puts the clock of every program that preloads it an hour ahead, its monotonic clock left alone:
//! what libfaketime cannot be told without an environment, which workers and servers do not have.

use std::ptr;

use libc::{c_int, c_void, clockid_t, time_t, timespec, timeval};

const AHEAD_S: time_t = 3600;

/// # Safety
/// As clock_gettime(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    // SAFETY: the caller's pointer is the kernel's to check.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
    let real = matches!(clock, libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE);
    if result == 0 && real {
        // SAFETY: the kernel has just written there.
        unsafe { (*time).tv_sec += AHEAD_S };
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
        unsafe { (*time).tv_sec += AHEAD_S };
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
