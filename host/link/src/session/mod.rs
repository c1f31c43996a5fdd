//! What two link processes have between them, without input or output of its own.
//!
//! `handle_*` feed it with bytes of the paths, records of the workers and the host's wishes, and
//! [`Session::poll_transmit`], [`Session::delivery`] and [`Session::poll_event`] drain it. Paths
//! come and go; what is numbered goes over one of them at a time, and over another from the last
//! acknowledged on. An association of two runs ends when either is started anew, or when no path
//! was there for [`GRACE_NS`]: then every channel goes down, and what was queued is lost.

mod channel;
mod path;
mod pulse;
mod sequence;
#[cfg(test)]
mod tests;
mod words;

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use channel::{Channel, Flow, Twin};
pub use channel::{Delivery, WINDOW, Wire};
use path::{Path, Stage};
use pulse::Pong;
pub use pulse::{PING_NS, SILENCE_NS};
pub use sequence::Outgoing;
use sequence::{Piece, Sequence, Verdict};
use words::Words;

use crate::frame::{self, Frame, Hello, Numbered, plain};
use crate::message::State;
use crate::word::{Introduction, Word};

/// How long an association outlives its last path.
pub const GRACE_NS: u64 = 1_000_000_000;
/// Acknowledgements and credits wait so long for something to travel with.
const FEEDBACK_NS: u64 = 10_000_000;
/// Or until so much has come.
const FEEDBACK_BYTES: usize = 128 << 10;
/// What a channel may send before it is another's turn.
const TURN_BYTES: usize = 16 << 10;
/// Channels that either side may offer.
const CHANNELS_MAX: usize = 64;

/// What the host is to be told, or done by whoever holds the connections.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    Up(Introduction),
    Down {
        why: String,
    },
    Heard(Word),
    Wire {
        plugin: String,
        agreed: Result<u32, String>,
    },
    Marked {
        id: u64,
        channel: String,
    },
    /// The peer greeted over this path.
    Joined {
        path: usize,
    },
    /// Data takes another path.
    Moved {
        from: usize,
        to: usize,
        why: String,
    },
    /// Close the connection of a path.
    Close {
        path: usize,
        why: String,
    },
    /// A word that was not sent, or not understood.
    Lost(String),
}

/// Both clocks: monotonic nanoseconds, wall-clock microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub ns: u64,
    pub wall_us: u64,
}

#[derive(Debug)]
pub struct Session {
    node: String,
    peer: String,
    introduction: Introduction,
    /// This node's; another one after each association that it ended itself.
    run: u64,
    association: Option<Association>,
    paths: Vec<Path>,
    carrier: Option<usize>,
    channels: BTreeMap<String, Channel>,
    words: Words,
    turn: usize,
    feedback_at_ns: Option<u64>,
    feedback_bytes: usize,
    events: VecDeque<Event>,
    failovers: u64,
    sent_again: u64,
}

/// With one run of the peer's.
#[derive(Debug, Default)]
struct Association {
    peer_run: u64,
    sequence: Sequence,
    /// The peer's channels, by its numbers.
    names: BTreeMap<u16, String>,
    /// When it ends for want of a path.
    ends_at_ns: Option<u64>,
}

impl Session {
    /// `run` is random; `paths` is how many there may be.
    pub fn new(node: &str, peer: &str, introduction: Introduction, run: u64, paths: usize) -> Self {
        Self {
            node: node.to_owned(),
            peer: peer.to_owned(),
            introduction,
            run: run.max(1),
            association: None,
            paths: (0..paths).map(|_| Path::default()).collect(),
            carrier: None,
            channels: BTreeMap::new(),
            words: Words::default(),
            turn: 0,
            feedback_at_ns: None,
            feedback_bytes: 0,
            events: VecDeque::new(),
            failovers: 0,
            sent_again: 0,
        }
    }

