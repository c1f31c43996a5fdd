// SPDX-License-Identifier: MIT OR Apache-2.0
//! System calls that rustix lacks: packet sockets with kernel time stamps, many frames at once, real-time priority,
//! files that make others wait, and a child that starts in another namespace.

use std::fs::File;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::clock::Stamp;

/// Moves the calling thread into a new network namespace.
pub fn unshare_network() -> io::Result<()> {
    // SAFETY: no memory is passed; only this thread's namespace changes.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) }).map(drop)
}

/// Makes `command` start in the namespace and die with the thread that started it.
pub fn start_in(command: &mut Command, namespace: RawFd) {
    let enter = move || {
        // SAFETY: plain system calls, all async-signal-safe; the descriptor is open across fork.
        check(unsafe { libc::setns(namespace, libc::CLONE_NEWNET) })?;
        // SAFETY: as above; the argument is a signal number.
        check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }).map(drop)
    };
    // SAFETY: the closure allocates nothing and takes no lock.
    unsafe { command.pre_exec(enter) };
}

/// Sets the real-time priority of the calling thread. True if that succeeded.
pub fn realtime(priority: i32) -> bool {
    // SAFETY: an all-zero sched_param is valid.
    let mut parameter: libc::sched_param = unsafe { zeroed() };
    parameter.sched_priority = priority;
    // SAFETY: the pointer is to a live sched_param; 0 is the calling thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameter) == 0 }
}

/// Makes every process wait that opens the file, as on a disk that does not answer: until it is closed here, or for
/// fs.lease-break-time.
pub fn hold_up(file: &File) -> io::Result<()> {
    const F_SETSIG: libc::c_int = 10;
    let fd = file.as_raw_fd();
    // the kernel signals this process for each waiting one: SIGWINCH has no effect, unlike SIGIO
    // SAFETY: all arguments are numbers.
    check(unsafe { libc::fcntl(fd, F_SETSIG, libc::SIGWINCH) })?;
    // SAFETY: as above.
    check(unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_WRLCK) }).map(drop)
}

/// A request of ptrace(2) whose data is a number.
pub fn trace(request: libc::c_uint, pid: i32, data: i32) -> io::Result<()> {
    let address: *mut libc::c_void = std::ptr::null_mut();
    // SAFETY: the requests used here read no memory of this process: data is a number.
    let result = unsafe { libc::ptrace(request, pid, address, libc::c_long::from(data)) };
    check(i32::try_from(result).unwrap_or(-1)).map(drop)
}

/// Kind of a traced process's stop for a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallStop {
    /// Entry into the call with this number.
    Entry(i64),
    Exit,
    Other,
}

pub fn call_stop(pid: i32) -> io::Result<CallStop> {
    // SAFETY: an all-zero ptrace_syscall_info is valid.
    let mut info: libc::ptrace_syscall_info = unsafe { zeroed() };
    let size = size_of::<libc::ptrace_syscall_info>();
    // SAFETY: the kernel writes at most `size` bytes to a live structure of that size.
    let result = unsafe {
        libc::ptrace(
            libc::PTRACE_GET_SYSCALL_INFO,
            pid,
            size,
            &raw mut info as *mut libc::c_void,
        )
    };
    check(i32::try_from(result).unwrap_or(-1))?;
    Ok(match info.op {
        libc::PTRACE_SYSCALL_INFO_ENTRY => {
            // SAFETY: the kernel filled this member, as `op` shows.
            let number = unsafe { info.u.entry.nr };
            CallStop::Entry(i64::try_from(number).unwrap_or(-1))
        }
        libc::PTRACE_SYSCALL_INFO_EXIT => CallStop::Exit,
        _ => CallStop::Other,
    })
}

/// Waits until a traced process stops. Returns the signal of the stop.
pub fn wait_traced(pid: i32) -> io::Result<i32> {
    let mut status = 0;
    // SAFETY: the pointer is to a live integer.
    check(unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) })?;
    if libc::WIFSTOPPED(status) {
        Ok(libc::WSTOPSIG(status))
    } else {
        Err(io::Error::other("the traced process ended"))
    }
}

/// Keeps the calling thread on one processor.
pub fn pin(cpu: usize) -> io::Result<()> {
    // SAFETY: an all-zero cpu_set_t is the empty set.
    let mut set: libc::cpu_set_t = unsafe { zeroed() };
    // SAFETY: CPU_SET checks its index against the size of the set.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: pointer and size describe a live cpu_set_t.
    check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) })
        .map(drop)
}

/// A packet socket in the calling thread's namespace, which receives nothing before [`listen`].
pub fn packet_socket() -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd =
        check(unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the kernel returned this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Binds a packet socket to an interface (0: all) for sending and, with a filter, for receiving.
pub fn listen(
    socket: &OwnedFd,
    index: u32,
    filter: Option<&[libc::sock_filter]>,
) -> io::Result<()> {
    let mut protocol = 0;
    if let Some(filter) = filter {
        set_filter(socket, filter)?;
        set_option(socket, libc::SO_TIMESTAMPNS, 1)?;
        // Without the right to force the size, the default buffer is used.
        let _ = set_option(socket, libc::SO_RCVBUFFORCE, 16 << 20);
        protocol = (libc::ETH_P_ALL as u16).to_be();
    }
    // SAFETY: an all-zero sockaddr_ll is valid.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol;
    address.sll_ifindex = index as i32;
    let length = size_of::<libc::sockaddr_ll>() as u32;
    // SAFETY: pointer and length describe a live sockaddr_ll.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) }).map(drop)
}

fn set_filter(socket: &OwnedFd, filter: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_ptr().cast_mut(),
    };
    let length = size_of::<libc::sock_fprog>() as u32;
    // SAFETY: the kernel copies the program, which lives until the call returns.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            length,
        )
    })
    .map(drop)
}

