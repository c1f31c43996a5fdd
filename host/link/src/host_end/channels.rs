//! Sends words to the peer's host, and opens channels of plugins to their peer plugins.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use spared_contract::Descriptor;
use spared_message::link::ToLink;
use spared_message::word::Word;
use zeroize::Zeroizing;

use super::Link;

impl Link {
    /// Sends a word to the peer's host. Returns false if no link is up, or too many words wait for the link's process.
    pub fn say(&mut self, now: Instant, word: Word) -> bool {
        if !self.is_up() {
            return false;
        }
        let record = spared_records::encode(&ToLink::Say(word)).map(Zeroizing::new);
        let sent = record.and_then(|record| self.outbox.send_word(&self.process, record));
        let is_taken = matches!(sent, Ok(true));
        self.handle_send_result(now, sent.map(|_| ())) && is_taken
    }

    /// Puts a mark into each of these channels, behind everything that their workers have queued so far.
    pub fn mark(&mut self, now: Instant, id: u64, channels: Vec<String>) -> bool {
        let message = ToLink::Mark { id, channels };
        self.is_up() && self.send(now, &message, &[])
    }

    /// Connects a running plugin to the link, also if it was connected before: for messages to its peer plugin, and for
    /// signing and verifying. Returns the worker's end.
    pub fn connect(&mut self, now: Instant, descriptor: &Descriptor) -> Option<OwnedFd> {
        if !has_channel(descriptor) || !self.is_running() {
            return None;
        }
        let plugin = &descriptor.name;
        let message = ToLink::Channel {
            plugin: plugin.clone(),
            speaks: descriptor.has_peer,
            wire_min: descriptor.wire_min,
            wire_max: descriptor.wire_max,
        };
        let (ours, theirs) = match spared_records::pair() {
            Ok(pair) => pair,
            Err(error) => {
                log::error!("{plugin}: no channel to its peer: {error}");
                return None;
            }
        };
        self.forget_channel(plugin);
        let is_sent = self.send(now, &message, &[ours.as_fd()]);
        is_sent.then_some(theirs)
    }

    /// Disconnects a plugin whose worker has ended.
    pub fn disconnect(&mut self, now: Instant, plugin: &str, descriptor: Option<&Descriptor>) {
        if descriptor.is_none_or(has_channel) && self.is_running() {
            self.forget_channel(plugin);
            let plugin = plugin.to_owned();
            self.send(now, &ToLink::NoChannel { plugin }, &[]);
        }
    }
}

fn has_channel(descriptor: &Descriptor) -> bool {
    descriptor.has_peer || descriptor.has_identity
}
