//! Stores the claims of a group, and which of them are in the kernel.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use spared_contract::{AddressClaim, Claims, VirtualRouterClaim};
use spared_netlink::{Message, Route, Rule};

use super::announcement::Schedule;
use super::fence::{Guarded, LeaseKey, VirtualRouter};
use super::interfaces::Interfaces;
use super::vmac::RouterId;

/// Maximum number of deletions of an address by others within [`CONTEST_TIME`]. More count as deliberate.
const CONTEST_MAX: usize = 5;
const CONTEST_TIME: Duration = Duration::from_secs(10);
/// Duration of a flush. A program that flushes an interface deletes addresses until none is left, also those that were
/// restored meanwhile. All deletions within this time count as one. The address is restored at once after the first
/// one, then again at the end of the time.
const FLUSH_TIME: Duration = Duration::from_millis(100);

#[derive(Default)]
pub struct Group {
    pub number: u32,
    pub claims: Claims,
    /// True if the host has granted the leases and not revoked them.
    pub open: bool,
    /// Virtual routers whose lease was revoked because the carrier was lost. It may be granted again.
    pub without_carrier: BTreeSet<RouterId>,
    pub installed: bool,
    /// True if the addresses wait behind the blocking fence to be installed.
    pub prepared: bool,
    /// True if the group was switched over: packets that neighbours still send here pass, and nothing is announced.
    pub carried: bool,
    /// Routes that were added for the group.
    pub routes: Vec<Route>,
    /// Routes among `routes` that the kernel does not have.
    pub refused_routes: Vec<Route>,
    /// Policy rules that were added for the group.
    pub rules: Vec<Rule>,
    /// Rules among `rules` that the kernel does not have.
    pub refused_rules: Vec<Rule>,
    pub schedule: Schedule,
    /// Number of times that each address was restored after others had deleted it.
    pub restored: BTreeMap<IpAddr, u64>,
    recent: BTreeMap<IpAddr, VecDeque<Instant>>,
    /// Time at which contested or flushed addresses are restored.
    pub restore_at: Option<Instant>,
}

/// An address to be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    pub claim: usize,
    /// Device of the address.
    pub index: u32,
    pub address: IpAddr,
    pub prefix: u8,
    pub prefix_route: bool,
    /// Label of an IPv4 address; empty: the device's name.
    pub label: String,
}

impl Desired {
    /// Returns the request that adds the address.
    pub fn added(&self) -> io::Result<Message> {
        let Self {
            index,
            address,
            prefix,
            prefix_route,
            label,
            ..
        } = self;
        Message::add_labelled_address(*index, *address, *prefix, *prefix_route, label)
    }
}

/// Meaning of the deletion of an address by another program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    First,
    /// Part of a flush, which ends at this time.
    Again(Instant),
    /// Deletion beyond [`CONTEST_MAX`]: another program deletes the address deliberately.
    OneTooMany,
}

impl Group {
    pub fn new(number: u32, claims: Claims) -> Self {
        Self {
            number,
            claims,
            ..Self::default()
        }
    }

    pub fn lease(&self) -> Duration {
        Duration::from_nanos(self.claims.lease_ns)
    }

    /// Returns the virtual router of an address; None for an address that depends on the group's lease alone.
    pub fn router(&self, address: &AddressClaim) -> Option<&VirtualRouterClaim> {
        self.claims.routers.get(address.router? as usize)
    }

    /// Returns the interfaces that the claims name.
    pub fn interfaces(&self) -> BTreeSet<&str> {
        let routers = self
            .claims
            .routers
            .iter()
            .map(|router| router.interface.as_str());
        let addresses = self
            .claims
            .addresses
            .iter()
            .map(|address| address.interface.as_str());
        let routes = self
            .claims
            .routes
            .iter()
            .filter_map(|route| route.interface.as_deref());
        routers.chain(addresses).chain(routes).collect()
    }

    pub fn vmacs(&self) -> impl Iterator<Item = RouterId> {
        self.claims
            .routers
            .iter()
            .filter(|router| router.vmac)
            .map(router_id)
    }

    pub fn group_key(&self) -> LeaseKey {
        LeaseKey::group(self.number)
    }

    /// Returns true if every virtual router has lost its lease because its carrier was lost.
    pub fn is_cut_off(&self) -> bool {
        let mut routers = self.claims.routers.iter().map(router_id);
        routers.all(|router| self.without_carrier.contains(&router))
    }

    /// Returns the virtual routers whose leases the elector renews.
    pub fn held_routers(&self) -> impl Iterator<Item = &VirtualRouterClaim> {
        let routers = self.claims.routers.iter();
        routers.filter(|router| !self.without_carrier.contains(&router_id(router)))
    }

