//! Has packets for a tunnel go on with its SAs while charon starts: a charon with trap policies puts one in the place of
//! the policy that leads to them, and the first packet that meets a trap makes charon negotiate.
//!
//! Below each outbound policy of a moving end is one that blocks (`engine/blocks.rs`). Before charon starts, this one
//! becomes a copy of the policy above it, with a priority before that of any policy that charon may put there.
//!
//! ```text
//! charon is awaited     the copy leads to the SAs of a child that charon is to get, also if they come late; a trap that
//!                       charon puts is not reported to the peer, as it leads nowhere
//! batch                 the copy is parked, so that packets wait while charon adds the child's SAs
//! charon has the child  the copy blocks again, and charon's policy leads
//! not taken             the copy leads on, until charon has other SAs for the policy, or these ones end
//! role lost             the copies block again, before the SAs leave
//! plugin stops          the copies block again, so that charon's policies lead: nobody would end a copy
//! ```
//!
//! Each step replaces a policy by another one in the kernel, so that there is always one that leads, parks or blocks.

mod wanted;

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Change, Engine, XfrmEvent};
use crate::codec::body::{
    blocking_policy, copied_policy, parked_policy, policy_copy, policy_with_own_reqids,
};
use crate::sa::{Direction, Mark, Policy, PolicyId, Sa, SaId, Template};

/// Copy of a policy that leads to SAs of a child.
#[derive(Debug)]
struct Copy {
    policy: Policy,
    /// Outbound SAs to which it leads.
    sas: BTreeSet<SaId>,
    /// Policy of charon's that is in the place of the copied one.
    trap: Option<Policy>,
    is_parked: bool,
}

impl Copy {
    /// True if this is the copied policy, as it is or as it is put back.
    fn is_of(&self, policy: &Policy) -> bool {
        self.policy.templates == policy.templates
            || policy_with_own_reqids(&self.policy).templates == policy.templates
    }
}

#[derive(Debug, Default)]
pub struct Copies {
    /// By the copied policy.
    all: BTreeMap<PolicyId, Copy>,
    by_sa: BTreeMap<SaId, BTreeSet<PolicyId>>,
    /// Copies are to be put.
    is_due: bool,
    /// Policies in whose place charon has put others, while it is to get sessions and their copies are not there.
    replaced: BTreeMap<PolicyId, Policy>,
    /// Copies of an earlier run.
    found: BTreeMap<PolicyId, Policy>,
}

impl Copies {
    fn insert(&mut self, id: PolicyId, copy: Copy) {
        for sa in &copy.sas {
            self.by_sa.entry(*sa).or_default().insert(id);
        }
        self.all.insert(id, copy);
    }

    fn remove(&mut self, id: &PolicyId) -> Option<Copy> {
        let copy = self.all.remove(id)?;
        for sa in &copy.sas {
            if let Some(ids) = self.by_sa.get_mut(sa) {
                ids.remove(id);
                if ids.is_empty() {
                    self.by_sa.remove(sa);
                }
            }
        }
        Some(copy)
    }

    /// Policies whose copies lead to an SA.
    fn of_sa(&self, id: &SaId) -> Vec<PolicyId> {
        let ids = self.by_sa.get(id);
        ids.into_iter().flatten().copied().collect()
    }

    /// Forgets that a copy leads to an SA; returns true if it leads to no other.
    fn forget_sa(&mut self, id: &PolicyId, sa: &SaId) -> bool {
        if let Some(ids) = self.by_sa.get_mut(sa) {
            ids.remove(id);
            if ids.is_empty() {
                self.by_sa.remove(sa);
            }
        }
        let Some(copy) = self.all.get_mut(id) else {
            return false;
        };
        copy.sas.remove(sa);
        copy.sas.is_empty()
    }
}

impl Engine {
    /// Has copies put once all SAs are in the kernel: charon is about to start, or to get children whose address or SAs
    /// have come late.
    pub(in super::super) fn copy_policies(&mut self) {
        self.ike.copies.is_due = self.is_active();
    }

