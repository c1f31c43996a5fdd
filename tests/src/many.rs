// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pair with many virtual routers on one network, and the times at which the last of them moved.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::Result;
use crate::clock::{Stamp, poll};
use crate::lab::{Site, Wire};
use crate::linked::Linked;
use crate::probe::{Seen, Sight, Watch};
use crate::router::{Plan, VirtualRouter};

const STEP: Duration = Duration::from_millis(5);
/// Time after which groups that are divided between the nodes are switched to one.
const GATHER: Duration = Duration::from_secs(5);
const SETTLED: Duration = Duration::from_secs(60);

/// Virtual routers on the lan, each with one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Many {
    pub count: u8,
    /// All are in one group; otherwise each has a group of its own.
    pub together: bool,
}

impl Many {
    fn vrids(self) -> impl Iterator<Item = u8> {
        1..=self.count
    }

    fn routers(self) -> impl Iterator<Item = VirtualRouter> {
        self.vrids().map(|vrid| VirtualRouter {
            addresses: vec![format!("{}/24", address(vrid))],
            ..VirtualRouter::ipv4(Wire::Lan, vrid)
        })
    }

    /// Plan of two linked nodes with these routers. The node that was active first stays active.
    pub fn linked(self, interval: Duration) -> Plan {
        let mut plan = Plan::linked(interval, &[Wire::Hot]);
        plan.without_preference();
        plan.routers = self.routers().collect();
        if !self.together {
            plan.sections = self.split(&mut plan.routers, &plan.extra, interval);
        }
        plan
    }

    /// Plan without a link, for any make.
    pub fn alone(self, interval: Duration, priority: u8) -> Plan {
        let mut plan = Plan::gateways(interval, priority);
        plan.routers = self.routers().collect();
        plan
    }

    /// Moves all routers except the first into groups of their own.
    fn split(self, routers: &mut Vec<VirtualRouter>, extra: &str, interval: Duration) -> String {
        let mut text = String::new();
        for router in routers.drain(1..) {
            let (name, vrid) = (router.wire.name(), router.vrid);
            let _ = write!(
                text,
                "[[group]]\nname = \"g{vrid}\"\nadvert_interval = \"{}ms\"\n{extra}\
                 [[group.interface]]\ninterface = \"{name}\"\nvrid = {vrid}\naddresses = {:?}\n",
                interval.as_millis(),
                router.addresses
            );
        }
        text
    }

    /// Waits until each virtual router was advertised and each address announced since `from`, by `site`, or, if that
    /// is None, by any router. Returns the time from `from` until the last of them.
    pub fn served(
        self,
        watch: &Watch,
        from: Stamp,
        site: Option<usize>,
        limit: Duration,
    ) -> Result<Duration> {
        let mut served = None;
        poll(limit, STEP, || {
            let seen = watch.since(from);
            served = self.last(
                seen.iter()
                    .filter(|it| site.is_none_or(|site| it.site == site)),
            );
            served.is_some()
        });
        let last = served.ok_or_else(|| {
            let seen = watch.since(from);
            let (adverts, announced) = firsts(seen.iter());
            format!(
                "after {limit:?} {} of {} are advertised and {} announced",
                adverts.len(),
                self.count,
                announced.len()
            )
        })?;
        Ok(last.since(from))
    }

    /// Waits until one node has all groups, and both are ready. Returns that node.
    pub fn settled(self, pair: &Linked<'_>) -> Result<usize> {
        let (begun, mut active, mut is_gathered) = (Instant::now(), None, false);
        poll(SETTLED, Duration::from_millis(100), || {
            let statuses = [0, 1].map(|site| pair.status(site).unwrap_or_default());
            active = (0..2).find(|site| {
                let groups = |site: usize| statuses[site].groups.iter();
                let roles = |site: usize| groups(site).map(|it| it.role.as_str());
                roles(*site).all(|role| role == "active")
                    && roles(*site).count() > 0
                    && roles(1 - *site).all(|role| role == "backup")
            });
            let is_ready = |site: usize| statuses[site].missing.as_ref().is_some_and(Vec::is_empty);
            let is_ready = is_ready(0) && is_ready(1);
            // each group has an election of its own: two nodes that start at once may each be first in some
            if active.is_none() && is_ready && !is_gathered && begun.elapsed() > GATHER {
                is_gathered = pair.done(0, &["switch", "--to", "r1"]).is_ok();
            }
            active.is_some() && is_ready
        })
        .then_some(active)
        .flatten()
        .ok_or_else(|| {
            let said = [0, 1].map(|site| pair.said(site, &["status"]).unwrap_or_default().1);
            let lacks = [0, 1].map(|site| pair.status(site).ok().and_then(|it| it.missing));
            format!(
                "not settled after {SETTLED:?}, lacking {lacks:?}\n{}\n{}",
                said[0], said[1]
            )
            .into()
        })
    }

    fn last<'s>(self, seen: impl Iterator<Item = &'s Seen>) -> Option<Stamp> {
        let (adverts, announced) = firsts(seen);
        let times = self.vrids().flat_map(|vrid| {
            let announced = announced.get(&address(vrid)).copied();
            [adverts.get(&vrid).copied(), announced]
        });
        times.collect::<Option<BTreeSet<Stamp>>>()?.pop_last()
    }

    /// Measures the time that `ip -batch` needs for as many addresses, and nft for one transaction with their leases.
    /// Leaves nothing behind.
    pub fn floor(self, site: &Site) -> Result<Duration> {
        const TABLE: &str =
            "table netdev floor { set lease { type ifname . inet_service; flags timeout; }; }\n";
        let each = |line: &dyn Fn(u8) -> String| self.vrids().map(line).collect::<String>();
        let add = each(&|vrid| format!("addr add {}/24 dev wan\n", address(vrid)));
        site.ns.nft(TABLE)?;
        let leases = each(&|vrid| {
            format!("add element netdev floor lease {{ \"lan\" . {vrid} timeout 270ms }}\n")
        });
        let begun = Instant::now();
        site.ns.nft(&leases)?;
        site.ns.ip(&add)?;
        let took = begun.elapsed();
        // the kernel deletes the others with the address that was added first
        let first = address(1);
        site.ns.ip(&format!("addr del {first}/24 dev wan\n"))?;
        site.ns.nft("delete table netdev floor\n")?;
        Ok(took)
    }
}

fn address(vrid: u8) -> Ipv4Addr {
    [10, 1, 8, vrid].into()
}

/// First advert of each virtual router, and first announcement of each address.
fn firsts<'s>(
    seen: impl Iterator<Item = &'s Seen>,
) -> (BTreeMap<u8, Stamp>, BTreeMap<Ipv4Addr, Stamp>) {
    let (mut adverts, mut announced) = (BTreeMap::new(), BTreeMap::new());
    for seen in seen.filter(|it| it.wire == Wire::Lan) {
        match &seen.sight {
            Sight::Advert(advert) if advert.priority > 0 => {
                adverts.entry(advert.vrid).or_insert(seen.at);
            }
            Sight::ArpAnnouncement { address } => {
                announced.entry(*address).or_insert(seen.at);
            }
            _ => {}
        }
    }
    (adverts, announced)
}