    /// Lease key of a virtual router; None while its interface is absent.
    pub fn router_key(router: &VirtualRouterClaim, interfaces: &Interfaces) -> Option<LeaseKey> {
        let index = interfaces.link(&router.interface)?.index;
        Some(LeaseKey::router(index, router.family, router.vrid))
    }

    /// Returns the virtual routers on present interfaces, for the fence.
    pub fn fence_routers(&self, interfaces: &Interfaces) -> Vec<VirtualRouter> {
        self.claims
            .routers
            .iter()
            .filter_map(|router| {
                let index = interfaces.link(&router.interface)?.index;
                Some(VirtualRouter {
                    interface: router.interface.clone(),
                    index,
                    family: router.family,
                    vrid: router.vrid,
                    key: Self::router_key(router, interfaces)?,
                    group: self.group_key(),
                    lease: self.lease(),
                    virtual_mac: virtual_mac(router, interfaces),
                })
            })
            .collect()
    }

    /// Returns all addresses, for the fence. An address whose interface is absent answers nowhere.
    pub fn fence_addresses(&self, interfaces: &Interfaces) -> Vec<Guarded> {
        let claims = self.claims.addresses.iter();
        let guarded = claims.map(|claim| {
            let index = interfaces.link(&claim.interface).map(|link| link.index);
            let router = self.router(claim);
            Guarded {
                address: claim.address,
                index: index.unwrap_or_default(),
                key: match (index, router) {
                    (None, _) => LeaseKey::NEVER,
                    (Some(index), Some(router)) => {
                        LeaseKey::router(index, router.family, router.vrid)
                    }
                    (Some(_), None) => self.group_key(),
                },
                virtual_mac: router.and_then(|router| virtual_mac(router, interfaces)),
                accept: router.is_none_or(|router| router.accept),
            }
        });
        guarded.collect()
    }

    /// Returns the addresses to be installed now: those on interfaces that are up.
    pub fn desired(&self, interfaces: &Interfaces) -> Vec<Desired> {
        let mut desired = self.placed(interfaces);
        desired.retain(|address| {
            let claim = self.claims.addresses.get(address.claim);
            let link = claim.and_then(|claim| interfaces.link(&claim.interface));
            link.is_some_and(|link| link.up)
        });
        desired
    }

    /// Returns all addresses on present interfaces that are not ports. Link-local ones come first, as IPv6 uses the
    /// first address as the source of its own messages.
    pub fn placed(&self, interfaces: &Interfaces) -> Vec<Desired> {
        let mut placed: Vec<Desired> = self
            .claims
            .addresses
            .iter()
            .enumerate()
            .filter_map(|(position, claim)| {
                let parent = interfaces.link(&claim.interface)?;
                if parent.port_of.is_some() {
                    return None;
                }
                let moved = self.router(claim).filter(|router| router.vmac);
                let index = match moved {
                    Some(router) => router_id(router).find(interfaces)?.index,
                    None => parent.index,
                };
                let host_prefix = if claim.address.is_ipv4() { 32 } else { 128 };
                // Replies to link-local neighbours leave by the device that has the address, so this device needs their
                // route. All other routes belong to the parent.
                let whole = moved.is_some() && !super::fence::is_link_local(claim.address);
                Some(Desired {
                    claim: position,
                    index,
                    address: claim.address,
                    prefix: if whole { host_prefix } else { claim.prefix },
                    prefix_route: !whole,
                    label: claim.label.clone(),
                })
            })
            .collect();
        placed.sort_by_key(|address| !super::fence::is_link_local(address.address));
        placed
    }

    /// Returns the interface that sends an address's announcement, and the MAC that answers for it.
    pub fn announced_by(
        &self,
        claim: &AddressClaim,
        interfaces: &Interfaces,
    ) -> Option<(u32, [u8; 6])> {
        let parent = interfaces.link(&claim.interface)?;
        let moved = self.router(claim).filter(|router| router.vmac);
        Some((
            parent.index,
            moved.map_or(parent.mac, |router| router_id(router).mac()),
        ))
    }

    /// Notes a deletion by another program, and returns when to restore the address.
    pub fn note_deletion(&mut self, address: IpAddr, now: Instant) -> Deletion {
        let recent = self.recent.entry(address).or_default();
        let begun = recent.back().map(|begun| *begun + FLUSH_TIME);
        if let Some(end) = begun.filter(|end| now < *end) {
            return Deletion::Again(end);
        }
        recent.push_back(now);
        while recent.len() > CONTEST_MAX + 1
            || recent
                .front()
                .is_some_and(|at| now.duration_since(*at) > CONTEST_TIME)
        {
            recent.pop_front();
        }
        if recent.len() > CONTEST_MAX {
            Deletion::OneTooMany
        } else {
            Deletion::First
        }
    }

    pub fn forget_deletions(&mut self) {
        self.recent.clear();
        self.restore_at = None;
    }
}

