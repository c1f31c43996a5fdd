//! Collects the facts about this node and its peer, from which the verdict is made.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use spared_contract::{AddressClaim, Family};
use spared_group::Group;
use spared_kernel::FenceState;
use spared_kernel::fence::is_link_local;
use spared_message::control::Value;
use spared_process::clock;
use spared_records::monotonic::now_ns;
use spared_requests::rows::Details;
use spared_verdict::{
    AddressFaults, BareInterface, CauseKind, ConfigFaults, DuplicateAddress, Fence, Finding,
    GroupFacts, InterfaceFacts, LossKind, MachineDifference, MachineFaults, Needs, NetworkLoss,
    NodeFacts, OtherActive, PairFacts, PeerLife, ProcessFaults, Role, RouterFault, Verdict,
    VirtualCopy,
};

use super::NodeView;
use super::status_rows::StatusRows;

/// Maximum number of failing checks that are sent to the peer.
const FAILING_MAX: usize = 8;

impl NodeView<'_> {
    pub fn verdict(&self, rows: &StatusRows) -> Verdict {
        let own = self.node_facts(Some(rows));
        let pair = self.pair_facts(rows);
        spared_verdict::verdict(&clock::now(), &own, pair.as_ref())
    }

    /// Returns the findings without a look at the plugins' status rows. The flag is true if a look may find more.
    pub fn findings(&self) -> (Vec<Finding>, bool) {
        let rows = StatusRows::default();
        let (own, pair) = (self.node_facts(None), self.pair_facts(&rows));
        let found = spared_verdict::findings(&own, pair.as_ref());
        let verdict =
            spared_verdict::verdict_with(found.clone(), &clock::now(), &own, pair.as_ref());
        let is_doubtful = verdict.findings.iter().any(|it| !found.contains(it));
        (found, is_doubtful)
    }

    /// Returns the facts about this node. Without a look, they have only the faults of what the elector alone knows.
    /// These are a second old if it answers in time; if not, `elector_silent` is set.
    pub fn node_facts(&self, rows: Option<&StatusRows>) -> NodeFacts {
        let groups = self.groups.iter();
        let groups = groups.map(|(name, group)| self.group_facts(name, group, rows));
        let mut failing = self.pair.quality().failing();
        failing.truncate(FAILING_MAX);
        NodeFacts {
            node: self.config.node().to_owned(),
            quality: self.pair.quality().number(),
            missing: self.pair.missing().to_vec(),
            failing,
            groups: groups.collect(),
            plugins: self.plugin_facts().collect(),
            checks: self.pair.quality().not_good(),
            interfaces: self.interface_facts(),
            links: self.link.facts(),
            orders: self.orders.facts(),
            fence_gone: self.network.fence_missing().cloned(),
            processes: ProcessFaults {
                elector_silent: self.recorder.silent(Instant::now()),
                starter_silent: self.supervisor.is_starter_silent(),
                link_filtered: self.firewall.filtered(),
                firewall_down: self.firewall.down(),
                outdated: self.files.outdated(self.workers()),
            },
            config: ConfigFaults {
                key_faults: self.key_faults(),
                next_key_faults: self.files.key_faults(),
                not_in_force: self.config.not_in_force(),
                unused_files: self.files.not_in_force(Instant::now()),
            },
            machine: self.machine_faults(),
            first_found: self.notices.first_found(self.config.node()),
        }
    }

    fn machine_faults(&self) -> MachineFaults {
        let link = self.config.host().link.as_ref();
        MachineFaults {
            not_forwarding: self.not_forwarding(),
            own_translations: self.own_translations(),
            needs: self.needs(),
            weak_passphrase: link.is_some_and(|link| link.keys.is_weak),
            unwritten: self.unwritten(),
        }
    }

    fn needs(&self) -> Needs {
        Needs {
            restart: self.files.lost_by_restart(),
            ..self.machine.needs()
        }
    }

    fn key_faults(&self) -> Vec<String> {
        let faults = self.config.host().key_faults.iter();
        faults.map(ToString::to_string).collect()
    }

    // Returns the file that cannot be written. A failed write is preferred, as it tells more than a write that would
    // fail.
    fn unwritten(&self) -> Option<String> {
        let failed = self.orders.fault().or_else(|| self.notices.fault());
        failed.or_else(|| self.files.unwritable())
    }

    // Returns the settings of forwarding that are 0, without those that a plugin sets with the role: they may be 0 on a
    // backup. A plugin that cannot set them reports that itself.
    fn not_forwarding(&self) -> Vec<String> {
        let mut off = self.network.kernel().not_forwarding();
        if !off.is_empty() {
            let by_role = self.config.by_role();
            off.retain(|setting| !by_role.contains(setting));
        }
        off
    }

    /// Returns the facts about the other node; None if none is configured.
    pub fn pair_facts(&self, rows: &StatusRows) -> Option<PairFacts> {
        let link_up = self.is_peer_heard(rows);
        let silent = self.pair.facts_silent(Instant::now()).filter(|_| link_up);
        let is_told = link_up && silent.is_none();
        Some(PairFacts {
            peer: self.config.pair_name()?.to_owned(),
            has_link: self.config.host().has_link,
            link_up,
            life: self.peer_life(rows, link_up),
            last_heard: self.peer_last_heard(rows),
            heard_on: self.peer_heard_on(rows),
            answers_ping: self.link.state().answers_ping.filter(|_| !link_up),
            facts: self.pair.facts().filter(|_| is_told).cloned(),
            outdated: self.pair.outdated_groups(),
            facts_silent_s: silent.map(|it| it.as_secs()),
            differences: self.pair.differences().to_vec(),
            machine_differences: self.machine_differences(),
        })
    }

    fn machine_differences(&self) -> Vec<MachineDifference> {
        let equal = &self.config.host().equal;
        self.pair.machine_differences(Instant::now(), equal)
    }

    // Returns true if the peer is heard over the link. A session outlives its last path by a second, in which another
    // path may continue it. In that second the peer's last facts may be outdated.
    fn is_peer_heard(&self, rows: &StatusRows) -> bool {
        let is_up = self.pair.is_peer_up() && !self.link.is_peer_unheard(Instant::now());
        is_up && !self.is_peer_outlived(rows)
    }

    // Returns true if the peer seems to have died although the session has not ended yet. This node's elector hears
    // nothing from it, has made a group active here, and the peer's last facts are older than that.
    fn is_peer_outlived(&self, rows: &StatusRows) -> bool {
        let Some(age) = self.pair.facts_age(Instant::now()) else {
            return false;
        };
        let is_silent = |name: &str| {
            let details = rows.details(name);
            details.and_then(|it| text_of(it, "peer_contact")) == Some("silent")
        };
        let mut groups = self.groups.iter();
        groups.any(|(name, group)| {
            let active_for = Duration::from_nanos(now_ns().saturating_sub(group.decided_ns));
            let is_active = group.role == Role::Active;
            is_active && age > active_for && is_silent(name)
        })
    }

    // Returns the life of the peer. A link that is up proves life. Heartbeats also do, but only with keys, which
    // authenticate them.
    fn peer_life(&self, rows: &StatusRows, link_up: bool) -> PeerLife {
        if link_up {
            return PeerLife::Alive;
        }
        let mut life = PeerLife::Unknown;
        // a group about which the elector did not answer proves nothing
        let groups = self.groups.iter();
        let groups = groups.filter(|_| self.config.host().link.is_some());
        for details in groups.filter_map(|(name, _)| rows.details(name)) {
            match text_of(details, "peer_contact") {
                Some(contact) if contact != "silent" => return PeerLife::Alive,
                _ if details.contains_key("role") => life = PeerLife::Silent,
                _ => {}
            }
        }
        life
    }

    fn group_facts(&self, name: &str, group: &Group, rows: Option<&StatusRows>) -> GroupFacts {
        let none = Details::new();
        let details = match rows {
            Some(rows) => rows.details(name),
            None => self.recorder.faults_of(name),
        };
        let details = details.unwrap_or(&none);
        let mut facts = GroupFacts {
            name: name.to_owned(),
            role: group.role,
            since: group.since().to_owned(),
            cause: group.cause.clone(),
            changes: self.notices.change_numbers(name),
            is_unelected: group.is_unelected(),
            forced: group.forced(),
            forced_since: self.forced_since(name),
            quality: quality_of(details).unwrap_or(self.pair.quality().number()),
            fence: self.fence_fact(name, rows),
            addresses: AddressFaults {
                bare: self.bare_interfaces(group),
                ..AddressFaults::default()
            },
            ..GroupFacts::default()
        };
        facts.addresses.is_cut_off = self.is_cut_off(group, &facts.addresses.bare);
        if facts.role == Role::Active {
            let addresses = self.network.kernel().address_status(name).into_iter();
            facts.addresses.missing = addresses.filter(|address| !address.present).collect();
            facts.addresses.missing_routes = self.network.kernel().missing_routes(name);
        }
        facts.addresses.foreign = self.network.kernel().foreign_addresses(name);
        let is_peer = text_of(details, "peer_role") == Some("active");
        let text = |key| text_of(details, key).filter(|text| !text.is_empty());
        let other = text("other_active").map(str::to_owned);
        facts.rivals.other_active = other.map(|name| OtherActive { name, is_peer });
        facts.rivals.conflict = text("conflict").map(str::to_owned);
        facts.networks.unproven = text("unproven").unwrap_or_default().to_owned();
        facts.failover.waits = text("failover_waits").unwrap_or_default().to_owned();
        for (key, value) in details {
            let Value::Text(text) = value else { continue };
            let text = text.clone();
            match key.rsplit_once('.') {
                Some((interface, "unheard")) => {
                    let interface = interface.trim_start_matches("interface.");
                    facts.networks.unheard.insert(interface.to_owned(), text);
                }
                Some((link, "heartbeats_unheard")) => {
                    facts
                        .failover
                        .deaf_links
                        .extend(link.strip_prefix("link.").map(str::to_owned));
                }
                Some((router, "stranger")) => {
                    facts.routers.strangers.push(router_fault(router, text))
                }
                Some((address, "duplicate")) => {
                    facts
                        .addresses
                        .duplicates
                        .push(duplicate(address, &text, false));
                }
                Some((address, "duplicate_on_peer")) => {
                    facts
                        .addresses
                        .duplicates
                        .push(duplicate(address, &text, true));
                }
                Some((interface, "adverts_alone")) => {
                    let interface = interface.trim_start_matches("interface.");
                    facts
                        .networks
                        .adverts_alone
                        .insert(interface.to_owned(), text);
                }
                Some((interface, "virtual_mac_dropped")) => {
                    let lost = network_loss(interface, &text, LossKind::Mac);
                    facts.networks.lost.push(lost);
                }
                Some((interface, "virtual_mac_unanswered")) => {
                    let lost = network_loss(interface, &text, LossKind::Unanswered);
                    facts.networks.lost.push(lost);
                }
                Some((interface, "shared")) => {
                    facts
                        .networks
                        .lost
                        .push(network_loss(interface, &text, LossKind::Shared));
                }
                Some((interface, "virtual_mac_was_dropped")) => {
                    let lost = network_loss(interface, &text, LossKind::MacBefore);
                    facts.networks.lost.push(lost);
                }
                Some((interface, "adverts_lost")) => {
                    facts
                        .networks
                        .lost
                        .push(network_loss(interface, &text, LossKind::Adverts));
                }
                Some((router, "signer")) => facts.routers.signers.push(router_fault(router, text)),
                Some((router, "other_addresses")) => {
                    facts.routers.differing.push(router_fault(router, text));
                }
                Some((router, "muted")) => facts.routers.muted.push(router_fault(router, text)),
                Some((router, "refused")) => facts.routers.refused.push(router_fault(router, text)),
                _ => {}
            }
        }
        // the peer's last heartbeat may have been sent before it became active
        let is_advertised = !facts.networks.adverts_alone.is_empty();
        if let Some(other) = facts.rivals.other_active.as_mut().filter(|_| is_advertised) {
            other.is_peer = true;
        }
        facts
    }

    fn forced_since(&self, group: &str) -> String {
        let forced = self.orders.forced().get(group);
        forced.map(|it| it.since.clone()).unwrap_or_default()
    }

    // Returns the state of the fence. Leases are read from the kernel only once a second: without a look, `lapsed` is
    // used instead.
    fn fence_fact(&self, group: &str, rows: Option<&StatusRows>) -> Fence {
        let lapsed = self.network.has_lapsed(group);
        match rows.map(|rows| rows.fence(group)) {
            _ if !self.network.kernel().is_fenced() => Fence::Off,
            Some(FenceState::Passing) => Fence::Passing,
            Some(FenceState::Blocking) => Fence::Blocking,
            Some(FenceState::Missing) => Fence::Missing,
            Some(FenceState::Off) => Fence::Off,
            None if lapsed => Fence::Blocking,
            None => Fence::Passing,
        }
    }

    // Returns true if the group is cut off: none of its interfaces is up with an address of the node's own.
    fn is_cut_off(&self, group: &Group, bare: &[BareInterface]) -> bool {
        let is_down = |name: &str| {
            self.network
                .interfaces()
                .get(name)
                .is_some_and(|it| it.lack.is_some())
        };
        let is_bare = |name: &str| bare.iter().any(|it| it.interface == name);
        let mut interfaces = group.claims.routers.iter().map(|it| it.interface.as_str());
        !group.claims.routers.is_empty() && interfaces.all(|name| is_down(name) || is_bare(name))
    }

    // Returns the interfaces that are up but have no address of the node's own. The group works only on its other
    // interfaces.
    fn bare_interfaces(&self, group: &Group) -> Vec<BareInterface> {
        let mut bare = Vec::new();
        for router in &group.claims.routers {
            let interface = &router.interface;
            let Some((event, _)) = self
                .network
                .kernel()
                .interface(interface)
                .filter(|it| it.0.up)
            else {
                continue;
            };
            let (family, is_of) = match router.family {
                Family::V4 => ("IPv4", (|it: IpAddr| it.is_ipv4()) as fn(IpAddr) -> bool),
                Family::V6 => ("IPv6 link-local", is_link_local as fn(IpAddr) -> bool),
            };
            let mut virtuals = Vec::new();
            let mut has_own = false;
            for (address, prefix) in event.addresses.iter().filter(|it| is_of(it.0)) {
                let of = self.group_of_address(interface, *address);
                match of.filter(|_| !owns_its_addresses(group)) {
                    Some(of) => virtuals.push(VirtualCopy {
                        address: format!("{address}/{prefix}"),
                        group: of.to_owned(),
                    }),
                    None => has_own = true,
                }
            }
            let found = BareInterface {
                interface: interface.clone(),
                family: family.to_owned(),
                virtuals,
            };
            if !has_own && !bare.contains(&found) {
                bare.push(found);
            }
        }
        bare
    }

    // Returns the group that has this virtual address. A link-local address belongs to the group only on its own
    // interface.
    fn group_of_address(&self, interface: &str, address: IpAddr) -> Option<&str> {
        let is_it = |claim: &AddressClaim| {
            let is_there = claim.interface == interface || !is_link_local(address);
            claim.address == address && is_there
        };
        let mut groups = self.groups.iter();
        let of = groups.find(|(_, group)| group.claims.addresses.iter().any(is_it));
        of.map(|(name, _)| name)
    }

    fn interface_facts(&self) -> Vec<InterfaceFacts> {
        let seen = self.network.interfaces().iter();
        let lacking = seen.filter_map(|(name, seen)| {
            Some(InterfaceFacts {
                name: name.clone(),
                lack: seen.lack?,
                since: seen.since.clone(),
            })
        });
        lacking.collect()
    }
}

