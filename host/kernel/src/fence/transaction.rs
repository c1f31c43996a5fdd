//! One nftables transaction: collected, sent and acknowledged as a whole.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd};

use nftnl::{Batch, MsgType, NlMsg};
use spared_netlink::{messages, receive, set_send_buffer};

use super::FenceError;

/// Socket by which the fence sends. It owns the mirror.
pub struct Transport {
    socket: mnl::Socket,
    buffer: Vec<u8>,
}

impl Transport {
    pub fn open() -> io::Result<Self> {
        const BUFFER_BYTES: i32 = 8 << 20;
        let transport = Self {
            socket: mnl::Socket::new(mnl::Bus::Netfilter)?,
            buffer: vec![0; 64 * 1024],
        };
        // A large buffer for large claims. In a user namespace the limits of the system apply.
        set_send_buffer(&transport.socket, BUFFER_BYTES)?;
        Ok(transport)
    }

    /// Port id of this socket, which the notifications of its changes contain.
    pub fn port(&self) -> u32 {
        self.socket.portid()
    }

    /// Commits the whole transaction or nothing of it.
    pub fn commit(&mut self, transaction: Transaction) -> Result<(), FenceError> {
        // Discards what an earlier transaction left.
        while matches!(receive(borrow(&self.socket), &mut self.buffer), Ok(Some(_))) {}
        let labels = transaction.labels;
        let batch = transaction.batch.finalize();
        let pages: Vec<IoSlice<'_>> = batch.iter().map(IoSlice::new).collect();
        let mut control = rustix::net::SendAncillaryBuffer::default();
        let flags = rustix::net::SendFlags::empty();
        rustix::net::sendmsg(borrow(&self.socket), &pages, &mut control, flags)
            .map_err(|error| FenceError::new("send a transaction", error.into()))?;
        self.verdict(&labels)
    }

    // Reads the answers. nf_tables has answered before sendmsg returns. The first error counts.
    fn verdict(&mut self, labels: &[(u32, String)]) -> Result<(), FenceError> {
        const NLMSG_ERROR: u16 = 2;
        let mut verdict = Ok(());
        loop {
            let length = match receive(borrow(&self.socket), &mut self.buffer) {
                Ok(Some(length)) => length,
                Ok(None) => return verdict,
                Err(error) => return Err(FenceError::new("read the verdict", error)),
            };
            for (header, payload) in messages(&self.buffer[..length]) {
                let number = payload
                    .first_chunk::<4>()
                    .map_or(0, |n| i32::from_ne_bytes(*n));
                if header.kind != NLMSG_ERROR || number == 0 || verdict.is_err() {
                    continue;
                }
                let label = labels
                    .iter()
                    .find(|(sequence, _)| *sequence == header.sequence);
                let what = label.map_or("commit", |(_, text)| text.as_str());
                let error = io::Error::from_raw_os_error(number.saturating_neg());
                verdict = Err(FenceError::new(what, error));
            }
        }
    }
}

fn borrow(socket: &mnl::Socket) -> BorrowedFd<'_> {
    // SAFETY: the descriptor is open as long as the socket, which outlives the borrow.
    unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) }
}

/// Changes that are made together.
pub struct Transaction {
    batch: Batch,
    // Sequence numbers and descriptions of the changes, for errors.
    labels: Vec<(u32, String)>,
}

impl Transaction {
    pub fn new() -> Self {
        Self {
            batch: Batch::new(),
            labels: Vec::new(),
        }
    }

    pub fn add(&mut self, object: &impl NlMsg, what: impl Into<String>) {
        self.push(object, MsgType::Add, what.into());
    }

    pub fn delete(&mut self, object: &impl NlMsg, what: impl Into<String>) {
        self.push(object, MsgType::Del, what.into());
    }

    fn push(&mut self, object: &impl NlMsg, kind: MsgType, what: String) {
        let sequence = std::cell::Cell::new(0);
        self.batch.add(
            &Noted {
                object,
                sequence: &sequence,
            },
            kind,
        );
        self.labels.push((sequence.get(), what));
    }
}

struct Noted<'a, T> {
    object: &'a T,
    sequence: &'a std::cell::Cell<u32>,
}

// SAFETY: it writes what the inner object writes.
unsafe impl<T: NlMsg> NlMsg for Noted<'_, T> {
    unsafe fn write(&self, buffer: *mut std::ffi::c_void, sequence: u32, kind: MsgType) {
        self.sequence.set(sequence);
        // SAFETY: the promise of our caller.
        unsafe { self.object.write(buffer, sequence, kind) }
    }
}
