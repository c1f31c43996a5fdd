//! Manages what the host needs from the kernel: interfaces, addresses, routes, virtual-MAC devices, sockets and the
//! fence, by netlink and without waiting.
//!
//! [`Kernel`] is fed by `follow`, `claim`, `grant_leases`, `install_all` and their reverses. It is drained by
//! [`Kernel::handle_ready`] and [`Kernel::handle_timeout`], which return [`KernelEvent`]s. It keeps the claims in place
//! if other programs change them. Each event makes it compare the wanted state with the present one, so that interfaces
//! may appear, disappear and be created again.

#![deny(unsafe_code)]

mod address_order;
mod addresses;
mod announcement;
mod announcement_frame;
mod answering;
mod carrier;
mod changes_by_others;
mod check;
mod claim;
mod devices;
mod elsewhere;
mod error;
mod events;
pub mod fence;
mod fence_keeper;
mod followed;
mod forwarding;
mod group_claims;
mod interfaces;
mod lease_grants;
mod leftovers;
mod link_local;
mod links;
mod misplaced_addresses;
mod notifications;
mod other_devices;
mod refused;
mod retries;
mod routes;
mod rules;
mod socket_filters;
mod sockets;
mod status;
mod switchover;
mod sysctl;
mod undeleted;
mod vmac;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use spared_contract::InterfaceEvent;
use spared_netlink::Requests;

pub use addresses::Installed;
pub use answering::Answering;
pub use carrier::SetPriority;
pub use error::KernelError;

pub use sockets::ANY;

use announcement::Announcer;
use carrier::Carrier;
use elsewhere::Elsewhere;
use events::Events;
use fence::{Counts, Fence, LeaseKey};
use fence_keeper::FenceKeeper;
use followed::FollowedInterfaces;
use group_claims::Group;
use interfaces::Interfaces;
use links::Links;
use notifications::Notifications;
use retries::Retries;

/// Events for the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelEvent {
    /// A followed or claimed interface has changed: see [`Kernel::interface`].
    Interface(String),
    /// Another program deleted an address, and it was restored for the `count`th time.
    Restored {
        group: String,
        address: String,
        interface: String,
        count: u64,
    },
    /// Another program deletes an address repeatedly.
    Contested {
        group: String,
        why: String,
    },
    /// Another program removed the fence or a part of it.
    FenceMissing(String),
    /// The fence was missing for `after` and is restored.
    FenceRestored(Duration),
    /// The set of forwarding settings that are 0 has changed: see [`Kernel::not_forwarding`].
    /// [`Kernel::not_forwarding`].
    Forwarding,
    Warning(String),
}

/// States of the fences of all groups at the same time.
#[derive(Debug, Default)]
pub struct FenceStates {
    passing: BTreeSet<String>,
    others: FenceState,
}

impl FenceStates {
    fn all(others: FenceState) -> Self {
        let passing = BTreeSet::new();
        Self { passing, others }
    }

    /// Returns the state of a group's fence.
    pub fn of(&self, group: &str) -> FenceState {
        if self.passing.contains(group) {
            FenceState::Passing
        } else {
            self.others
        }
    }
}

/// State of a group's fence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FenceState {
    /// The fence leases are valid.
    Passing,
    /// The fence leases are not valid: no packet of the group passes.
    #[default]
    Blocking,
    /// The fence is missing: everything passes.
    Missing,
    /// The fence is switched off.
    Off,
}

/// Counters for status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelCounts {
    pub fence: Counts,
    /// Number of times that the fence was restored.
    pub refenced: u64,
    /// Total time for which the fence was known to be missing.
    pub fence_missing: Duration,
    pub announced: u64,
    pub announcements_failed: u64,
    /// Number of times that kernel events were lost and all state was read again.
    pub overruns: u64,
}

pub struct Kernel {
    requests: Requests,
    notifications: Notifications,
    announcer: Announcer,
    carrier: Carrier,
    fence: FenceKeeper,
    interfaces: Interfaces,
    /// True once something was claimed. From then on, addresses of ours that nobody claims are deleted.
    is_in_charge: bool,
    elsewhere: Elsewhere,
    /// Recent creations of virtual-MAC devices.
    recent_creations: vmac::RecentCreations,
    followed: FollowedInterfaces,
    links: Links,
    groups: BTreeMap<String, Group>,
    retries: Retries,
    saved_settings: sysctl::SavedSettings,
    events: Events,
}

