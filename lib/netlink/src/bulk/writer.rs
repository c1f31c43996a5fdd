//! Requests in batches: one system call, one acknowledgement, a verdict on each refused request.

use std::io;

use neli::consts::socket::{Msg, NlFamily};
use neli::socket::NlSocket;
use zeroize::Zeroize;

use crate::socket::{errno_of, messages, open, receive_from, set_receive_buffer};

/// Maximum number of requests in one system call. The kernel keeps up to a kilobyte for each refusal until it is read,
/// so the refusals of a whole batch must fit the receive buffer.
pub const BATCH_MAX: usize = 500;
const RECEIVE_BUFFER: usize = 4 << 20;
const SEND_BUFFER: i32 = 2 << 20;
const RECEIVE_BYTES: usize = 32 * 1024;

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLMSG_ERROR: u16 = 2;

/// The kernel's answer to one request of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// The request was refused with this errno.
    Refused(i32),
    /// Answer to a query: type and payload.
    Answer(u16, &'a [u8]),
}

/// Socket that changes tables and requests single entries.
pub struct Writer {
    socket: NlSocket,
    port: u32,
    /// Sequence number of the first request of the batch.
    first: u32,
    count: usize,
    /// Offset of the last request in the batch.
    last: usize,
    batch: Vec<u8>,
    buffer: Vec<u8>,
}

impl Writer {
    pub fn open() -> io::Result<Self> {
        Self::of(NlFamily::Netfilter)
    }

    /// Opens a socket for the kernel's IPsec tables.
    pub fn open_xfrm() -> io::Result<Self> {
        Self::of(NlFamily::Xfrm)
    }

    fn of(family: NlFamily) -> io::Result<Self> {
        let socket = open(family)?;
        set_receive_buffer(&socket, RECEIVE_BUFFER);
        let _ = crate::set_send_buffer(&socket, SEND_BUFFER);
        let port = socket.pid()?;
        Ok(Self {
            socket,
            port,
            first: 1,
            count: 0,
            last: 0,
            batch: Vec::new(),
            buffer: vec![0; RECEIVE_BYTES],
        })
    }

    /// `nlmsg_pid` of notifications caused by this socket.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Number of requests waiting for [`flush`](Self::flush).
    pub fn waiting(&self) -> usize {
        self.count
    }

    pub fn is_full(&self) -> bool {
        self.count >= BATCH_MAX
    }

    /// Adds a request; `payload` writes the bytes after the header.
    pub fn push(&mut self, kind: u16, flags: u16, payload: impl FnOnce(&mut Vec<u8>)) {
        self.last = self.batch.len();
        let sequence = self.first.wrapping_add(self.count as u32);
        self.batch.extend_from_slice(&[0; 4]);
        self.batch.extend_from_slice(&kind.to_ne_bytes());
        self.batch
            .extend_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        self.batch.extend_from_slice(&sequence.to_ne_bytes());
        // XFRM's notifications repeat this field of the request that caused them
        self.batch.extend_from_slice(&self.port.to_ne_bytes());
        payload(&mut self.batch);
        let length = (self.batch.len() - self.last) as u32;
        self.batch[self.last..self.last + 4].copy_from_slice(&length.to_ne_bytes());
        self.batch.resize(self.batch.len().next_multiple_of(4), 0);
        self.count += 1;
    }

    /// Runs the batch; `each` is called for every refused or answered request, with its position.
    ///
    /// # Errors
    /// The batch could not be run, or not to its end; it is discarded.
    pub fn flush(&mut self, each: impl FnMut(usize, Verdict<'_>)) -> io::Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        let flags = self.last + 6;
        let all = u16::from_ne_bytes([self.batch[flags], self.batch[flags + 1]]) | NLM_F_ACK;
        self.batch[flags..flags + 2].copy_from_slice(&all.to_ne_bytes());
        let sent = self.socket.send(&self.batch, Msg::empty()).map(drop);
        let result = sent.and_then(|()| self.verdicts(each));
        self.first = self.first.wrapping_add(self.count as u32);
        // the batch may hold keys, the spare capacity after it does not
        self.batch.as_mut_slice().zeroize();
        self.batch.clear();
        self.count = 0;
        result
    }

    /// Reads the verdicts. The kernel answered before `send` returned, so nothing here waits.
    fn verdicts(&mut self, mut each: impl FnMut(usize, Verdict<'_>)) -> io::Result<()> {
        loop {
            let length = receive_from(&self.socket, &mut self.buffer)?
                .ok_or_else(|| io::Error::other("the kernel does not answer"))?;
            for (header, payload) in messages(&self.buffer[..length]) {
                let position = header.sequence.wrapping_sub(self.first) as usize;
                if position >= self.count {
                    continue; // an answer to a batch that was not read to its end
                }
                if header.kind != NLMSG_ERROR {
                    each(position, Verdict::Answer(header.kind, payload));
                    continue;
                }
                let errno = errno_of(payload);
                if errno != 0 {
                    each(position, Verdict::Refused(errno));
                }
                if position + 1 == self.count {
                    return Ok(());
                }
            }
        }
    }
}
