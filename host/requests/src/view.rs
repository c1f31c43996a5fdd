//! Collects what this node knows when a request arrives.

use std::collections::BTreeMap;

use spared_contract::Role;
use spared_group::{Candidate, Giver, Groups};
use spared_message::control::{Answer, ErrorCode, refusal};
use spared_verdict::{Forced, NodeFacts, UNARMED};

/// Knowledge of this node about both nodes.
#[derive(Debug)]
pub struct View<'v> {
    /// Name of this node.
    pub own: &'v str,
    /// Name of the peer; None without a peer.
    pub peer: Option<&'v str>,
    /// True if the peer is heard over the link.
    pub is_peer_up: bool,
    /// Facts that the peer last sent about itself.
    pub there: Option<&'v NodeFacts>,
    /// Reasons why this node is not ready.
    pub missing: &'v [String],
    /// Quality of this node.
    pub quality: u8,
    pub groups: &'v Groups,
    /// Groups that are forced on this node: true for active, false for backup.
    pub forced: BTreeMap<&'v str, bool>,
}

impl View<'_> {
    /// Returns the refusal of a request about a group that does not exist.
    pub fn unknown_group(&self, group: Option<&str>) -> Option<Answer> {
        let unknown = group.filter(|name| self.groups.get(name).is_none())?;
        let why = format!("there is no group \"{unknown}\"");
        Some(refusal(ErrorCode::Usage, why))
    }

    /// Returns the names of one group, or of all.
    ///
    /// # Errors
    /// There is no such group, or no group at all.
    pub fn groups_named(&self, group: Option<&str>) -> Result<Vec<String>, Answer> {
        if let Some(answer) = self.unknown_group(group) {
            return Err(answer);
        }
        let names: Vec<String> = match group {
            Some(name) => vec![name.to_owned()],
            None => self
                .groups
                .iter()
                .map(|(name, _)| name.to_owned())
                .collect(),
        };
        if names.is_empty() {
            return Err(refusal(ErrorCode::Usage, "no group is configured"));
        }
        Ok(names)
    }

    /// Returns a text about an unknown node, with the names that exist.
    pub fn no_such_node(&self, node: &str) -> String {
        match self.peer {
            Some(peer) => {
                let mut names = [self.own, peer];
                names.sort_unstable();
                format!(
                    "there is no node \"{node}\": the nodes are {} and {}",
                    names[0], names[1]
                )
            }
            None => {
                let own = self.own;
                format!("there is no node \"{node}\": this is {own}, and it has no link")
            }
        }
    }

    /// Returns a node as the active one of a switchover. The peer is known by its last report.
    pub(crate) fn giver(&self, group: &str, node: &str) -> Giver {
        if node == self.own {
            return self.groups.giver(group);
        }
        Giver {
            unable: None,
            is_forced_active: self.forced_there(group) == Some(Forced::Active),
        }
    }

    /// Returns a node as the successor of a switchover. The peer is known by its last report.
    pub(crate) fn candidate(&self, group: &str, node: &str) -> Candidate {
        if node == self.own {
            return self.groups.candidate(group);
        }
        let lacks = match self.there {
            Some(facts) => facts.missing_unforced(),
            None => vec![format!("{node} is not heard")],
        };
        let unarmed = self.there.is_some_and(|it| it.orders.unarmed);
        Candidate {
            unable: unarmed.then(|| UNARMED.to_owned()),
            is_forced_backup: self.forced_there(group) == Some(Forced::Backup),
            is_in_maintenance: self.there.is_some_and(|it| it.orders.maintenance.is_some()),
            lacks,
        }
    }

    pub(crate) fn forced_there(&self, group: &str) -> Option<Forced> {
        Some(self.there?.group(group)?.forced)
    }

    /// Returns true if the group is active on the peer, by its last report.
    pub fn is_active_there(&self, group: &str) -> bool {
        let there = self.there.and_then(|facts| facts.group(group));
        there.is_some_and(|there| there.role == spared_verdict::Role::Active)
    }

    pub fn is_active_here(&self, group: &str) -> bool {
        let here = self.groups.get(group);
        here.is_some_and(|it| it.role == Role::Active)
    }
}