impl Kernel {
    /// Opens sockets, subscribes to events, and reads the present state.
    pub fn open() -> Result<Self, KernelError> {
        Self::open_with(Some(Fence::open_sockets()?))
    }

    /// Opens the kernel without a fence.
    pub fn open_without_fence() -> Result<Self, KernelError> {
        Self::open_with(None)
    }

    fn open_with(fence: Option<Fence>) -> Result<Self, KernelError> {
        error::check_release(
            &std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default(),
        )?;
        let refused = |what: &'static str| move |error| KernelError::new("kernel", what, error);
        let mut kernel = Self {
            notifications: Notifications::open()?,
            requests: Requests::open().map_err(refused("open a netlink socket"))?,
            announcer: Announcer::open()?,
            carrier: Carrier::start().map_err(refused("start the carrier thread"))?,
            fence: FenceKeeper::new(fence),
            interfaces: Interfaces::default(),
            is_in_charge: false,
            elsewhere: Elsewhere::default(),
            recent_creations: vmac::RecentCreations::default(),
            followed: FollowedInterfaces::default(),
            links: Links::default(),
            groups: BTreeMap::new(),
            retries: Retries::default(),
            saved_settings: sysctl::SavedSettings::default(),
            events: Events::default(),
        };
        kernel.resync()?;
        Ok(kernel)
    }

    /// Has the thread that polls the carrier set its own priority: otherwise a busy machine delays what it finds.
    pub fn raise_carrier(&self, set_priority: SetPriority) {
        self.carrier.raise(set_priority);
    }

