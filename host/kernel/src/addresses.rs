//! Installs the claims of a group in the kernel, and removes them.

use std::time::{Duration, Instant};

use spared_netlink::constants::ADDRESS_PROTOCOL;
use spared_netlink::{Address, Event, Link, Message};

use super::group::Desired;
use super::{Kernel, KernelError, KernelEvent, RETRY, frame, routes, vmac};

/// Result of an installation.
#[derive(Debug, Default)]
pub struct Installed {
    /// "192.168.200.1/24 on lan2", in the order of the claims.
    pub addresses: Vec<String>,
    /// Refusals of the kernel; everything else is in place.
    pub failures: Vec<KernelError>,
    /// Time from the call to the last announcement on the wire.
    pub took: Duration,
}

impl Kernel {
    /// Installs addresses and routes of a group in one batch each, announces the addresses at once,
    /// and schedules the repetitions. Prepared addresses are there already.
    pub fn install(&mut self, group: &str) -> Result<Installed, KernelError> {
        let begun = Instant::now();
        let claims = &self.known(group)?.claims;
        let addresses = claims
            .addresses
            .iter()
            .map(|claim| format!("{}/{} on {}", claim.address, claim.prefix, claim.interface))
            .collect();
        let refresh_s = claims.refresh_s;
        let prepared = self.known(group)?.prepared;
        let mut failures = match prepared {
            true => Vec::new(),
            false => self.prepare_devices(group),
        };
        if let Some(group) = self.groups.get_mut(group) {
            (group.installed, group.prepared) = (true, false);
            group.carried = false;
            group.forget_deletions();
            group.schedule.installed(begun, refresh_s);
        }
        if self.fence.is_none() {
            self.raise_devices();
        }
        failures.extend(self.add_missing_addresses(group).1);
        self.announce_due(begun);
        failures.extend(self.sync_routes(group));
        Ok(Installed {
            addresses,
            failures,
            took: begun.elapsed(),
        })
    }

    /// Removes routes and addresses, in reverse order.
    pub fn remove(&mut self, group: &str) -> Vec<KernelError> {
        let Some(state) = self.groups.get_mut(group).filter(|state| state.installed) else {
            return self.unprepare(group);
        };
        state.installed = false;
        state.schedule.stop();
        state.forget_deletions();
        let installed_routes = std::mem::take(&mut state.routes);
        let desired = state.placed(&self.interfaces);
        let mut failures = routes::delete(&mut self.requests, &installed_routes);
        failures.extend(self.delete_addresses(group, &desired));
        self.close_devices(group);
        failures
    }

    /// Adds missing addresses; returns those that were added, and the refusals.
    pub(super) fn add_missing_addresses(
        &mut self,
        group: &str,
    ) -> (Vec<Desired>, Vec<KernelError>) {
        let Some(state) = self.groups.get(group).filter(|state| state.installed) else {
            return Default::default();
        };
        let wanted = state.desired(&self.interfaces);
        self.add_addresses(group, wanted)
    }

    pub(super) fn add_addresses(
        &mut self,
        group: &str,
        wanted: Vec<Desired>,
    ) -> (Vec<Desired>, Vec<KernelError>) {
        let mut missing = wanted;
        missing.retain(|wanted| !self.interfaces.has_address(wanted.index, wanted.address));
        let encoded: Result<Vec<Message>, _> = missing
            .iter()
            .map(|w| Message::add_address(w.index, w.address, w.prefix, w.prefix_route))
            .collect();
        let verdicts = match encoded.and_then(|requests| self.requests.run(&requests)) {
            Ok(verdicts) => verdicts,
            Err(error) => {
                return (
                    Vec::new(),
                    vec![KernelError::new(group, "add its addresses", error)],
                );
            }
        };
        let (mut added, mut failures) = (Vec::new(), Vec::new());
        for (wanted, verdict) in missing.into_iter().zip(verdicts) {
            match verdict {
                Ok(()) => {
                    self.note(&wanted);
                    added.push(wanted);
                }
                // The event of an earlier deletion was late, or it is an address of the node
                // itself.
                Err(error) if error.raw_os_error() == Some(libc::EEXIST) => self.note(&wanted),
                Err(error) => failures.push(self.address_error(group, &wanted, "add", error)),
            }
        }
        if !failures.is_empty() {
            self.retry_at = Some(Instant::now() + RETRY);
        }
        (added, failures)
    }

