//! Items without a role: their group is unknown, or a maintenance has kept them since before this worker. Items of a group
//! that is no longer configured keep its last role, backup.

use super::Engine;
use super::event_limiter::Topic;
use super::item::Item;

/// Maximum time in ns that the daemon needs for the plugins that get a role before this one.
pub(super) const UNKNOWN_GROUP_NS: u64 = 15_000_000_000;

impl Engine {
    /// Plans the search for items of unknown groups, for the time when all roles must have been reported.
    pub(super) fn plan_unknown_groups(&mut self, now_ns: u64) {
        let at_ns = now_ns.saturating_add(UNKNOWN_GROUP_NS);
        self.role_wait.set_unknown_group_due(at_ns);
    }

    pub(super) fn report_unknown_groups(&mut self, now_ns: u64) {
        if !self.role_wait.take_unknown_group_due(now_ns) {
            return;
        }
        for item in &mut self.items {
            item.report_unknown_group(now_ns);
        }
    }
}

impl Item {
    /// Reason why the item has no role, or only the last one of a group that tells none any more. None: it has one, will
    /// soon have one, or a maintenance keeps its role.
    pub(super) fn role_doubt(&self) -> Option<String> {
        let has_role = self.membership.role().is_some();
        match (has_role, self.membership.is_kept_in_maintenance()) {
            (true, true) => None,
            (true, false) => self.unknown_role(),
            (false, is_kept) => {
                let kept = || "kept as it is: this node is in maintenance".to_owned();
                self.unknown_role().or_else(|| is_kept.then(kept))
            }
        }
    }

    /// Sentence about a group whose role was not reported, most likely because of a wrong name in the file.
    fn unknown_role(&self) -> Option<String> {
        let group = self.group().filter(|_| !self.membership.is_group_known())?;
        Some(format!("the role of group {group:?} is not known"))
    }

    fn report_unknown_group(&mut self, now_ns: u64) {
        if let Some(why) = self.unknown_role() {
            let state = match self.membership.role() {
                Some(_) if !self.membership.is_kept_in_maintenance() => "stays as on a backup",
                _ => "is left as it is",
            };
            let text = format!("{} {state}: {why}", self.name());
            self.queue_event(now_ns, Topic::UnknownGroup, text);
        }
    }
}
