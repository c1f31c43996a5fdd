//! Claims: declared, replaced, withdrawn.

use std::collections::BTreeSet;
use std::time::Instant;

use spared_fence::LeaseKey;
use spared_message::worker::Claims;

use super::group::{self, Group, router_id};
use super::vmac::RouterId;
use super::{Kernel, KernelError};

impl Kernel {
    /// Whether the claims are valid, before the kernel is changed.
    pub fn check_claim(&self, name: &str, claims: &Claims) -> Result<(), KernelError> {
        let others = self
            .groups
            .iter()
            .filter(|(other, _)| *other != name)
            .map(|(_, group)| group);
        group::check(claims, others).map_err(|why| KernelError::Claim {
            group: name.to_owned(),
            why,
        })
    }

    /// Declares or replaces the claims of a group. Fence and virtual-MAC devices are created now,
    /// blocking and silent. While the group is installed, only the difference is applied.
    pub fn claim(&mut self, name: &str, claims: Claims) -> Result<(), KernelError> {
        self.check_claim(name, &claims)?;
        let before = self.groups.get(name);
        if before.is_some_and(|group| group.claims == claims) {
            return Ok(());
        }
        // Addresses that were prepared for the old claims are not the ones to install.
        let waiting = self.unprepare(name);
        self.warn(waiting);
        let before = self.groups.get(name);
        let old_keys = before
            .map(|group| self.lease_keys(group))
            .unwrap_or_default();
        let old_routers: BTreeSet<RouterId> = before
            .iter()
            .flat_map(|group| group.claims.routers.iter().map(router_id))
            .collect();
        let old_addresses = before
            .map(|group| group.placed(&self.interfaces))
            .unwrap_or_default();
        self.replace_claims(name, claims);

        let mut results = vec![self.sync_devices().and_then(|()| self.sync_fence())];
        self.watch_carrier();
        self.filter_sockets();
        let group = self.known(name)?;
        let (open, installed) = (group.open, group.installed);
        let keys = self.lease_keys(group);
        let gone: Vec<LeaseKey> = old_keys.difference(&keys).copied().collect();
        if !gone.is_empty() {
            results.push(self.change_leases(|fence| fence.revoke(&gone)));
        }
        if open {
            results.push(self.open_new_routers(name, &old_routers));
        }
        if installed {
            self.apply_difference(name, &old_addresses);
        }
        results.into_iter().collect()
    }

    pub(super) fn replace_claims(&mut self, name: &str, claims: Claims) {
        if let Some(group) = self.groups.get_mut(name) {
            group.claims = claims;
            let routers: BTreeSet<RouterId> = group.claims.routers.iter().map(router_id).collect();
            group
                .without_carrier
                .retain(|router| routers.contains(router));
        } else {
            let taken: BTreeSet<u32> = self.groups.values().map(|group| group.number).collect();
            let number = (1..)
                .find(|number| !taken.contains(number))
                .unwrap_or_default();
            self.groups
                .insert(name.to_owned(), Group::new(number, claims));
        }
    }

    // New addresses are added before old ones are deleted.
    pub(super) fn apply_difference(&mut self, name: &str, old: &[group::Desired]) {
        let Some(group) = self.groups.get(name) else {
            return;
        };
        let wanted = group.placed(&self.interfaces);
        let stale = |old: &&group::Desired| {
            !wanted
                .iter()
                .any(|w| (w.index, w.address, w.prefix) == (old.index, old.address, old.prefix))
        };
        let gone: Vec<group::Desired> = old.iter().filter(stale).cloned().collect();
        let mut failures = self.prepare_devices(name);
        let (added, refused) = self.add_missing_addresses(name);
        failures.extend(refused);
        failures.extend(self.delete_addresses(name, &gone));
        failures.extend(self.sync_routes(name));
        self.warn(failures);
        let now = Instant::now();
        if let (false, Some(group)) = (added.is_empty(), self.groups.get_mut(name)) {
            let refresh_s = group.claims.refresh_s;
            group.schedule.installed(now, refresh_s);
        }
        self.announce_due(now);
    }

    /// Withdraws a group.
    pub fn release(&mut self, name: &str) {
        let failures = self.remove(name);
        self.warn(failures);
        if let Err(error) = self.revoke_lease(name) {
            self.warn(vec![error]);
        }
        self.groups.remove(name);
        let result = self.sync_devices().and_then(|()| self.sync_fence());
        self.warn(result.err());
        self.watch_carrier();
        self.filter_sockets();
    }
}
