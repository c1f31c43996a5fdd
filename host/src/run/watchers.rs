//! Plugins that watch the pair, in the loop: the status is asked as for a client, and told with the events.

use std::time::Instant;

use spared_requests::questions::Asker;
use spared_requests::watchers::with_verdict;
use spared_worker::message::{PairStatus, ToWorker};

use super::core::Core;
use super::look::Look;

impl Core {
    /// Runs once a second: asks for the status, as for a client, if a plugin watches it.
    pub(super) fn ask_for_watchers(&mut self, now: Instant) {
        if self.stop.is_none() && self.watchers.ask() {
            self.ask_status(now, Asker::Watchers, false);
        }
    }

    pub(super) fn tell_watchers(&mut self, now: Instant, look: &Look) {
        let verdict = self.verdict(look);
        let status = PairStatus {
            quality: self.quality.number(),
            ready: self.pair.missing.is_empty(),
            link_up: self.link_is_up(),
            node: self.setup.host.node.clone(),
            peer: self.pair_name().unwrap_or_default().to_owned(),
            ..PairStatus::default()
        };
        let status = with_verdict(status, &verdict, &self.groups);
        let messages = self.watchers.handle_status(&status);
        self.send_all(now, messages);
    }

    /// Tells the events that were recorded since the last call.
    pub(super) fn tell_events(&mut self, now: Instant) {
        for recorded in self.events.take_new() {
            let messages = self
                .watchers
                .handle_event(now, recorded.level, &recorded.event);
            self.send_all(now, messages);
        }
    }

    fn send_all(&mut self, now: Instant, messages: Vec<(String, ToWorker)>) {
        for (plugin, message) in messages {
            self.supervisor.send(now, &plugin, &message, &[]);
        }
    }
}
