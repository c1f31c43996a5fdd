//! Implements the session of two link processes, sans I/O.
//!
//! `handle_*` methods feed it with bytes of the paths, records of the workers and requests of the host, and
//! [`Session::poll_transmit`], [`Session::delivery`] and [`Session::poll_event`] drain it. Paths come and go; numbered
//! frames use one of them at a time, and after a change continue from the last acknowledged one. An association of two
//! runs ends when either is restarted, or after [`GRACE_NS`] without a path: then every channel goes down, and queued
//! messages are lost. The same two runs never associate twice: a delayed greeting can end an association on one side
//! only, and the other side would take the next association for the old one.

mod carrier;
mod channel;
mod feedback;
mod liveness;
mod receive;
mod sequence;
mod session_path;
#[cfg(test)]
mod tests;
mod transmit;
mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

pub use carrier::GRACE_NS;
use channel::Channel;
pub use channel::{Delivery, WINDOW, Wire};
use feedback::Feedback;
pub use liveness::{PING_NS, SILENCE_NS};
pub use sequence::Outgoing;
use sequence::{Piece, Sequence};
use session_path::SessionPath;
pub use transmit::Transmit;
use words::Words;

use crate::frame::Numbered;
use crate::message::State;
use crate::word::{Introduction, Word};

/// Bytes that a channel may send before the next channel's turn.
const TURN_BYTES: usize = 16 << 10;
/// Maximum number of remembered runs of the peer. After so many this node takes a new run itself.
const ENDED_MAX: usize = 64;
/// Maximum number of channels that either side may offer.
const CHANNELS_MAX: usize = 64;

/// An event for the host, or a request to the owner of the connections.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    Up(Introduction),
    Down(String),
    Heard(Word),
    Wire {
        plugin: String,
        agreed: Result<u32, String>,
    },
    /// The peer's worker is gone, with which there was no common version.
    RefusalOver {
        plugin: String,
    },
    Marked {
        id: u64,
        channel: String,
    },
    /// The peer greeted over this path.
    Joined(usize),
    /// Data uses another path.
    Moved {
        from: usize,
        to: usize,
        why: String,
    },
    /// Request to close the connection of a path.
    Close {
        path: usize,
        why: String,
    },
    /// A word that was not sent or not understood; the first message of a later version.
    Lost(String),
}

/// Present time by both clocks: monotonic nanoseconds, wall-clock microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub ns: u64,
    pub wall_us: u64,
}

#[derive(Debug, Default)]
pub struct Session {
    node: String,
    peer: String,
    introduction: Introduction,
    /// This node's run: a new one follows each association that the node ended itself.
    run: u64,
    /// Runs of the peer whose association with this run has ended.
    ended: BTreeSet<u64>,
    association: Option<Association>,
    paths: Vec<SessionPath>,
    channels: BTreeMap<String, Channel>,
    turn: usize,
    feedback: Feedback,
    events: VecDeque<Event>,
    path_changes: u64,
    sent_again: u64,
}

/// Association with a run of the peer.
#[derive(Debug, Default)]
struct Association {
    peer_run: u64,
    sequence: Sequence,
    words: Words,
    /// Path for data.
    carrier: Option<usize>,
    /// Names of the peer's channels, by its numbers.
    names: BTreeMap<u16, String>,
    /// Number of messages that only a later version knows.
    ignored: u64,
    /// Time at which the association ends if there is no path.
    ends_at_ns: Option<u64>,
}

impl Session {
    /// Creates a session. `run` is random; `paths` is the number of paths.
    pub fn new(node: &str, peer: &str, introduction: Introduction, run: u64, paths: usize) -> Self {
        Self {
            node: node.to_owned(),
            peer: peer.to_owned(),
            introduction,
            run: run.max(1),
            paths: (0..paths).map(|_| SessionPath::default()).collect(),
            ..Self::default()
        }
    }

