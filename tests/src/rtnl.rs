// SPDX-License-Identifier: MIT OR Apache-2.0
//! Holds the kernel's RTNL lock for any time: meanwhile interfaces and addresses can neither be changed nor listed, in
//! any namespace, as while a driver loads its firmware or thousands of devices are removed.
//!
//! An ethtool request takes the lock and then reads the rest of its argument, which lies in a page that a userfaultfd
//! holds back.

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::Result;
use crate::lab::skipped;

/// Constants of linux/sockios.h and linux/ethtool.h: a device's permanent MAC address.
const SIOCETHTOOL: libc::c_ulong = 0x8946;
const ETHTOOL_GPERMADDR: u32 = 0x20;
/// Constants of linux/userfaultfd.h.
const UFFD_API: u64 = 0xaa;
const UFFDIO_API: libc::c_ulong = request(0x3f, size_of::<[u64; 3]>());
const UFFDIO_REGISTER: libc::c_ulong = request(0x00, size_of::<[u64; 4]>());
const UFFDIO_ZEROPAGE: libc::c_ulong = request(0x04, size_of::<[u64; 4]>());
const MODE_MISSING: u64 = 1;

/// Computes `_IOWR(0xaa, number, size)`.
const fn request(number: libc::c_ulong, size: usize) -> libc::c_ulong {
    3 << 30 | (size as libc::c_ulong) << 16 | 0xaa << 8 | number
}

/// The lock, until [`wait`](Self::wait) returns.
pub struct Rtnl {
    threads: [JoinHandle<()>; 2],
}

impl Rtnl {
    /// Takes the lock for this time and not longer, whatever the test does: processes that wait for the lock cannot
    /// even be killed. Skips the test if the kernel has no userfaultfd for this user.
    pub fn hold(time: Duration) -> Result<Self> {
        let missing = |error: io::Error| skipped(format!("userfaultfd: {error}"));
        let faults = faults().map_err(missing)?;
        // SAFETY: a system call without pointers.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64;
        let first = two_pages(page as usize)?;
        let held_back = first + page;
        let mut api = [UFFD_API, 0, 0];
        control(&faults, UFFDIO_API, &mut api).map_err(missing)?;
        let mut register = [held_back, page, MODE_MISSING, 0];
        control(&faults, UFFDIO_REGISTER, &mut register).map_err(missing)?;
        // the command is in the first page, everything else in the second
        let at = held_back - 4;
        // SAFETY: the last four bytes of the first page, which is ours and aligned.
        unsafe { (at as *mut u32).write(ETHTOOL_GPERMADDR) };
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let holder = thread::spawn(move || ask(&socket, at));
        let releaser = thread::spawn(move || {
            thread::sleep(time);
            let mut zeros = [held_back, page, 0, 0];
            if let Err(error) = control(&faults, UFFDIO_ZEROPAGE, &mut zeros) {
                eprintln!("userfaultfd: {error}");
            }
        });
        Ok(Self {
            threads: [holder, releaser],
        })
    }

    /// Returns true if the lock is held: its holder waits.
    pub fn is_held(&self) -> bool {
        !self.threads[0].is_finished()
    }

    pub fn wait(self) {
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

/// Waits for the lock, and releases it.
pub fn take(socket: &UdpSocket) {
    // the command, the size of the address, room for the address
    let mut request = [ETHTOOL_GPERMADDR, 32, 0, 0, 0, 0, 0, 0, 0, 0];
    ask(socket, request.as_mut_ptr() as u64);
}

fn faults() -> io::Result<OwnedFd> {
    // SAFETY: a system call without pointers; nothing else owns the descriptor that it returns.
    unsafe {
        match libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd as i32)),
        }
    }
}

/// Maps two pages, which are never unmapped: a request may still read them.
fn two_pages(page: usize) -> io::Result<u64> {
    let (protection, flags) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
    );
    // SAFETY: a new mapping at any address.
    let pages = unsafe { libc::mmap(ptr::null_mut(), 2 * page, protection, flags, -1, 0) };
    match pages {
        libc::MAP_FAILED => Err(io::Error::last_os_error()),
        pages => Ok(pages as u64),
    }
}

fn control<const N: usize>(
    faults: &OwnedFd,
    request: libc::c_ulong,
    argument: &mut [u64; N],
) -> io::Result<()> {
    // SAFETY: the request's struct consists of so many numbers of 64 bits.
    match unsafe { libc::ioctl(faults.as_raw_fd(), request as _, argument.as_mut_ptr()) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Asks for the loopback's permanent MAC address; the answer is not used.
fn ask(socket: &UdpSocket, at: u64) {
    // SAFETY: all fields are numbers and pointers, for which zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = at as *mut libc::c_char;
    // SAFETY: the request names two pages that are never unmapped, or a buffer of the caller that is long enough.
    unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
}
