//! Installs the claims of a group in the kernel, and removes them.

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

use spared_netlink::constants::{ADDRESS_PROTOCOL, IFA_F_SECONDARY};
use spared_netlink::{Address, Event, Link, Message};

use super::group_claims::Desired;
use super::misplaced_addresses::is_gone;
use super::sysctl::On;
use super::{Kernel, KernelError, announcement_frame, routes, rules, vmac};

/// Result of an installation.
#[derive(Debug, Default)]
pub struct Installed {
    /// Addresses such as "192.168.200.1/24 on lan2", in the order of the claims.
    pub addresses: Vec<String>,
    /// Refusals of the kernel; everything else is in place.
    pub failures: Vec<KernelError>,
    /// Refused routes. The addresses answer without them.
    pub route_failures: Vec<KernelError>,
    /// Time from the call to the last announcement on the wire.
    pub took: Duration,
}

impl Kernel {
    /// Installs the addresses of these groups in one batch, announces them at once, and schedules the repetitions. Then
    /// adds the routes of each group. Prepared addresses are in place already.
    pub fn install_all(&mut self, groups: &[&str]) -> Vec<Result<Installed, KernelError>> {
        let begun = Instant::now();
        let mut set = BTreeSet::new();
        let mut results: Vec<_> = groups
            .iter()
            .map(|group| self.begin_install(group, begun, &mut set))
            .collect();
        if !self.fence.is_on() {
            self.raise_devices();
        }
        let wanted = groups.iter().map(|group| (*group, self.wanted_of(group)));
        let added = self.add_addresses_of(wanted.collect());
        self.announce_due(begun);
        for ((group, result), (_, refused)) in groups.iter().zip(&mut results).zip(added) {
            if let Ok(installed) = result {
                installed.failures.extend(refused);
                installed.route_failures = self.sync_routes(group);
                installed.took = begun.elapsed();
            }
        }
        results
    }

    fn begin_install(
        &mut self,
        group: &str,
        now: Instant,
        set: &mut BTreeSet<String>,
    ) -> Result<Installed, KernelError> {
        let state = self.known(group)?;
        let claims = &state.claims;
        let addresses = claims
            .addresses
            .iter()
            .map(|claim| format!("{}/{} on {}", claim.address, claim.prefix, claim.interface))
            .collect();
        let refresh_s = claims.refresh_s;
        let failures = if state.prepared {
            Vec::new()
        } else {
            self.prepare_devices(group, set)
        };
        if let Some(group) = self.groups.get_mut(group) {
            (group.installed, group.prepared) = (true, false);
            group.carried = false;
            group.forget_deletions();
            group.schedule.installed(now, refresh_s);
        }
        Ok(Installed {
            addresses,
            failures,
            ..Installed::default()
        })
    }

    /// Removes rules, routes and addresses of these groups, in reverse order: all addresses in one batch.
    pub fn remove_all(&mut self, groups: &[&str]) -> Vec<KernelError> {
        let mut failures = Vec::new();
        let mut gone = Vec::new();
        for group in groups {
            let state = self.groups.get_mut(*group);
            let Some(state) = state.filter(|state| state.installed) else {
                failures.extend(self.unprepare(group));
                continue;
            };
            state.installed = false;
            state.schedule.stop();
            state.forget_deletions();
            let routes = std::mem::take(&mut state.routes);
            let rules = std::mem::take(&mut state.rules);
            gone.push((*group, state.placed(&self.interfaces)));
            failures.extend(self.delete_rules(&rules));
            failures.extend(self.delete_routes(&routes));
        }
        failures.extend(self.delete_addresses_of(&gone));
        // Addresses may be on a device that has another name now than the claimed one.
        self.remove_misplaced();
        for (group, _) in gone {
            self.close_devices(group);
        }
        failures
    }

    // Returns the addresses of a group that should be set now.
    fn wanted_of(&self, group: &str) -> Vec<Desired> {
        let state = self.groups.get(group).filter(|state| state.installed);
        state.map_or_else(Vec::new, |state| state.desired(&self.interfaces))
    }

    /// Adds missing addresses. Returns those that were added, and the errors of the others.
    pub(super) fn add_missing_addresses(
        &mut self,
        group: &str,
    ) -> (Vec<Desired>, Vec<KernelError>) {
        let wanted = self.wanted_of(group);
        let mut added = self.add_addresses_of(vec![(group, wanted)]);
        added.pop().unwrap_or_default()
    }

