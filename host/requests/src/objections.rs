//! Finds reasons against an order of an administrator: the other node would not take over, or would
//! be active as well.

use spared_message::control::Force;
use spared_verdict::Forced;

use crate::View;
use crate::switch::unless_anyway;

impl View<'_> {
    /// Returns reasons against forcing these groups; empty if there are none.
    pub(crate) fn objections_to_force(
        &self,
        groups: &[String],
        to: Force,
        anyway: bool,
    ) -> Vec<String> {
        let objections = groups.iter().flat_map(|name| match to {
            Force::Active => self.objections_to_active(name, anyway),
            Force::Backup if !anyway => self.objections_to_backup(name),
            Force::Backup | Force::Reset => Vec::new(),
        });
        objections.collect()
    }

    fn objections_to_active(&self, group: &str, anyway: bool) -> Vec<String> {
        let Some(peer) = self.peer else {
            return Vec::new();
        };
        if self.forced_there(group) == Some(Forced::Active) {
            return vec![format!(
                "{group}: {peer} is forced active, and both nodes cannot be: \
                 run `sparectl force reset` there first"
            )];
        }
        let is_there = self.is_active_there(group);
        let own = self.own;
        if anyway || !is_there || self.missing.is_empty() {
            return Vec::new();
        }
        let line = format!("{group}: {own} is not ready to take over from {peer}:");
        unless_anyway(line, self.missing.to_vec())
    }

    // Returns reasons against forcing a group backup. Without a peer there are none.
    fn objections_to_backup(&self, group: &str) -> Vec<String> {
        let Some(peer) = self.peer else {
            return Vec::new();
        };
        if self.forced_there(group) == Some(Forced::Backup) {
            let line = format!("{group}: {peer} is forced backup: no node would be active");
            return unless_anyway(line, Vec::new());
        }
        self.objections_to_leaving(group)
    }

    /// Returns reasons against leaving a group that is active here: the peer is not ready for it.
    pub(crate) fn objections_to_leaving(&self, group: &str) -> Vec<String> {
        let Some(peer) = self.peer.filter(|_| self.is_active_here(group)) else {
            return Vec::new();
        };
        let missing = match self.there {
            Some(facts) => facts.missing.clone(),
            None => vec![format!("{peer} is not heard")],
        };
        if missing.is_empty() {
            return Vec::new();
        }
        unless_anyway(
            format!("{group}: {peer} is not ready to take over:"),
            missing,
        )
    }
}
