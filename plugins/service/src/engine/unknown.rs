//! Items without a role: their group is unknown, or a maintenance has kept them since before this worker.

use super::Engine;
use super::item::Item;
use super::tell::Topic;

/// Time in ns that the daemon needs at most for the plugins that are told a role before this one.
pub(super) const STRANGERS_NS: u64 = 15_000_000_000;

impl Engine {
    /// Plans the search for items of unknown groups, for the time when all roles must have been reported.
    pub(super) fn expect_strangers(&mut self, now_ns: u64) {
        let at_ns = now_ns.saturating_add(STRANGERS_NS);
        self.gathering.expect_strangers(at_ns);
    }

    pub(super) fn tell_strangers(&mut self, now_ns: u64) {
        if !self.gathering.end_expecting(now_ns) {
            return;
        }
        for item in &mut self.items {
            item.tell_stranger(now_ns);
        }
    }
}

impl Item {
    /// Reason why the item has no role; None: it has one, or will soon have one.
    pub(super) fn lack(&self) -> Option<String> {
        match self.stranger() {
            _ if self.membership.role().is_some() => None,
            Some(group) => Some(format!("the role of group {group:?} is not known")),
            None if self.membership.is_held() => {
                Some("kept as it is: this node is in maintenance".to_owned())
            }
            None => None,
        }
    }

    /// Group whose role was not reported, most likely because of a wrong name in the file.
    fn stranger(&self) -> Option<&str> {
        let group = self.spec.group.as_deref();
        group.filter(|_| !self.membership.is_group_known())
    }

    fn tell_stranger(&mut self, now_ns: u64) {
        if let Some(group) = self.stranger() {
            let text = format!(
                "{} is left as it is: the role of group {group:?} is not known",
                self.spec.name
            );
            self.tell(now_ns, Topic::Stranger, text);
        }
    }
}