    /// The paths are these from now on, by where each was before; new ones were nowhere. Those
    /// that go are closed already.
    pub fn arrange_paths(&mut self, order: &[Option<usize>]) {
        let mut old = std::mem::take(&mut self.paths);
        let paths = order.iter().map(|from| {
            let known = from.and_then(|from| old.get_mut(from));
            known.map(std::mem::take).unwrap_or_default()
        });
        self.paths = paths.collect();
        let place = |old: usize| order.iter().position(|from| *from == Some(old));
        self.carrier = self.carrier.and_then(place);
        let events = std::mem::take(&mut self.events).into_iter();
        self.events = events
            .filter_map(|event| match event {
                Event::Joined { path } => place(path).map(|path| Event::Joined { path }),
                Event::Close { path, why } => place(path).map(|path| Event::Close { path, why }),
                Event::Moved { from, to, why } => {
                    let (from, to) = place(from).zip(place(to))?;
                    Some(Event::Moved { from, to, why })
                }
                other => Some(other),
            })
            .collect();
    }

    /// Told to the peer with the next session.
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
        self.paths.get(path).is_some_and(Path::is_joined)
    }

    // ---- the host's wishes

    /// This node's worker, a new one, speaks these versions.
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

    /// The worker is gone.
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

    /// To the peer's host; without an association it is lost.
    pub fn say(&mut self, word: &Word) {
        if self.association.is_none() {
            return;
        }
        if let Err(why) = self.words.push(word) {
            self.events.push_back(Event::Lost(why));
        }
    }

    /// Behind all that is queued for the channel by now.
    pub fn mark(&mut self, id: u64, plugin: &str) {
        if let Some(channel) = self.channels.get_mut(plugin) {
            channel.push_mark(id);
        }
    }

    // ---- workers

    /// Whether the worker may be read.
    pub fn wants(&self, plugin: &str) -> bool {
        self.channels.get(plugin).is_some_and(Channel::wants)
    }

    /// A message of the worker's, as its record.
    pub fn handle_record(&mut self, plugin: &str, record: Vec<u8>) {
        if let Some(channel) = self.channels.get_mut(plugin) {
            channel.push(record);
        }
    }

    /// The next record for the worker. Marks that nothing precedes any more become events.
    pub fn delivery(&mut self, plugin: &str) -> Option<&[u8]> {
        let channel = self.channels.get_mut(plugin)?;
        while let Some(Delivery::Mark(id)) = channel.delivery() {
            let channel_name = plugin.to_owned();
            self.events.push_back(Event::Marked {
                id: *id,
                channel: channel_name,
            });
            channel.delivered();
        }
        match channel.delivery() {
            Some(Delivery::Record(record)) => Some(record),
            _ => None,
        }
    }

    /// The worker has taken it.
    pub fn handle_delivered(&mut self, now: Now, plugin: &str) {
        if let Some(channel) = self.channels.get_mut(plugin) {
            let soon = channel.delivered();
            self.owe_feedback(now, soon);
        }
    }

    // ---- paths

    /// A connection with the pinned key is there.
    pub fn handle_opened(&mut self, now: Now, index: usize) {
        if let Some(path) = self.paths.get_mut(index) {
            *path = Path::opened(now.ns);
        }
    }

    /// The connection is gone.
    pub fn handle_closed(&mut self, now: Now, index: usize, why: &str) {
        let Some(path) = self.paths.get_mut(index) else {
            return;
        };
        let joined = path.is_joined();
        *path = Path::default();
        if joined {
            self.choose(now, why);
        }
    }

    /// Bytes of the peer's.
    ///
    /// # Errors
    /// Why the connection must be closed; the peer may be told.
    pub fn handle_bytes(&mut self, now: Now, index: usize, bytes: &[u8]) -> Result<(), String> {
        let Some(path) = self.paths.get_mut(index) else {
            return Ok(());
        };
        let mut splitter = std::mem::take(&mut path.splitter);
        let result = splitter.feed(bytes, |kind, body| match Frame::parse(kind, body) {
            Ok(Some(frame)) => self.handle_frame(now, index, &frame, body.len()),
            Ok(None) => Ok(()),
            Err(frame::Malformed(why)) => Err(format!("the peer sends {why}")),
        });
        if let Some(path) = self.paths.get_mut(index) {
            path.splitter = splitter;
        }
        result
    }

    fn handle_frame(
        &mut self,
        now: Now,
        index: usize,
        frame: &Frame<'_>,
        bytes: usize,
    ) -> Result<(), String> {
        let Some(path) = self.paths.get_mut(index) else {
            return Ok(());
        };
        match (frame, path.is_joined()) {
            (Frame::Hello(hello), false) => return self.handle_hello(now, index, hello),
            (Frame::Refused(why), _) => {
                return Err(format!("{} refuses: {}", self.peer, plain(why)));
            }
            (_, false) => return Err("the peer does not greet first".to_owned()),
            (Frame::Hello(_), true) => return Err("the peer greets twice".to_owned()),
            (Frame::Ping { number }, true) => path.pulse.handle_ping(*number, now.wall_us),
            (
                Frame::Pong {
                    number,
                    received_us,
                    sent_us,
                },
                true,
            ) => {
                let pong = Pong {
                    number: *number,
                    received_us: *received_us,
                    sent_us: *sent_us,
                    wall_us: now.wall_us,
                };
                path.pulse.handle_pong(now.ns, pong);
            }
            (Frame::Ack { sequence }, true) => {
                if let Some(association) = &mut self.association {
                    association.sequence.handle_ack(*sequence)?;
                }
            }
            (
                Frame::Credit {
                    channel,
                    epochs,
                    bytes,
                    messages,
                },
                true,
            ) => {
                let taken = Flow {
                    bytes: *bytes,
                    messages: *messages,
                };
                let mut channels = self.channels.values_mut();
                if let Some(channel) = channels.find(|own| own.id == *channel) {
                    channel.handle_credit(*epochs, taken)?;
                }
            }
            (Frame::Numbered(sequence, numbered), true) => {
                self.handle_numbered(now, *sequence, numbered, bytes)?;
            }
        }
        Ok(())
    }

    fn handle_hello(&mut self, now: Now, index: usize, hello: &Hello) -> Result<(), String> {
        hello.common_version()?;
        self.check_name(&hello.introduction.node)?;
        let path = self.paths.get_mut(index);
        if path.as_ref().and_then(|path| path.greeted_as()) != Some(self.run) {
            return Err("the association ended meanwhile".to_owned());
        }
        if hello.run == self.run || hello.run == 0 {
            return Err("the peer is this process".to_owned());
        }
        let known = self
            .association
            .as_ref()
            .map(|association| association.peer_run);
        if known != Some(hello.run) {
            if known.is_some() {
                self.end(&format!("{} was started anew", self.peer), false);
            }
            self.begin(hello);
        } else if hello.knows == self.run {
            if let Some(association) = &mut self.association {
                association.sequence.handle_ack(hello.taken)?;
            }
        }
        if let Some(path) = self.paths.get_mut(index) {
            path.join(now.ns);
            self.events.push_back(Event::Joined { path: index });
        }
        self.owe_feedback(now, true);
        self.choose(now, "");
        Ok(())
    }

    fn check_name(&self, name: &str) -> Result<(), String> {
        if name == self.peer {
            return Ok(());
        }
        Err(format!(
            "the node with {}'s key calls itself \"{}\"; its node.name or [nodes] is wrong",
            self.peer,
            plain(name)
        ))
    }

    fn begin(&mut self, hello: &Hello) {
        let mut association = Association {
            peer_run: hello.run,
            ..Association::default()
        };
        for (plugin, channel) in &mut self.channels {
            if channel.own.is_some() {
                association.offer(plugin, channel);
            }
        }
        self.association = Some(association);
        self.events.push_back(Event::Up(hello.introduction.clone()));
    }

    /// All channels go down, and no path of the old association stays.
    fn end(&mut self, why: &str, by_us: bool) {
        let Some(association) = self.association.take() else {
            return;
        };
        self.sent_again += association.sequence.sent_again;
        self.carrier = None;
        self.words = Words::default();
        for channel in self.channels.values_mut() {
            channel.go_down();
            channel.twin = None;
        }
        for (path, connection) in self.paths.iter_mut().enumerate() {
            if connection.is_joined() {
                *connection = Path::default();
                let why = why.to_owned();
                self.events.push_back(Event::Close { path, why });
            }
        }
        if by_us {
            self.run = self.run.wrapping_add(1).max(1);
        }
        let why = why.to_owned();
        self.events.push_back(Event::Down { why });
    }

    fn handle_numbered(
        &mut self,
        now: Now,
        number: u64,
        frame: &Numbered<'_>,
        bytes: usize,
    ) -> Result<(), String> {
        let Some(association) = &mut self.association else {
            return Ok(());
        };
        match association.sequence.handle_number(number) {
            Verdict::Known => return Ok(()),
            Verdict::Gap => return Err("the peer leaves out what was not taken".to_owned()),
            Verdict::Take => {}
        }
        self.feedback_bytes += bytes;
        let soon = self.feedback_bytes >= FEEDBACK_BYTES;
        self.owe_feedback(now, soon);
        match *frame {
            Numbered::Offer {
                channel,
                epoch,
                wire_min,
                wire_max,
                name,
            } => {
                let wire = Wire {
                    min: wire_min,
                    max: wire_max,
                };
                let twin = Twin {
                    channel,
                    epoch,
                    wire,
                };
                self.handle_offer(name, twin);
            }
            Numbered::Withdraw { channel } => {
                if let Some(channel) = self.channel_of(channel) {
                    channel.go_down();
                    channel.twin = None;
                }
            }
            Numbered::Data {
                channel,
                epoch,
                last,
                piece,
            } => {
                if let Some(channel) = self.channel_of(channel) {
                    channel.handle_data(epoch, last, piece)?;
                }
            }
            Numbered::Mark { channel, epoch, id } => {
                if let Some(channel) = self.channel_of(channel) {
                    channel.handle_mark(epoch, id)?;
                }
            }
            Numbered::Word { last, piece } => match self.words.handle_piece(last, piece) {
                Ok(Some(word)) => self.events.push_back(Event::Heard(word)),
                Ok(None) => {}
                Err(why) => self
                    .events
                    .push_back(Event::Lost(format!("{}: {why}", self.peer))),
            },
            Numbered::Unknown => {}
        }
        Ok(())
    }

    fn handle_offer(&mut self, name: &str, twin: Twin) {
        let Some(association) = &mut self.association else {
            return;
        };
        if !self.channels.contains_key(name) {
            if self.channels.len() >= CHANNELS_MAX {
                return;
            }
            let id = u16::try_from(self.channels.len()).unwrap_or(u16::MAX);
            self.channels.insert(name.to_owned(), Channel::new(id));
        }
        association.names.insert(twin.channel, name.to_owned());
        if let Some(channel) = self.channels.get_mut(name) {
            channel.go_down();
            channel.twin = Some(twin);
        }
        self.agree(name);
    }

    fn channel_of(&mut self, number: u16) -> Option<&mut Channel> {
        let name = self.association.as_ref()?.names.get(&number)?;
        self.channels.get_mut(name)
    }

    /// Where both twins are there: what they speak, or why they do not.
    fn agree(&mut self, plugin: &str) {
        let Some(channel) = self.channels.get_mut(plugin) else {
            return;
        };
        let (Some(own), Some(twin)) = (channel.own, channel.twin) else {
            return;
        };
        let agreed = own.common(twin.wire).ok_or_else(|| {
            format!(
                "{}'s {plugin} speaks {} to {}, this node's {} to {}",
                self.peer, twin.wire.min, twin.wire.max, own.min, own.max
            )
        });
        if let Ok(wire) = agreed {
            channel.go_up(wire);
        }
        let plugin = plugin.to_owned();
        self.events.push_back(Event::Wire { plugin, agreed });
    }

    // ---- time

    pub fn next_timeout(&self, now: Now) -> Option<u64> {
        let ends = self.association.as_ref().and_then(|a| a.ends_at_ns);
        let paths = self.paths.iter().filter_map(|path| path.next_ns(now.ns));
        let carries = self.carrier.and(self.feedback_at_ns);
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

    /// Which path carries data. It is left when it is gone, or silent while another answers.
    fn choose(&mut self, now: Now, why: &str) {
        let Some(association) = &mut self.association else {
            return;
        };
        let alive = |index: usize| self.paths.get(index).filter(|path| path.is_joined());
        let current = self.carrier.and_then(alive);
        let silent = current.is_some_and(|path| path.is_suspect(now.ns));
        if current.is_some() && !silent {
            association.ends_at_ns = None;
            return;
        }
        let others = (0..self.paths.len()).filter(|index| Some(*index) != self.carrier);
        let better = others
            .filter_map(|index| alive(index).map(|path| (index, path)))
            .filter(|(_, path)| !silent || path.pulse.answers(now.ns))
            .min_by_key(|(_, path)| path.pulse.silence_ns(now.ns));
        match better.map(|(index, _)| index) {
            Some(to) => {
                association.ends_at_ns = None;
                association.sequence.rewind();
                if let Some(from) = self.carrier.replace(to) {
                    self.failovers += 1;
                    let why = if silent { "it is silent" } else { why };
                    self.events.push_back(Event::Moved {
                        from,
                        to,
                        why: why.to_owned(),
                    });
                }
                for path in &mut self.paths {
                    path.tell_all = false;
                }
                if let Some(path) = self.paths.get_mut(to) {
                    path.tell_all = true;
                }
                self.owe_feedback(now, true);
            }
            None if current.is_none() => {
                self.carrier = None;
                association.ends_at_ns.get_or_insert(now.ns + GRACE_NS);
            }
            None => {}
        }
    }

    fn owe_feedback(&mut self, now: Now, soon: bool) {
        let at = if soon { now.ns } else { now.ns + FEEDBACK_NS };
        self.feedback_at_ns = Some(self.feedback_at_ns.map_or(at, |before| before.min(at)));
    }

    // ---- out

    /// Appends what is to be sent over a path: at least `bytes` of it, where there is so much.
    pub fn poll_transmit(&mut self, now: Now, index: usize, bytes: usize, out: &mut Transmit) {
        let hello = self.hello();
        let Some(path) = self.paths.get_mut(index) else {
            return;
        };
        match path.stage {
            Stage::Closed => return,
            Stage::Opened => {
                path.greet(self.run);
                return frame::append(out.control(), &Frame::Hello(Box::new(hello)));
            }
            Stage::Greeted { .. } => return,
            Stage::Joined => {}
        }
        if let Some(number) = path.pulse.poll_ping(now.ns, now.wall_us) {
            frame::append(out.control(), &Frame::Ping { number });
        }
        while let Some((number, received_us)) = path.pulse.poll_pong() {
            let pong = Frame::Pong {
                number,
                received_us,
                sent_us: now.wall_us,
            };
            frame::append(out.control(), &pong);
        }
        if self.carrier == Some(index) {
            self.transmit_feedback(now, index, out);
            self.transmit_numbered(bytes, out);
        }
    }

    fn hello(&self) -> Hello {
        let association = self.association.as_ref();
        Hello {
            version_min: frame::VERSION_MIN,
            version_max: frame::VERSION_MAX,
            run: self.run,
            knows: association.map_or(0, |a| a.peer_run),
            taken: association.map_or(0, |a| a.sequence.taken()),
            introduction: Introduction {
                node: self.node.clone(),
                ..self.introduction.clone()
            },
        }
    }

    fn transmit_feedback(&mut self, now: Now, index: usize, out: &mut Transmit) {
        if self.feedback_at_ns.is_none_or(|at| now.ns < at) {
            return;
        }
        self.feedback_at_ns = None;
        self.feedback_bytes = 0;
        let again = self
            .paths
            .get_mut(index)
            .is_some_and(|path| std::mem::take(&mut path.tell_all));
        if let Some(association) = &self.association {
            let sequence = association.sequence.taken();
            frame::append(out.control(), &Frame::Ack { sequence });
        }
        for channel in self.channels.values_mut() {
            let own = channel.epoch;
            if let Some((twin, taken)) = channel.poll_credit(again) {
                let credit = Frame::Credit {
                    channel: twin.channel,
                    epochs: (twin.epoch, own),
                    bytes: taken.bytes,
                    messages: taken.messages,
                };
                frame::append(out.control(), &credit);
            }
        }
    }

    fn transmit_numbered(&mut self, bytes: usize, out: &mut Transmit) {
        let Some(association) = &mut self.association else {
            return;
        };
        let sequence = &mut association.sequence;
        while out.len() < bytes {
            if !sequence.has_unsent() {
                if !sequence.has_room() {
                    return;
                }
                self.turn = self.turn.wrapping_add(1);
                if !take_turn(self.turn, &mut self.channels, &mut self.words, sequence) {
                    return;
                }
            }
            while out.len() < bytes {
                let Some(outgoing) = sequence.poll() else {
                    break;
                };
                out.push(outgoing.clone());
            }
        }
    }

    // ---- for people

    /// Fills in what the session knows; paths are named by whoever holds their connections.
    pub fn state(&self, state: &mut State) {
        for (index, path) in self.paths.iter().enumerate() {
            if let Some(told) = state.paths.get_mut(index) {
                told.up = path.is_joined();
                told.carries = told.up && self.carrier == Some(index);
                told.round_trip_us = path.pulse.round_trip_us();
            }
        }
        let offered = self
            .channels
            .iter()
            .filter(|(_, channel)| channel.own.is_some());
        state.channels = offered
            .map(|(plugin, channel)| (plugin.clone(), channel.state()))
            .collect();
        let heard = self.carrier.and_then(|index| self.paths.get(index));
        state.clock_ms = heard.and_then(|path| path.pulse.clock_ms());
        let sequence = self.association.as_ref().map(|a| &a.sequence);
        let queued: usize = self.channels.values().map(Channel::queued_bytes).sum();
        let waiting = queued + self.words.queued_bytes() + sequence.map_or(0, Sequence::backlog);
        state.backlog = waiting as u64;
        state.sent_again = self.sent_again + sequence.map_or(0, |s| s.sent_again);
        state.failovers = self.failovers;
    }
}