    /// Replaces the list of paths. `order` has the previous position of each path, and None for a new one. Removed
    /// paths are closed already.
    pub fn arrange_paths(&mut self, order: &[Option<usize>]) {
        let mut old = std::mem::take(&mut self.paths);
        let paths = order.iter().map(|from| {
            let known = from.and_then(|from| old.get_mut(from));
            known.map(std::mem::take).unwrap_or_default()
        });
        self.paths = paths.collect();
        let place = |old: usize| order.iter().position(|from| *from == Some(old));
        if let Some(association) = &mut self.association {
            association.carrier = association.carrier.and_then(place);
        }
        let events = std::mem::take(&mut self.events).into_iter();
        self.events = events
            .filter_map(|event| match event {
                Event::Joined(path) => place(path).map(Event::Joined),
                Event::Close { path, why } => place(path).map(|path| Event::Close { path, why }),
                Event::Moved { from, to, why } => {
                    let (from, to) = place(from).zip(place(to))?;
                    Some(Event::Moved { from, to, why })
                }
                other => Some(other),
            })
            .collect();
    }

    /// Sets the introduction that is sent to the peer with the next session.
    pub fn introduce(&mut self, introduction: Introduction) {
        self.introduction = introduction;
    }

    pub fn is_up(&self) -> bool {
        self.association.is_some()
    }

    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub fn is_joined(&self, path: usize) -> bool {
        self.paths.get(path).is_some_and(SessionPath::is_joined)
    }

    // ---- requests of the host

    /// Handles a new worker of this node, which supports these versions.
    pub fn set_channel(&mut self, plugin: &str, wire: Wire) {
        if !self.channels.contains_key(plugin) {
            if self.channels.len() >= CHANNELS_MAX {
                let why = format!("{plugin} has no channel: there are {CHANNELS_MAX} already");
                return self.events.push_back(Event::Lost(why));
            }
            let id = u16::try_from(self.channels.len()).unwrap_or(u16::MAX);
            self.channels.insert(plugin.to_owned(), Channel::new(id));
        }
        let Some(channel) = self.channels.get_mut(plugin) else {
            return;
        };
        channel.go_down();
        channel.forget_deliveries();
        channel.epoch = channel.epoch.wrapping_add(1);
        channel.own = Some(wire);
        if let Some(association) = &mut self.association {
            association.offer(plugin, channel);
        }
        self.agree(plugin);
    }

    /// Handles the end of a worker.
    pub fn remove_channel(&mut self, plugin: &str) {
        let Some(channel) = self.channels.get_mut(plugin) else {
            return;
        };
        channel.go_down();
        channel.forget_deliveries();
        let offered = channel.own.take().is_some();
        if let (Some(association), true) = (&mut self.association, offered) {
            let frame = Numbered::Withdraw {
                channel: channel.id,
            };
            association.sequence.push(&frame, None);
        }
    }

    /// Sends a word to the peer's host. Without an association it is lost.
    pub fn say(&mut self, word: &Word) {
        let Some(association) = &mut self.association else {
            return;
        };
        if let Err(why) = association.words.push(word) {
            self.events.push_back(Event::Lost(why));
        }
    }

    /// Queues a mark behind everything that is queued for the channel now.
    pub fn mark(&mut self, id: u64, plugin: &str) {
        if let Some(channel) = self.channels.get_mut(plugin) {
            channel.push_mark(id);
        }
    }

    // ---- workers

    /// Returns true if the worker's socket may be read, which is also so without a peer.
    pub fn wants(&self, plugin: &str) -> bool {
        self.channels.get(plugin).is_none_or(Channel::wants)
    }

    /// Handles a record with a message of the worker.
    pub fn handle_record(&mut self, plugin: &str, record: Vec<u8>) {
        if let Some(channel) = self.channels.get_mut(plugin) {
            channel.push(record);
        }
    }

    /// Returns the next record for the worker. Marks at the head of the queue become events.
    pub fn delivery(&mut self, plugin: &str) -> Option<&[u8]> {
        let channel = self.channels.get_mut(plugin)?;
        while let Some(Delivery::Mark(id)) = channel.delivery() {
            let channel_name = plugin.to_owned();
            self.events.push_back(Event::Marked {
                id: *id,
                channel: channel_name,
            });
            channel.handle_delivered();
        }
        match channel.delivery() {
            Some(Delivery::Record(record)) => Some(record),
            _ => None,
        }
    }

    /// Returns the indices of paths with a session whose peer has not answered for a while.
    pub fn silent_paths(&self, now: Now) -> Vec<usize> {
        let paths = self.paths.iter().enumerate();
        let silent = paths.filter(|(_, path)| path.is_silent(now.ns));
        silent.map(|(index, _)| index).collect()
    }

