//! Queues messages between the hosts (words), and sends them in pieces between the channels'
//! frames.

use std::collections::VecDeque;
use std::rc::Rc;

use super::sequence::Piece;
use crate::frame::{FRAGMENT_MAX, Numbered};
use crate::word::{WORD_MAX, Word};

/// Maximum size of queued words, in bytes. Further words are dropped and reported.
const QUEUE_MAX: usize = 2 << 20;

#[derive(Debug, Default)]
pub struct Words {
    queue: VecDeque<Rc<Vec<u8>>>,
    queue_bytes: usize,
    sent_of_first: usize,
    partial: Vec<u8>,
    /// True while the rest of a word that is too long is skipped.
    too_long: bool,
}

impl Words {
    /// # Errors
    /// The word is too long, or too many wait; a sentence says which.
    pub fn push(&mut self, word: &Word) -> Result<(), String> {
        let json = serde_json::to_vec(word).map_err(|error| error.to_string())?;
        if json.len() > WORD_MAX {
            return Err(format!(
                "message of {} bytes to the peer dropped, limit is {WORD_MAX}",
                json.len()
            ));
        }
        if self.queue_bytes + json.len() > QUEUE_MAX {
            return Err("message to the peer dropped: the queue is full".to_owned());
        }
        self.queue_bytes += json.len();
        self.queue.push_back(Rc::new(json));
        Ok(())
    }

    pub fn queued_bytes(&self) -> usize {
        self.queue_bytes
    }

    pub fn poll(&mut self) -> Option<(Numbered<'static>, Piece)> {
        let bytes = Rc::clone(self.queue.front()?);
        let range = self.sent_of_first..(self.sent_of_first + FRAGMENT_MAX).min(bytes.len());
        let last = range.end == bytes.len();
        self.sent_of_first = range.end;
        if last {
            self.queue_bytes -= bytes.len();
            self.sent_of_first = 0;
            self.queue.pop_front();
        }
        Some((Numbered::Word { last, piece: &[] }, Piece { bytes, range }))
    }

    /// # Errors
    /// The word is too long or malformed; a sentence says which.
    pub fn handle_piece(&mut self, last: bool, piece: &[u8]) -> Result<Option<Word>, String> {
        self.too_long |= self.partial.len() + piece.len() > WORD_MAX;
        if self.too_long {
            self.partial = Vec::new();
        } else {
            self.partial.extend_from_slice(piece);
        }
        if !last {
            return Ok(None);
        }
        let json = std::mem::take(&mut self.partial);
        if std::mem::take(&mut self.too_long) {
            return Err(format!(
                "a message of more than {WORD_MAX} bytes is ignored"
            ));
        }
        match serde_json::from_slice(&json) {
            Ok(word) => Ok(Some(word)),
            Err(_) => Err("a malformed message is ignored".to_owned()),
        }
    }
}
