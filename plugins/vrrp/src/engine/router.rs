//! One virtual router: its prebuilt packets, and what it heard.

use std::net::IpAddr;

use super::counters::{Limit, RouterCounters};
use super::interface::Interface;
use super::port::Talker;
use crate::config;
use crate::wire::frame::{Advert, emit_frame, emit_packet};
use crate::wire::virtual_mac;
use crate::wire::vrrp::{Form, Repr, Version, capacity};

/// A packet that is ready to go, for one destination.
pub(super) struct Packet {
    /// None: a whole frame to the multicast group.
    pub to: Option<IpAddr>,
    pub advert: Vec<u8>,
    /// The same with priority 0.
    pub resign: Vec<u8>,
}

pub(super) struct Router {
    pub config: config::Router,
    /// Index into the group's ports.
    pub port: usize,
    /// What the adverts come from; None while the router cannot speak.
    pub source: Option<IpAddr>,
    pub form: Form,
    pub packets: Vec<Packet>,
    /// When the last advert went out, and the one before.
    pub sent_ns: u64,
    pub sent_before_ns: u64,
    /// Its adverts were refused for a whole lease.
    pub muted: bool,
    pub muted_at_ns: Option<u64>,
    pub heard_ns: Option<u64>,
    /// Who advertises for it, and who did before that one.
    pub talker: Option<Talker>,
    pub earlier_talker: Option<Talker>,
    /// Names fewer addresses than configured, as the MTU has no room.
    pub capped: bool,
    pub counters: RouterCounters,
    pub limit: Limit,
}

/// What all routers of a group say.
#[derive(Clone, Copy)]
pub(super) struct Speech {
    pub version: Version,
    pub priority: u8,
    pub interval_ns: u64,
}

impl Router {
    pub fn new(config: config::Router, port: usize, form: Form) -> Router {
        Router {
            config,
            port,
            source: None,
            form,
            packets: Vec::new(),
            sent_ns: 0,
            sent_before_ns: 0,
            muted: false,
            muted_at_ns: None,
            heard_ns: None,
            talker: None,
            earlier_talker: None,
            capped: false,
            counters: RouterCounters::default(),
            limit: Limit::default(),
        }
    }

    pub fn usable(&self) -> bool {
        self.source.is_some() && !self.muted
    }

    /// An advert of priority above 0 was heard.
    pub fn note_talker(&mut self, now_ns: u64, advert: &Advert<'_>) {
        if self
            .talker
            .is_some_and(|talker| talker.address != advert.source)
        {
            self.earlier_talker = self.talker;
        }
        let (address, interval_ns) = (advert.source, advert.interval_ns);
        self.talker = Some(Talker {
            address,
            interval_ns,
            heard_ns: now_ns,
        });
    }

    /// Whether anybody but `address` advertised lately.
    pub fn others_talk(&self, now_ns: u64, address: IpAddr, advert_loss: u32) -> bool {
        [self.talker, self.earlier_talker]
            .into_iter()
            .flatten()
            .any(|talker| {
                let patience_ns = talker.interval_ns.saturating_mul(u64::from(advert_loss));
                talker.address != address && now_ns.saturating_sub(talker.heard_ns) < patience_ns
            })
    }

    /// Writes the packets anew; where destinations stay, into the same buffers.
    pub fn build(&mut self, interface: &Interface, speech: Speech) {
        let Some(source) = self.source else { return };
        let room = capacity(speech.version, self.config.family, interface.facts.mtu);
        self.capped = room < self.config.advertised.len();
        let addresses = self
            .config
            .advertised
            .get(..room)
            .unwrap_or(&self.config.advertised);
        let repr = Repr {
            version: speech.version,
            family: self.config.family,
            vrid: self.config.vrid,
            priority: speech.priority,
            interval_ns: speech.interval_ns,
            addresses,
            form: self.form,
        };
        let resignation = Repr {
            priority: 0,
            ..repr
        };
        let own = &interface.facts.addresses;
        let peers = self
            .config
            .peers
            .iter()
            .copied()
            .filter(|peer| !own.contains(peer))
            .map(Some);
        let multicast = std::iter::once(None);
        let destinations = if self.config.unicast {
            Ok(peers)
        } else {
            Err(multicast)
        };
        let mut count = 0;
        let mut write = |to: Option<IpAddr>| {
            if self.packets.len() == count {
                let (advert, resign) = (Vec::new(), Vec::new());
                self.packets.push(Packet { to, advert, resign });
            }
            if let Some(packet) = self.packets.get_mut(count) {
                packet.to = to;
                for (repr, out) in [
                    (&repr, &mut packet.advert),
                    (&resignation, &mut packet.resign),
                ] {
                    match to {
                        Some(peer) => emit_packet(source, peer, repr, out),
                        None => {
                            let mac = if self.config.vmac {
                                virtual_mac(self.config.family, self.config.vrid)
                            } else {
                                interface.facts.mac
                            };
                            emit_frame(mac, source, repr, out);
                        }
                    }
                }
            }
            count += 1;
        };
        match destinations {
            Ok(peers) => peers.for_each(&mut write),
            Err(multicast) => multicast.for_each(&mut write),
        }
        self.packets.truncate(count);
    }

    /// The form of checksum that the peer uses, where it differs from ours.
    pub fn other_form(&self, advert: &Advert<'_>) -> Option<Form> {
        let follows = advert.version == Version::V3 && advert.source.is_ipv4();
        advert
            .checksums
            .form()
            .filter(|form| follows && *form != self.form)
    }
}
