//! `spared.peer/1`: the plugin's end of its channel to the peer, as defined in [`spared_contract::channel`].
//!
//! A plugin that does not read stops only its own channel: records wait in the socket, and the link
//! stops reading when it is full. Nothing is dropped, and nothing is allocated after the first
//! record.

use std::cell::{Cell, RefCell};
use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use spared_abi as abi;
use spared_contract::LogLevel;
use spared_records::bytes;
use spared_records::monotonic::now_ns;

use super::host::errno;
use super::{CALLBACK_NS_MAX, CHANNEL, Driver};
use spared_contract::channel::{DOWN, MESSAGE, RECORD_MAX, SIGNED, UP, VERIFIED, message_kind};

/// Records handled between two looks at timers and descriptors, if they take no longer than
/// [`ROUND_NS_MAX`].
const RECORDS_PER_ROUND: usize = 32;
/// Longest time for the records of one round.
const ROUND_NS_MAX: u64 = 1_000_000;

/// The channel, if there is one.
#[derive(Default)]
pub struct Peer {
    socket: RefCell<Option<OwnedFd>>,
    /// Replaces `socket` once the bytes that were in it when this one came are read: `left`.
    successor: RefCell<Option<OwnedFd>>,
    left: Cell<u64>,
    /// One record; taken while the plugin has it.
    buffer: Cell<Vec<u8>>,
    up: Cell<bool>,
    /// Number of [`UP`] records on this channel.
    ups: Cell<u8>,
    /// A send found the socket full, so writable() is due.
    full: Cell<bool>,
}

impl Peer {
    /// As [`bytes::receive`]; None without a channel.
    fn receive(&self, buffer: &mut [u8]) -> Result<Option<usize>, Errno> {
        match self.socket.borrow().as_ref() {
            Some(socket) => bytes::receive(socket, buffer),
            None => Ok(None),
        }
    }

    fn send(&self, message: &[u8]) -> Result<(), Errno> {
        let kind = [message_kind(self.ups.get())];
        self.transmit(&[IoSlice::new(&kind), IoSlice::new(message)])
    }

    /// Sends these parts as one record.
    pub(super) fn transmit(&self, parts: &[IoSlice<'_>]) -> Result<(), Errno> {
        let socket = self.socket.borrow();
        bytes::transmit(socket.as_ref().ok_or(Errno::NOTCONN)?, parts)
    }

    /// Bytes of all records in the socket.
    fn waiting(&self) -> u64 {
        let socket = self.socket.borrow();
        let waiting = socket.as_ref().map(rustix::io::ioctl_fionread);
        waiting.and_then(Result::ok).unwrap_or(0)
    }
}

impl Driver {
    /// Replaces the channel, once the present one is read.
    pub(super) fn channel(&self, descriptors: Vec<OwnedFd>) {
        let Some(socket) = descriptors.into_iter().next() else {
            let why = "the daemon sent an invalid message: a channel without a descriptor";
            self.outbound.log(LogLevel::Error, why);
            return;
        };
        let left = self.peer.waiting();
        self.peer.left.set(left);
        self.peer.successor.replace(Some(socket));
        if left == 0 {
            self.close_channel();
        }
    }

    /// Closes the channel; its successor begins.
    pub(super) fn close_channel(&self) {
        if let Some(socket) = self.peer.socket.take() {
            self.watches.borrow().remove_own(socket.as_fd());
        }
        self.peer.full.set(false);
        self.peer_is_gone();
        self.peer.ups.set(0);
        let Some(successor) = self.peer.successor.take() else {
            return;
        };
        let watched = self.watches.borrow().add_own(successor.as_fd(), CHANNEL);
        if let Err(errno) = watched {
            let why = format!("cannot watch the channel to the peer: {errno}");
            self.outbound.log(LogLevel::Error, &why);
            return;
        }
        self.peer.socket.replace(Some(successor));
    }

    /// Handles some records, so that timers and descriptors get their turn.
    pub(super) fn serve_channel(&self) {
        let end_ns = now_ns() + ROUND_NS_MAX;
        for _ in 0..RECORDS_PER_ROUND {
            if self.serve_record().is_none() || self.end.get().is_some() || now_ns() > end_ns {
                return;
            }
        }
    }

