//! `spared.local/1`: channels to other plugins of this node, past the host.
//!
//! A channel is one end of a socket pair; the partner's worker has the other, and nobody else. When
//! that worker ends its end closes, and what it sent before is read first. Only bytes are received:
//! descriptors that travel with a record are closed by the kernel.

use std::cell::{Cell, RefCell};
use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};
use spared_abi as abi;
use spared_contract::LogLevel;
use spared_records::bytes;
use spared_records::monotonic::now_ns;

use super::host::errno;
use super::{Driver, PARTNER};
use spared_contract::channel::{LOCAL_RECORD_MAX, MESSAGE};

/// Records of one partner between two looks at timers and descriptors, if they take no longer than
/// [`ROUND_NS_MAX`].
const RECORDS_PER_ROUND: usize = 32;
/// Longest time for the records of one round.
const ROUND_NS_MAX: u64 = 1_000_000;

/// One partner, and the channel to it, if there is one.
#[derive(Default)]
pub struct Partner {
    socket: RefCell<Option<OwnedFd>>,
    /// Replaces `socket` once that is read to its end.
    successor: RefCell<Option<OwnedFd>>,
    /// The socket is readable, or closed.
    ready: Cell<bool>,
    /// A send found the socket full, so writable() is due.
    full: Cell<bool>,
    /// One record; taken while the plugin has it.
    buffer: Cell<Vec<u8>>,
}

impl Partner {
    /// As [`bytes::receive`]; None without a channel.
    fn receive(&self, buffer: &mut [u8]) -> Result<Option<usize>, Errno> {
        match self.socket.borrow().as_ref() {
            Some(socket) => bytes::receive(socket, buffer),
            None => Ok(None),
        }
    }

    fn send(&self, message: &[u8]) -> Result<(), Errno> {
        let socket = self.socket.borrow();
        let socket = socket.as_ref().ok_or(Errno::NOTCONN)?;
        bytes::transmit(socket, &[IoSlice::new(&[MESSAGE]), IoSlice::new(message)])
    }
}

impl Driver {
    /// Takes a new channel to a partner. The end of the one before ends with what was sent already.
    pub(super) fn partner(&self, plugin: &str, descriptors: Vec<OwnedFd>) {
        let partners = &self.plugin.descriptor.partners;
        let index = partners.iter().position(|name| name == plugin);
        let (Some(index), Some(socket)) = (index, descriptors.into_iter().next()) else {
            let why = format!("the daemon sent an invalid message: a channel to {plugin:?}");
            return self.outbound.log(LogLevel::Error, &why);
        };
        let Some(partner) = self.partners.get(index) else {
            return;
        };
        partner.successor.replace(Some(socket));
        let ended = match partner.socket.borrow().as_ref() {
            Some(old) => shutdown(old, Shutdown::Both),
            None => Err(Errno::NOTCONN),
        };
        match ended {
            Ok(()) => partner.ready.set(true),
            Err(_) => self.close_partner(index),
        }
    }

    pub(super) fn partner_is_ready(&self, index: u32, flags: EventFlags) {
        let Some(partner) = self.partners.get(index as usize) else {
            return;
        };
        if flags != EventFlags::OUT {
            partner.ready.set(true);
        }
        if flags.contains(EventFlags::OUT) && partner.full.get() {
            self.want_partner_writable(index as usize, false);
            if let Some(writable) = self.plugin.local.writable {
                // SAFETY: the plugin's contract for a created instance.
                self.tell("writable", |instance| unsafe { writable(instance, index) });
            }
        }
    }

    /// Handles some records of each partner, so that timers and descriptors get their turn.
    pub(super) fn serve_partners(&self) {
        for (index, partner) in self.partners.iter().enumerate() {
            if !partner.ready.replace(false) {
                continue;
            }
            let end_ns = now_ns() + ROUND_NS_MAX;
            for _ in 0..RECORDS_PER_ROUND {
                if self.end.get().is_some() || now_ns() > end_ns || !self.serve_partner(index) {
                    break;
                }
            }
        }
    }

