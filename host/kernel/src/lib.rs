//! Manages what the host needs from the kernel: interfaces, addresses, routes, virtual-MAC devices, sockets and the
//! fence, by netlink and without waiting.
//!
//! [`Kernel`] is fed by `follow`, `claim`, `grant_leases`, `install_all` and their reverses. It is drained by
//! [`Kernel::handle_ready`] and [`Kernel::handle_timeout`], which return [`KernelEvent`]s. It keeps the claims in place
//! if other programs change them. Each event makes it compare the wanted state with the present one, so that interfaces
//! may appear, disappear and be created again.

#![forbid(unsafe_code)]

mod addresses;
mod announce;
mod answering;
mod carrier;
mod check;
mod claim;
mod devices;
mod error;
mod filters;
mod forwarding;
mod frame;
mod group;
mod interfaces;
mod lease;
mod leftovers;
mod link_local;
mod links;
mod misplaced;
mod other_devices;
mod prepare_carry;
mod renumbered;
mod routes;
mod sockets;
mod status;
mod sysctl;
mod vmac;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use spared_contract::InterfaceEvent;
use spared_fence::{Counts, Fence, Guarded, LeaseKey, Plan};
use spared_netlink::{Monitor, PacketSocket, Requests};

pub use addresses::Installed;
pub use answering::Answering;
pub use error::KernelError;

use carrier::Carrier;
pub use carrier::SetPriority;
use group::Group;
use interfaces::Interfaces;
use link_local::LinkLocalNetworks;
use links::Links;
use other_devices::OtherDevices;
pub use sockets::ANY;
use sockets::Sockets;

/// Pause before a failed operation is retried.
const RETRY: Duration = Duration::from_secs(1);
/// Pause before refused routes are retried. A routing daemon may add a route to their gateway, and its routes are not
/// watched here.
const ROUTES_RETRY: Duration = Duration::from_secs(10);

/// Events for the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelEvent {
    /// A followed or claimed interface has changed: see [`Kernel::interface`].
    Interface {
        name: String,
    },
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
    FenceMissing {
        why: String,
    },
    /// The fence was missing for `after` and is restored.
    FenceRestored {
        after: Duration,
    },
    /// The set of forwarding settings that are 0 has changed: see [`Kernel::not_forwarding`].
    /// [`Kernel::not_forwarding`].
    Forwarding,
    Warning {
        text: String,
    },
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

struct Followed {
    callers: usize,
    wanted: u32,
    sockets: Sockets,
}

