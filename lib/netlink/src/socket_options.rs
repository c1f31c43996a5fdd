//! Socket options that neither neli nor rustix has: classic BPF filters and a few more.

use std::io;
use std::os::fd::AsRawFd;

use crate::bpf::{self, *};
use crate::constants::{
    NFNL_SUBSYS_NFTABLES, NFT_MSG_DELSETELEM, NFT_MSG_NEWGEN, NFT_MSG_NEWSETELEM,
};

/// Filter that drops everything.
pub(crate) const NOTHING: [Instruction; 1] = [DROP];

/// Attaches a filter. A locked filter cannot be changed or removed.
pub fn attach_filter(socket: &impl AsRawFd, program: &[Instruction], lock: bool) -> io::Result<()> {
    let program: Vec<libc::sock_filter> = program
        .iter()
        .map(|&(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k })
        .collect();
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let filter = libc::sock_fprog {
        len: length,
        filter: program.as_ptr().cast_mut(),
    };
    set_option(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter)?;
    if lock {
        set_option(socket, libc::SOL_SOCKET, libc::SO_LOCK_FILTER, &1i32)?;
    }
    Ok(())
}

/// Sets the send buffer for large messages, beyond the system's limit if this process may.
pub fn set_send_buffer(socket: &impl AsRawFd, bytes: i32) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &bytes)
        .or_else(|_| set_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUF, &bytes))
}

/// Number of the socket's network namespace, unique since the kernel started.
///
/// # Errors
/// Kernels before 5.14 have no such number.
pub fn namespace_cookie(socket: &impl AsRawFd) -> io::Result<u64> {
    let mut cookie = 0u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into a number of that size, and the length;
    // both live through the call.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if status == 0 {
        Ok(cookie)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Attaches a filter that passes messages not caused by the netlink port `own`, by `nlmsg_pid` at offset 12, and those
/// of the type `kind`, at offset 4, of every port.
pub(crate) fn attach_filter_of_others(
    socket: &impl AsRawFd,
    own: u32,
    kind: u16,
) -> io::Result<()> {
    // the program loads in network byte order a number that the kernel wrote in host order
    let program = [
        (LOAD_HALF, 0, 0, 4),
        (JUMP_EQUAL, 3, 0, bpf::half_of(kind)),
        (LOAD_WORD, 0, 0, 12),
        (JUMP_EQUAL, 0, 1, own.to_be()),
        DROP,
        ACCEPT,
    ];
    attach_filter(socket, &program, false)
}

/// Messages of a datagram that the filter below looks at: more than a page has.
const MESSAGES_MAX: usize = 80;

/// Drops datagrams that tell of nothing but elements of sets in other families than this, and of ends of transactions:
/// a list of 100 000 elements is as many messages.
pub(crate) fn attach_filter_of_elements(socket: &impl AsRawFd, family: u8) -> io::Result<()> {
    let mut program = Vec::new();
    for _ in 0..MESSAGES_MAX {
        program.extend(step(family));
    }
    program.push(ACCEPT);
    attach_filter(socket, &program, false)
}

/// Looks at the message that begins at X: accepts, drops behind the last one, or sets X to the next one. A jump reaches
/// 255 instructions, so that each step ends the program itself.
fn step(family: u8) -> [Instruction; 22] {
    let kind = |of: u16| bpf::half_of(NFNL_SUBSYS_NFTABLES << 8 | of);
    // the lower half of nlmsg_len: no message is longer
    let [low, high] = if cfg!(target_endian = "little") {
        [0, 1]
    } else {
        [3, 2]
    };
    [
        (LOAD_HALF_AT_X, 0, 0, 4),
        (JUMP_EQUAL, 5, 0, kind(NFT_MSG_NEWGEN)),
        (JUMP_EQUAL, 1, 0, kind(NFT_MSG_NEWSETELEM)),
        (JUMP_EQUAL, 0, 2, kind(NFT_MSG_DELSETELEM)),
        // nfgen_family (struct nfgenmsg)
        (LOAD_BYTE_AT_X, 0, 0, 16),
        (JUMP_EQUAL, 0, 1, u32::from(family)),
        ACCEPT,
        (STORE_X, 0, 0, 1),
        (LOAD_BYTE_AT_X, 0, 0, high),
        (SHIFT_LEFT, 0, 0, 8),
        (STORE, 0, 0, 0),
        (LOAD_BYTE_AT_X, 0, 0, low),
        (LOAD_X, 0, 0, 0),
        (ADD_X, 0, 0, 0),
        (ADD, 0, 0, 3),
        (AND, 0, 0, !3),
        (LOAD_X, 0, 0, 1),
        (ADD_X, 0, 0, 0),
        (COPY_TO_X, 0, 0, 0),
        (LOAD_LENGTH, 0, 0, 0),
        (JUMP_GREATER_X, 1, 0, 0),
        DROP,
    ]
}

pub(crate) fn set_option<T>(
    socket: &impl AsRawFd,
    level: i32,
    option: i32,
    value: &T,
) -> io::Result<()> {
    // SAFETY: the kernel reads exactly size_of::<T>() bytes of a value that lives through the
    // call (a filter's program too: its owner holds it), and keeps no pointer.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if status == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
