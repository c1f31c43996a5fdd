//! Subscription to changes of the kernel's tables.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use neli::consts::socket::NlFamily;
use neli::socket::NlSocket;
use neli::utils::Groups;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use zeroize::Zeroizing;

use crate::bpf::{ACCEPT, DROP, Instruction, JUMP_EQUAL, LOAD_WORD};
use crate::socket::{Header, borrow, messages, open, set_receive_buffer};
use crate::socket_options::attach_filter;

/// Maximum number of datagrams per system call.
const DATAGRAMS: usize = 128;
/// Bytes for a datagram: the largest notification of a conntrack entry, with every extension, is below 1 KiB.
const DATAGRAM_BYTES: usize = 2048;
/// Bytes for an XFRM datagram: keys, a replay window of 4096 packets, or the templates of a policy.
const XFRM_DATAGRAM_BYTES: usize = 4096;

/// Result of reading the socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Read {
    pub datagrams: usize,
    /// True if the kernel dropped some notifications, all pending ones have been read, and later ones will be reported
    /// again: a dump from now on is complete.
    pub overrun: bool,
    /// True if nothing is left to be read.
    pub empty: bool,
}

/// Socket that has joined multicast groups of a family.
pub struct Notifications {
    socket: NlSocket,
    /// Buffer for notifications, which may hold keys.
    buffer: Zeroizing<Vec<u8>>,
    datagram_bytes: usize,
    receive_buffer: usize,
    /// True if the kernel has dropped some notifications. Until the socket is empty it drops every further one, and
    /// does not report this again.
    drops: bool,
}

impl Notifications {
    /// Opens a socket; notifications caused by the port `own` are dropped before they reach the socket's buffer.
    pub fn open(buffer_bytes: usize, own: u32) -> io::Result<Self> {
        Self::of(NlFamily::Netfilter, DATAGRAM_BYTES, buffer_bytes, own)
    }

    /// Opens a socket for the kernel's IPsec tables.
    pub fn open_xfrm(buffer_bytes: usize, own: u32) -> io::Result<Self> {
        Self::of(NlFamily::Xfrm, XFRM_DATAGRAM_BYTES, buffer_bytes, own)
    }

    fn of(
        family: NlFamily,
        datagram_bytes: usize,
        buffer_bytes: usize,
        own: u32,
    ) -> io::Result<Self> {
        let socket = open(family)?;
        socket.nonblock()?;
        let receive_buffer = set_receive_buffer(&socket, buffer_bytes);
        attach_filter(&socket, &from_port(own, DROP, ACCEPT), false)?;
        Ok(Self {
            socket,
            buffer: Zeroizing::new(vec![0; DATAGRAMS * datagram_bytes]),
            datagram_bytes,
            receive_buffer,
            drops: false,
        })
    }

    /// Opens a socket that receives only notifications caused by the port `own`.
    pub fn open_echo(buffer_bytes: usize, own: u32) -> io::Result<Self> {
        Self::open(buffer_bytes, own)?.echo(own)
    }

    /// Opens a socket for the kernel's IPsec tables that receives only notifications caused by the port `own`.
    pub fn open_xfrm_echo(buffer_bytes: usize, own: u32) -> io::Result<Self> {
        Self::open_xfrm(buffer_bytes, own)?.echo(own)
    }

    fn echo(self, own: u32) -> io::Result<Self> {
        attach_filter(&self.socket, &from_port(own, ACCEPT, DROP), false)?;
        Ok(self)
    }

    pub fn join(&self, group: u32) -> io::Result<()> {
        self.socket
            .add_mcast_membership(Groups::new_groups(&[group]))
    }

    pub fn leave(&self, group: u32) -> io::Result<()> {
        self.socket
            .drop_mcast_membership(Groups::new_groups(&[group]))
    }

    /// Buffer size of this socket in bytes, as reported by the kernel.
    pub fn receive_buffer(&self) -> usize {
        self.receive_buffer
    }

    /// Reads the datagrams that one system call returns.
    pub fn read(&mut self, mut each: impl FnMut(Header, &[u8])) -> io::Result<Read> {
        let mut lengths = [0usize; DATAGRAMS];
        let received = match self.receive(&mut lengths) {
            Ok(received) => received,
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                self.drops = true;
                return Ok(Read::default());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        let empty = received < DATAGRAMS || (self.drops && self.is_empty());
        let mut read = Read {
            datagrams: received,
            overrun: empty && std::mem::take(&mut self.drops),
            empty,
        };
        for (length, datagram) in lengths
            .iter()
            .zip(self.buffer.chunks_exact(self.datagram_bytes))
            .take(received)
        {
            match datagram.get(..*length) {
                Some(datagram) => {
                    messages(datagram).for_each(|(header, payload)| each(header, payload))
                }
                // truncated: counts as lost
                None => read.overrun = true,
            }
        }
        Ok(read)
    }

    /// True if the last notification has been read. A wakeup may not come for those dropped after it.
    fn is_empty(&self) -> bool {
        let peek = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        recv(self.as_fd(), &mut [0_u8; 1], peek).is_err_and(|errno| errno == Errno::AGAIN)
    }

    /// Receives pending datagrams and sets their true lengths.
    fn receive(&mut self, lengths: &mut [usize; DATAGRAMS]) -> io::Result<usize> {
        let base = self.buffer.as_mut_ptr();
        let each = self.datagram_bytes;
        let mut parts: [libc::iovec; DATAGRAMS] = std::array::from_fn(|position| libc::iovec {
            iov_base: base.wrapping_add(position * each).cast(),
            iov_len: each,
        });
        let mut headers: [libc::mmsghdr; DATAGRAMS] = std::array::from_fn(|position| {
            // SAFETY: all fields are numbers and pointers, for which zero is valid.
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            header.msg_hdr.msg_iov = &raw mut parts[position];
            header.msg_hdr.msg_iovlen = 1;
            header
        });
        // SAFETY: every header points to one part, every part to its own place in the buffer, which has room for
        // DATAGRAMS of them; all outlive the call, and nothing else uses them meanwhile.
        let received = unsafe {
            libc::recvmmsg(
                self.socket.as_raw_fd(),
                headers.as_mut_ptr(),
                DATAGRAMS as u32,
                (libc::MSG_DONTWAIT | libc::MSG_TRUNC) as _,
                std::ptr::null_mut(),
            )
        };
        let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        for (length, header) in lengths.iter_mut().zip(&headers).take(received) {
            *length = header.msg_len as usize;
        }
        Ok(received)
    }
}

impl AsFd for Notifications {
    fn as_fd(&self) -> BorrowedFd<'_> {
        borrow(&self.socket)
    }
}

/// Filter by `nlmsg_pid`, at offset 12: verdict on messages caused by `port`, and on others.
fn from_port(port: u32, own: Instruction, others: Instruction) -> [Instruction; 4] {
    // the program loads in network byte order a number that the kernel wrote in host order
    [
        (LOAD_WORD, 0, 0, 12),
        (JUMP_EQUAL, 0, 1, port.to_be()),
        own,
        others,
    ]
}
