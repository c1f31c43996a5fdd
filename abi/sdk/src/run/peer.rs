//! The plugin's end of its channel to the peer, as defined in [`spared_contract::channel`].
//!
//! A plugin that does not read stops only its own channel: records wait in the socket, and the link stops reading when
//! the socket is full. Nothing is dropped, and nothing is allocated after the first record.

use std::cell::{Cell, RefCell};
use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use spared_abi as abi;
use spared_contract::LogLevel;
use spared_contract::channel::{
    DOWN, MESSAGE, RECORD_MAX, SIGN, SIGNATURE_SIZE, SIGNED, STATEMENT_MAX, UP, VERIFIED, VERIFY,
    message_kind,
};
use spared_records::bytes;
use spared_records::monotonic::now_ns;

use super::core::{CHANNEL, Core, errno};
use super::{CALLBACK_NS_MAX, Driver, RECORDS_PER_ROUND, ROUND_NS_MAX};
use crate::Plugin;

/// The channel to the peer, if there is one.
#[derive(Default)]
pub(super) struct Channel {
    socket: RefCell<Option<OwnedFd>>,
    /// New channel, which replaces `socket` once `left` bytes are read: those that `socket` contained when the new
    /// channel came.
    successor: RefCell<Option<OwnedFd>>,
    left: Cell<u64>,
    /// Buffer for one record, which is taken while the plugin has it.
    buffer: Cell<Vec<u8>>,
    up: Cell<bool>,
    /// Number of [`UP`] records on this channel.
    ups: Cell<u8>,
    /// True if a send found the socket full, so that the plugin has to be told when there is room.
    full: Cell<bool>,
}

/// Receives the next record of a channel, like [`bytes::receive`]; None without a channel.
pub(super) fn receive(
    socket: &RefCell<Option<OwnedFd>>,
    buffer: &mut [u8],
) -> Result<Option<usize>, Errno> {
    match socket.borrow().as_ref() {
        Some(socket) => bytes::receive(socket, buffer),
        None => Ok(None),
    }
}