/// Numbers what one of the channels, or the host, has to say; false where nobody has anything.
fn take_turn(
    turn: usize,
    channels: &mut BTreeMap<String, Channel>,
    words: &mut Words,
    sequence: &mut Sequence,
) -> bool {
    // The host's words are small, and handovers hang on them.
    if let Some((frame, piece)) = words.poll() {
        sequence.push(&frame, Some(piece));
        return true;
    }
    let count = channels.len().max(1);
    let first = turn % count;
    let (before, after): (Vec<_>, Vec<_>) = channels
        .values_mut()
        .enumerate()
        .partition(|(at, _)| *at < first);
    let ready = after
        .into_iter()
        .chain(before)
        .map(|(_, channel)| channel)
        .find(|channel| channel.is_ready());
    let Some(channel) = ready else {
        return false;
    };
    let mut spent = 0;
    while spent < TURN_BYTES {
        let Some((frame, piece)) = channel.poll() else {
            break;
        };
        spent += 32 + piece.as_ref().map_or(0, |piece| piece.range.len());
        sequence.push(&frame, piece);
    }
    true
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

/// What goes over a path: small frames first, then numbered ones whose pieces are not copied.
#[derive(Debug, Default)]
pub struct Transmit {
    control: Vec<u8>,
    numbered: Vec<Outgoing>,
    numbered_bytes: usize,
}

impl Transmit {
    fn control(&mut self) -> &mut Vec<u8> {
        &mut self.control
    }

    fn push(&mut self, outgoing: Outgoing) {
        self.numbered_bytes += outgoing.bytes();
        self.numbered.push(outgoing);
    }

    pub fn len(&self) -> usize {
        self.control.len() + self.numbered_bytes
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, in order.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let numbered = self.numbered.iter().flat_map(|outgoing| {
            let piece = outgoing.piece.as_ref().map_or(&[][..], Piece::as_bytes);
            [outgoing.head.as_bytes(), piece]
        });
        std::iter::once(self.control.as_slice())
            .chain(numbered)
            .filter(|part| !part.is_empty())
    }

    pub fn clear(&mut self) {
        self.control.clear();
        self.numbered.clear();
        self.numbered_bytes = 0;
    }
}