    // Adds missing addresses of several groups, in one batch.
    pub(super) fn add_addresses_of(
        &mut self,
        mut groups: Vec<(&str, Vec<Desired>)>,
    ) -> Vec<(Vec<Desired>, Vec<KernelError>)> {
        for (_, wanted) in &mut groups {
            let interfaces = &self.interfaces;
            wanted.retain(|it| !interfaces.is_in_place(it.index, it.address, it.prefix));
        }
        let missing = groups.iter().flat_map(|(_, wanted)| wanted);
        let encoded: Result<Vec<Message>, _> = missing.map(Desired::added).collect();
        let verdicts = encoded.and_then(|requests| self.requests.run(&requests));
        let mut verdicts = verdicts.map(Vec::into_iter);
        let mut results = Vec::new();
        for (group, wanted) in groups {
            let (mut added, mut failures) = (Vec::new(), Vec::new());
            let verdicts = match &mut verdicts {
                Ok(verdicts) => verdicts,
                Err(error) if !wanted.is_empty() => {
                    let error = again(error);
                    failures.push(KernelError::new(group, "add its addresses", error));
                    results.push((added, failures));
                    continue;
                }
                Err(_) => {
                    results.push((added, failures));
                    continue;
                }
            };
            for (wanted, verdict) in wanted.into_iter().zip(verdicts) {
                match verdict {
                    Ok(()) => {
                        self.note(&wanted);
                        added.push(wanted);
                    }
                    // Somebody set the address just now, and the event will tell who.
                    Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
                    Err(error) => failures.push(self.address_error(group, &wanted, "add", error)),
                }
            }
            if !failures.is_empty() {
                self.retries.retry(Instant::now());
            }
            results.push((added, failures));
        }
        results
    }

    pub(super) fn note(&mut self, wanted: &Desired) {
        self.interfaces.note_address(Address {
            index: wanted.index,
            address: wanted.address,
            prefix: wanted.prefix,
            // Most are secondary. The event will tell the real flags.
            flags: IFA_F_SECONDARY,
            protocol: ADDRESS_PROTOCOL,
        });
    }

    pub(super) fn delete_addresses(&mut self, group: &str, list: &[Desired]) -> Vec<KernelError> {
        self.delete_addresses_of(&[(group, list.to_vec())])
    }

    // Deletes addresses of several groups, in one batch.
    fn delete_addresses_of(&mut self, groups: &[(&str, Vec<Desired>)]) -> Vec<KernelError> {
        let all = groups.iter().rev();
        let all = all.flat_map(|(group, list)| list.iter().rev().map(move |gone| (*group, gone)));
        let list: Vec<(&str, &Desired)> = all
            .filter(|(_, wanted)| {
                let mut there = self.interfaces.each_address(wanted.index, wanted.address);
                there.any(Address::is_ours)
            })
            .collect();
        let encoded: Result<Vec<Message>, _> = list
            .iter()
            .map(|(_, w)| Message::delete_address(w.index, w.address, w.prefix))
            .collect();
        let verdicts = match encoded.and_then(|requests| self.requests.run(&requests)) {
            Ok(verdicts) => verdicts,
            Err(error) => {
                let groups: BTreeSet<&str> = list.iter().map(|(group, _)| *group).collect();
                let failure =
                    |group| KernelError::new(group, "delete its addresses", again(&error));
                return groups.into_iter().map(failure).collect();
            }
        };
        let mut failures = Vec::new();
        for ((group, gone), verdict) in list.into_iter().zip(verdicts) {
            match verdict {
                Err(error) if !is_gone(&error) => {
                    self.retries.retry(Instant::now());
                    failures.push(self.address_error(group, gone, "delete", error));
                }
                _ => self
                    .interfaces
                    .forget_address(gone.index, gone.address, gone.prefix),
            }
        }
        failures
    }

    fn address_error(
        &self,
        group: &str,
        wanted: &Desired,
        verb: &str,
        error: std::io::Error,
    ) -> KernelError {
        let claims = self.groups.get(group).map(|group| &group.claims.addresses);
        let claim = claims.and_then(|claims| claims.get(wanted.claim));
        let interface = claim.map_or("interface", |claim| claim.interface.as_str());
        KernelError::new(
            interface,
            format!("{verb} {}/{}", wanted.address, wanted.prefix),
            error,
        )
    }

    /// Adds and deletes routes and policy rules of an installed group as needed.
    pub(super) fn sync_routes(&mut self, group: &str) -> Vec<KernelError> {
        let Some(state) = self.groups.get(group).filter(|state| state.installed) else {
            return Vec::new();
        };
        let wanted = routes::desired(&mut self.requests, state, &self.interfaces);
        let stale: Vec<_> = state
            .routes
            .iter()
            .filter(|route| !wanted.contains(route))
            .copied()
            .collect();
        let mut failures = self.delete_routes(&stale);
        // All routes are added, as the kernel removes the routes of an interface that goes down without an event.
        let refused = routes::add(&mut self.requests, &wanted);
        if refused.failures.iter().any(KernelError::is_for_now) {
            self.retries.retry_routes(Instant::now());
        }
        failures.extend(refused.failures);
        let mut is_new = false;
        if let Some(state) = self.groups.get_mut(group) {
            is_new = state.routes != wanted;
            (state.routes, state.refused_routes) = (wanted, refused.objects);
        }
        // a gateway of another group may be in a network that came with this one
        let mut others = self.groups.iter();
        if is_new && others.any(|(name, it)| name != group && !it.refused_routes.is_empty()) {
            self.retries.retry_routes_at_once(Instant::now());
        }
        failures.extend(self.sync_rules(group));
        failures
    }

