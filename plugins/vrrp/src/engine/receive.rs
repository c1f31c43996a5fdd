//! Receive checks of RFC 9568 section 7.1 that need the configuration, and the treatment of adverts that fail them.

use super::{Action, Engine};
use crate::error::Discard;
use crate::wire::frame::{self, Advert, TTL};
use crate::wire::{Mac, virtual_router};

impl Engine {
    /// Handles a frame of a VRRP socket.
    pub fn handle_frame(&mut self, now_ns: u64, interface: usize, bytes: &[u8]) {
        let advert = match frame::parse(bytes) {
            Ok(advert) => advert,
            Err(reason) => {
                self.note_dropped_advert(now_ns, interface, reason, None);
                return self.discard(now_ns, interface, reason, None);
            }
        };
        match self.accept(interface, &advert) {
            Ok((group, router)) => {
                self.with_group(now_ns, group, |group, cx| {
                    group.check_lapse(cx);
                    group.handle_advert(cx, router, &advert);
                });
            }
            Err(reason) => {
                self.note_dropped_advert(now_ns, interface, reason, Some(&advert));
                self.discard(now_ns, interface, reason, Some(&advert));
            }
        }
    }

    /// Returns the group and the router that an advert is for.
    fn accept(&self, index: usize, advert: &Advert<'_>) -> Result<(usize, usize), Discard> {
        let interface = self.interfaces.get(index).ok_or(Discard::UnknownVrid)?;
        let key = (index, advert.family, advert.vrid);
        let found = self.routers.get(&key).and_then(|(group, router)| {
            let this = self.groups.get(*group)?;
            Some((*group, *router, this, this.networks.router(*router)?))
        });
        let min_ttl = found.map_or(TTL, |(.., router)| router.config.min_ttl);
        if advert.ttl < min_ttl {
            return Err(Discard::Ttl);
        }
        let (group_index, router_index, group, router) = found.ok_or(Discard::UnknownVrid)?;
        if advert.version != group.config.version.of(advert.family) {
            return Err(Discard::Version);
        }
        // without a password: a node of spared whose file no longer has one
        if advert.password.is_some() && advert.password != router.config.password {
            return Err(Discard::Authentication);
        }
        if interface.is_broadcast(advert.source) || router.is_virtual(advert) {
            return Err(Discard::Source);
        }
        let own = &interface.facts.addresses;
        if own.contains(&advert.source) || router.source == Some(advert.source) {
            return Err(Discard::OwnSource);
        }
        let to_us = if router.config.unicast {
            own.contains(&advert.destination)
        } else {
            advert.destination == frame::group_address(advert.family)
        };
        if !to_us {
            return Err(Discard::Destination);
        }
        // a unicast router accepts only its peers, because anyone could send it a packet
        let stranger = router.config.unicast && !router.config.peers.contains(&advert.source);
        if stranger {
            Err(Discard::Foreign)
        } else {
            Ok((group_index, router_index))
        }
    }

    fn discard(&mut self, now_ns: u64, index: usize, reason: Discard, advert: Option<&Advert<'_>>) {
        let Some(interface) = self.interfaces.get_mut(index) else {
            return;
        };
        interface.discards.count(reason);
        // a frame of this node that the network returned needs no line
        let own_mac = |mac: Mac| mac == interface.facts.mac || virtual_router(mac).is_some();
        if reason == Discard::OwnSource && advert.is_some_and(|a| own_mac(a.source_mac)) {
            return;
        }
        let limit = interface.limits.get_mut(reason as usize);
        let Some(more) = limit.and_then(|limit| limit.allow(now_ns)) else {
            return;
        };
        let from = advert.map_or(String::new(), |a| {
            format!(" from {} vrid {}", a.source, a.vrid)
        });
        let line = format!(
            "{}: dropped an advert{from}: {reason}{more}",
            interface.name
        );
        self.actions.push(Action::Warn(line));
    }
}
