//! Netlink for tables of a million entries: notifications many per system call, requests in batches
//! with one acknowledgement, dumps piece by piece.

mod dump;
mod notifications;
mod writer;

pub use dump::{Dump, Progress};
pub use notifications::{Notifications, Read};
pub use writer::{BATCH_MAX, Verdict, Writer};

use std::io;

use neli::consts::socket::NlFamily;
use neli::socket::NlSocket;
use neli::utils::Groups;

use crate::socket::borrow;

fn open() -> io::Result<NlSocket> {
    let socket = NlSocket::connect(NlFamily::Netfilter, None, Groups::empty())?;
    // Errors come without a copy of the request.
    let _ = crate::filter::set_option(&socket, libc::SOL_NETLINK, libc::NETLINK_CAP_ACK, &1i32);
    Ok(socket)
}

/// Beyond the system's limit where this process may; the kernel's own idea of the size comes back.
fn set_receive_buffer(socket: &NlSocket, bytes: usize) -> usize {
    use rustix::net::sockopt;
    let fd = borrow(socket);
    if sockopt::set_socket_recv_buffer_size_force(fd, bytes).is_err() {
        // Inside a user namespace: as much as net.core.rmem_max allows.
        let _ = sockopt::set_socket_recv_buffer_size(fd, bytes);
    }
    sockopt::socket_recv_buffer_size(fd).unwrap_or(0)
}
