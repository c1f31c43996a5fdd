//! A plugin under the control of a test: its loop, round by round, and the other ends of its sockets.

use std::os::fd::{AsFd, OwnedFd};

use spared_contract::channel::{DOWN, MESSAGE, RECORD_MAX, UP};
use spared_contract::{FromPlugin, Surroundings, ToPlugin};
use spared_records::{Receiver, bytes};

use super::clock::SET_NS;
use super::core::Core;
use super::{Driver, Parts};
use crate::{Host, Plugin};

/// Record that fills a channel; no other record has this kind.
const STUFFING: [u8; 1024] = [0xff; 1024];

/// Creates a handle without a loop. Its daemon reads nothing.
pub(crate) fn host() -> (Host, OwnedFd) {
    let (daemon, socket) = spared_records::pair().unwrap();
    let core = Core::leak(socket, &[]).unwrap();
    (Host::new(core), daemon)
}

/// The plugin, with the other ends of its sockets.
pub(crate) struct Rig<T: Plugin> {
    driver: Driver<T>,
    daemon: OwnedFd,
    /// Link's end of the channel, and a copy of the plugin's end.
    channel: Option<(OwnedFd, OwnedFd)>,
    token: u64,
}

impl<T: Plugin> Rig<T> {
    pub(crate) fn new(parts: Parts<T>) -> Self {
        SET_NS.set(Some(0));
        let (daemon, socket) = spared_records::pair().unwrap();
        let core = Core::leak(socket, parts.partners).unwrap();
        Self {
            driver: Driver::new(core, parts),
            daemon,
            channel: None,
            token: 0,
        }
    }

    /// Time at which the next timer is due, in ns.
    pub(crate) fn due_ns(&self) -> Option<u64> {
        self.driver.core.timers.borrow().next_ns()
    }

    /// Performs one round of the loop.
    pub(crate) fn turn(&mut self) {
        // the loop must not sleep if there is no event
        let wakes = self.driver.core.outbound.wake_fd();
        rustix::io::write(wakes, &1u64.to_ne_bytes()).unwrap();
        self.driver.round(&mut Vec::with_capacity(16));
    }

    /// Sends a message of the daemon, and returns its token.
    pub(crate) fn tell(&mut self, message: impl FnOnce(u64) -> ToPlugin) -> u64 {
        self.token += 1;
        spared_records::send(self.daemon.as_fd(), &message(self.token), &[]).unwrap();
        self.turn();
        self.token
    }

    pub(crate) fn configure(&mut self, toml: &str) -> u64 {
        let table = crate::config::table(toml).unwrap();
        self.tell(|token| ToPlugin::Configure {
            token,
            table,
            check: false,
            surroundings: Surroundings::default(),
        })
    }

    /// Connects the peer.
    pub(crate) fn up(&mut self) {
        if self.channel.is_none() {
            let (link, theirs) = spared_records::pair().unwrap();
            let sent = [theirs.as_fd()];
            spared_records::send(self.daemon.as_fd(), &ToPlugin::Channel, &sent).unwrap();
            self.turn();
            self.channel = Some((link, theirs));
        }
        self.record(&[&[UP][..], &1u32.to_be_bytes()].concat());
    }

    pub(crate) fn down(&mut self) {
        self.record(&[DOWN]);
    }

    /// Sends a message of the peer.
    pub(crate) fn message(&mut self, message: &[u8]) {
        self.record(&[&[MESSAGE][..], message].concat());
    }

    /// Fills the channel to the peer.
    pub(crate) fn fill(&self) {
        let (_, theirs) = self.channel.as_ref().unwrap();
        while rustix::io::write(theirs, &STUFFING).is_ok() {}
    }

    /// Copy of the daemon's end of the socket.
    pub(crate) fn daemon(&self) -> OwnedFd {
        self.daemon.try_clone().unwrap()
    }

    /// Copy of the link's end of the channel.
    pub(crate) fn link(&self) -> Option<OwnedFd> {
        let (link, _) = self.channel.as_ref()?;
        Some(link.try_clone().unwrap())
    }

    fn record(&mut self, record: &[u8]) {
        let (link, _) = self.channel.as_ref().unwrap();
        rustix::io::write(link, record).unwrap();
        self.turn();
    }
}

/// Messages to the peer so far. Reading them makes room again.
pub(crate) fn sent(link: &OwnedFd) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut buffer = vec![0; RECORD_MAX];
    while let Ok(Some(length @ 1..)) = bytes::receive(link, &mut buffer) {
        if buffer[0] != STUFFING[0] {
            messages.push(buffer[1..length].to_vec());
        }
    }
    messages
}

/// Messages to the daemon so far.
pub(crate) fn told(daemon: &OwnedFd) -> Vec<FromPlugin> {
    let mut receiver = Receiver::default();
    let mut told = Vec::new();
    while let Ok(Some((message, _))) = receiver.receive(daemon) {
        told.push(message);
    }
    told
}
