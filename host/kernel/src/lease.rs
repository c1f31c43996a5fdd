//! Fence leases of groups: granted, revoked, revoked for lack of carrier.

use std::collections::BTreeSet;
use std::time::Instant;

use spared_fence::LeaseKey;

use super::group::{Group, router_id};
use super::vmac::RouterId;
use super::{Kernel, KernelError};

impl Kernel {
    /// Grants the leases of a group: those of virtual routers with carrier, and that of the group.
    /// If they were granted before, only those are granted that were revoked for lack of carrier. A
    /// lease that lapsed means that the elector was late, and only the elector can decide what
    /// follows.
    pub fn grant_lease(&mut self, name: &str) -> Result<(), KernelError> {
        let open = self.known(name)?.open;
        self.grant(name, !open)
    }

    /// Grants all leases again, after the elector found that nobody else is active.
    pub fn reopen_lease(&mut self, name: &str) -> Result<(), KernelError> {
        self.grant(name, true)
    }

    fn grant(&mut self, name: &str, all: bool) -> Result<(), KernelError> {
        let group = self.known(name)?;
        let again = group.open;
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
        let lease = group.lease();
        let opened = !keys.is_empty();
        if opened {
            let mut leases: Vec<_> = keys.into_iter().map(|key| (key, lease)).collect();
            leases.push((group.group_key(), lease));
            self.change_leases(|fence| fence.grant(&leases))?;
        }
        if let Some(group) = self.groups.get_mut(name) {
            group.open = true;
            group.carried = false;
            group.without_carrier = without;
            if again && opened && group.installed {
                // Others may have learned another MAC address meanwhile.
                group.schedule.again(Instant::now());
            }
        }
        Ok(())
    }

    /// Grants leases to the virtual routers that are new in a group with leases; `known` are the
    /// others.
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

    /// Revokes the leases of a group.
    pub fn revoke_lease(&mut self, name: &str) -> Result<(), KernelError> {
        let Some(group) = self.groups.get_mut(name) else {
            return Ok(());
        };
        group.open = false;
        group.without_carrier.clear();
        let carried = std::mem::take(&mut group.carried);
        let Some(group) = self.groups.get(name) else {
            return Ok(());
        };
        let keys: Vec<LeaseKey> = self.lease_keys(group).into_iter().collect();
        if self.fence.is_none() {
            self.fall_silent(name);
        } else if self.plan.is_some() {
            self.change_leases(|fence| fence.revoke(&keys))?;
            if carried {
                self.change_leases(|fence| fence.end_carry(&keys))?;
            }
        }
        Ok(())
    }

    // Without a fence an address answers as long as it is installed.
    pub(super) fn fall_silent(&mut self, name: &str) {
        let failures = self.remove(name);
        self.warn(failures);
    }

    /// Leases that may be valid.
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

    // On an interface without carrier, which does not hear the peer, our addresses must not answer.
    // Leases are revoked before anyone is notified.
    pub(super) fn close_without_carrier(&mut self, interface: &str) {
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
                    .filter_map(|r| Group::router_key(r, &self.interfaces)),
            );
            group.without_carrier.extend(hit.into_iter().map(router_id));
            if group.is_cut_off() {
                keys.push(group.group_key());
            }
        }
        if keys.is_empty() || self.plan.is_none() {
            return;
        }
        if let Err(error) = self.change_leases(|fence| fence.revoke(&keys)) {
            self.warn([error]);
        }
    }
}
