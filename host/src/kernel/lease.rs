//! The leases of groups: opened, closed, closed for want of carrier.

use std::collections::BTreeSet;
use std::time::Instant;

use super::group::Group;
use super::{Kernel, KernelError};
use crate::fence::LeaseKey;

impl Kernel {
    /// Opens the leases of a group: those of routers with carrier, and the group's. Of a group
    /// that is open already, only those that were closed for want of carrier: a lease that
    /// expired by itself means that the elector was late, and is for it to notice.
    pub fn open_lease(&mut self, name: &str) -> Result<(), KernelError> {
        let group = self.known(name)?;
        let again = group.open;
        let mut keys = BTreeSet::new();
        let mut without = BTreeSet::new();
        for (position, router) in group.claims.routers.iter().enumerate() {
            let key = group.router_key(position, &self.interfaces);
            match key.filter(|_| self.interfaces.carrier(&router.interface)) {
                Some(key) if !again || group.without_carrier.contains(&position) => {
                    keys.insert(key);
                }
                Some(_) => {}
                None => {
                    without.insert(position);
                }
            }
        }
        let lease = group.lease();
        let opened = !keys.is_empty();
        if opened {
            let mut leases: Vec<_> = keys.into_iter().map(|key| (key, lease)).collect();
            leases.push((group.group_key(), lease));
            self.change_leases(|fence| fence.open(&leases))?;
        }
        if let Some(group) = self.groups.get_mut(name) {
            group.open = true;
            group.without_carrier = without;
            if again && opened && group.installed {
                // Whoever was asked meanwhile learned another place.
                group.schedule.again(Instant::now());
            }
        }
        Ok(())
    }

    pub(super) fn open_new_routers(
        &mut self,
        name: &str,
        new: &BTreeSet<LeaseKey>,
    ) -> Result<(), KernelError> {
        let group = self.known(name)?;
        let with_carrier = |position: &usize| {
            let router = &group.claims.routers[*position];
            self.interfaces.carrier(&router.interface)
        };
        let positions = 0..group.claims.routers.len();
        let lease = group.lease();
        let leases: Vec<_> = positions
            .filter(with_carrier)
            .filter_map(|position| group.router_key(position, &self.interfaces))
            .filter(|key| new.contains(key))
            .map(|key| (key, lease))
            .collect();
        if leases.is_empty() {
            Ok(())
        } else {
            self.change_leases(|fence| fence.open(&leases))
        }
    }

    /// Closes the leases of a group.
    pub fn close_lease(&mut self, name: &str) -> Result<(), KernelError> {
        let Some(group) = self.groups.get_mut(name) else {
            return Ok(());
        };
        group.open = false;
        group.without_carrier.clear();
        let Some(group) = self.groups.get(name) else {
            return Ok(());
        };
        let keys: Vec<LeaseKey> = self.lease_keys(group).into_iter().collect();
        if self.plan.is_some() {
            self.change_leases(|fence| fence.close(&keys))?;
        }
        Ok(())
    }

    /// The leases that may live.
    pub(super) fn open_keys(&self, group: &Group) -> Vec<LeaseKey> {
        if !group.open || group.without_carrier.len() == group.claims.routers.len() {
            return Vec::new();
        }
        (0..group.claims.routers.len())
            .filter(|router| !group.without_carrier.contains(router))
            .filter_map(|router| group.router_key(router, &self.interfaces))
            .chain([group.group_key()])
            .collect()
    }

    pub(super) fn lease_keys(&self, group: &Group) -> BTreeSet<LeaseKey> {
        let routers = 0..group.claims.routers.len();
        let keys = routers.filter_map(|router| group.router_key(router, &self.interfaces));
        keys.chain([group.group_key()]).collect()
    }

    // Nothing of ours may answer on an interface that cannot hear the peer. Before anybody is told.
    pub(super) fn close_without_carrier(&mut self, interface: &str) {
        let mut keys: Vec<LeaseKey> = Vec::new();
        for group in self.groups.values_mut().filter(|group| group.open) {
            let positions = group.claims.routers.iter().enumerate();
            let hit: Vec<usize> = positions
                .filter(|(_, router)| router.interface == interface)
                .map(|(position, _)| position)
                .collect();
            keys.extend(
                hit.iter()
                    .filter_map(|r| group.router_key(*r, &self.interfaces)),
            );
            group.without_carrier.extend(hit);
            if group.without_carrier.len() == group.claims.routers.len() {
                keys.push(group.group_key());
            }
        }
        if keys.is_empty() || self.plan.is_none() {
            return;
        }
        if let Err(error) = self.change_leases(|fence| fence.close(&keys)) {
            self.warn([error]);
        }
    }
}
