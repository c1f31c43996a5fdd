//! Declares, replaces and withdraws the claims of groups.

use std::collections::BTreeSet;
use std::time::Instant;

use spared_contract::Claims;

use super::check::check;
use super::fence::LeaseKey;
use super::group_claims::{self, Group, router_id};
use super::vmac::RouterId;
use super::{Kernel, KernelError};

/// Earlier claims of a group.
struct Change {
    keys: BTreeSet<LeaseKey>,
    routers: BTreeSet<RouterId>,
    addresses: Vec<group_claims::Desired>,
}

impl Kernel {
    /// Checks if the claims are valid, before the kernel is changed.
    pub fn check_claim(&self, name: &str, claims: &Claims) -> Result<(), KernelError> {
        let results = self.check_claims(&[(name, claims)]);
        results.into_iter().collect()
    }

    /// Checks claims that are declared together: one group may claim what another of them gives up. If two claim the
    /// same thing, the first one gets it.
    pub fn check_claims(&self, wanted: &[(&str, &Claims)]) -> Vec<Result<(), KernelError>> {
        let is_wanted = |name: &str| wanted.iter().any(|(wanted, _)| *wanted == name);
        let others = self.groups.iter().filter(|(name, _)| !is_wanted(name));
        let others: Vec<&Group> = others.map(|(_, group)| group).collect();
        let mut earlier: Vec<Group> = Vec::new();
        let mut results = Vec::new();
        for (name, claims) in wanted {
            let others = others.iter().copied().chain(&earlier);
            let checked = check(claims, others).map_err(|why| KernelError::Claim {
                group: (*name).to_owned(),
                why,
            });
            if checked.is_ok() {
                earlier.push(Group::new(0, (*claims).clone()));
            }
            results.push(checked);
        }
        results
    }

    /// Declares or replaces the claims of a group. Fence and virtual-MAC devices are created now,
    /// blocking and silent. While the group is installed, only the difference is applied.
    pub fn claim(&mut self, name: &str, claims: Claims) -> Result<(), KernelError> {
        self.check_claim(name, &claims)?;
        let Some(change) = self.begin_claim(name, claims) else {
            return Ok(());
        };
        let synced = self.sync_claims();
        let results = self.end_claim(name, &change);
        synced.and(results)
    }

    /// Declares or replaces the claims of several groups, with one change of devices and fence.
    pub fn claim_all(
        &mut self,
        wanted: Vec<(String, Claims)>,
    ) -> Vec<(String, Result<(), String>)> {
        let pairs: Vec<_> = wanted
            .iter()
            .map(|(name, it)| (name.as_str(), it))
            .collect();
        let checks = self.check_claims(&pairs);
        let mut changes = Vec::new();
        for ((name, claims), checked) in wanted.into_iter().zip(checks) {
            let change = checked.map(|()| self.begin_claim(&name, claims));
            changes.push((name, change.map_err(|error| error.to_string())));
        }
        let is_change = |(_, change): &(String, Result<Option<Change>, String>)| {
            change.as_ref().is_ok_and(Option::is_some)
        };
        let synced = if changes.iter().any(is_change) {
            self.sync_claims().map_err(|error| error.to_string())
        } else {
            Ok(())
        };
        let results = changes.into_iter().map(|(name, change)| {
            let result = change.and_then(|change| match change {
                Some(change) => {
                    let ended = self.end_claim(&name, &change);
                    synced.clone().and(ended.map_err(|error| error.to_string()))
                }
                None => Ok(()),
            });
            (name, result)
        });
        results.collect()
    }

