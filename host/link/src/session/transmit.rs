//! Makes the output to the peer: greetings, pings, acknowledgements, and numbered frames of all
//! channels in turn.

use std::collections::BTreeMap;

use super::channel::Channel;
use super::sequence::{Outgoing, Piece, Sequence};
use super::session_path::Stage;
use super::words::Words;
use super::{Association, Now, Session, TURN_BYTES};
use crate::frame::{self, Frame, Hello};
use crate::word::Introduction;

impl Session {
    /// Appends data to send over a path: at least `bytes` bytes, if there are so many.
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
        if let Some(number) = path.liveness.poll_ping(now.ns, now.wall_us) {
            frame::append(out.control(), &Frame::Ping { number });
        }
        while let Some((number, received_us)) = path.liveness.poll_pong() {
            let pong = Frame::Pong {
                number,
                received_us,
                sent_us: now.wall_us,
            };
            frame::append(out.control(), &pong);
        }
        if self.carrier() == Some(index) {
            self.transmit_feedback(now, index, out);
            self.transmit_numbered(bytes, out);
        }
    }

    /// Returns the run and the greeting for a connection that the session does not know yet.
    pub fn greeting(&self) -> (u64, Transmit) {
        let mut out = Transmit::default();
        frame::append(out.control(), &Frame::Hello(Box::new(self.hello())));
        (self.run, out)
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
        if !self.feedback.poll(now.ns) {
            return;
        }
        let again = self
            .paths
            .get_mut(index)
            .is_some_and(|path| std::mem::take(&mut path.resend_credits));
        if let Some(association) = &self.association {
            let sequence = association.sequence.taken();
            frame::append(out.control(), &Frame::Ack { sequence });
        }
        for channel in self.channels.values_mut() {
            let own = channel.epoch;
            if let Some((peer, taken)) = channel.poll_credit(again) {
                let credit = Frame::Credit {
                    channel: peer.channel,
                    epochs: (peer.epoch, own),
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
        let Association {
            sequence, words, ..
        } = association;
        while out.len() < bytes {
            if !sequence.has_unsent() {
                self.turn = self.turn.wrapping_add(1);
                if !take_turn(self.turn, &mut self.channels, words, sequence) {
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
}

/// Numbers the next frame of the host or of a channel. Returns false if there is none.
fn take_turn(
    turn: usize,
    channels: &mut BTreeMap<String, Channel>,
    words: &mut Words,
    sequence: &mut Sequence,
) -> bool {
    // Messages of the host (words) go first: they are small, and switchovers wait for them.
    if sequence.has_room_for_words() {
        if let Some((frame, piece)) = words.poll() {
            sequence.push(&frame, Some(piece));
            return true;
        }
    }
    if !sequence.has_room() {
        return false;
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

/// Data for a path: small frames first, then numbered frames, whose pieces are not copied.
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

    /// Returns all small frames together, then each numbered frame. Each item has two parts, which
    /// may be empty.
    pub fn frames(&self) -> impl Iterator<Item = [&[u8]; 2]> {
        let numbered = self.numbered.iter().map(|outgoing| {
            let piece = outgoing.piece.as_ref().map_or(&[][..], Piece::as_bytes);
            [outgoing.head.as_bytes(), piece]
        });
        std::iter::once([self.control.as_slice(), &[]]).chain(numbered)
    }

    /// Returns the bytes, in order.
    #[cfg(test)]
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.frames().flatten()
    }

    pub fn clear(&mut self) {
        self.control.clear();
        self.numbered.clear();
        self.numbered_bytes = 0;
    }
}
