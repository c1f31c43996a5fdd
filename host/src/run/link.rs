//! The link in the loop: its process, its paths and firewall rule, and the channels of plugins.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::time::Instant;

use spared_control::LinkStatus;
use spared_firewall::{Firewall, RuleState};
use spared_link::message::ToLink;
use spared_link::word::{Introduction, Word};
use spared_process::clock;
use spared_process::codec;
use spared_worker::message::{Descriptor, ToWorker};

use super::core::Core;
use crate::events::{Kind, Notice};
use crate::link::Report;

/// Paths of the link, as far as the host looks after them.
#[derive(Default)]
pub struct Paths {
    /// Interfaces of the paths, which the host follows itself.
    interfaces: Vec<String>,
    /// For each path, the state that the link's process was last sent.
    usable: Vec<bool>,
    firewall: Option<Firewall>,
    /// What filters the link, and what to do about it.
    kept: Option<String>,
}

impl Paths {
    pub fn close(self) {
        if let Some(firewall) = self.firewall {
            firewall.end();
        }
    }
}

impl Core {
    // ---- for callers that speak with the peer

    /// Sends a word to the peer's host; false if no link is up.
    pub(super) fn say(&mut self, word: Word) -> bool {
        self.link_is_up() && self.link.send(Instant::now(), &ToLink::Say(word), &[])
    }

    /// Puts a mark into each of these channels, behind all that their workers have queued so far.
    pub(super) fn mark(&mut self, id: u64, channels: Vec<String>) -> bool {
        let message = ToLink::Mark { id, channels };
        self.link_is_up() && self.link.send(Instant::now(), &message, &[])
    }

    /// True if there is a session with the peer.
    pub(super) fn link_is_up(&self) -> bool {
        self.link.is_up()
    }

    /// Plugins that are connected to their peer plugins.
    pub(super) fn channels_up(&self) -> &BTreeSet<String> {
        self.link.channels_up()
    }

    pub(super) fn link_status(&self) -> Vec<LinkStatus> {
        self.link.status()
    }

    /// The peer's clock minus this node's, in ms.
    pub(super) fn clock_ms(&self) -> Option<i64> {
        self.link.state().clock_ms
    }

    /// Whether the peer's machine answers a ping; asked while the peer is silent.
    pub(super) fn answers_ping(&self) -> Option<bool> {
        self.link.state().answers_ping
    }

    /// Local time at which the peer was last heard over the link.
    pub(super) fn last_heard(&self) -> Option<&str> {
        self.link.last_heard()
    }

    // ---- for the loop

    /// Configures the link at the start and after a reload.
    pub(super) fn configure_link(&mut self, now: Instant) {
        let introduction = Introduction {
            node: self.setup.host.node.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            booted: clock::booted(),
            started: self.started.clone(),
        };
        let setup = self.setup.host.link.clone();
        self.follow_links();
        self.open_firewall();
        self.link.configure(&self.poller, now, setup, introduction);
    }

    pub(super) fn handle_link(&mut self, now: Instant, report: Report) {
        match report {
            Report::Started => self.connect_peers(now),
            Report::Configured => self.paths.usable.clear(),
            Report::Up => self.handle_link_up(),
            Report::Down { why } => self.handle_link_down(why),
            Report::Heard(word) => self.handle_word(now, *word),
            Report::Marked { id, channel } => self.groups.handle_marked(id, &channel),
            Report::Tell(news) => self.events.record(news),
        }
    }

    // The firewall's thread starts if there is a link, or if an earlier run may have left a rule.
    fn open_firewall(&mut self) {
        let (link, node) = (self.setup.host.linked(), &self.setup.host.node);
        let marker = self.options.runtime_dir.join("firewall");
        if self.paths.firewall.is_none() && (link.is_some() || marker.exists()) {
            match Firewall::start(marker) {
                Ok(firewall) => self.paths.firewall = Some(firewall),
                Err(error) => log::warn!("cannot watch the firewall: {error}"),
            }
        }
        if let Some(firewall) = &self.paths.firewall {
            firewall.keep(node, link);
        }
    }

