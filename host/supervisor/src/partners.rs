//! Partners: two plugins of this node, each of which names the other, get a channel between their workers. The host
//! creates it and keeps no end. When one worker ends, the end of the other one closes.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::time::Instant;

use spared_contract::ToPlugin;

use super::Supervisor;

/// Pairs of plugins with a channel between their present workers, each in order of name.
#[derive(Debug, Default)]
pub struct Partners(BTreeSet<(String, String)>);

impl Partners {
    /// Notes that two plugins are connected. Returns false if they were connected already.
    fn connect(&mut self, one: &str, other: &str) -> bool {
        let (first, second) = (one.min(other), one.max(other));
        self.0.insert((first.to_owned(), second.to_owned()))
    }

    fn disconnect(&mut self, plugin: &str) {
        self.0
            .retain(|(one, other)| one != plugin && other != plugin);
    }
}

impl Supervisor {
    /// Connects a plugin that has started to its partners that run.
    pub fn connect_partners(&mut self, now: Instant, plugin: &str) {
        let descriptor = self.descriptor(plugin);
        let named = descriptor.map(|descriptor| descriptor.partners.clone());
        for partner in named.unwrap_or_default() {
            let other = self.descriptor(&partner);
            let is_mutual =
                other.is_some_and(|other| other.partners.iter().any(|name| name == plugin));
            let both_run = self.is_running(plugin) && self.is_running(&partner);
            if is_mutual && both_run && self.partners.connect(plugin, &partner) {
                self.connect_pair(now, plugin, &partner);
            }
        }
    }

    /// Forgets the channels of a worker that has ended.
    pub fn disconnect_partners(&mut self, plugin: &str) {
        self.partners.disconnect(plugin);
    }

    // Connects two plugins. A worker that cannot be reached is ended; then its partner finds the channel closed.
    fn connect_pair(&mut self, now: Instant, one: &str, other: &str) {
        let (ours, theirs) = match spared_records::pair() {
            Ok(pair) => pair,
            Err(error) => {
                self.partners.disconnect(one);
                return log::error!("{one}: no channel to {other}: {error}");
            }
        };
        for (plugin, partner, end) in [(one, other, ours), (other, one, theirs)] {
            let message = ToPlugin::Partner {
                plugin: partner.to_owned(),
            };
            self.send(now, plugin, &message, &[end.as_fd()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_are_connected_once_until_one_of_them_ends() {
        let mut partners = Partners::default();
        assert!(partners.connect("front", "back"));
        assert!(!partners.connect("back", "front"));
        assert!(partners.connect("front", "third"));
        partners.disconnect("back");
        assert!(partners.connect("front", "back"));
        assert!(!partners.connect("third", "front"));
    }
}
