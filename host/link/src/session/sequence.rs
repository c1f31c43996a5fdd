//! Keeps numbered frames until they are acknowledged, and sends them again after a change of path.

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use crate::frame::{Head, Numbered};

/// Limit of unacknowledged bytes, beyond which no further frame of a channel is started.
const UNACKED_MAX: usize = 4 << 20;
/// Limit of unacknowledged bytes for words of the host, so that they overtake channels that reached
/// their limit.
const UNACKED_WITH_WORDS_MAX: usize = UNACKED_MAX + (1 << 20);
/// Cost of a frame in addition to its bytes.
const FRAME_COST: usize = 64;

/// Part of a message, which is not copied.
#[derive(Clone, Debug)]
pub struct Piece {
    pub bytes: Rc<Vec<u8>>,
    pub range: Range<usize>,
}

impl Piece {
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(self.range.clone()).unwrap_or_default()
    }
}

/// A frame as it is sent.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub head: Head,
    pub piece: Option<Piece>,
}

impl Outgoing {
    pub fn bytes(&self) -> usize {
        self.head.as_bytes().len() + self.piece.as_ref().map_or(0, |piece| piece.range.len())
    }
}

/// State of both directions of an association.
#[derive(Debug)]
pub struct Sequence {
    /// Number of the next new frame.
    next: u64,
    /// Last acknowledged number. Later frames are kept in `unacked`.
    acked: u64,
    unacked: VecDeque<Outgoing>,
    unacked_bytes: usize,
    /// Number of unacknowledged frames sent over the present path.
    sent: usize,
    /// Number of unacknowledged frames sent over any path.
    ever_sent: usize,
    /// Last number received from the peer.
    taken: u64,
    pub sent_again: u64,
}

impl Default for Sequence {
    fn default() -> Self {
        Self {
            next: 1,
            acked: 0,
            unacked: VecDeque::new(),
            unacked_bytes: 0,
            sent: 0,
            ever_sent: 0,
            taken: 0,
            sent_again: 0,
        }
    }
}

/// Treatment of a received numbered frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    Take,
    /// A duplicate, received over another path before.
    Known,
    /// A gap, which no path can cause.
    Gap,
}

impl Sequence {
    pub fn has_room(&self) -> bool {
        self.unacked_bytes < UNACKED_MAX
    }

    pub fn has_room_for_words(&self) -> bool {
        self.unacked_bytes < UNACKED_WITH_WORDS_MAX
    }

    pub fn backlog(&self) -> usize {
        self.unacked_bytes
    }

    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Numbers a frame; [`poll`](Self::poll) sends it.
    pub fn push(&mut self, frame: &Numbered<'_>, piece: Option<Piece>) {
        let length = piece.as_ref().map_or(0, |piece| piece.range.len());
        let mut head = frame.head(length);
        head.set_sequence(self.next);
        self.next += 1;
        let outgoing = Outgoing { head, piece };
        self.unacked_bytes += outgoing.bytes() + FRAME_COST;
        self.unacked.push_back(outgoing);
    }

    /// Returns the next frame for the path that carries data.
    pub fn poll(&mut self) -> Option<&Outgoing> {
        let outgoing = self.unacked.get(self.sent)?;
        self.sent += 1;
        if self.sent <= self.ever_sent {
            self.sent_again += 1;
        }
        self.ever_sent = self.ever_sent.max(self.sent);
        Some(outgoing)
    }

    pub fn has_unsent(&self) -> bool {
        self.sent < self.unacked.len()
    }

    /// Starts again after a change of path: all unacknowledged frames are sent again.
    pub fn rewind(&mut self) {
        self.sent = 0;
    }

    /// # Errors
    /// The peer acknowledges data that was never sent.
    pub fn handle_ack(&mut self, sequence: u64) -> Result<(), &'static str> {
        let count = sequence.saturating_sub(self.acked);
        let sent = u64::try_from(self.ever_sent).unwrap_or(u64::MAX);
        if count > sent {
            return Err("the peer acknowledges data that was not sent");
        }
        for _ in 0..count {
            if let Some(outgoing) = self.unacked.pop_front() {
                self.unacked_bytes -= outgoing.bytes() + FRAME_COST;
            }
            self.sent = self.sent.saturating_sub(1);
            self.ever_sent = self.ever_sent.saturating_sub(1);
        }
        self.acked += count;
        Ok(())
    }

    pub fn handle_number(&mut self, sequence: u64) -> Disposition {
        match sequence.checked_sub(self.taken) {
            Some(1) => {
                self.taken = sequence;
                Disposition::Take
            }
            Some(2..) => Disposition::Gap,
            Some(0) | None => Disposition::Known,
        }
    }
}
