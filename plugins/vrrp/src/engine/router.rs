//! One virtual router: its prebuilt packets, and what it heard.

use std::net::IpAddr;

use super::counters::RouterCounters;
use super::interface::Interface;
use super::port::Talker;
use crate::config;
use crate::election::OWNER;
use crate::limit::Limit;
use crate::wire::frame::{Advert, emit_frame, emit_frame_to_self, emit_packet};
use crate::wire::virtual_mac;
use crate::wire::vrrp::{Form, Repr, Version, capacity};

/// How long a router whose adverts are refused again stays silent, while somebody serves.
pub(super) const MUTE_PAUSE_NS: u64 = 60_000_000_000;
/// While nobody does: twice as long each time.
pub(super) const MUTE_SOON_NS: u64 = 300_000_000;
const MUTE_SOON_MAX_NS: u64 = 5_000_000_000;

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
pub(super) struct VirtualRouter {
    pub config: config::VirtualRouter,
    /// Index into the group's ports.
    pub port: usize,
    /// What the adverts come from; None while the router cannot speak.
    pub source: Option<IpAddr>,
    pub form: Form,
    pub packets: Vec<Packet>,
    /// When the last advert went out, and the one before.
    pub sent_ns: u64,
    pub sent_before_ns: u64,
    /// E13: its lease was found to have ended, and is not granted anew yet.
    pub lapsed: bool,
    /// Packets of the last advert that the system did not take.
    pub unsent: usize,
    /// None of the advert before the last was taken either.
    pub refused_before: bool,
    /// Its adverts do not leave, although its lease was granted anew.
    pub muted: bool,
    /// When they were last refused for a whole lease.
    pub refused_ns: Option<u64>,
    /// How often it was muted since all was well.
    pub mutes: u32,
    pub heard_ns: Option<u64>,
    /// What the peer's adverts come from, and somebody else's (E11).
    pub peer_source: Option<IpAddr>,
    pub peer_heard_ns: u64,
    pub foreign_source: Option<IpAddr>,
    /// Who may be somebody else, since when.
    pub suspect: Option<(IpAddr, u64)>,
    /// Who advertises for it, and who did before that one.
    pub talker: Option<Talker>,
    pub earlier_talker: Option<Talker>,
    /// Names fewer addresses than configured, as the MTU has no room.
    pub capped: bool,
    pub counters: RouterCounters,
    pub limits: Limits,
}

/// What is said of others' adverts, by kind.
#[derive(Clone, Copy, Default)]
pub(super) struct Limits {
    pub foreign: Limit,
    pub beside_heartbeats: Limit,
    pub interval: Limit,
    pub addresses: Limit,
}

/// What all routers of a group say.
#[derive(Clone, Copy)]
pub(super) struct Speech {
    pub version: Version,
    pub priority: u8,
    pub interval_ns: u64,
}

impl VirtualRouter {
    pub fn new(config: config::VirtualRouter, port: usize, form: Form) -> VirtualRouter {
        VirtualRouter {
            config,
            port,
            source: None,
            form,
            packets: Vec::new(),
            sent_ns: 0,
            sent_before_ns: 0,
            lapsed: false,
            unsent: 0,
            refused_before: false,
            muted: false,
            refused_ns: None,
            mutes: 0,
            heard_ns: None,
            peer_source: None,
            peer_heard_ns: 0,
            foreign_source: None,
            suspect: None,
            talker: None,
            earlier_talker: None,
            capped: false,
            counters: RouterCounters::default(),
            limits: Limits::default(),
        }
    }

    pub fn usable(&self) -> bool {
        self.source.is_some() && !self.muted
    }

    /// Its lease has not ended, as far as this node can tell.
    pub fn passes(&self, now_ns: u64, lease_ns: u64) -> bool {
        !self.lapsed && now_ns <= self.sent_ns.saturating_add(lease_ns)
    }

    /// Whether an advert comes from one of the router's own addresses; only their owner (255) may
    /// send from there, priority 0 included.
    pub fn is_virtual(&self, advert: &Advert<'_>) -> bool {
        let is_owner = advert.priority == OWNER
            || self
                .talker
                .is_some_and(|talker| talker.address == advert.source);
        let mut addresses = self.config.addresses.iter();
        !is_owner && addresses.any(|own| own.address == advert.source)
    }

    /// The peer's address there, as far as it was ever heard.
    pub fn peers_address(&self) -> Option<IpAddr> {
        // the first adverts come before the heartbeats that tell whose they are
        let heard = self.talker.map(|talker| talker.address);
        let heard = heard.filter(|address| self.foreign_source != Some(*address));
        self.peer_source.or(heard)
    }

    /// When a muted router is to be tried again; E13: sooner where nobody serves.
    pub fn unmute_at_ns(&self, served: bool) -> Option<u64> {
        let refused_ns = self.refused_ns.filter(|_| self.muted)?;
        let doubled_ns = MUTE_SOON_NS << self.mutes.saturating_sub(1).min(5);
        let pause_ns = if served {
            MUTE_PAUSE_NS
        } else {
            doubled_ns.min(MUTE_SOON_MAX_NS)
        };
        Some(refused_ns.saturating_add(pause_ns))
    }

    /// Its adverts were refused for a whole lease; whether granting it anew has not helped.
    pub fn refuse(&mut self, now_ns: u64) -> bool {
        let before = self.refused_ns.replace(now_ns);
        let since_ns = before.map(|at_ns| now_ns.saturating_sub(at_ns));
        if since_ns.is_none_or(|ns| ns > 2 * MUTE_PAUSE_NS) {
            self.mutes = 0;
        }
        self.muted = since_ns.is_some_and(|ns| ns < MUTE_PAUSE_NS);
        self.mutes += u32::from(self.muted);
        (self.sent_ns, self.unsent) = (now_ns, 0);
        self.muted
    }

    /// An advert of priority above 0 was heard.
    pub fn note_talker(&mut self, now_ns: u64, address: IpAddr, interval_ns: u64) {
        if self.talker.is_some_and(|talker| talker.address != address) {
            self.earlier_talker = self.talker;
        }
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

    /// Whoever sent an advert, for a sentence.
    pub fn sender_of(&self, advert: &Advert<'_>) -> String {
        let (source, interface) = (advert.source, &self.config.interface);
        let (vrid, priority) = (advert.vrid, advert.priority);
        format!("{source} on {interface} (vrid {vrid}, priority {priority})")
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
