//! One virtual router: its prebuilt packets, and what it heard.

use std::net::IpAddr;

use super::counters::RouterCounters;
use super::interface::Interface;
use super::port::Talker;
use crate::config;
use crate::limit::Limit;
use crate::wire::frame::{Advert, emit_frame, emit_frame_to_self, emit_packet};
use crate::wire::virtual_mac;
use crate::wire::vrrp::{Form, Repr, Version, capacity};

/// How long a router whose adverts are refused again stays silent.
pub(super) const MUTE_PAUSE_NS: u64 = 60_000_000_000;

/// A packet that is ready to go, for one destination.
#[derive(Clone, Default)]
pub(super) struct Packet {
    /// None: a whole frame, to the multicast group or to this node itself.
    pub to: Option<IpAddr>,
    pub advert: Vec<u8>,
    /// The same with priority 0.
    pub resign: Vec<u8>,
}

#[cfg_attr(test, derive(Clone))]
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
    /// Packets of the last advert that the system did not take.
    pub unsent: usize,
    /// None of the advert before the last was taken either.
    pub refused_before: bool,
    /// Its adverts were refused for a whole lease.
    pub muted: Option<Mute>,
    pub muted_at_ns: Option<u64>,
    pub heard_ns: Option<u64>,
    /// What the twin's adverts come from, and somebody else's (E11).
    pub twin_source: Option<IpAddr>,
    pub twin_heard_ns: u64,
    pub foreign_source: Option<IpAddr>,
    /// Who may be somebody else, since when.
    pub suspect: Option<(IpAddr, u64)>,
    /// Who advertises for it, and who did before that one.
    pub talker: Option<Talker>,
    pub earlier_talker: Option<Talker>,
    /// Names fewer addresses than configured, as the MTU has no room.
    pub capped: bool,
    pub counters: RouterCounters,
    pub limit: Limit,
}

/// A router whose adverts do not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mute {
    /// Until the fence is opened anew.
    UntilActive,
    /// It did not help: for a while.
    ForAWhile,
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
            unsent: 0,
            refused_before: false,
            muted: None,
            muted_at_ns: None,
            heard_ns: None,
            twin_source: None,
            twin_heard_ns: 0,
            foreign_source: None,
            suspect: None,
            talker: None,
            earlier_talker: None,
            capped: false,
            counters: RouterCounters::default(),
            limit: Limit::default(),
        }
    }

    pub fn usable(&self) -> bool {
        self.source.is_some() && self.muted.is_none()
    }

    /// The twin's address there, as far as it was ever heard.
    pub fn twins_address(&self) -> Option<IpAddr> {
        // the first adverts come before the beats that tell whose they are
        let heard = self.talker.map(|talker| talker.address);
        let heard = heard.filter(|address| self.foreign_source != Some(*address));
        self.twin_source.or(heard)
    }

    /// When a muted router may be tried again by itself.
    pub fn unmute_at_ns(&self) -> Option<u64> {
        self.muted
            .and(self.muted_at_ns)
            .map(|at_ns| at_ns.saturating_add(MUTE_PAUSE_NS))
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
        let own = &interface.facts.addresses;
        let peers = self.config.peers.iter().copied();
        let peers = peers.filter(|peer| self.config.unicast && !own.contains(peer));
        let destinations = std::iter::once(None).chain(peers.map(Some));
        let mut count = 0;
        for to in destinations {
            if self.packets.len() == count {
                self.packets.push(Packet::default());
            }
            let Some(packet) = self.packets.get_mut(count) else {
                return;
            };
            packet.to = to;
            for (priority, out) in [
                (speech.priority, &mut packet.advert),
                (0, &mut packet.resign),
            ] {
                let repr = Repr { priority, ..repr };
                match to {
                    Some(peer) => emit_packet(source, peer, &repr, out),
                    // what is sent to a peer that does not answer ARP never leaves, and renews
                    // no lease; a frame to oneself does, and no switch carries it on
                    None if self.config.unicast => {
                        emit_frame_to_self(interface.facts.mac, source, &repr, out);
                    }
                    None if self.config.vmac => {
                        let mac = virtual_mac(self.config.family, self.config.vrid);
                        emit_frame(mac, source, &repr, out);
                    }
                    None => emit_frame(interface.facts.mac, source, &repr, out),
                }
            }
            count += 1;
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