    /// Runs once a second: takes the states of the firewall rule and records changes.
    pub(super) fn handle_firewall(&mut self) {
        while let Some(told) = self.paths.firewall.as_ref().and_then(Firewall::poll) {
            let kept = match told {
                RuleState::Kept(why) => Some(why),
                RuleState::PutBack => {
                    let text =
                        "the link's rule in the firewall was removed by another program; restored";
                    self.events
                        .record(Notice::warn(Kind::Link, text).because("firewall"));
                    None
                }
                RuleState::Passes | RuleState::Ended => None,
            };
            if let Some(why) = kept.as_ref().filter(|_| kept != self.paths.kept) {
                self.events
                    .record(Notice::warn(Kind::Link, why.as_str()).because("firewall"));
            }
            self.paths.kept = kept;
        }
    }

    /// What filters the link, if anything.
    pub(super) fn link_filtered(&self) -> Option<String> {
        self.paths.kept.clone()
    }

    // The host follows these itself, in case no plugin does.
    fn follow_links(&mut self) {
        let link = self.setup.host.linked();
        let paths = link.map(|link| link.paths.clone()).unwrap_or_default();
        let port = link.map_or(0, |link| link.port);
        let new: Vec<String> = paths.iter().map(|path| path.interface.clone()).collect();
        for interface in &new {
            if let Err(error) = self.kernel.follow(interface, 0) {
                log::error!("link {interface}: {error}");
            }
        }
        for interface in std::mem::replace(&mut self.paths.interfaces, new) {
            self.kernel.unfollow(&interface);
        }
        self.kernel.set_links(paths, port);
        self.kernel_touched = true;
    }

    /// Tells the link's process which paths are usable; false if nothing changed.
    pub(super) fn tell_paths(&mut self, now: Instant) -> bool {
        let Some(link) = self
            .setup
            .host
            .link
            .as_ref()
            .filter(|_| self.link.is_running())
        else {
            return false;
        };
        let usable: Vec<bool> = link
            .paths
            .iter()
            .map(|path| self.kernel.is_link_usable(path))
            .collect();
        if usable == self.paths.usable {
            return false;
        }
        let old = std::mem::replace(&mut self.paths.usable, usable.clone());
        for (index, (path, usable)) in link.paths.clone().iter().zip(usable).enumerate() {
            if old.get(index) == Some(&usable) {
                continue;
            }
            let echo = self.kernel.echo_socket_on(path).filter(|_| usable);
            let echo: Vec<_> = echo.iter().map(AsFd::as_fd).collect();
            let message = ToLink::Path { index, usable };
            self.link.lacks(index, self.kernel.link_lacks(path));
            if !self.link.send(now, &message, &echo) {
                break;
            }
        }
        true
    }

    fn connect_peers(&mut self, now: Instant) {
        for plugin in self.supervisor.names() {
            if self.supervisor.is_running(&plugin) {
                self.connect_peer(now, &plugin);
            }
        }
    }

    /// Connects a running plugin to the link, again if it was connected: for messages to its peer plugin,
    /// and for signing and verifying.
    pub(super) fn connect_peer(&mut self, now: Instant, plugin: &str) {
        let Some(descriptor) = self.supervisor.descriptor(plugin) else {
            return;
        };
        if !has_channel(descriptor) || !self.link.is_running() {
            return;
        }
        let message = ToLink::Channel {
            plugin: plugin.to_owned(),
            speaks: descriptor.has_peer,
            wire_min: descriptor.wire_min,
            wire_max: descriptor.wire_max,
        };
        let (links, workers) = match codec::pair() {
            Ok(pair) => pair,
            Err(error) => return log::error!("{plugin}: no channel to its peer: {error}"),
        };
        self.link.forget_channel(plugin);
        if self.link.send(now, &message, &[links.as_fd()]) {
            let ends = [workers.as_fd()];
            self.supervisor.send(now, plugin, &ToWorker::Channel, &ends);
        }
    }

    /// Disconnects a plugin whose worker has ended from the link.
    pub(super) fn disconnect_peer(&mut self, now: Instant, plugin: &str) {
        let descriptor = self.supervisor.descriptor(plugin);
        if descriptor.is_none_or(has_channel) && self.link.is_running() {
            let plugin = plugin.to_owned();
            self.link.forget_channel(&plugin);
            self.link.send(now, &ToLink::NoChannel { plugin }, &[]);
        }
    }
}

fn has_channel(descriptor: &Descriptor) -> bool {
    descriptor.has_peer || descriptor.has_identity
}
