//! Channels to other plugins of this node, without the daemon.
//!
//! A channel is one end of a socket pair; only the partner's worker has the other end. When that worker ends, its end
//! closes, and the records that it had sent are read first. Only bytes are received: the kernel closes descriptors that
//! come with a record.

use std::cell::{Cell, RefCell};
use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};
use spared_abi as abi;
use spared_contract::LogLevel;
use spared_contract::channel::{LOCAL_RECORD_MAX, MESSAGE};
use spared_records::monotonic::now_ns;

use super::core::{Core, PARTNER, errno};
use super::peer::{receive, transmit};
use super::{Driver, RECORDS_PER_ROUND, ROUND_NS_MAX};
use crate::Plugin;

/// One partner, with the channel to it if there is one.
#[derive(Default)]
pub(super) struct Partner {
    name: &'static str,
    socket: RefCell<Option<OwnedFd>>,
    /// New channel, which replaces `socket` once that is read to its end.
    successor: RefCell<Option<OwnedFd>>,
    /// True if the socket is readable or closed.
    ready: Cell<bool>,
    /// True if a send found the socket full, so that the plugin has to be told when there is room.
    full: Cell<bool>,
    /// Buffer for one record, which is taken while the plugin has it.
    buffer: Cell<Vec<u8>>,
}

impl Partner {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            ..Self::default()
        }
    }
}

impl Core {
    pub(crate) fn send_to_partner(&self, index: usize, message: &[u8]) -> abi::Status {
        let Some(partner) = self.partners.get(index) else {
            let count = self.partners.len();
            return self.refuse("send", &format!("partner {index}, and it has {count}"));
        };
        if message.len() > abi::LOCAL_MESSAGE_MAX as usize {
            return errno(Errno::MSGSIZE);
        }
        let record = [IoSlice::new(&[MESSAGE]), IoSlice::new(message)];
        match transmit(&partner.socket, &record) {
            Ok(()) => 0,
            Err(Errno::AGAIN) => {
                self.want_partner_writable(index, partner, true);
                errno(Errno::AGAIN)
            }
            Err(why) => errno(why),
        }
    }

    fn want_partner_writable(&self, index: usize, partner: &Partner, yes: bool) {
        if partner.full.replace(yes) == yes {
            return;
        }
        let socket = partner.socket.borrow();
        if let Some(socket) = socket.as_ref() {
            self.watch_writable(socket.as_fd(), number_of(index), yes);
        }
    }
}

/// Number of a partner's channel among the loop's own descriptors.
fn number_of(index: usize) -> u32 {
    PARTNER + index as u32
}

impl<T: Plugin> Driver<T> {
    /// Takes a new channel to a partner. The old channel is closed after its records have been read.
    pub(super) fn partner(&mut self, plugin: &str, descriptors: Vec<OwnedFd>) {
        let mut partners = self.core.partners.iter().enumerate();
        let found = partners.find(|(_, partner)| partner.name == plugin);
        let (Some((index, partner)), Some(socket)) = (found, descriptors.into_iter().next()) else {
            let why = format!("the daemon sent an invalid message: a channel to {plugin:?}");
            return self.core.outbound.log(LogLevel::Error, &why);
        };
        partner.successor.replace(Some(socket));
        let ended = match partner.socket.borrow().as_ref() {
            Some(old) => shutdown(old, Shutdown::Both),
            None => Err(Errno::NOTCONN),
        };
        match ended {
            Ok(()) => partner.ready.set(true),
            Err(_) => self.close_partner(index, partner),
        }
    }

    pub(super) fn partner_is_ready(&mut self, number: u32, flags: EventFlags) {
        let (core, index) = (self.core, number as usize);
        let Some(partner) = core.partners.get(index) else {
            return;
        };
        if flags != EventFlags::OUT {
            partner.ready.set(true);
        }
        if flags.contains(EventFlags::OUT) && partner.full.get() {
            core.want_partner_writable(index, partner, false);
            if let Some(local) = self.parts.local {
                self.enter("writable", |plugin| (local.writable)(plugin, index));
            }
        }
    }

    /// Handles some records of each partner, so that timers and descriptors get their turn.
    pub(super) fn serve_partners(&mut self) {
        for (index, partner) in self.core.partners.iter().enumerate() {
            if !partner.ready.replace(false) {
                continue;
            }
            let end_ns = now_ns() + ROUND_NS_MAX;
            for _ in 0..RECORDS_PER_ROUND {
                if self.core.is_ended() || now_ns() > end_ns || !self.serve_partner(index, partner)
                {
                    break;
                }
            }
        }
    }

    /// Handles one record. Returns false if there is none.
    fn serve_partner(&mut self, index: usize, partner: &'static Partner) -> bool {
        let mut buffer = partner.buffer.take();
        buffer.resize(LOCAL_RECORD_MAX, 0);
        let went_on = match receive(&partner.socket, &mut buffer) {
            Ok(None) => false,
            Ok(Some(0)) => {
                self.close_partner(index, partner);
                false
            }
            Ok(Some(length)) => match buffer.get(..length) {
                Some([MESSAGE, message @ ..]) => {
                    if let Some(local) = self.parts.local {
                        self.enter("message", |plugin| (local.message)(plugin, index, message));
                    }
                    true
                }
                Some(_) => self.distrust_partner(index, partner, "unknown record"),
                None => self.distrust_partner(index, partner, "a record is too long"),
            },
            Err(Errno::BADF | Errno::NOTSOCK) => {
                self.core.is_robbed(Errno::BADF);
                false
            }
            Err(errno) => self.distrust_partner(index, partner, &errno.to_string()),
        };
        partner.buffer.set(buffer);
        went_on
    }

    /// Closes a channel for good, and returns false. Only a restart of either plugin creates another channel.
    fn distrust_partner(&mut self, index: usize, partner: &'static Partner, why: &str) -> bool {
        let name = partner.name;
        let text = format!("closed the channel to {name}, which broke its rules: {why}");
        self.core.outbound.log(LogLevel::Error, &text);
        self.close_partner(index, partner);
        false
    }

    /// Closes a channel, and begins its successor.
    fn close_partner(&mut self, index: usize, partner: &Partner) {
        partner.full.set(false);
        if let Some(socket) = partner.socket.take() {
            self.core.remove_own(socket.as_fd());
            if let Some(local) = self.parts.local {
                self.enter("down", |plugin| (local.down)(plugin, index));
            }
        }
        let Some(successor) = partner.successor.take() else {
            return;
        };
        let watched = self.core.add_own(successor.as_fd(), number_of(index));
        if let Err(errno) = watched {
            let why = format!("cannot watch the channel to a partner: {errno}");
            return self.core.outbound.log(LogLevel::Error, &why);
        }
        partner.socket.replace(Some(successor));
        if let Some(local) = self.parts.local {
            self.enter("up", |plugin| (local.up)(plugin, index));
        }
    }
}
