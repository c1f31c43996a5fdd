//! Detects changes that other programs make to the kernel's tables, and reacts to them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use spared_contract::Family;
use spared_netlink::{Event, Route};

use super::group_claims::Deletion;
use super::interfaces::{Change, LinkChange};
use super::socket_filters::Admitted;
use super::sockets::Place;
use super::{Kernel, KernelError, KernelEvent, rules};

/// Pause before a contested address is restored.
const CONTESTED_PACE: Duration = Duration::from_secs(1);

impl Kernel {
    /// Reads all descriptors and handles the changes.
    pub fn handle_ready(&mut self, now: Instant) -> Vec<KernelEvent> {
        self.handle_carrier();
        self.handle_monitor(now);
        self.handle_tampering(now);
        self.handle_routes();
        self.events.take()
    }

    /// Handles what is due.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<KernelEvent> {
        self.announce_due(now);
        if self.retries.take_due(now) {
            if self.notifications.is_outdated() {
                self.read_again(now);
            }
            self.remove_misplaced();
            self.delete_again();
            self.reconcile_structure(now);
            self.reinstall(now);
            self.reorder_behind_own_addresses(now);
        }
        if self.elsewhere.devices.is_due(now) {
            let done = self.guard_elsewhere();
            self.warn(done.err());
        }
        self.end_old_fence(now);
        if self.retries.take_routes_due(now) {
            self.try_routes_again();
        }
        let due: Vec<String> = self
            .groups
            .iter_mut()
            .filter(|(_, group)| group.restore_at.is_some_and(|at| at <= now))
            .map(|(name, group)| {
                group.restore_at = None;
                name.clone()
            })
            .collect();
        for name in due {
            self.restore(&name, now);
        }
        self.restore_links(&[], now);
        self.events.take()
    }

    fn handle_carrier(&mut self) {
        for (name, carrier) in self.carrier.take() {
            if self.interfaces.set_carrier(&name, carrier) {
                let index = self.interfaces.link(&name).map(|link| link.index);
                if let (false, Some(index)) = (carrier, index) {
                    self.close_without_carrier(&name, index);
                }
                self.report(&name);
            }
        }
    }

    fn handle_monitor(&mut self, now: Instant) {
        let events = match self.notifications.read_interfaces() {
            Ok(events) => events,
            Err(error) => {
                self.warn(error);
                self.read_again(now);
                return self.reconcile_structure(now);
            }
        };
        let is_forwarding = |it: &Event| self.interfaces.is_of_forwarding(it);
        let is_forwarding = events.iter().any(is_forwarding);
        let not_forwarding = is_forwarding.then(|| self.not_forwarding());
        let copies = self.are_of_copies(&events);
        let is_address = |it: &Event| matches!(it, Event::Address(_) | Event::AddressGone(_));
        let addresses = events.iter().any(is_address);
        let mut deleted = Vec::new();
        let (mut appeared, mut went) = (false, false);
        let mut structure = false;
        let mut own_addresses = false;
        if events.iter().any(|event| matches!(event, Event::Link(_))) {
            self.carrier.look(now);
        }
        for event in events {
            structure |= matches!(event, Event::Link(_) | Event::LinkGone(_));
            let changes = self.interfaces.apply(event);
            // A device that was renamed or became a port must not answer any longer.
            let is_loss =
                |it: &Change| matches!(it, Change::Link { what, .. } if what.carrier_lost);
            if changes.iter().any(is_loss) {
                self.remove_misplaced();
            }
            for change in changes {
                match change {
                    Change::Link { name, index, what } => {
                        appeared |= what.appeared;
                        went |= what.carrier_lost;
                        self.link_changed(&name, index, what, now);
                    }
                    Change::OwnAddress { name } => {
                        own_addresses = true;
                        self.followed.rejoin(&name);
                        self.report(&name);
                    }
                    Change::AddressGone { index, address } => {
                        // The kernel itself deletes the IPv6 addresses of an interface that goes down. The event of the
                        // interface comes before theirs.
                        let link = self.interfaces.link_of(index);
                        if link.is_some_and(|link| link.up) {
                            deleted.push((index, address));
                        }
                    }
                }
            }
        }
        if let Some(before) = not_forwarding {
            self.report_forwarding(&before);
        }
        self.remove_misplaced();
        if structure || copies {
            self.reconcile_structure(now);
        }
        self.restore_links(&deleted, now);
        self.handle_deletions(&deleted, now);
        if addresses {
            self.reorder_behind_own_addresses(now);
        }
        if appeared {
            self.reinstall(now);
        } else if own_addresses {
            self.sync_all_routes();
        } else if went {
            self.look_for_routes();
        }
    }

    /// Returns true if somebody else set or deleted an address of our groups.
    fn are_of_copies(&self, events: &[Event]) -> bool {
        let of = |event: &Event| match event {
            Event::Address(it) | Event::AddressGone(it) if !it.is_ours() => Some(it.address),
            _ => None,
        };
        let mut addresses = events.iter().filter_map(of);
        let claims = |group: &super::Group, address| {
            let mut claims = group.claims.addresses.iter();
            claims.any(|claim| claim.address == address)
        };
        addresses.any(|it| self.groups.values().any(|group| claims(group, it)))
    }

    fn link_changed(&mut self, name: &str, index: u32, what: LinkChange, now: Instant) {
        if what.carrier_lost {
            // The event may be outdated; the thread reports the present carrier.
            if self.interfaces.link(name).is_some() {
                self.interfaces.set_carrier(name, false);
            }
            self.close_without_carrier(name, index);
            self.carrier.note_lost(name);
        }
        if what.carrier_found && !self.carrier.speaks_for(name) {
            self.interfaces.forget_carrier(name);
        }
        if what.carrier_lost || what.carrier_found {
            self.carrier.ask_again(name);
        }
        if what.other_mac {
            let groups = self.groups.values_mut();
            for group in groups.filter(|group| group.installed && group.interfaces().contains(name))
            {
                group.schedule.again(now);
            }
        }
        self.report(name);
    }

    /// Makes devices, fence and sockets match the interfaces.
    fn reconcile_structure(&mut self, now: Instant) {
        if let Err(error) = self.sync_devices().and_then(|()| self.sync_fence()) {
            self.warn([error]);
            self.retries.retry(now);
        }
        self.elsewhere.devices.note(&self.interfaces, now);
        self.raise_devices();
        self.sync_links();
        self.filter_sockets();
    }

    /// Returns the claimed virtual routers of an interface. Adverts of others are not accepted.
    fn admitted(&self, name: &str) -> Vec<Admitted> {
        let claims = self.groups.values().flat_map(|group| &group.claims.routers);
        let here = claims.filter(|claim| claim.interface == name);
        here.map(|claim| Admitted {
            ipv6: claim.family == Family::V6,
            vrid: claim.vrid,
            routed: claim.routed,
        })
        .collect()
    }

    /// Makes the filters of the sockets match the claims on their interfaces.
    pub(super) fn filter_sockets(&mut self) {
        let names: Vec<String> = self.followed.names().cloned().collect();
        for name in names {
            self.open_sockets(&name);
        }
    }

    /// Opens and closes the sockets of a followed interface as needed.
    pub(super) fn open_sockets(&mut self, name: &str) {
        let link = self.interfaces.link(name);
        let index = link.map_or(0, |link| link.index);
        let admitted = self.admitted(name);
        let place = Place {
            name,
            index,
            ends: self.links.ends_on(name, index, &self.interfaces),
            mac: link.map_or([0; 6], |link| link.mac),
            admitted: &admitted,
        };
        let Some((changed, errors)) = self.followed.sync(place) else {
            return;
        };
        if changed {
            self.report(name);
        }
        if !errors.is_empty() {
            let errors = errors.into_iter();
            self.warn(errors.map(|error| KernelError::new(name, "open its sockets", error)));
            self.retries.retry(Instant::now());
        }
    }

    // Restores what was lost while interfaces were down.
    fn reinstall(&mut self, now: Instant) {
        self.followed.rejoin_all();
        let mut set = BTreeSet::new();
        for name in self.installed_groups() {
            let mut failures = self.prepare_devices(&name, &mut set);
            let (added, refused) = self.add_missing_addresses(&name);
            failures.extend(refused);
            failures.extend(self.sync_routes(&name));
            self.warn_of_lasting(failures);
            if let (false, Some(group)) = (added.is_empty(), self.groups.get_mut(&name)) {
                group.schedule.again(now);
            }
        }
        self.announce_due(now);
    }

    fn handle_deletions(&mut self, deleted: &[(u32, IpAddr)], now: Instant) {
        // Ignores addresses that are back already, and those of interfaces that went down since.
        let up: BTreeSet<u32> = self
            .interfaces
            .links()
            .filter(|link| link.up)
            .map(|link| link.index)
            .collect();
        let missing: Vec<&(u32, IpAddr)> = deleted
            .iter()
            .filter(|(index, address)| {
                up.contains(index) && !self.interfaces.has_address(*index, *address)
            })
            .collect();
        if missing.is_empty() {
            return;
        }
        let mut hurt = Vec::new();
        for (name, group) in self.groups.iter_mut().filter(|(_, group)| group.installed) {
            let wanted: BTreeSet<(u32, IpAddr)> = group
                .desired(&self.interfaces)
                .into_iter()
                .map(|wanted| (wanted.index, wanted.address))
                .collect();
            let mut any = false;
            for (_, address) in missing.iter().filter(|gone| wanted.contains(gone)) {
                any = true;
                let wait = match group.note_deletion(*address, now) {
                    Deletion::First => continue,
                    Deletion::Again(end) => end,
                    Deletion::OneTooMany => {
                        if group.restore_at.is_none() {
                            let why = format!("another program keeps deleting {address}");
                            let group = name.clone();
                            self.events.push(KernelEvent::Contested { group, why });
                        }
                        now + CONTESTED_PACE
                    }
                };
                group.restore_at.get_or_insert(wait);
            }
            if any && group.restore_at.is_none() {
                hurt.push(name.clone());
            }
        }
        for name in hurt {
            self.restore(&name, now);
        }
    }

    fn restore(&mut self, name: &str, now: Instant) {
        let (added, mut failures) = self.add_missing_addresses(name);
        failures.extend(self.sync_routes(name));
        self.warn_of_lasting(failures);
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        for back in &added {
            let Some(claim) = group.claims.addresses.get(back.claim) else {
                continue;
            };
            let count = group.restored.entry(claim.address).or_default();
            *count += 1;
            self.events.push(KernelEvent::Restored {
                group: name.to_owned(),
                address: format!("{}/{}", claim.address, claim.prefix),
                interface: claim.interface.clone(),
                count: *count,
            });
        }
        if !added.is_empty() {
            group.schedule.once(now);
        }
        self.announce_due(now);
    }

    fn handle_routes(&mut self) {
        let (events, lost) = self.notifications.read_routes();
        let gone = |group: &super::Group| {
            lost || events.iter().any(|event| match event {
                Event::RouteGone(gone) => group.routes.iter().any(|route| same_place(route, gone)),
                Event::RuleGone(gone) => rules::are_among(&group.rules, gone),
                _ => false,
            })
        };
        let names = self.installed_where(gone);
        self.sync_routes_of(&names);
        for event in events {
            if let Event::LocalRouteGone(gone) = event {
                self.delete_dead(gone.address);
            }
        }
    }

    // Deletes an address that has lost its local route. It answers nobody, and the kernel restores the route only with
    // the address. The event of this deletion restores the address.
    fn delete_dead(&mut self, address: IpAddr) {
        for name in self.installed_groups() {
            let Some(group) = self.groups.get(&name) else {
                continue;
            };
            let mut dead = group.desired(&self.interfaces);
            dead.retain(|it| it.address == address);
            let failures = self.delete_addresses(&name, &dead);
            self.warn_of_lasting(failures);
        }
    }

    // Updates the routes of all groups. A gateway may be reachable now, or an interface may have another network.
    fn sync_all_routes(&mut self) {
        let names = self.installed_groups();
        self.sync_routes_of(&names);
    }

    // Retries refused routes, without warnings: a lasting failure was reported when it occurred first.
    fn try_routes_again(&mut self) {
        let refused =
            |it: &super::Group| !(it.refused_routes.is_empty() && it.refused_rules.is_empty());
        for name in self.installed_where(refused) {
            self.sync_routes(&name);
        }
    }

    // Restores routes. The kernel removes the routes of an interface that goes down, without an event.
    fn look_for_routes(&mut self) {
        let names = self.installed_where(|group| !group.claims.routes.is_empty());
        self.sync_routes_of(&names);
    }

    fn sync_routes_of(&mut self, names: &[String]) {
        for name in names {
            let failures = self.sync_routes(name);
            self.warn_of_lasting(failures);
        }
    }

    fn installed_groups(&self) -> Vec<String> {
        self.installed_where(|_| true)
    }

    fn installed_where(&self, which: impl Fn(&super::Group) -> bool) -> Vec<String> {
        let groups = self.groups.iter();
        let found = groups.filter(|(_, group)| group.installed && which(group));
        found.map(|(name, _)| name.clone()).collect()
    }

    fn warn_of_lasting(&mut self, failures: Vec<KernelError>) {
        self.warn(failures.into_iter().filter(|failure| !failure.is_for_now()));
    }

    fn handle_tampering(&mut self, now: Instant) {
        let Some(damage) = self.fence.take_damage(now) else {
            return;
        };
        if damage.is_foreign {
            let why = "another program changed nftables' table netdev spared".to_owned();
            self.events.push(KernelEvent::FenceMissing(why));
        }
        if let Err(error) = self.refence() {
            self.warn([error]);
        }
    }

    /// Reads all links and addresses again. If that fails, it is done at the next retry.
    fn read_again(&mut self, now: Instant) {
        let done = self.resync();
        self.notifications.set_outdated(done.is_err());
        if let Err(error) = done {
            self.warn([error]);
            self.retries.retry(now);
        }
    }

    /// Reads all links and addresses again.
    pub(super) fn resync(&mut self) -> Result<(), KernelError> {
        let read = |error| KernelError::new("kernel", "read links and addresses", error);
        let links = self.requests.links().map_err(read)?;
        let addresses = self.requests.addresses().map_err(read)?;
        let forwarding = self.requests.forwarding().map_err(read)?;
        let without: Vec<String> = links
            .iter()
            .filter(|l| !(l.up && l.carrier && l.port_of.is_none()))
            .map(|l| l.name.clone())
            .collect();
        let not_forwarding = self.not_forwarding();
        let changed = self.interfaces.replace(links, addresses);
        self.interfaces.replace_forwarding(forwarding);
        self.report_forwarding(&not_forwarding);
        self.remove_misplaced();
        for (name, index) in changed {
            let is_there = self.interfaces.name_of(index) == Some(&name);
            if without.contains(&name) || !is_there {
                self.close_without_carrier(&name, index);
            }
            self.carrier.ask_again(&name);
            self.report(&name);
        }
        self.reinstall(Instant::now());
        Ok(())
    }
}

// Compares two routes without interface, scope and metric, which the kernel adds if a claim omits them.
fn same_place(a: &Route, b: &Route) -> bool {
    (a.destination, a.prefix, a.table) == (b.destination, b.prefix, b.table)
}