    fn note(&mut self, wanted: &Desired) {
        self.interfaces.note_address(Address {
            index: wanted.index,
            address: wanted.address,
            prefix: wanted.prefix,
            flags: 0,
            protocol: ADDRESS_PROTOCOL,
        });
    }

    pub(super) fn delete_addresses(&mut self, group: &str, list: &[Desired]) -> Vec<KernelError> {
        let list: Vec<&Desired> = list
            .iter()
            .rev()
            .filter(|wanted| {
                let mut there = self.interfaces.addresses(wanted.index);
                there.any(|known| known.address == wanted.address && known.is_ours())
            })
            .collect();
        let encoded: Result<Vec<Message>, _> = list
            .iter()
            .map(|w| Message::delete_address(w.index, w.address, w.prefix))
            .collect();
        let verdicts = match encoded.and_then(|requests| self.requests.run(&requests)) {
            Ok(verdicts) => verdicts,
            Err(error) => return vec![KernelError::new(group, "delete its addresses", error)],
        };
        let mut failures = Vec::new();
        for (gone, verdict) in list.into_iter().zip(verdicts) {
            self.interfaces
                .forget_address(gone.index, gone.address, gone.prefix);
            match verdict {
                Err(error) if error.raw_os_error() != Some(libc::EADDRNOTAVAIL) => {
                    failures.push(self.address_error(group, gone, "delete", error));
                }
                _ => {}
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

    /// Adds and deletes routes of an installed group as needed.
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
        let mut failures = routes::delete(&mut self.requests, &stale);
        // All of them, as the kernel removes the routes of an interface that goes down without an
        // event.
        failures.extend(routes::add(&mut self.requests, &wanted));
        if let Some(state) = self.groups.get_mut(group) {
            state.routes = wanted;
        }
        failures
    }

    // Sets what an installed group needs on its interfaces, and IPv6 on its own devices.
    pub(super) fn prepare_devices(&mut self, group: &str) -> Vec<KernelError> {
        let Some(state) = self.groups.get(group) else {
            return Vec::new();
        };
        let mut failures = Vec::new();
        for claim in state
            .claims
            .addresses
            .iter()
            .filter(|claim| claim.address.is_ipv4())
        {
            if self.interfaces.link(&claim.interface).is_none() {
                continue;
            }
            // Without it, deleting the primary address of the node would delete the virtual one
            // too.
            let set = self
                .borrowed
                .set("ipv4", &claim.interface, "promote_secondaries", "1");
            failures.extend(
                set.err().map(|error| {
                    KernelError::new(&claim.interface, "set promote_secondaries", error)
                }),
            );
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
        failures
    }

    // Silences the virtual-MAC devices of a backup.
    pub(super) fn close_devices(&mut self, group: &str) {
        let Some(state) = self.groups.get(group) else {
            return;
        };
        for key in state.vmacs() {
            let Some(link) = key.find(&self.interfaces).cloned() else {
                continue;
            };
            // Without a fence it would receive what the switch floods.
            if self.fence.is_none() {
                let _ = self.requests.run_one(Message::set_up(link.index, false));
                let up = false;
                self.interfaces
                    .apply(Event::Link(Link { up, ..link.clone() }));
            }
            if let Err(error) = vmac::set_ipv6(&link.name, false) {
                let text = KernelError::new(&link.name, "switch off IPv6", error).to_string();
                self.events.push(KernelEvent::Warning { text });
            }
        }
    }

    /// Announces the groups that are due.
    pub(super) fn announce_due(&mut self, now: Instant) {
        for state in self.groups.values_mut() {
            if !state.installed || state.carried || !state.schedule.take_due(now) {
                continue;
            }
            for claim in &state.claims.addresses {
                let Some((index, mac)) = state.announced_by(claim, &self.interfaces) else {
                    continue;
                };
                if !self.interfaces.carrier(&claim.interface) || mac == [0; 6] {
                    continue;
                }
                match self
                    .packets
                    .send(index, &frame::announcement(claim.address, mac))
                {
                    Ok(()) => self.announced += 1,
                    Err(_) => self.announcements_failed += 1,
                }
            }
        }
    }
}
