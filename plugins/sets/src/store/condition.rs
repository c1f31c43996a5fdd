//! Condition of a set: the reason why it is not replicated in full, and the reason that people know.

use crate::error::{Hindrance, Trouble};

#[derive(Debug, Default)]
pub struct Condition {
    hindrance: Option<Hindrance>,
    /// Errno of the last refusal by the kernel, until nothing is refused.
    refusal: Option<i32>,
    /// Sentence that was last reported about the set.
    said: Option<String>,
}

impl Condition {
    /// Handles that the kernel has a set that can be replicated.
    pub fn handle_found(&mut self) {
        self.hindrance = None;
    }

    pub fn handle_hindrance(&mut self, hindrance: Hindrance) {
        self.hindrance = Some(hindrance);
    }

    /// Handles the kernel's refusal of an element.
    pub fn handle_refusal(&mut self, errno: i32) {
        self.refusal = Some(errno);
    }

    /// Handles that the kernel has accepted all elements since.
    pub fn handle_accepted(&mut self) {
        self.refusal = None;
    }

    pub fn is_hindered(&self) -> bool {
        self.hindrance.is_some()
    }

    pub fn is_refused(&self) -> bool {
        self.refusal.is_some()
    }

    /// The reason, as a sentence without the set's name.
    pub fn reason(&self) -> Option<String> {
        let hindrance = self.hindrance.as_ref().map(ToString::to_string);
        hindrance.or_else(|| self.refusal.map(|errno| Trouble(errno).to_string()))
    }

    /// The reason if it has changed since the last call; None within: all is well again.
    pub fn poll_change(&mut self) -> Option<Option<String>> {
        let reason = self.reason();
        if reason == self.said {
            return None;
        }
        self.said.clone_from(&reason);
        Some(reason)
    }

    /// Sentence that was last reported.
    pub fn said(&self) -> Option<&str> {
        self.said.as_deref()
    }
}
