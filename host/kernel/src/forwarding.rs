//! Finds settings of forwarding that are 0 although the virtual addresses need them.

use std::collections::{BTreeMap, BTreeSet};

use spared_netlink::Link;
use spared_verdict::forwarding::{self, Need};

use super::group_claims::Group;
use super::{Kernel, KernelEvent};

impl Kernel {
    /// Returns the settings that are 0, so that this node does not forward packets that stations send to the groups'
    /// addresses. A node needs them in every role, as it may become active.
    pub fn not_forwarding(&self) -> Vec<String> {
        [self.not_forwarding_ipv4(), self.not_forwarding_ipv6()].concat()
    }

    // Checks IPv4. Packets for a virtual MAC arrive on its device, which has a setting of its own.
    fn not_forwarding_ipv4(&self) -> Vec<String> {
        // the following steps take time if there are hundreds of groups
        if self.interfaces.forward_ipv4()
            || Need::of(self.interfaces_with(false).len()) != Need::Forwarding
        {
            return Vec::new();
        }
        let everywhere = self.interfaces.forwards_everywhere(false).unwrap_or(true);
        let devices = self.groups.values().flat_map(Group::vmacs);
        let devices = devices.filter_map(|router| router.find(&self.interfaces));
        let links = self.interfaces_with(false).into_iter();
        let links = links.filter_map(|name| self.interfaces.link(name));
        let state = |link: &Link| {
            let is_on = self.interfaces.forwards_ipv4(link)?;
            Some((link.name.clone(), is_on))
        };
        let settings: BTreeMap<String, bool> = links.chain(devices).filter_map(state).collect();
        forwarding::off_ipv4(everywhere, &settings)
    }

    // Checks IPv6. Only the setting "all" counts: an interface whose own setting is 0 forwards nevertheless.
    fn not_forwarding_ipv6(&self) -> Vec<String> {
        let is_off = self.interfaces.forwards_everywhere(true) == Some(false);
        // the following step takes time if there are hundreds of groups
        let is_needed = || Need::of(self.interfaces_with(true).len()) == Need::Forwarding;
        let setting = (is_off && is_needed()).then(|| forwarding::IPV6.to_owned());
        setting.into_iter().collect()
    }

    /// Returns the interfaces with virtual addresses of a family.
    fn interfaces_with(&self, is_ipv6: bool) -> BTreeSet<&str> {
        let groups = self.groups.values();
        let addresses = groups.flat_map(|group| &group.claims.addresses);
        let of_family = addresses.filter(|it| it.address.is_ipv6() == is_ipv6);
        of_family.map(|it| it.interface.as_str()).collect()
    }

    /// Reports, once, that the set of settings that are 0 has changed.
    pub(super) fn report_forwarding(&mut self, before: &[String]) {
        let is_told = self.events.contains(&KernelEvent::Forwarding);
        if !is_told && self.not_forwarding() != before {
            self.events.push(KernelEvent::Forwarding);
        }
    }
}
