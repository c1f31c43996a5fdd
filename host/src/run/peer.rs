//! The other node: what it says over the link, and what it is told.

use std::time::Instant;

use spared_link::word::{Introduction, Word};
use spared_worker::message::Scope;

use super::core::Core;

impl Core {
    /// The first session with the peer is there.
    pub(super) fn handle_link_up(&mut self, introduction: Introduction) {
        let _ = introduction;
    }

    /// No link is up any more.
    pub(super) fn handle_link_down(&mut self, why: String) {
        let _ = why;
    }

    /// From the peer's host: well-formed, its contents not to be trusted.
    pub(super) fn handle_word(&mut self, now: Instant, word: Word) {
        let _ = (now, word);
    }

    pub(super) fn handle_check(
        &mut self,
        now: Instant,
        plugin: &str,
        check: &str,
        weight: u32,
        state: u32,
        why: String,
    ) {
        let _ = (now, plugin, check, weight, state, why);
    }

    pub(super) fn handle_forgotten(&mut self, plugin: &str, check: &str) {
        let _ = (plugin, check);
    }

    pub(super) fn handle_in_sync(&mut self, plugin: &str, yes: bool, why: String) {
        let _ = (plugin, yes, why);
    }

    pub(super) fn handle_scopes(&mut self, plugin: &str, scopes: Vec<(String, Scope)>) {
        let _ = (plugin, scopes);
    }

    pub(super) fn handle_refused(&mut self, plugin: &str, why: String) {
        let _ = (plugin, why);
    }
}