// Parses a row with the key "address.192.0.2.1" and the text "02:00:00:00:00:99 on lan1".
fn duplicate(address: &str, text: &str, is_peer: bool) -> DuplicateAddress {
    let (by, interface) = text.rsplit_once(" on ").unwrap_or((text, ""));
    DuplicateAddress {
        address: address.trim_start_matches("address.").to_owned(),
        interface: interface.to_owned(),
        by: by.to_owned(),
        is_peer,
    }
}

// Parses a row with the key "interface.lan" and the text "r1: 00:00:5e:00:01:33".
fn network_loss(interface: &str, text: &str, loss: LossKind) -> NetworkLoss {
    let (sender, what) = text.split_once(": ").unwrap_or(("", text));
    NetworkLoss {
        interface: interface.trim_start_matches("interface.").to_owned(),
        sender: sender.to_owned(),
        what: what.to_owned(),
        loss,
    }
}

// Returns true for an owner (RFC 9568, priority 255), whose virtual addresses are the node's own.
fn owns_its_addresses(group: &Group) -> bool {
    let by_priority = group.cause.kind == CauseKind::Priority && group.cause.own == 255;
    group.cause.kind == CauseKind::Owner || by_priority
}

fn router_fault(router: &str, why: String) -> RouterFault {
    RouterFault {
        router: router.to_owned(),
        interface: interface_of(router).unwrap_or_default().to_owned(),
        why,
    }
}

/// Returns the interface of a virtual router, from its name in an elector's rows: "virtual_router.lan2.50.ipv4".
pub fn interface_of(router: &str) -> Option<&str> {
    let mut parts = router.strip_prefix("virtual_router.")?.rsplitn(3, '.');
    parts.nth(2)
}

pub fn quality_of(details: &Details) -> Option<u8> {
    match details.get("quality")? {
        Value::Number(quality) => Some(u8::try_from(*quality).unwrap_or(100)),
        _ => None,
    }
}

fn text_of<'d>(details: &'d Details, key: &str) -> Option<&'d str> {
    match details.get(key)? {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interface_of_a_virtual_router_may_have_dots() {
        let is_of = |router: &str| router_fault(router, String::new()).interface;
        assert_eq!(is_of("virtual_router.lan2.50.ipv4"), "lan2");
        assert_eq!(is_of("virtual_router.lan2.7.50.ipv6"), "lan2.7");
        assert_eq!(is_of("another elector's name"), "");
    }
}