    // All rules are added, as the deletion of a rule takes the first one with its attributes, which may have more.
    fn sync_rules(&mut self, group: &str) -> Vec<KernelError> {
        let Some(state) = self.groups.get(group) else {
            return Vec::new();
        };
        let wanted = rules::desired(&state.claims);
        let stale = state.rules.iter().filter(|rule| !wanted.contains(rule));
        let stale: Vec<_> = stale.cloned().collect();
        let mut failures = self.delete_rules(&stale);
        let refused = rules::add(&mut self.requests, &wanted);
        if !refused.objects.is_empty() {
            self.retries.retry_routes(Instant::now());
        }
        failures.extend(refused.failures);
        if let Some(state) = self.groups.get_mut(group) {
            (state.rules, state.refused_rules) = (wanted, refused.objects);
        }
        failures
    }

    // Sets what an installed group needs on its interfaces, and enables IPv6 on its virtual-MAC devices. `set` holds
    // the interfaces that another group of the same step has already set.
    pub(super) fn prepare_devices(
        &mut self,
        group: &str,
        set: &mut BTreeSet<String>,
    ) -> Vec<KernelError> {
        let Some(state) = self.groups.get(group) else {
            return Vec::new();
        };
        let (mut failures, mut warnings) = (Vec::new(), Vec::new());
        for claim in state
            .claims
            .addresses
            .iter()
            .filter(|claim| claim.address.is_ipv4())
        {
            let name = &claim.interface;
            let link = self.interfaces.link(name).filter(|_| !set.contains(name));
            let Some(index) = link.map(|link| link.index) else {
                continue;
            };
            set.insert(name.clone());
            // Without promote_secondaries, deleting the node's primary address would delete the virtual one too. The
            // virtual one is restored then, so a refusal is only a warning.
            let (on, key) = (On { name, index }, "promote_secondaries");
            let done = self.saved_settings.set(&mut self.requests, on, key, "1");
            let refused = |error| KernelError::new(name, "set promote_secondaries", error);
            warnings.extend(done.err().map(|error| refused(error).to_string()));
        }
        for key in state.vmacs() {
            let Some(link) = key.find(&self.interfaces) else {
                continue;
            };
            failures.extend(
                vmac::set_ipv6(&link.name, true)
                    .err()
                    .map(|error| KernelError::new(&link.name, "switch on IPv6", error)),
            );
        }
        let events = &mut self.events;
        warnings.into_iter().for_each(|text| events.warn_once(text));
        failures
    }

    // Silences the virtual-MAC devices of a group that is not active.
    pub(super) fn close_devices(&mut self, group: &str) {
        let Some(state) = self.groups.get(group) else {
            return;
        };
        for key in state.vmacs() {
            let Some(link) = key.find(&self.interfaces).cloned() else {
                continue;
            };
            // Without a fence the device would receive what the switch floods.
            if !self.fence.is_on() {
                let _ = self.requests.run_one(Message::set_up(link.index, false));
                let up = false;
                self.interfaces
                    .apply(Event::Link(Link { up, ..link.clone() }));
            }
            if let Err(error) = vmac::set_ipv6(&link.name, false) {
                let text = KernelError::new(&link.name, "switch off IPv6", error).to_string();
                self.events.tell(text);
            }
        }
    }

    /// Announces the addresses of the groups that are due.
    pub(super) fn announce_due(&mut self, now: Instant) {
        for state in self.groups.values_mut() {
            // An announcement of a carried group is dropped: the other node announces the addresses.
            if !state.schedule.take_due(now) || !state.installed || state.carried {
                continue;
            }
            for claim in &state.claims.addresses {
                let Some((index, mac)) = state.announced_by(claim, &self.interfaces) else {
                    continue;
                };
                if !self.interfaces.carrier(&claim.interface) || mac == [0; 6] {
                    continue;
                }
                let frame = announcement_frame::announcement(claim.address, mac);
                self.announcer.send(index, &frame);
            }
        }
    }
}

// Copies the error of a batch, for each of its groups.
fn again(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::other(error.to_string()),
    }
}