    /// Puts the copies that are due.
    pub(in super::super) fn put_due_copies(&mut self) {
        if !self.ike.copies.is_due || !self.can_add_children() {
            return;
        }
        self.ike.copies.is_due = false;
        let mut replaced = std::mem::take(&mut self.ike.copies.replaced);
        // others stay as long as their SAs
        for (id, (policy, sas)) in self.wanted_copies(&replaced) {
            let before = self.ike.copies.remove(&id);
            let is_parked = before.as_ref().is_some_and(|it| it.is_parked);
            let trap = before.and_then(|it| it.trap);
            let late_trap = self.trap_in_the_place_of(&id, &replaced);
            let copy = Copy {
                policy: policy.clone(),
                sas,
                trap,
                is_parked,
            };
            self.ike.copies.insert(id, copy);
            self.push_present_copy(&id);
            if let Some(trap) = late_trap {
                // the peer is to have the policy, and not the trap
                self.handle_policy(self.store.now_ns, policy);
                self.note_trap(&trap);
            }
            replaced.remove(&id);
        }
        self.ike.copies.replaced = replaced;
    }

    fn push_present_copy(&mut self, id: &PolicyId) {
        let is_parked = self.ike.copies.all.get(id).is_some_and(|it| it.is_parked);
        let change = self.present_copy(id).map(|it| match is_parked {
            true => Change::ParkPolicy(it),
            false => Change::PutPolicy(it),
        });
        change.into_iter().for_each(|it| self.push_change(it));
    }

    fn push_copy(&mut self, policy: &Policy) {
        if let Some(copy) = policy_copy(policy) {
            self.push_change(Change::PutPolicy(copy));
        }
    }

    fn push_block(&mut self, policy: &Policy) {
        if let Some(block) = blocking_policy(policy) {
            self.push_change(Change::PutPolicy(block));
        }
    }

    /// Returns the copy that is in the place of the blocking policy below this one.
    pub(in super::super) fn present_copy(&self, id: &PolicyId) -> Option<Policy> {
        let copy = self.ike.copies.all.get(id)?;
        let present = policy_copy(&copy.policy)?;
        Some(if copy.is_parked {
            parked_policy(&present)
        } else {
            present
        })
    }

    /// Has a copy block again. A trap that charon has put is the policy in the kernel from now on.
    fn end_copy(&mut self, id: &PolicyId) {
        let Some(copy) = self.ike.copies.remove(id) else {
            return;
        };
        self.push_block(&copy.policy);
        if let Some(trap) = copy.trap {
            let now_ns = self.store.now_ns;
            self.handle_event(now_ns, XfrmEvent::Policy(trap));
        }
    }

    /// Ends copies that lead to an SA which ends, unless there is another one.
    pub(in super::super) fn end_copies_to(&mut self, sa: &SaId) {
        for id in self.ike.copies.of_sa(sa) {
            if self.ike.copies.forget_sa(&id, sa) {
                self.end_copy(&id);
            }
        }
    }

    /// Ends copies that lead to an SA which goes to the peer. The next reading finds traps, and puts the peer's policies in
    /// their place.
    pub(in super::super) fn drop_copies_to(&mut self, sa: &SaId) {
        for id in self.ike.copies.of_sa(sa) {
            self.drop_copy(&id);
        }
    }

