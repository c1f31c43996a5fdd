//! Socket options that neither neli nor rustix has: classic BPF filters and a few more.

use std::io;
use std::os::fd::AsRawFd;

/// One instruction of a classic BPF program: code, jump if true, jump if false, operand.
pub type Instruction = (u16, u8, u8, u32);

/// Attaches a filter; a locked one can be neither changed nor removed, by nobody.
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

/// Room for large messages; beyond the system's limit where this process may.
pub fn set_send_buffer(socket: &impl AsRawFd, bytes: i32) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &bytes)
        .or_else(|_| set_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUF, &bytes))
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
