//! Grants fence leases of groups, and revokes them: on request, or for lack of carrier.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::fence::LeaseKey;

use super::group_claims::{Group, router_id};
use super::vmac::RouterId;
use super::{Kernel, KernelError};

/// Leases to be granted to a group, and its virtual routers that get none as their interface has no carrier.
struct Grant {
    leases: Vec<(LeaseKey, Duration)>,
    without: BTreeSet<RouterId>,
}

impl Kernel {
    /// Grants the leases of these groups in one transaction: those of virtual routers with carrier, and that of the
    /// group. If a group has leases already, only those are granted that were revoked for lack of carrier. A lease that
    /// lapsed means that the elector was late, and only the elector can decide what follows. With true it has found
    /// that nobody else is active, and all leases are granted again.
    pub fn grant_leases(&mut self, wanted: &[(&str, bool)]) -> Vec<Result<(), String>> {
        let plans: Vec<_> = wanted
            .iter()
            .map(|(name, reopens)| {
                let open = self.known(name)?.open;
                self.plan_grant(name, *reopens || !open)
            })
            .collect();
        let leases = plans.iter().flatten().flat_map(|plan| &plan.leases);
        let leases: Vec<_> = leases.copied().collect();
        let granted = if leases.is_empty() {
            Ok(())
        } else {
            self.change_leases(|fence| fence.grant(&leases))
        };
        let granted = granted.map_err(|error| error.to_string());
        let results = wanted.iter().zip(plans).map(|((name, _), plan)| {
            let plan = plan.map_err(|error: KernelError| error.to_string())?;
            if !plan.leases.is_empty() {
                granted.clone()?;
            }
            self.note_grant(name, plan);
            Ok(())
        });
        results.collect()
    }

    fn plan_grant(&self, name: &str, all: bool) -> Result<Grant, KernelError> {
        let group = self.known(name)?;
        let mut keys = BTreeSet::new();
        let mut without = BTreeSet::new();
        for router in &group.claims.routers {
            let key = Group::router_key(router, &self.interfaces);
            let id = router_id(router);
            match key.filter(|_| self.interfaces.carrier(&router.interface)) {
                Some(key) if all || group.without_carrier.contains(&id) => {
                    keys.insert(key);
                }
                Some(_) => {}
                None => {
                    without.insert(id);
                }
            }
        }
        if !keys.is_empty() {
            keys.insert(group.group_key());
        }
        let lease = group.lease();
        Ok(Grant {
            leases: keys.into_iter().map(|key| (key, lease)).collect(),
            without,
        })
    }

    fn note_grant(&mut self, name: &str, plan: Grant) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        let again = group.open;
        group.open = true;
        group.carried = false;
        group.without_carrier = plan.without;
        if again && !plan.leases.is_empty() && group.installed {
            // Neighbours may have learned another MAC address meanwhile.
            group.schedule.again(Instant::now());
        }
    }

    /// Grants leases to the new virtual routers of a group that has leases. `known` holds its earlier ones.
    pub(super) fn open_new_routers(
        &mut self,
        name: &str,
        known: &BTreeSet<RouterId>,
    ) -> Result<(), KernelError> {
        let group = self.known(name)?;
        let lease = group.lease();
        let (mut leases, mut without) = (Vec::new(), BTreeSet::new());
        for router in &group.claims.routers {
            let id = router_id(router);
            if known.contains(&id) {
                continue;
            }
            let key = Group::router_key(router, &self.interfaces);
            match key.filter(|_| self.interfaces.carrier(&router.interface)) {
                Some(key) => leases.push((key, lease)),
                None => {
                    without.insert(id);
                }
            }
        }
        if !leases.is_empty() {
            leases.push((group.group_key(), lease));
            self.change_leases(|fence| fence.grant(&leases))?;
        }
        if let Some(group) = self.groups.get_mut(name) {
            group.without_carrier.extend(without);
        }
        Ok(())
    }

    /// Revokes the leases of these groups in one transaction.
    pub fn revoke_leases(&mut self, names: &[&str]) -> Result<(), KernelError> {
        let (mut keys, mut carried) = (Vec::new(), Vec::new());
        for name in names {
            let Some(group) = self.groups.get_mut(*name) else {
                continue;
            };
            group.open = false;
            group.without_carrier.clear();
            let is_carried = std::mem::take(&mut group.carried);
            let Some(group) = self.groups.get(*name) else {
                continue;
            };
            let of_group = self.lease_keys(group);
            carried.extend(of_group.iter().filter(|_| is_carried));
            keys.extend(of_group);
        }
        if !self.fence.is_on() {
            names.iter().for_each(|name| self.fall_silent(name));
        } else if self.fence.is_planned() && !keys.is_empty() {
            self.change_leases(|fence| fence.revoke(&keys))?;
            if !carried.is_empty() {
                self.change_leases(|fence| fence.end_carry(&carried))?;
            }
        }
        Ok(())
    }

    // Removes the addresses of a group: without a fence an address answers as long as it is installed.
    pub(super) fn fall_silent(&mut self, name: &str) {
        let failures = self.remove_all(&[name]);
        self.warn(failures);
    }

    /// Returns the leases of a group that may be valid.
    pub(super) fn open_keys(&self, group: &Group) -> Vec<LeaseKey> {
        if !group.open || group.is_cut_off() {
            return Vec::new();
        }
        group
            .held_routers()
            .filter_map(|router| Group::router_key(router, &self.interfaces))
            .chain([group.group_key()])
            .collect()
    }

    pub(super) fn lease_keys(&self, group: &Group) -> BTreeSet<LeaseKey> {
        let routers = group.claims.routers.iter();
        let keys = routers.filter_map(|router| Group::router_key(router, &self.interfaces));
        keys.chain([group.group_key()]).collect()
    }

    // Revokes the leases on an interface that lost its carrier: it does not hear the peer, so our addresses must not
    // answer there. Leases are revoked before anyone is notified. They are found by the index, as another device may
    // have the name by now.
    pub(super) fn close_without_carrier(&mut self, interface: &str, index: u32) {
        let mut keys: Vec<LeaseKey> = Vec::new();
        for group in self.groups.values_mut().filter(|group| group.open) {
            let routers = group.claims.routers.iter();
            let hit: Vec<_> = routers
                .filter(|router| router.interface == interface)
                .collect();
            if hit.is_empty() {
                continue;
            }
            keys.extend(
                hit.iter()
                    .map(|it| LeaseKey::router(index, it.family, it.vrid)),
            );
            group.without_carrier.extend(hit.into_iter().map(router_id));
            if group.is_cut_off() {
                keys.push(group.group_key());
            }
        }
        if keys.is_empty() || !self.fence.is_planned() {
            return;
        }
        if let Err(error) = self.change_leases(|fence| fence.revoke(&keys)) {
            self.warn([error]);
        }
    }
}