fn set_option(socket: &OwnedFd, option: i32, value: i32) -> io::Result<()> {
    let length = size_of::<i32>() as u32;
    // SAFETY: pointer and length describe a live integer.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const value).cast(),
            length,
        )
    })
    .map(drop)
}

/// Sends consecutive frames of the same length in one call. Returns how many the kernel took.
pub fn send_all(socket: &OwnedFd, frames: &[u8], length: usize) -> io::Result<usize> {
    let part = |frame: &[u8]| libc::iovec {
        iov_base: frame.as_ptr().cast_mut().cast(),
        iov_len: length,
    };
    let mut parts: Vec<_> = frames.chunks_exact(length).map(part).collect();
    let message = |part: &mut libc::iovec| {
        // SAFETY: an all-zero mmsghdr is valid.
        let mut message: libc::mmsghdr = unsafe { zeroed() };
        message.msg_hdr.msg_iov = part;
        message.msg_hdr.msg_iovlen = 1;
        message
    };
    let mut messages: Vec<_> = parts.iter_mut().map(message).collect();
    let count = messages.len() as u32;
    // SAFETY: every header points to one live part, and that to a live frame, which is only read.
    check(unsafe { libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), count, 0) })
        .map(|sent| sent as usize)
}

/// A received frame.
pub struct Received {
    pub length: usize,
    pub interface: u32,
    /// Time at which the kernel received it, not at which it was read.
    pub at: Stamp,
}

/// Reads one frame; WouldBlock if there is none.
pub fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<Received> {
    // SAFETY: all-zero values of these plain C structs are valid.
    let (mut header, mut from): (libc::msghdr, libc::sockaddr_ll) = unsafe { (zeroed(), zeroed()) };
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    let mut control = [0u64; 16];
    header.msg_name = (&raw mut from).cast();
    header.msg_namelen = size_of::<libc::sockaddr_ll>() as u32;
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control);
    // SAFETY: every pointer in the header is to a live buffer of the given length.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT) };
    if length < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Received {
        length: length as usize,
        interface: from.sll_ifindex as u32,
        at: stamp_of(&header),
    })
}

fn stamp_of(header: &libc::msghdr) -> Stamp {
    // SAFETY: the header and its control buffer were filled by the kernel and are alive.
    let first = unsafe { libc::CMSG_FIRSTHDR(header) };
    if first.is_null() {
        return Stamp::now();
    }
    // SAFETY: not null, hence it points into the control buffer.
    let kind = unsafe { ((*first).cmsg_level, (*first).cmsg_type) };
    if kind != (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) {
        return Stamp::now();
    }
    // SAFETY: a message of this type carries a timespec, aligned or not.
    let time: libc::timespec = unsafe {
        libc::CMSG_DATA(first)
            .cast::<libc::timespec>()
            .read_unaligned()
    };
    Stamp(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Sets an interface up or down, faster than by `ip`.
pub fn set_up(socket: &OwnedFd, name: &str, up: bool) -> io::Result<()> {
    let mut request = interface_request(name);
    let flags = flags(socket, &mut request)?;
    let bit = libc::IFF_UP as i16;
    request.ifr_ifru.ifru_flags = if up { flags | bit } else { flags & !bit };
    // SAFETY: as above.
    check(unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS as _,
            &raw mut request,
        )
    })
    .map(drop)
}

/// Returns true if an interface is up and the kernel has handled its carrier.
pub fn is_running(socket: &OwnedFd, name: &str) -> io::Result<bool> {
    let flags = flags(socket, &mut interface_request(name))?;
    Ok(flags & libc::IFF_RUNNING as i16 != 0)
}

fn flags(socket: &OwnedFd, request: &mut libc::ifreq) -> io::Result<i16> {
    // SAFETY: the request is a live ifreq with a terminated name.
    check(unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCGIFFLAGS as _,
            &raw mut *request,
        )
    })?;
    // SAFETY: the kernel just filled in the flags.
    Ok(unsafe { request.ifr_ifru.ifru_flags })
}

fn interface_request(name: &str) -> libc::ifreq {
    // SAFETY: an all-zero ifreq is valid, and its name stays terminated below.
    let mut request: libc::ifreq = unsafe { zeroed() };
    for (to, from) in request
        .ifr_name
        .iter_mut()
        .zip(name.bytes().take(libc::IFNAMSIZ - 1))
    {
        *to = from as libc::c_char;
    }
    request
}

/// A tap device in the calling thread's namespace. It exists while the descriptor is open.
pub fn tap(name: &str) -> io::Result<OwnedFd> {
    let tun = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")?;
    let mut request = interface_request(name);
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as i16;
    // SAFETY: the request is a live ifreq with a terminated name.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) })?;
    Ok(tun.into())
}

/// Sets the carrier of a tap device.
pub fn tap_carrier(tap: &OwnedFd, carrier: bool) -> io::Result<()> {
    let value = i32::from(carrier);
    // SAFETY: TUNSETCARRIER reads one integer.
    check(unsafe { libc::ioctl(tap.as_raw_fd(), libc::TUNSETCARRIER as _, &raw const value) })
        .map(drop)
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