    /// Ends copies that lead to no SA of this node any more; all of them with the last role.
    pub(in super::super) fn drop_lost_copies(&mut self, all: bool) {
        let copies = self.ike.copies.all.iter();
        let sas = &self.store.sas;
        let lost = copies.filter(|(_, it)| all || it.sas.iter().all(|id| !sas.contains_key(id)));
        for id in lost.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.drop_copy(&id);
        }
        if all {
            self.ike.copies.is_due = false;
            self.ike.copies.replaced.clear();
        }
    }

    /// Has all copies block: the plugin stops, and nobody would end them.
    pub(in super::super) fn drop_copies(&mut self) {
        self.drop_lost_copies(true);
    }

    /// Text about the copies, for an administrator.
    pub(in super::super) fn copies_text(&self) -> String {
        match self.ike.copies.all.len() {
            0 => "none".to_owned(),
            1 => "1 policy leads to replicated SAs until charon has its tunnel".to_owned(),
            count => {
                format!("{count} policies lead to replicated SAs until charon has their tunnels")
            }
        }
    }

    fn drop_copy(&mut self, id: &PolicyId) {
        if let Some(copy) = self.ike.copies.remove(id) {
            self.push_block(&copy.policy);
        }
    }

    /// Has copies lead to an SA that was put back, which has a reqid of this plugin's now.
    pub(in super::super) fn renew_copies_to(&mut self, sa: &SaId) {
        for id in self.ike.copies.of_sa(sa) {
            let copy = self.ike.copies.all.get_mut(&id);
            let Some(copy) = copy.filter(|it| !it.is_parked) else {
                continue;
            };
            let own = policy_with_own_reqids(&copy.policy);
            if own.templates != copy.policy.templates {
                copy.policy.clone_from(&own);
                self.push_copy(&own);
            }
        }
    }

    /// Forgets a copy that was deleted with its policy, or that the kernel refused.
    pub(in super::super) fn forget_copy(&mut self, id: &PolicyId) {
        self.ike.copies.replaced.remove(id);
        self.ike.copies.remove(id);
    }

    /// Notes that the policy in whose place charon had put a trap is there again.
    pub(in super::super) fn forget_trap(&mut self, id: &PolicyId) {
        if let Some(copy) = self.ike.copies.all.get_mut(id) {
            copy.trap = None;
        }
    }

    /// True if charon puts this policy in the place of a copied one, and has no SA for it: it is a trap.
    pub(in super::super) fn is_trap(&self, policy: &Policy) -> bool {
        let Some(copy) = self.ike.copies.all.get(&policy.id) else {
            return false;
        };
        let mut templates = policy.templates.iter();
        // one without a template blocks, or lets packets pass
        let is_tunnel = !policy.templates.is_empty();
        is_tunnel && !copy.is_of(policy) && !templates.any(|it| self.leads_to_other_sa(it))
    }

    /// True if charon has added an outbound SA to which this leads. Those of copies are not of this charon.
    fn leads_to_other_sa(&self, template: &Template) -> bool {
        if self.is_added(template) {
            return true;
        }
        let first = SaId {
            destination: template.destination,
            spi: 0,
            protocol: 0,
            mark: Mark::default(),
        };
        let sas = self.store.sas.range(first..);
        let mut sas = sas.take_while(|(id, _)| id.destination == template.destination);
        sas.any(|(id, it)| {
            let leads = targets_of(&it.sa).contains(&target_of(template));
            let is_copied = self.ike.copies.by_sa.contains_key(id);
            it.side == Some(Direction::Out) && leads && !is_copied
        })
    }

    /// Notes a trap of charon's: the copied policy stays the one that the peer has.
    pub(in super::super) fn note_trap(&mut self, policy: &Policy) {
        let reading = self.reads.generation();
        if let Some(known) = self.store.policies.get_mut(&policy.id) {
            known.reading = reading;
        }
        if let Some(copy) = self.ike.copies.all.get_mut(&policy.id) {
            copy.trap = Some(policy.clone());
        }
    }

    /// Ends the copy of a policy in whose place charon has put one that leads to an SA of its own.
    pub(in super::super) fn end_copy_for(&mut self, policy: &Policy) {
        let Some(copy) = self.ike.copies.all.get_mut(&policy.id) else {
            return;
        };
        // this one is the newest
        copy.trap = None;
        if !copy.is_parked && !copy.is_of(policy) {
            self.end_copy(&policy.id);
        }
    }

    /// Ends the copies of policies whose traps lead to an SA that charon has added.
    pub(in super::super) fn end_copies_for(&mut self, sa: &Sa) {
        let targets = targets_of(sa);
        let leads = |it: &Policy| {
            it.templates
                .iter()
                .any(|it| targets.contains(&target_of(it)))
        };
        let all = self.ike.copies.all.iter();
        let ended = all.filter(|(_, it)| {
            let trap = it.trap.as_ref().filter(|_| !it.is_parked);
            !it.sas.contains(&sa.id) && trap.is_some_and(leads)
        });
        for id in ended.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.end_copy(&id);
        }
    }

    /// Parks the copies that lead to an SA, so that packets wait.
    pub(super) fn park_copies_to(&mut self, sa: &SaId) {
        for id in self.ike.copies.of_sa(sa) {
            if let Some(copy) = self.ike.copies.all.get_mut(&id) {
                copy.is_parked = true;
            }
            if let Some(parked) = self.present_copy(&id) {
                self.push_change(Change::ParkPolicy(parked));
            }
        }
    }

    pub(super) fn has_copy(&self, id: &PolicyId) -> bool {
        self.ike.copies.all.contains_key(id)
    }

    /// Has parked copies lead again if their SAs were put back, or block if charon has added its own.
    pub(super) fn unpark_copies(&mut self) {
        let all = self.ike.copies.all.iter();
        let parked = all.filter(|(_, it)| it.is_parked);
        for id in parked.map(|(id, _)| *id).collect::<Vec<_>>() {
            let Some(copy) = self.ike.copies.all.get_mut(&id) else {
                continue;
            };
            copy.is_parked = false;
            if copy.sas.iter().any(|sa| self.installed.has(sa)) {
                copy.policy = policy_with_own_reqids(&copy.policy);
                let policy = copy.policy.clone();
                self.push_copy(&policy);
            } else {
                self.end_copy(&id);
            }
        }
    }

    /// Notes a copy that an earlier run has put, unless it is a policy that blocks.
    pub(in super::super) fn note_found_copy(&mut self, below: PolicyId, policy: &Policy) {
        if !policy.templates.is_empty() && !self.store.run.is_read() {
            let found = &mut self.ike.copies.found;
            found.insert(below, policy.clone());
        }
    }

    /// Goes on with the copies of an earlier run after a reading: those without an SA block again.
    pub(in super::super) fn take_found_copies(&mut self, now_ns: u64) {
        for (below, found) in std::mem::take(&mut self.ike.copies.found) {
            let Some(policy) = copied_policy(&found) else {
                continue;
            };
            let targets: BTreeSet<Target> = policy.templates.iter().map(target_of).collect();
            // whose ends are this node's may not be known yet
            let sas = self.store.sas.iter().filter(|(_, it)| {
                let mut leads = targets_of(&it.sa).into_iter();
                it.side != Some(Direction::In) && leads.any(|it| targets.contains(&it))
            });
            let sas: BTreeSet<SaId> = sas.map(|(id, _)| *id).collect();
            let trap = self.store.policies.get(&below).map(|it| it.policy.clone());
            if sas.is_empty() {
                self.push_block(&policy);
                continue;
            }
            let trap = trap.filter(|it| it.templates != policy.templates);
            self.ike.copies.insert(
                below,
                Copy {
                    policy: policy.clone(),
                    sas,
                    trap: None,
                    is_parked: false,
                },
            );
            if let Some(trap) = trap {
                self.handle_policy(now_ns, policy);
                self.note_trap(&trap);
            }
        }
    }
}

/// Reqid, destination, and SPI or 0: they tell to which SAs a template leads.
type Target = (u32, std::net::IpAddr, u32);

fn target_of(template: &Template) -> Target {
    (template.reqid, template.destination, template.spi)
}

fn targets_of(sa: &Sa) -> [Target; 2] {
    let (reqid, to) = (sa.reqid, sa.id.destination);
    [(reqid, to, sa.id.spi), (reqid, to, 0)]
}