    /// Returns the time for which the peer has not answered over a path with a session.
    pub fn silence_ns(&self, path: usize, now: Now) -> u64 {
        let joined = self.paths.get(path).filter(|path| path.is_joined());
        joined.map_or(0, |path| path.liveness.silence_ns(now.ns))
    }

    /// Returns true if the peer has answered over a path with a session since this time.
    pub fn has_answered_since(&self, path: usize, since_ns: u64) -> bool {
        let joined = self.paths.get(path).filter(|path| path.is_joined());
        joined.is_some_and(|path| path.liveness.answered_ns() >= Some(since_ns))
    }

    /// Handles that the worker has taken the record.
    pub fn handle_delivered(&mut self, now: Now, plugin: &str) {
        if let Some(channel) = self.channels.get_mut(plugin) {
            let soon = channel.handle_delivered();
            self.feedback.schedule(now.ns, soon);
        }
    }

    // ---- time

    pub fn next_timeout(&self, now: Now) -> Option<u64> {
        let ends = self.association.as_ref().and_then(|a| a.ends_at_ns);
        let paths = self.paths.iter().filter_map(|path| path.next_ns(now.ns));
        let carries = self.carrier().and(self.feedback.next_ns());
        paths.chain(ends).chain(carries).min()
    }

    pub fn handle_timeout(&mut self, now: Now) {
        for index in 0..self.paths.len() {
            let Some(why) = self.paths.get(index).and_then(|path| path.overdue(now.ns)) else {
                continue;
            };
            self.events.push_back(Event::Close {
                path: index,
                why: why.to_owned(),
            });
            self.handle_closed(now, index, why);
        }
        self.choose(now, "");
        let ends = self.association.as_ref().and_then(|a| a.ends_at_ns);
        if ends.is_some_and(|at| now.ns >= at) {
            self.end("no path is left", true);
        }
    }

    /// Chooses the path for data; `why` tells why the path before is gone, if it is.
    fn choose(&mut self, now: Now, why: &str) {
        let Some(association) = &mut self.association else {
            return;
        };
        let Some(change) = association.choose_carrier(now, &mut self.paths) else {
            return;
        };
        if let Some(from) = change.from {
            self.path_changes += 1;
            let why = if change.was_silent {
                "it is silent"
            } else {
                why
            };
            self.events.push_back(Event::Moved {
                from,
                to: change.to,
                why: why.to_owned(),
            });
        }
        self.feedback.schedule(now.ns, true);
    }

    /// Returns the path for data.
    fn carrier(&self) -> Option<usize> {
        self.association.as_ref()?.carrier
    }

    // ---- status

    /// Fills in the session's part of the status; the owner of the connections names the paths.
    pub fn state(&self, state: &mut State) {
        for (index, path) in self.paths.iter().enumerate() {
            if let Some(told) = state.paths.get_mut(index) {
                told.up = path.is_joined();
                told.carries = told.up && self.carrier() == Some(index);
                told.round_trip_us = path.liveness.round_trip_us();
            }
        }
        let offered = self
            .channels
            .iter()
            .filter(|(_, channel)| channel.own.is_some());
        state.channels = offered
            .map(|(plugin, channel)| (plugin.clone(), channel.state()))
            .collect();
        let heard = self.carrier().and_then(|index| self.paths.get(index));
        state.clock_ms = heard.and_then(|path| path.liveness.clock_ms());
        let association = self.association.as_ref();
        let sequence = association.map(|a| &a.sequence);
        let words = association.map_or(0, |a| a.words.queued_bytes());
        let queued: usize = self.channels.values().map(Channel::queued_bytes).sum();
        let waiting = queued + words + sequence.map_or(0, Sequence::backlog);
        state.backlog = waiting as u64;
        state.sent_again = self.sent_again + sequence.map_or(0, |s| s.sent_again);
        state.path_changes = self.path_changes;
        state.ignored = association.map_or(0, |a| a.ignored);
    }
}

impl Association {
    fn offer(&mut self, plugin: &str, channel: &Channel) {
        let Some(wire) = channel.own else {
            return;
        };
        let frame = Numbered::Offer {
            channel: channel.id,
            epoch: channel.epoch,
            wire_min: wire.min,
            wire_max: wire.max,
            name: plugin,
        };
        let name = Rc::new(plugin.as_bytes().to_vec());
        let range = 0..name.len();
        self.sequence
            .push(&frame, Some(Piece { bytes: name, range }));
    }
}