/// Sends a record to a channel, like [`bytes::transmit`].
pub(super) fn transmit(
    socket: &RefCell<Option<OwnedFd>>,
    parts: &[IoSlice<'_>],
) -> Result<(), Errno> {
    let socket = socket.borrow();
    bytes::transmit(socket.as_ref().ok_or(Errno::NOTCONN)?, parts)
}

impl Core {
    pub(crate) fn send_to_peer(&self, message: &[u8]) -> abi::Status {
        let channel = &self.channel;
        if message.len() > abi::PEER_MESSAGE_MAX as usize {
            return errno(Errno::MSGSIZE);
        }
        if !channel.up.get() {
            return errno(Errno::NOTCONN);
        }
        let kind = [message_kind(channel.ups.get())];
        let record = [IoSlice::new(&kind), IoSlice::new(message)];
        match transmit(&channel.socket, &record) {
            Ok(()) => 0,
            Err(Errno::AGAIN) => {
                self.want_writable(true);
                errno(Errno::AGAIN)
            }
            Err(why) => errno(why),
        }
    }

    pub(crate) fn sign(&self, ticket: u64, statement: &[u8]) -> abi::Status {
        if statement.len() > STATEMENT_MAX {
            return errno(Errno::MSGSIZE);
        }
        self.ask(&[
            IoSlice::new(&[SIGN]),
            IoSlice::new(&ticket.to_be_bytes()),
            IoSlice::new(statement),
        ])
    }

    pub(crate) fn verify(&self, ticket: u64, statement: &[u8], signature: &[u8]) -> abi::Status {
        if statement.len() > STATEMENT_MAX || signature.len() != SIGNATURE_SIZE {
            return errno(Errno::MSGSIZE);
        }
        self.ask(&[
            IoSlice::new(&[VERIFY]),
            IoSlice::new(&ticket.to_be_bytes()),
            IoSlice::new(signature),
            IoSlice::new(statement),
        ])
    }

    fn ask(&self, request: &[IoSlice<'_>]) -> abi::Status {
        transmit(&self.channel.socket, request).map_or_else(errno, |()| 0)
    }

    fn want_writable(&self, yes: bool) {
        if self.channel.full.replace(yes) == yes {
            return;
        }
        let socket = self.channel.socket.borrow();
        if let Some(socket) = socket.as_ref() {
            self.watch_writable(socket.as_fd(), CHANNEL, yes);
        }
    }

    /// Number of bytes of all records in the channel's socket.
    fn waiting(&self) -> u64 {
        let socket = self.channel.socket.borrow();
        let waiting = socket.as_ref().map(rustix::io::ioctl_fionread);
        waiting.and_then(Result::ok).unwrap_or(0)
    }
}

impl<T: Plugin> Driver<T> {
    /// Replaces the channel, once the present one is read.
    pub(super) fn channel(&mut self, descriptors: Vec<OwnedFd>) {
        let Some(socket) = descriptors.into_iter().next() else {
            let why = "the daemon sent an invalid message: a channel without a descriptor";
            self.core.outbound.log(LogLevel::Error, why);
            return;
        };
        let left = self.core.waiting();
        self.core.channel.left.set(left);
        self.core.channel.successor.replace(Some(socket));
        if left == 0 {
            self.close_channel();
        }
    }

    /// Closes the channel, and begins its successor.
    fn close_channel(&mut self) {
        let channel = &self.core.channel;
        if let Some(socket) = channel.socket.take() {
            self.core.remove_own(socket.as_fd());
        }
        channel.full.set(false);
        self.peer_is_gone();
        channel.ups.set(0);
        let Some(successor) = channel.successor.take() else {
            return;
        };
        if let Err(errno) = self.core.add_own(successor.as_fd(), CHANNEL) {
            let why = format!("cannot watch the channel to the peer: {errno}");
            self.core.outbound.log(LogLevel::Error, &why);
            return;
        }
        channel.socket.replace(Some(successor));
    }

    /// Handles some records, so that timers and descriptors get their turn.
    pub(super) fn serve_channel(&mut self) {
        let end_ns = now_ns() + ROUND_NS_MAX;
        for _ in 0..RECORDS_PER_ROUND {
            if self.serve_record().is_none() || self.core.is_ended() || now_ns() > end_ns {
                return;
            }
        }
    }

    /// Handles all that is in the channel now, without what the link adds meanwhile. For barriers.
    pub(super) fn serve_waiting(&mut self, deadline_ns: u64) {
        let deadline_ns = deadline_ns.max(now_ns() + CALLBACK_NS_MAX);
        let core = self.core;
        let go_on = || !core.is_ended() && now_ns() < deadline_ns;
        while core.channel.successor.borrow().is_some() && go_on() {
            if self.serve_record().is_none() {
                break;
            }
        }
        let mut left = core.waiting();
        while left > 0 && go_on() {
            match self.serve_record() {
                Some(length) => left = left.saturating_sub(length as u64),
                None => return,
            }
        }
    }

    /// Handles one record. Returns its length; None if there is none.
    fn serve_record(&mut self) -> Option<usize> {
        let channel = &self.core.channel;
        let mut buffer = channel.buffer.take();
        buffer.resize(RECORD_MAX, 0);
        let served = match receive(&channel.socket, &mut buffer) {
            Ok(None) => None,
            Ok(Some(0)) => {
                self.close_channel();
                None
            }
            Ok(Some(length)) => {
                match buffer.get(..length).map(|record| self.record(record)) {
                    Some(Ok(())) => self.count_down(length),
                    Some(Err(why)) => self.distrust_channel(why),
                    None => self.distrust_channel("a record is too long"),
                }
                Some(length)
            }
            Err(Errno::BADF | Errno::NOTSOCK) => {
                self.core.is_robbed(Errno::BADF);
                None
            }
            Err(errno) => {
                self.distrust_channel(&errno.to_string());
                None
            }
        };
        channel.buffer.set(buffer);
        served
    }

    /// Counts the bytes that are left until the successor begins.
    fn count_down(&mut self, length: usize) {
        let channel = &self.core.channel;
        let left = channel.left.get().saturating_sub(length as u64);
        channel.left.set(left);
        if left == 0 && channel.successor.borrow().is_some() {
            self.close_channel();
        }
    }

    fn distrust_channel(&mut self, why: &str) {
        let text = format!("closed the channel to the peer: {why}");
        self.core.outbound.log(LogLevel::Error, &text);
        self.close_channel();
    }

    /// # Errors
    /// The fault in the record.
    fn record(&mut self, record: &[u8]) -> Result<(), &'static str> {
        let channel = &self.core.channel;
        match record {
            [UP, a, b, c, d] => {
                self.peer_is_gone();
                channel.ups.set(channel.ups.get().wrapping_add(1));
                self.peer_is_there(u32::from_be_bytes([*a, *b, *c, *d]));
                Ok(())
            }
            [DOWN] => {
                self.core.want_writable(false);
                self.peer_is_gone();
                Ok(())
            }
            [MESSAGE, message @ ..] if channel.up.get() => {
                if let Some(peer) = self.parts.peer {
                    self.enter("message", |plugin| (peer.message)(plugin, message));
                }
                Ok(())
            }
            [MESSAGE, ..] => Err("message while the peer is down"),
            [SIGNED, answer @ ..] => self.signed(answer),
            [VERIFIED, answer @ ..] => self.verified(answer),
            _ => Err("unknown record"),
        }
    }

    // The in-sync state ends with the channel: the plugin must report it again each time.
    fn peer_is_there(&mut self, wire: u32) {
        self.core.channel.up.set(true);
        self.core.report_synchrony(false, "not reported yet");
        if let Some(peer) = self.parts.peer {
            self.enter("up", |plugin| (peer.up)(plugin, wire));
        }
    }

    fn peer_is_gone(&mut self) {
        if !self.core.channel.up.replace(false) {
            return;
        }
        self.core.report_synchrony(false, "peer is down");
        if let Some(peer) = self.parts.peer {
            self.enter("down", peer.down);
        }
    }

    /// Handles that the socket takes records again.
    pub(super) fn channel_is_writable(&mut self) {
        if !self.core.channel.full.get() {
            return;
        }
        self.core.want_writable(false);
        if let (true, Some(peer)) = (self.core.channel.up.get(), self.parts.peer) {
            self.enter("writable", peer.writable);
        }
    }

    /// # Errors
    /// The fault in the record; `answer` is the record without its kind.
    fn signed(&mut self, answer: &[u8]) -> Result<(), &'static str> {
        let (ticket, bytes) = answer
            .split_first_chunk()
            .ok_or("signature without a ticket")?;
        if bytes.len() != SIGNATURE_SIZE {
            return Err("signature of the wrong length");
        }
        if let Some(identity) = self.parts.identity {
            let ticket = u64::from_be_bytes(*ticket);
            self.enter("signature", |plugin| {
                (identity.signed)(plugin, ticket, bytes)
            });
        }
        Ok(())
    }

    /// # Errors
    /// The fault in the record; `answer` is the record without its kind.
    fn verified(&mut self, answer: &[u8]) -> Result<(), &'static str> {
        let Some((ticket, [yes @ 0..=1])) = answer.split_first_chunk() else {
            return Err("invalid verdict");
        };
        if let Some(identity) = self.parts.identity {
            let (ticket, is_genuine) = (u64::from_be_bytes(*ticket), *yes == 1);
            self.enter("verified", |plugin| {
                (identity.verified)(plugin, ticket, is_genuine)
            });
        }
        Ok(())
    }
}