pub struct Kernel {
    requests: Requests,
    monitor: Monitor,
    route_monitor: Monitor,
    packets: PacketSocket,
    carrier: Carrier,
    /// The fence; None if the administrator switched it off. Addresses are then installed only while they may answer.
    fence: Option<Fence>,
    interfaces: Interfaces,
    /// True once something was claimed. From then on, addresses of ours that nobody claims are deleted.
    is_in_charge: bool,
    /// Time at which virtual addresses were last moved behind the node's own addresses.
    reorder_at: Option<Instant>,
    other_devices: OtherDevices,
    /// Devices in whose networks the link-local virtual addresses are.
    link_local: LinkLocalNetworks,
    /// Copies of virtual addresses that stay blocked after spared has ended.
    copies_left: Vec<Guarded>,
    /// Recent creations of virtual-MAC devices.
    recent_creations: vmac::RecentCreations,
    /// True if notifications were lost, and links and addresses could not be read again since.
    is_outdated: bool,
    followed: BTreeMap<String, Followed>,
    links: Links,
    groups: BTreeMap<String, Group>,
    generations: u64,
    /// Contents of the fence; None before the first claim, empty if unknown.
    plan: Option<Plan>,
    /// Time at which the fence of an earlier run is removed if nothing has been claimed by then.
    old_fence_until: Option<Instant>,
    fence_missing_since: Option<Instant>,
    /// Time of the next retry after a failure.
    retry_at: Option<Instant>,
    /// Time at which routes with unreachable gateways are retried.
    routes_at: Option<Instant>,
    saved_settings: sysctl::SavedSettings,
    events: Vec<KernelEvent>,
    warned: BTreeMap<String, Instant>,
    announced: u64,
    announcements_failed: u64,
    overruns: u64,
    refenced: u64,
    fence_missing_for: Duration,
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
            monitor: Monitor::links_and_addresses().map_err(refused("watch interfaces"))?,
            route_monitor: Monitor::own_routes().map_err(refused("watch routes"))?,
            requests: Requests::open().map_err(refused("open a netlink socket"))?,
            packets: PacketSocket::sender().map_err(refused("open a packet socket"))?,
            carrier: Carrier::start().map_err(refused("start the carrier thread"))?,
            fence,
            interfaces: Interfaces::default(),
            is_in_charge: false,
            reorder_at: None,
            other_devices: OtherDevices::default(),
            link_local: LinkLocalNetworks::default(),
            copies_left: Vec::new(),
            recent_creations: vmac::RecentCreations::default(),
            is_outdated: false,
            followed: BTreeMap::new(),
            links: Links::default(),
            groups: BTreeMap::new(),
            generations: 0,
            plan: None,
            old_fence_until: None,
            fence_missing_since: None,
            retry_at: None,
            routes_at: None,
            saved_settings: sysctl::SavedSettings::default(),
            events: Vec::new(),
            warned: BTreeMap::new(),
            announced: 0,
            announcements_failed: 0,
            overruns: 0,
            refenced: 0,
            fence_missing_for: Duration::ZERO,
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
        let fence = self.fence.as_ref().map(Fence::descriptor);
        [
            self.monitor.as_fd(),
            self.route_monitor.as_fd(),
            self.carrier.descriptor(),
        ]
        .into_iter()
        .chain(fence)
        .collect()
    }

    pub fn is_fenced(&self) -> bool {
        self.fence.is_some()
    }

    /// Returns the time of the next [`Kernel::handle_timeout`].
    pub fn next_timeout(&self) -> Option<Instant> {
        let groups = self.groups.values();
        groups
            .flat_map(|group| [group.schedule.next(), group.restore_at])
            .chain([self.retry_at, self.routes_at, self.other_devices.due()])
            .chain([self.old_fence_until])
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
        let followed = self.followed.entry(name.to_owned()).or_insert(Followed {
            callers: 0,
            wanted: 0,
            sockets: Sockets::default(),
        });
        followed.callers += 1;
        followed.wanted |= sockets;
        self.watch_carrier();
        self.open_sockets(name);
        self.report(name);
        Ok(())
    }

    /// Ends one [`Kernel::follow`].
    pub fn unfollow(&mut self, name: &str) {
        if let Some(followed) = self.followed.get_mut(name) {
            followed.callers -= 1;
            if followed.callers == 0 {
                self.followed.remove(name);
                self.watch_carrier();
            }
        }
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
        let followed = self.followed.get(name)?;
        let mut event = InterfaceEvent {
            name: name.to_owned(),
            sockets: followed.sockets.kinds(sockets),
            generation: followed.sockets.generation(sockets),
            ..InterfaceEvent::default()
        };
        let descriptors = followed.sockets.descriptors(sockets);
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
        let Some(fence) = &self.fence else {
            return FenceStates::all(FenceState::Off);
        };
        if self.fence_missing_since.is_some() || !fence.is_in_force() {
            return FenceStates::all(FenceState::Missing);
        }
        let alive = fence.leases().unwrap_or_default();
        let alive: BTreeSet<LeaseKey> = alive.into_iter().map(|(key, _)| key).collect();
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
        let counted = self.fence.as_ref().map(Fence::counts);
        KernelCounts {
            fence: counted.and_then(Result::ok).unwrap_or_default(),
            refenced: self.refenced,
            fence_missing: self.fence_missing_for
                + self
                    .fence_missing_since
                    .map_or(Duration::ZERO, |at| at.elapsed()),
            announced: self.announced,
            announcements_failed: self.announcements_failed,
            overruns: self.overruns,
        }
    }

    /// Removes everything that spared installed, in reverse order. The fence stays if others have set copies of virtual
    /// addresses: without it the copies would answer together with the peer.
    pub fn close(mut self) {
        self.leave_copies_blocked();
        let names: Vec<String> = self.groups.keys().cloned().collect();
        self.release_all(&names.iter().map(String::as_str).collect::<Vec<_>>());
        self.set_links(Vec::new(), 0);
        let fence = self.fence.as_mut().filter(|_| self.copies_left.is_empty());
        if let Some(Err(error)) = fence.map(Fence::remove) {
            log::warn!("{error}");
        }
        self.saved_settings.restore(&mut self.requests);
        for event in self.events.drain(..) {
            if let KernelEvent::Warning { text } = event {
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
        let followed = self.followed.keys().filter(|name| *name != ANY);
        let lease = self.groups.values().map(Group::lease).min();
        self.carrier.watch(followed.cloned().chain(claimed), lease);
    }

    // Reports failures. A failure that repeats is reported once a minute.
    fn warn(&mut self, failures: impl IntoIterator<Item = KernelError>) {
        failures
            .into_iter()
            .for_each(|failure| self.warn_once(failure.to_string()));
    }

    fn warn_once(&mut self, text: String) {
        const PACE: Duration = Duration::from_secs(60);
        const REMEMBERED_MAX: usize = 256;
        let now = Instant::now();
        self.warned.retain(|_, at| now.duration_since(*at) < PACE);
        if !self.warned.contains_key(&text) && self.warned.len() < REMEMBERED_MAX {
            self.warned.insert(text.clone(), now);
            self.events.push(KernelEvent::Warning { text });
        }
    }

    // Reports a change of an interface once, if the interface is followed.
    fn report(&mut self, name: &str) {
        let event = KernelEvent::Interface {
            name: name.to_owned(),
        };
        if self.followed.contains_key(name) && !self.events.contains(&event) {
            self.events.push(event);
        }
    }
}