    /// Replaces the claims of a group. Returns the earlier ones; None if they are equal.
    fn begin_claim(&mut self, name: &str, claims: Claims) -> Option<Change> {
        self.is_in_charge = true;
        let before = self.groups.get(name);
        if before.is_some_and(|group| group.claims == claims) {
            return None;
        }
        // Addresses that were prepared for the old claims must not be installed.
        let waiting = self.unprepare(name);
        self.warn(waiting);
        let before = self.groups.get(name);
        let change = Change {
            keys: before
                .map(|group| self.lease_keys(group))
                .unwrap_or_default(),
            routers: before
                .iter()
                .flat_map(|group| group.claims.routers.iter().map(router_id))
                .collect(),
            addresses: before
                .map(|group| group.placed(&self.interfaces))
                .unwrap_or_default(),
        };
        if let Some(old) = self.groups.get(name).map(|group| group.claims.clone()) {
            self.drop_renamed(&old, &claims);
        }
        self.replace_claims(name, claims);
        Some(change)
    }

    /// Makes devices, fence and filters match the claims of all groups.
    fn sync_claims(&mut self) -> Result<(), KernelError> {
        let synced = self.sync_devices().and_then(|()| self.guard_elsewhere());
        self.watch_carrier();
        self.filter_sockets();
        synced
    }

    /// Makes the leases and addresses of a group match its new claims.
    fn end_claim(&mut self, name: &str, before: &Change) -> Result<(), KernelError> {
        let mut results = Vec::new();
        let group = self.known(name)?;
        let (open, installed) = (group.open, group.installed);
        let keys = self.lease_keys(group);
        let gone: Vec<LeaseKey> = before.keys.difference(&keys).copied().collect();
        if !gone.is_empty() {
            results.push(self.change_leases(|fence| fence.revoke(&gone)));
        }
        if open {
            results.push(self.open_new_routers(name, &before.routers));
        }
        if installed {
            self.apply_difference(name, &before.addresses);
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

    // Applies the difference to the new claims. New addresses are added before old ones are deleted.
    pub(super) fn apply_difference(&mut self, name: &str, old: &[group_claims::Desired]) {
        let Some(group) = self.groups.get(name) else {
            return;
        };
        let wanted = group.placed(&self.interfaces);
        let stale = |old: &&group_claims::Desired| {
            !wanted.iter().any(|w| {
                (w.index, w.address, w.prefix, &w.label)
                    == (old.index, old.address, old.prefix, &old.label)
            })
        };
        let gone = old.iter().filter(stale).cloned();
        // In IPv6 an interface has an address only once, whatever its prefix. The kernel changes no label of an address.
        let replaced = |old: &group_claims::Desired| {
            let again =
                |w: &group_claims::Desired| (w.index, w.address) == (old.index, old.address);
            let relabelled =
                |w: &group_claims::Desired| w.prefix == old.prefix && w.label != old.label;
            let mut same = wanted.iter().filter(|w| again(w));
            same.any(|w| old.address.is_ipv6() || relabelled(w))
        };
        let (replaced, gone): (Vec<_>, Vec<_>) = gone.partition(replaced);
        let mut failures = self.prepare_devices(name, &mut BTreeSet::new());
        failures.extend(self.delete_addresses(name, &replaced));
        let (added, refused) = self.add_missing_addresses(name);
        failures.extend(refused);
        failures.extend(self.delete_addresses(name, &gone));
        failures.extend(self.sync_routes(name));
        self.warn(failures);
        let now = Instant::now();
        if let Some(group) = self.groups.get_mut(name) {
            let refresh_s = group.claims.refresh_s;
            if added.is_empty() {
                group.schedule.refresh_every(refresh_s)
            } else {
                group.schedule.installed(now, refresh_s)
            }
        }
        self.announce_due(now);
    }

    /// Withdraws these groups, with one change of devices and fence.
    pub fn release_all(&mut self, names: &[&str]) {
        let failures = self.remove_all(names);
        self.warn(failures);
        if let Err(error) = self.revoke_leases(names) {
            self.warn(vec![error]);
        }
        for name in names {
            self.groups.remove(*name);
        }
        let result = self.sync_claims();
        self.warn(result.err());
    }
}
