//! Findings as events.

use std::time::Instant;

use super::core::Core;
use super::look::Look;
use crate::events::{Kind, Notice};

impl Core {
    /// Runs once a second. Each node records the findings of the pair in its own journal.
    pub(super) fn tell_findings(&mut self) {
        if self.stop.is_some() {
            return;
        }
        let pair = self.pair_facts(&Look::default());
        let found = spared_pair::findings(&self.node_facts(None), pair.as_ref());
        let now = Instant::now();
        let (begun, ended) = self.pair.watched.update(now, found);
        for finding in begun {
            let text = format!("{} ({})", finding.text, finding.id);
            let notice = Notice::warn(Kind::Finding, text).because(&finding.id);
            self.tell_finding(now, notice);
        }
        for finding in ended {
            let text = format!("no longer: {} ({})", finding.text, finding.id);
            let notice = Notice::new(Kind::Finding, text).because(&finding.id);
            self.tell_finding(now, notice);
        }
    }

    // Limited in rate: some findings come from the peer, which may lie.
    fn tell_finding(&mut self, now: Instant, notice: Notice) {
        if self.pair.may_tell(now) {
            self.events.record(notice);
        }
    }
}