    /// Returns the descriptors to poll for reading. They never change.
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let [interfaces, routes] = self.notifications.descriptors();
        let all = [interfaces, routes, self.carrier.descriptor()].into_iter();
        all.chain(self.fence.descriptor()).collect()
    }

    pub fn is_fenced(&self) -> bool {
        self.fence.is_on()
    }

    /// Returns the time of the next [`Kernel::handle_timeout`].
    pub fn next_timeout(&self) -> Option<Instant> {
        let groups = self.groups.values();
        groups
            .flat_map(|group| [group.schedule.next(), group.restore_at])
            .chain([self.retries.next(), self.elsewhere.devices.due()])
            .chain([self.fence.old_until()])
            .chain([self.links.restore_at])
            .flatten()
            // Events that a call caused are reported at once.
            .chain((!self.events.is_empty()).then(Instant::now))
            .min()
    }

    /// Reports an interface from now on, with these socket sets (`SPARED_SOCKETS_*`).
    pub fn follow(&mut self, name: &str, sockets: u32) -> Result<(), KernelError> {
        if name != ANY {
            check::check_name(name).map_err(|why| KernelError::Claim {
                group: name.to_owned(),
                why,
            })?;
        }
        self.followed.follow(name, sockets);
        self.watch_carrier();
        self.open_sockets(name);
        self.report(name);
        Ok(())
    }

    /// Ends one [`Kernel::follow`].
    pub fn unfollow(&mut self, name: &str) {
        if self.followed.unfollow(name) {
            self.watch_carrier();
        }
    }

    /// Returns the index of an interface; 0 if it does not exist. An interface that is created again has another one.
    pub fn index(&self, name: &str) -> u32 {
        self.interfaces.link(name).map_or(0, |link| link.index)
    }

    /// Returns the MTU of an interface in bytes; 0 if it does not exist.
    pub fn mtu(&self, name: &str) -> u32 {
        self.interfaces.link(name).map_or(0, |link| link.mtu)
    }

    /// Returns the present state of a followed interface, with all its sockets.
    pub fn interface(&self, name: &str) -> Option<(InterfaceEvent, Vec<BorrowedFd<'_>>)> {
        self.interface_with(name, u32::MAX)
    }

    /// Returns the state of a followed interface, with only the sockets of the sets in `sockets` (`SPARED_SOCKETS_*`).
    pub fn interface_with(
        &self,
        name: &str,
        sockets: u32,
    ) -> Option<(InterfaceEvent, Vec<BorrowedFd<'_>>)> {
        let open = self.followed.sockets(name)?;
        let mut event = InterfaceEvent {
            name: name.to_owned(),
            sockets: open.kinds(sockets),
            generation: open.generation(sockets),
            ..InterfaceEvent::default()
        };
        let descriptors = open.descriptors(sockets);
        if name == ANY {
            (event.present, event.up, event.carrier) = (true, true, true);
            return Some((event, descriptors));
        }
        let Some(link) = self.interfaces.link(name) else {
            return Some((event, descriptors));
        };
        event.present = true;
        event.up = link.up;
        event.carrier = self.interfaces.carrier(name);
        (event.index, event.mtu, event.mac) = (link.index, link.mtu, link.mac);
        event.addresses = self
            .interfaces
            .addresses(link.index)
            .filter(|address| !address.is_ours())
            .map(|address| (address.address, address.prefix))
            .collect();
        Some((event, descriptors))
    }

    /// Returns true if a bridge or a similar device takes the frames of an interface.
    pub fn is_port(&self, name: &str) -> bool {
        let link = self.interfaces.link(name);
        link.is_some_and(|link| link.port_of.is_some())
    }

    /// Announces the addresses of these groups again: at once, after 1 s and after 5 s.
    pub fn announce_all<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        let now = Instant::now();
        for name in names {
            if let Some(group) = self.groups.get_mut(name).filter(|group| group.installed) {
                group.schedule.again(now);
            }
        }
        self.announce_due(now);
    }

    /// Returns the states of the fence for all groups, with one query of the kernel.
    pub fn fence_states(&self) -> FenceStates {
        let alive = match self.fence.valid_leases() {
            Ok(alive) => alive,
            Err(state) => return FenceStates::all(state),
        };
        let passing = self.groups.iter();
        let passing = passing.filter(|(_, group)| self.is_passing(group, &alive));
        FenceStates {
            passing: passing.map(|(name, _)| name.clone()).collect(),
            others: FenceState::Blocking,
        }
    }

    fn is_passing(&self, group: &Group, alive: &BTreeSet<LeaseKey>) -> bool {
        let mut expected = group
            .held_routers()
            .filter_map(|router| Group::router_key(router, &self.interfaces));
        // One valid lease is enough: the elector knows and reports an interface that cannot advertise.
        group.open && expected.any(|key| alive.contains(&key))
    }

    pub fn counts(&self) -> KernelCounts {
        KernelCounts {
            fence: self.fence.counts(),
            refenced: self.fence.restored(),
            fence_missing: self.fence.missing_for(),
            announced: self.announcer.sent(),
            announcements_failed: self.announcer.failed(),
            overruns: self.notifications.overruns(),
        }
    }

    /// Removes everything that spared installed, in reverse order. The fence stays if others have set copies of virtual
    /// addresses: without it the copies would answer together with the peer.
    pub fn close(mut self) {
        self.leave_copies_blocked();
        let names: Vec<String> = self.groups.keys().cloned().collect();
        self.release_all(&names.iter().map(String::as_str).collect::<Vec<_>>());
        self.set_links(Vec::new(), 0);
        if self.elsewhere.copies_left().is_empty() {
            if let Err(error) = self.fence.remove() {
                log::warn!("{error}");
            }
        }
        self.saved_settings.restore(&mut self.requests);
        for event in self.events.take() {
            if let KernelEvent::Warning(text) = event {
                log::warn!("{text}");
            }
        }
    }

    fn known(&self, name: &str) -> Result<&Group, KernelError> {
        let why = || "no such group is claimed".to_owned();
        self.groups.get(name).ok_or_else(|| KernelError::Claim {
            group: name.to_owned(),
            why: why(),
        })
    }

    fn watch_carrier(&self) {
        let claimed = self
            .groups
            .values()
            .flat_map(Group::interfaces)
            .map(str::to_owned);
        let followed = self.followed.names().filter(|name| *name != ANY);
        let lease = self.groups.values().map(Group::lease).min();
        self.carrier.watch(followed.cloned().chain(claimed), lease);
    }

    // Reports failures. A failure that repeats is reported once a minute.
    fn warn(&mut self, failures: impl IntoIterator<Item = KernelError>) {
        self.events.warn(failures);
    }

    // Reports a change of an interface once, if the interface is followed.
    fn report(&mut self, name: &str) {
        let event = KernelEvent::Interface(name.to_owned());
        if self.followed.contains(name) {
            self.events.push_once(event);
        }
    }
}