    /// Handles one record; false if there is none.
    fn serve_partner(&self, index: usize) -> bool {
        let Some(partner) = self.partners.get(index) else {
            return false;
        };
        let mut buffer = partner.buffer.take();
        buffer.resize(LOCAL_RECORD_MAX, 0);
        let received = partner.receive(&mut buffer);
        let went_on = match received {
            Ok(None) => false,
            Ok(Some(0)) => {
                self.close_partner(index);
                false
            }
            Ok(Some(length)) => match buffer.get(..length) {
                Some([MESSAGE, message @ ..]) => {
                    self.partner_said(index, message);
                    true
                }
                Some(_) => self.distrust_partner(index, "unknown record"),
                None => self.distrust_partner(index, "a record is too long"),
            },
            Err(Errno::BADF | Errno::NOTSOCK) => {
                self.is_robbed(Errno::BADF);
                false
            }
            Err(errno) => self.distrust_partner(index, &errno.to_string()),
        };
        partner.buffer.set(buffer);
        went_on
    }

    /// Closes a channel for good: only a restart of one of the two makes another.
    fn distrust_partner(&self, index: usize, why: &str) -> bool {
        let partners = &self.plugin.descriptor.partners;
        let name = partners.get(index).map_or("", String::as_str);
        let text = format!("closed the channel to {name}, which broke its rules: {why}");
        self.outbound.log(LogLevel::Error, &text);
        self.close_partner(index);
        false
    }

    /// Closes a channel; its successor begins.
    fn close_partner(&self, index: usize) {
        let Some(partner) = self.partners.get(index) else {
            return;
        };
        partner.full.set(false);
        let number = index as u32;
        let closed = partner.socket.take();
        if let Some(socket) = &closed {
            self.watches.borrow().remove_own(socket.as_fd());
        }
        if let (Some(_), Some(down)) = (closed, self.plugin.local.down) {
            // SAFETY: the plugin's contract for a created instance.
            self.tell("down", |instance| unsafe { down(instance, number) });
        }
        let Some(successor) = partner.successor.take() else {
            return;
        };
        let number_own = PARTNER + number;
        let watched = self.watches.borrow().add_own(successor.as_fd(), number_own);
        if let Err(errno) = watched {
            let why = format!("cannot watch the channel to a partner: {errno}");
            return self.outbound.log(LogLevel::Error, &why);
        }
        partner.socket.replace(Some(successor));
        if let Some(up) = self.plugin.local.up {
            // SAFETY: as above.
            self.tell("up", |instance| unsafe { up(instance, number) });
        }
    }

    fn partner_said(&self, index: usize, bytes: &[u8]) {
        if let Some(message) = self.plugin.local.message {
            let (number, bytes) = (index as u32, abi::Bytes::of(bytes));
            // SAFETY: as above; the bytes live through the call.
            self.tell("message", |instance| unsafe {
                message(instance, number, bytes)
            });
        }
    }

    fn want_partner_writable(&self, index: usize, yes: bool) {
        let Some(partner) = self.partners.get(index) else {
            return;
        };
        if partner.full.replace(yes) == yes {
            return;
        }
        let socket = partner.socket.borrow();
        if let Some(socket) = socket.as_ref() {
            let (watches, number) = (self.watches.borrow(), PARTNER + index as u32);
            if let Err(errno) = watches.want_writable(socket.as_fd(), number, yes) {
                self.is_robbed(errno);
            }
        }
    }

    pub(super) fn send_to_partner(&self, index: u32, message: &[u8]) -> abi::Status {
        let index = index as usize;
        let Some(partner) = self.partners.get(index) else {
            let count = self.partners.len();
            return self.refuse("send", &format!("partner {index}, and it has {count}"));
        };
        if message.len() > abi::LOCAL_MESSAGE_MAX as usize {
            return errno(Errno::MSGSIZE);
        }
        match partner.send(message) {
            Ok(()) => 0,
            Err(Errno::AGAIN) => {
                self.want_partner_writable(index, true);
                errno(Errno::AGAIN)
            }
            Err(why) => errno(why),
        }
    }
}
