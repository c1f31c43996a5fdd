//! The link to the peer in the loop: its process, paths, channels, and what the peer says.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::time::Instant;

use spared_control::LinkStatus;
use spared_link::message::ToLink;
use spared_link::word::{Introduction, Word};
use spared_worker::codec;
use spared_worker::message::ToWorker;

use super::core::Core;
use crate::clock;
use crate::link::Report;

impl Core {
    // ---- for who speaks with the peer

    /// To the peer's host; false where no link is up.
    pub(super) fn say(&mut self, word: Word) -> bool {
        self.link_is_up() && self.link.send(Instant::now(), &ToLink::Say(word), &[])
    }

    /// Puts a mark into each of these channels, behind all that its worker has queued by now.
    pub(super) fn mark(&mut self, id: u64, channels: Vec<String>) -> bool {
        let message = ToLink::Mark { id, channels };
        self.link_is_up() && self.link.send(Instant::now(), &message, &[])
    }

    /// A session with the peer is there.
    pub(super) fn link_is_up(&self) -> bool {
        self.link.is_up()
    }

    /// The plugins whose twins are connected.
    pub(super) fn channels_up(&self) -> &BTreeSet<String> {
        self.link.channels_up()
    }

    pub(super) fn link_status(&self) -> Vec<LinkStatus> {
        self.link.status()
    }

    /// What the peer said of itself; None while no link is up.
    pub(super) fn peer_introduction(&self) -> Option<&Introduction> {
        self.link.introduction()
    }

    /// The peer's clock less this node's.
    pub(super) fn clock_ms(&self) -> Option<i64> {
        self.link.state().clock_ms
    }

    /// While the peer is silent: whether its machine answers a ping.
    pub(super) fn answers_ping(&self) -> Option<bool> {
        self.link.state().answers_ping
    }

    /// Why twins do not speak with each other, a sentence each.
    pub(super) fn wire_refusals(&self) -> Vec<String> {
        self.link.wire_refusals()
    }

    /// When the peer was last heard over the link.
    pub(super) fn last_heard(&self) -> Option<&str> {
        self.link.last_heard()
    }

    // ---- for the loop

    /// At the start and after a reload.
    pub(super) fn configure_link(&mut self, now: Instant) {
        let introduction = Introduction {
            node: self.setup.host.node.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            booted: clock::booted(),
            started: self.started.clone(),
        };
        let setup = self.setup.host.link.clone();
        self.link.configure(&self.poller, now, setup, introduction);
    }

    pub(super) fn handle_link(&mut self, now: Instant, report: Report) {
        match report {
            Report::Started => self.begin_link(now),
            Report::Up(introduction) => self.handle_link_up(*introduction),
            Report::Down { why } => self.handle_link_down(why),
            Report::Heard(word) => self.handle_word(now, *word),
            Report::Marked { id, channel } => self.handle_marked(now, id, &channel),
            Report::Tell(news) => self.events.record(news),
        }
    }

    // A new process knows nothing yet.
    fn begin_link(&mut self, now: Instant) {
        for plugin in self.supervisor.names() {
            if self.supervisor.is_running(&plugin) {
                self.connect_twin(now, &plugin);
            }
        }
    }

    /// Makes the way between a running plugin and the link, anew where there was one.
    pub(super) fn connect_twin(&mut self, now: Instant, plugin: &str) {
        let Some(descriptor) = self.supervisor.descriptor(plugin) else {
            return;
        };
        if !descriptor.has_peer || !self.link.is_running() {
            return;
        }
        let message = ToLink::Channel {
            plugin: plugin.to_owned(),
            wire_min: descriptor.wire_min,
            wire_max: descriptor.wire_max,
        };
        let (links, workers) = match codec::pair() {
            Ok(pair) => pair,
            Err(error) => return log::error!("{plugin}: no channel to its twin: {error}"),
        };
        self.link.forget_channel(plugin);
        if self.link.send(now, &message, &[links.as_fd()]) {
            let ends = [workers.as_fd()];
            self.supervisor.send(now, plugin, &ToWorker::Channel, &ends);
        }
    }

    /// A plugin's worker is gone.
    pub(super) fn disconnect_twin(&mut self, now: Instant, plugin: &str) {
        let has_peer = self.supervisor.descriptor(plugin);
        if has_peer.is_none_or(|descriptor| descriptor.has_peer) && self.link.is_running() {
            let plugin = plugin.to_owned();
            self.link.forget_channel(&plugin);
            self.link.send(now, &ToLink::NoChannel { plugin }, &[]);
        }
    }
}
