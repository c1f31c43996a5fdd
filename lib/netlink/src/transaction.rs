//! Atomic changes of nf_tables.

use std::io;

use neli::consts::socket::Msg;
use neli::socket::NlSocket;

use crate::constants::{
    NFNL_BATCH_GENID, NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END, NFNL_SUBSYS_NFTABLES,
};
use crate::socket::{errno_of, messages, open_netfilter, receive_from, set_receive_buffer};

/// Size of the socket's buffers in bytes: for a transaction, and for a refusal of each of its messages.
const SOCKET_BYTES: usize = 4 << 20;
const RECEIVE_BYTES: usize = 32 * 1024;

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;
const NLMSG_ERROR: u16 = 2;

/// Content of the messages around a transaction (`struct nfgenmsg`).
const MARK: [u8; 4] = [0, 0, 0, NFNL_SUBSYS_NFTABLES as u8];

/// Error code (ERESTART) of a transaction for an outdated generation.
pub const OUTDATED: i32 = 85;

/// Socket for transactions.
pub struct Transactions {
    socket: NlSocket,
    port: u32,
    sequence: u32,
    /// Maximum number of bytes that the socket sends at once.
    room: usize,
    buffer: Vec<u8>,
}

impl Transactions {
    pub fn open() -> io::Result<Self> {
        let socket = open_netfilter()?;
        let _ = crate::set_send_buffer(&socket, SOCKET_BYTES as i32);
        set_receive_buffer(&socket, SOCKET_BYTES);
        let port = socket.pid()?;
        Ok(Self {
            socket,
            port,
            sequence: 0,
            room: SOCKET_BYTES,
            buffer: vec![0; RECEIVE_BYTES],
        })
    }

    /// `nlmsg_pid` of notifications caused by this socket.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Commits messages, each with a type of nf_tables, flags, and the bytes after the header. If the kernel refuses
    /// one, nothing changes, and all refusals are returned: position and errno.
    ///
    /// # Errors
    /// The transaction as a whole could not be run.
    pub fn commit<'m>(
        &mut self,
        changes: impl Iterator<Item = (u16, u16, &'m [u8])>,
    ) -> io::Result<Vec<(usize, i32)>> {
        self.commit_at(None, changes)
    }

    /// Commits messages if the kernel still has this generation; otherwise nothing changes, and the error is
    /// [`OUTDATED`].
    ///
    /// # Errors
    /// The transaction as a whole could not be run.
    pub fn commit_at<'m>(
        &mut self,
        generation: Option<u32>,
        changes: impl Iterator<Item = (u16, u16, &'m [u8])>,
    ) -> io::Result<Vec<(usize, i32)>> {
        let begin = self.sequence.wrapping_add(1);
        let mut batch = Vec::new();
        let mut head = MARK.to_vec();
        if let Some(generation) = generation {
            head.extend_from_slice(&8_u16.to_ne_bytes());
            head.extend_from_slice(&NFNL_BATCH_GENID.to_ne_bytes());
            head.extend_from_slice(&generation.to_be_bytes());
        }
        append(&mut batch, NFNL_MSG_BATCH_BEGIN, 0, begin, &head);
        let (mut count, mut last) = (0u32, batch.len());
        for (kind, flags, payload) in changes {
            count += 1;
            last = batch.len();
            let kind = NFNL_SUBSYS_NFTABLES << 8 | kind;
            append(&mut batch, kind, flags, begin.wrapping_add(count), payload);
        }
        if count == 0 {
            return Ok(Vec::new());
        }
        // kernels before 6.10 acknowledge the last message of a batch, but not its end
        if let Some(flags) = batch.get_mut(last + 6) {
            *flags |= NLM_F_ACK as u8;
        }
        self.sequence = begin.wrapping_add(count + 1);
        append(&mut batch, NFNL_MSG_BATCH_END, 0, self.sequence, &MARK);
        if batch.len() >= self.room {
            self.room = batch.len() * 2;
            let bytes = i32::try_from(self.room).unwrap_or(i32::MAX);
            crate::set_send_buffer(&self.socket, bytes)?;
        }
        self.socket.send(&batch, Msg::empty())?;
        self.refusals(begin, count)
    }

    /// Commits messages that create or delete, each with a type and the bytes after the header; all or nothing.
    ///
    /// # Errors
    /// The first refusal, or the error of the transaction as a whole.
    pub fn commit_all(&mut self, changes: &[(u16, Vec<u8>)]) -> io::Result<()> {
        let changes = changes.iter();
        let changes = changes.map(|(kind, payload)| {
            // a rule is added after the existing ones
            (*kind, NLM_F_CREATE | NLM_F_APPEND, payload.as_slice())
        });
        match self.commit(changes)?.first() {
            Some((_, errno)) => Err(io::Error::from_raw_os_error(*errno)),
            None => Ok(()),
        }
    }

    /// Waits for the transaction of another program that the kernel is committing: it has the next generation before its
    /// notifications are sent.
    ///
    /// # Errors
    /// The socket does not send.
    pub fn wait_for_others(&mut self) -> io::Result<()> {
        // an empty transaction changes nothing, and waits for its turn before `send` returns
        let mut batch = Vec::new();
        for kind in [NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END] {
            self.sequence = self.sequence.wrapping_add(1);
            append(&mut batch, kind, 0, self.sequence, &MARK);
        }
        self.socket.send(&batch, Msg::empty()).map(drop)
    }

    /// Reads the refusals. The kernel answered before `send` returned, so nothing here waits.
    fn refusals(&mut self, begin: u32, count: u32) -> io::Result<Vec<(usize, i32)>> {
        let mut refusals = Vec::new();
        let (mut whole, mut answered) = (Ok(()), false);
        while let Some(length) = receive_from(&self.socket, &mut self.buffer)? {
            for (header, payload) in messages(&self.buffer[..length]) {
                let position = header.sequence.wrapping_sub(begin);
                if header.kind != NLMSG_ERROR || position > count {
                    continue;
                }
                answered = true;
                let errno = errno_of(payload);
                match position {
                    _ if errno == 0 => {}
                    0 => whole = Err(io::Error::from_raw_os_error(errno)),
                    position => refusals.push((position as usize - 1, errno)),
                }
            }
        }
        whole?;
        if !answered {
            return Err(io::Error::other("the kernel does not answer"));
        }
        Ok(refusals)
    }
}

fn append(batch: &mut Vec<u8>, kind: u16, flags: u16, sequence: u32, payload: &[u8]) {
    let length = 16 + payload.len() as u32;
    batch.extend_from_slice(&length.to_ne_bytes());
    batch.extend_from_slice(&kind.to_ne_bytes());
    batch.extend_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
    batch.extend_from_slice(&sequence.to_ne_bytes());
    batch.extend_from_slice(&[0; 4]);
    batch.extend_from_slice(payload);
    batch.resize(batch.len().next_multiple_of(4), 0);
}
