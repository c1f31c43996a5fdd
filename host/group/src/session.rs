//! Keeps what is valid for one session with the peer. The peer may come back after a boot, and count its offers from the
//! start again.

use std::collections::BTreeSet;

/// Maximum number of kept marks that arrived before their offer.
const EARLY_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct PeerSession {
    is_up: bool,
    /// Plugins that are connected to their peer plugin.
    channels: BTreeSet<String>,
    /// Marks that arrived before their offer: id of the switchover, and channel.
    early_marks: BTreeSet<(u64, String)>,
    /// Id of the peer's latest offer. Marks of this offer and of earlier ones are not early.
    latest_offer: u64,
}

impl PeerSession {
    pub(super) fn begin(&mut self) {
        self.is_up = true;
    }

    pub(super) fn set_channels(&mut self, channels: BTreeSet<String>) {
        self.channels = channels;
    }

    pub(super) fn remove_channel(&mut self, plugin: &str) {
        self.channels.remove(plugin);
    }

    /// Notes an offer. Further marks of it are not early.
    pub(super) fn note_offer(&mut self, id: u64) {
        self.latest_offer = self.latest_offer.max(id);
    }

    /// Keeps a mark whose offer has not arrived yet.
    pub(super) fn keep_early_mark(&mut self, id: u64, channel: &str) {
        if id > self.latest_offer && self.early_marks.len() < EARLY_MAX {
            self.early_marks.insert((id, channel.to_owned()));
        }
    }

    /// Drops the marks of offers that were begun, declined, or never arrived.
    pub(super) fn drop_old_marks(&mut self) {
        let latest = self.latest_offer;
        self.early_marks.retain(|(early, _)| *early > latest);
    }

    pub(super) fn is_up(&self) -> bool {
        self.is_up
    }

    pub(super) fn channels(&self) -> &BTreeSet<String> {
        &self.channels
    }

    pub(super) fn has_early_mark(&self, id: u64, channel: &str) -> bool {
        self.early_marks.contains(&(id, channel.to_owned()))
    }

    #[cfg(test)]
    pub(super) fn early_marks(&self) -> usize {
        self.early_marks.len()
    }
}