    /// Handles all that is in the channel now, whatever the link adds meanwhile. For barriers.
    pub(super) fn serve_waiting(&self, deadline_ns: u64) {
        let deadline_ns = deadline_ns.max(now_ns() + CALLBACK_NS_MAX);
        let go_on = || self.end.get().is_none() && now_ns() < deadline_ns;
        while self.peer.successor.borrow().is_some() && go_on() {
            if self.serve_record().is_none() {
                break;
            }
        }
        let mut left = self.peer.waiting();
        while left > 0 && go_on() {
            match self.serve_record() {
                Some(length) => left = left.saturating_sub(length as u64),
                None => return,
            }
        }
    }

    /// Handles one record and returns its length; None if there is none.
    fn serve_record(&self) -> Option<usize> {
        let mut buffer = self.peer.buffer.take();
        buffer.resize(RECORD_MAX, 0);
        let received = self.peer.receive(&mut buffer);
        let served = match received {
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
                self.is_robbed(Errno::BADF);
                None
            }
            Err(errno) => {
                self.distrust_channel(&errno.to_string());
                None
            }
        };
        self.peer.buffer.set(buffer);
        served
    }

    /// Counts down to the start of the successor.
    fn count_down(&self, length: usize) {
        let left = self.peer.left.get().saturating_sub(length as u64);
        self.peer.left.set(left);
        if left == 0 && self.peer.successor.borrow().is_some() {
            self.close_channel();
        }
    }

    fn distrust_channel(&self, why: &str) {
        let text = format!("closed the channel to the peer: {why}");
        self.outbound.log(LogLevel::Error, &text);
        self.close_channel();
    }

    /// # Errors
    /// What is wrong with the record.
    fn record(&self, record: &[u8]) -> Result<(), &'static str> {
        match record {
            [UP, a, b, c, d] => {
                self.peer_is_gone();
                self.peer.ups.set(self.peer.ups.get().wrapping_add(1));
                self.peer_is_there(u32::from_be_bytes([*a, *b, *c, *d]));
                Ok(())
            }
            [DOWN] => {
                self.want_writable(false);
                self.peer_is_gone();
                Ok(())
            }
            [MESSAGE, message @ ..] if self.peer.up.get() => {
                self.peer_said(message);
                Ok(())
            }
            [MESSAGE, ..] => Err("message while the peer is down"),
            [SIGNED, answer @ ..] => self.signed(answer),
            [VERIFIED, answer @ ..] => self.verified(answer),
            _ => Err("unknown record"),
        }
    }

    // Being in sync ends with the channel: the plugin must report it again each time.
    fn peer_is_there(&self, wire: u32) {
        self.peer.up.set(true);
        self.report_synchrony(false, "not reported yet");
        if let Some(up) = self.plugin.peer.up {
            // SAFETY: the plugin's contract for a created instance.
            self.tell("up", |instance| unsafe { up(instance, wire) });
        }
    }

    fn peer_is_gone(&self) {
        if !self.peer.up.replace(false) {
            return;
        }
        self.report_synchrony(false, "peer is down");
        if let Some(down) = self.plugin.peer.down {
            // SAFETY: as above.
            self.tell("down", |instance| unsafe { down(instance) });
        }
    }

    fn peer_said(&self, bytes: &[u8]) {
        if let Some(message) = self.plugin.peer.message {
            let bytes = abi::Bytes::of(bytes);
            // SAFETY: as above; the bytes live through the call.
            self.tell("message", |instance| unsafe { message(instance, bytes) });
        }
    }

    /// Handles a socket that takes records again.
    pub(super) fn channel_is_writable(&self) {
        if !self.peer.full.get() {
            return;
        }
        self.want_writable(false);
        if let (true, Some(writable)) = (self.peer.up.get(), self.plugin.peer.writable) {
            // SAFETY: as above.
            self.tell("writable", |instance| unsafe { writable(instance) });
        }
    }

    fn want_writable(&self, yes: bool) {
        if self.peer.full.replace(yes) == yes {
            return;
        }
        let socket = self.peer.socket.borrow();
        if let Some(socket) = socket.as_ref() {
            let watches = self.watches.borrow();
            if let Err(errno) = watches.want_writable(socket.as_fd(), CHANNEL, yes) {
                self.is_robbed(errno);
            }
        }
    }

    pub(super) fn send_to_peer(&self, message: &[u8]) -> abi::Status {
        if message.len() > abi::PEER_MESSAGE_MAX as usize {
            return errno(Errno::MSGSIZE);
        }
        if !self.peer.up.get() {
            return errno(Errno::NOTCONN);
        }
        match self.peer.send(message) {
            Ok(()) => 0,
            Err(Errno::AGAIN) => {
                self.want_writable(true);
                errno(Errno::AGAIN)
            }
            Err(why) => errno(why),
        }
    }
}