pub fn router_id(router: &VirtualRouterClaim) -> RouterId {
    RouterId {
        interface: router.interface.clone(),
        family: router.family,
        vrid: router.vrid,
    }
}

fn virtual_mac(router: &VirtualRouterClaim, interfaces: &Interfaces) -> Option<([u8; 6], u32)> {
    let key = router.vmac.then(|| router_id(router))?;
    Some((key.mac(), key.find(interfaces)?.index))
}

#[cfg(test)]
mod tests {
    use spared_contract::{Family, RouteClaim};

    use super::super::check::check;
    use super::*;

    fn claims() -> Claims {
        Claims {
            routers: vec![VirtualRouterClaim {
                interface: "lan2".into(),
                family: Family::V4,
                vrid: 50,
                vmac: false,
                vmac_name: String::new(),
                accept: true,
                routed: false,
            }],
            addresses: vec![AddressClaim {
                interface: "lan2".into(),
                router: Some(0),
                address: "192.168.200.1".parse().unwrap(),
                prefix: 24,
                source: false,
                own: false,
                label: String::new(),
            }],
            lease_ns: 250_000_000,
            ..Claims::default()
        }
    }

    #[test]
    fn claims_that_fit_are_accepted() {
        assert_eq!(check(&claims(), std::iter::empty()), Ok(()));
    }

    #[test]
    fn claims_that_contradict_are_refused() {
        let refused = |change: fn(&mut Claims)| {
            let mut claims = claims();
            change(&mut claims);
            check(&claims, std::iter::empty()).unwrap_err()
        };
        assert_eq!(
            refused(|c| c.routers.push(c.routers[0].clone())),
            "lan2: vrid 50 is claimed twice"
        );
        assert_eq!(
            refused(|c| c.routers[0].vrid = 0),
            "lan2: vrid 0, allowed 1-255"
        );
        let route = RouteClaim {
            destination: "203.0.113.0".parse().unwrap(),
            prefix: 24,
            gateway: None,
            interface: None,
            source: None,
            metric: 0,
            table: 0,
        };
        let mut routed = claims();
        routed.routes.push(route);
        assert_eq!(
            check(&routed, std::iter::empty()).unwrap_err(),
            "route 203.0.113.0/24: neither gateway nor interface"
        );
        assert_eq!(
            refused(|c| c.addresses.push(c.addresses[0].clone())),
            "192.168.200.1 is claimed twice"
        );
        assert_eq!(
            refused(|c| c.addresses[0].router = Some(7)),
            "an address refers to a virtual router that does not exist"
        );
        assert_eq!(
            refused(|c| c.addresses[0].prefix = 33),
            "192.168.200.1/33: no such prefix"
        );
        assert_eq!(
            refused(|c| c.routers[0].interface = "../lan2".into()),
            "\"../lan2\" is no interface name"
        );
        assert_eq!(
            refused(|c| c.lease_ns = 1),
            "lease below the minimum of 21 ms"
        );
        let other = Group::new(2, claims());
        assert_eq!(
            check(&claims(), std::iter::once(&other)),
            Err("lan2: vrid 50 is claimed twice".to_owned())
        );
    }

    #[test]
    fn the_same_link_local_address_may_be_on_two_interfaces() {
        let mut claims = claims();
        claims.addresses[0].address = "fe80::1".parse().unwrap();
        let mut second = claims.addresses[0].clone();
        (second.interface, second.router) = ("lan3".into(), None);
        claims.addresses.push(second);
        assert_eq!(check(&claims, std::iter::empty()), Ok(()));
    }

    #[test]
    fn six_deletions_in_ten_seconds_are_a_contest_and_six_in_a_minute_are_not() {
        let start = Instant::now();
        let address = "192.168.200.1".parse().unwrap();
        let mut group = Group::new(1, claims());
        let contested =
            (0..6).map(|n| group.note_deletion(address, start + Duration::from_secs(n)));
        let mut expected = [Deletion::First; 6];
        expected[5] = Deletion::OneTooMany;
        assert_eq!(contested.collect::<Vec<_>>(), expected);
        let mut group = Group::new(1, claims());
        let slow = (0..12).all(|n| {
            let now = start + Duration::from_secs(5 * n);
            group.note_deletion(address, now) == Deletion::First
        });
        assert!(slow);
    }

    #[test]
    fn a_flush_that_finds_the_address_again_is_one_deletion() {
        let start = Instant::now();
        let address = "192.168.200.1".parse().unwrap();
        let mut group = Group::new(1, claims());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(group.note_deletion(address, at(0)), Deletion::First);
        for ms in 1..20 {
            let again = Deletion::Again(at(100));
            assert_eq!(group.note_deletion(address, at(ms)), again);
        }
        assert_eq!(group.note_deletion(address, at(100)), Deletion::First);
    }
}
