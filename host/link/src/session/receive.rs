//! Handles the input from the peer: connections, greetings, frames.

use super::channel::{Channel, Flow, Peer, Wire};
use super::liveness::Pong;
use super::sequence::Disposition;
use super::session_path::SessionPath;
use super::{Association, CHANNELS_MAX, ENDED_MAX, Event, Now, Session};
use crate::frame::{self, Frame, Hello, Numbered, plain};
use crate::word::Word;

impl Session {
    /// Handles a connection that has proved a pinned key.
    pub fn handle_opened(&mut self, now: Now, index: usize) {
        if let Some(path) = self.paths.get_mut(index) {
            *path = SessionPath::opened(now.ns);
        }
    }

    /// Handles that a connection was opened over which this node has greeted already, with this run.
    pub fn handle_greeted(&mut self, index: usize, run: u64) {
        if let Some(path) = self.paths.get_mut(index) {
            path.greet(run);
        }
    }

    /// Handles the end of a connection.
    pub fn handle_closed(&mut self, now: Now, index: usize, why: &str) {
        let Some(path) = self.paths.get_mut(index) else {
            return;
        };
        let joined = path.is_joined();
        *path = SessionPath::default();
        if joined {
            self.choose(now, why);
        }
    }

    /// Handles bytes from the peer.
    ///
    /// # Errors
    /// The reason to close the connection; the peer may be told.
    pub fn handle_bytes(&mut self, now: Now, index: usize, bytes: &[u8]) -> Result<(), String> {
        let Some(path) = self.paths.get_mut(index) else {
            return Ok(());
        };
        let mut splitter = std::mem::take(&mut path.splitter);
        let result = splitter.feed(bytes, |kind, body| match Frame::parse(kind, body) {
            Ok(Some(frame)) => self.handle_frame(now, index, &frame, body.len()),
            Ok(None) => {
                self.ignore();
                Ok(())
            }
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
            (_, false) => return Err("the peer's first message is not a greeting".to_owned()),
            (Frame::Hello(_), true) => return Err("the peer sent a second greeting".to_owned()),
            (Frame::Ping { number }, true) => {
                path.liveness.handle_ping(now.ns, *number, now.wall_us)
            }
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
                path.liveness.handle_pong(now.ns, pong);
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
            let was_late = self.ended.contains(&hello.run);
            if was_late || self.ended.len() >= ENDED_MAX {
                let what = if was_late {
                    "an old greeting of it was late"
                } else {
                    "it was restarted often"
                };
                let why = format!("{} and this node begin again: {what}", self.peer);
                self.end(&why, true);
                return Err(why);
            }
            if known.is_some() {
                self.end(&format!("{} was restarted", self.peer), false);
            }
            self.begin(hello);
        } else if hello.knows == self.run {
            if let Some(association) = &mut self.association {
                association.sequence.handle_ack(hello.taken)?;
            }
        }
        if let Some(path) = self.paths.get_mut(index) {
            path.join(now.ns);
            self.events.push_back(Event::Joined(index));
        }
        self.feedback.schedule(now.ns, true);
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

    /// Ends the association: all channels go down, and its paths are closed.
    pub(super) fn end(&mut self, why: &str, by_us: bool) {
        let Some(association) = self.association.take() else {
            return;
        };
        self.sent_again += association.sequence.sent_again;
        for channel in self.channels.values_mut() {
            channel.go_down();
            channel.peer = None;
        }
        for (path, connection) in self.paths.iter_mut().enumerate() {
            if connection.is_joined() {
                *connection = SessionPath::default();
                let why = why.to_owned();
                self.events.push_back(Event::Close { path, why });
            }
        }
        if by_us {
            self.run = self.run.wrapping_add(1).max(1);
            self.ended.clear();
        } else {
            self.ended.insert(association.peer_run);
        }
        let why = why.to_owned();
        self.events.push_back(Event::Down(why));
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
            Disposition::Known => return Ok(()),
            Disposition::Gap => return Err("the peer skips data that was not received".to_owned()),
            Disposition::Take => {}
        }
        self.feedback.handle_received(now.ns, bytes);
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
                let peer = Peer {
                    channel,
                    epoch,
                    wire,
                };
                self.handle_offer(name, peer);
            }
            Numbered::Withdraw { channel } => self.handle_withdraw(channel),
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
            Numbered::Word { last, piece } => match association.words.handle_piece(last, piece) {
                Ok(Some(Word::Unknown)) => self.ignore(),
                Ok(Some(word)) => self.events.push_back(Event::Heard(word)),
                Ok(None) => {}
                Err(why) => self
                    .events
                    .push_back(Event::Lost(format!("{}: {why}", self.peer))),
            },
            Numbered::Unknown => self.ignore(),
        }
        Ok(())
    }

    /// Counts a message that only a later version knows. The first one of a session is reported.
    fn ignore(&mut self) {
        let Some(association) = &mut self.association else {
            return;
        };
        association.ignored += 1;
        if association.ignored == 1 {
            let peer = &self.peer;
            self.events.push_back(Event::Lost(format!(
                "{peer} sends messages that only a later version of spared knows: this node ignores and counts them"
            )));
        }
    }

    fn handle_offer(&mut self, name: &str, peer: Peer) {
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
        association.names.insert(peer.channel, name.to_owned());
        if let Some(channel) = self.channels.get_mut(name) {
            channel.go_down();
            channel.peer = Some(peer);
        }
        self.agree(name);
    }

    /// Handles the end of the peer's worker, and with it of the refusal, if there was one.
    fn handle_withdraw(&mut self, number: u16) {
        let names = self.association.as_ref().map(|it| &it.names);
        let Some(plugin) = names.and_then(|names| names.get(&number)).cloned() else {
            return;
        };
        let Some(channel) = self.channels.get_mut(&plugin) else {
            return;
        };
        let was_refused = channel.own.is_some() && channel.wire.is_none();
        channel.go_down();
        if channel.peer.take().is_some() && was_refused {
            self.events.push_back(Event::RefusalOver { plugin });
        }
    }

    fn channel_of(&mut self, number: u16) -> Option<&mut Channel> {
        let name = self.association.as_ref()?.names.get(&number)?;
        self.channels.get_mut(name)
    }

    /// Reports the common version of both workers, or why there is none, if both exist.
    pub(super) fn agree(&mut self, plugin: &str) {
        let Some(channel) = self.channels.get_mut(plugin) else {
            return;
        };
        let (Some(own), Some(peer)) = (channel.own, channel.peer) else {
            return;
        };
        let agreed = own.common(peer.wire).ok_or_else(|| {
            format!(
                "{}'s {plugin} supports wire versions {} to {}, this node's {} to {}: update the older one",
                self.peer, peer.wire.min, peer.wire.max, own.min, own.max
            )
        });
        if let Ok(wire) = agreed {
            channel.go_up(wire);
        }
        let plugin = plugin.to_owned();
        self.events.push_back(Event::Wire { plugin, agreed });
    }
}
