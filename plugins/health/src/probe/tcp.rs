//! Checks that a TCP connection is accepted, without waiting.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};

use crate::engine::Finding;

/// Pending connection, whose socket becomes writable, or a result that is known already.
pub enum Begun {
    Pending(OwnedFd),
    Known(Finding),
}

pub fn begin(to: SocketAddr) -> Begun {
    let family = match to {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = match socket_with(family, SocketType::STREAM, flags, None) {
        Ok(socket) => socket,
        Err(errno) => return Begun::Known(Finding::failed(format!("no socket: {errno}"))),
    };
    match connect(&socket, &to) {
        Ok(()) => Begun::Known(accepted()),
        Err(Errno::INPROGRESS) => Begun::Pending(socket),
        Err(errno) => Begun::Known(refused(errno)),
    }
}

/// Result of the connection, once the socket is writable or has an error.
pub fn end(socket: &OwnedFd) -> Finding {
    match sockopt::socket_error(socket) {
        Ok(Ok(())) => accepted(),
        Ok(Err(errno)) | Err(errno) => refused(errno),
    }
}

fn accepted() -> Finding {
    Finding::good("accepts connections")
}

fn refused(errno: Errno) -> Finding {
    Finding::failed(std::io::Error::from(errno).to_string().to_lowercase())
}
