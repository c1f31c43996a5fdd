//! Sentences for people about lists that did not come into force, each once.

use crate::element::Key;

/// Sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    Warn(String),
    Event(String),
}

#[derive(Debug, Default)]
pub struct Notes {
    queue: Vec<Note>,
    /// Reason of the kernel's refusal of a list, until it accepts one.
    refusal: Option<(Key, i32)>,
    /// Digest of the list that others last loaded here, while the peer may not have it.
    untold_list: Option<u64>,
}

impl Notes {
    pub fn push(&mut self, note: Note) {
        self.queue.push(note);
    }

    pub fn drain(&mut self) -> impl Iterator<Item = Note> {
        self.queue.drain(..)
    }

    /// Handles the kernel's refusal of a list; returns true if people do not know of it yet.
    pub fn handle_rejected(&mut self, key: &Key, errno: i32) -> bool {
        let refusal = Some((key.clone(), errno));
        let is_news = self.refusal != refusal;
        self.refusal = refusal;
        is_news
    }

    /// Handles that the kernel has accepted what was written.
    pub fn handle_accepted(&mut self) {
        self.refusal = None;
    }

    /// Handles a list that others loaded here.
    pub fn handle_loaded(&mut self, digest: u64) {
        self.untold_list = Some(digest);
    }

    /// Handles that the peer has all that was changed here.
    pub fn handle_told(&mut self) {
        self.untold_list = None;
    }

    /// Handles a list of the peer that replaces elements of this digest; returns true if they are a list that others
    /// loaded here and that the peer may not have.
    pub fn handle_replaced(&mut self, digest: u64) -> bool {
        self.untold_list.take() == Some(digest)
    }

    pub fn has_untold_list(&self) -> bool {
        self.untold_list.is_some()
    }
}
