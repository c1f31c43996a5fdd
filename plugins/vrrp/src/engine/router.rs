//! One virtual router: its prebuilt packets, and what it heard.

use std::net::IpAddr;

use super::counters::RouterCounters;
use super::duplicates::SETTLED_NS;
use super::inquiry::StationAnswers;
use super::interface::Interface;
use super::port::Talker;
use super::virtual_identity::VirtualIdentity;
use crate::config;
use crate::election::OWNER;
use crate::limit::Limit;
use crate::wire::frame::{Advert, emit_frame, emit_frame_to_self, emit_packet};
use crate::wire::vrrp::{Form, Repr, Version, capacity};
use crate::wire::{Mac, virtual_mac};

/// Time for which a router whose adverts are refused again stays silent, while another one serves.
pub(super) const MUTE_PAUSE_NS: u64 = 60_000_000_000;
/// The same while nobody serves: twice as long each time.
pub(super) const MUTE_SOON_NS: u64 = 300_000_000;
/// Least time for which a router counts as one that signs after its last signed advert.
const SIGNED_NS: u64 = 5_000_000_000;
const MUTE_SOON_MAX_NS: u64 = 5_000_000_000;

/// A packet that is ready to go, for one destination.
#[derive(Clone, Default)]
pub(super) struct Packet {
    /// None: a whole frame, to the multicast group or to this node itself.
    pub to: Option<IpAddr>,
    pub advert: Vec<u8>,
    /// The same with priority 0.
    pub resign: Vec<u8>,
    /// The system refused the last advert, and since when it has refused each.
    pub is_refused: bool,
    pub refused_since_ns: Option<u64>,
}

#[cfg_attr(test, derive(Clone))]
pub(super) struct VirtualRouter {
    pub config: config::VirtualRouter,
    /// Index into the group's ports.
    pub port: usize,
    /// Source address of the adverts; None while the router cannot send.
    pub source: Option<IpAddr>,
    /// Time until which it is waited for, while the interface does not have it.
    pub source_until_ns: Option<u64>,
    pub form: Form,
    pub packets: Vec<Packet>,
    /// Times of the last two adverts.
    pub sent_ns: u64,
    pub sent_before_ns: u64,
    /// E13: its lease has ended and is not granted again yet.
    pub lapsed: bool,
    /// Packets of the last advert that the system refused.
    pub unsent: usize,
    /// The packets of the previous advert were all refused as well.
    pub refused_before: bool,
    /// Its adverts do not leave although its lease was granted again.
    pub muted: bool,
    /// Time when they were last refused for a whole lease.
    pub refused_ns: Option<u64>,
    /// Number of times it was muted since it last worked.
    pub mutes: u32,
    pub heard_ns: Option<u64>,
    /// Source addresses of the peer's adverts, and of others (E11).
    pub peer_source: Option<IpAddr>,
    pub peer_heard_ns: u64,
    pub foreign_source: Option<IpAddr>,
    /// Address that may belong to another router, and since when.
    pub suspect: Option<(IpAddr, u64)>,
    /// The router that advertises for it, and the previous one.
    pub talker: Option<Talker>,
    pub earlier_talker: Option<Talker>,
    /// Who advertises as active and is neither this node nor the peer: address, priority, and until when
    /// that is news.
    pub stranger: Option<(IpAddr, u8, u64)>,
    /// Its MAC address, and until when it may still be heard.
    stranger_mac: Option<(Mac, u64)>,
    /// Who signs its adverts, and until when that is news.
    signed: Option<(IpAddr, u64)>,
    /// E15: what is heard of the active peer's.
    pub identity: VirtualIdentity,
    /// E15: what stations answer to this node's.
    pub answers: StationAnswers,
    /// Names fewer addresses than configured, as the MTU has no room.
    pub capped: bool,
    pub counters: RouterCounters,
    pub limits: Limits,
}

/// Limits of log lines on others' adverts, by kind.
#[derive(Clone, Copy, Default)]
pub(super) struct Limits {
    pub foreign: Limit,
    pub beside_heartbeats: Limit,
    pub interval: Limit,
    pub addresses: Limit,
}

/// Content common to all routers of a group.
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
            source_until_ns: None,
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
            stranger: None,
            stranger_mac: None,
            signed: None,
            identity: VirtualIdentity::default(),
            answers: StationAnswers::default(),
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

    /// Time when a muted router is tried again; E13: sooner if nobody serves.
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

    /// Time when a backup, which sends nothing that could show it, takes its adverts to leave again.
    pub fn forgive_at_ns(&self) -> Option<u64> {
        let refused_ns = self.refused_ns.filter(|_| self.muted)?;
        Some(refused_ns.saturating_add(self.forgive_pause_ns()))
    }

    /// Ends the pause before its adverts are tried again.
    pub fn end_pause(&mut self, now_ns: u64) {
        let over_ns = now_ns.saturating_sub(MUTE_PAUSE_NS);
        self.refused_ns = self.refused_ns.map(|at_ns| at_ns.min(over_ns));
        self.mutes = 0;
    }

    // Each role that is taken in vain costs an outage: the pause doubles from one to the next.
    fn forgive_pause_ns(&self) -> u64 {
        MUTE_PAUSE_NS << self.mutes.saturating_sub(1).min(3)
    }

    /// Its adverts were refused for a whole lease; returns whether granting it again has not
    /// helped, or did not help a moment ago.
    pub fn refuse(&mut self, now_ns: u64) -> bool {
        let before = self.refused_ns.replace(now_ns);
        let since_ns = before.map(|at_ns| now_ns.saturating_sub(at_ns));
        if since_ns.is_none_or(|ns| ns > 2 * self.forgive_pause_ns()) {
            self.mutes = 0;
        }
        self.muted = self.mutes > 0 || since_ns.is_some_and(|ns| ns < MUTE_PAUSE_NS);
        self.mutes += u32::from(self.muted);
        (self.sent_ns, self.unsent) = (now_ns, 0);
        self.muted
    }

    /// An advert of a router that is no node of the pair.
    pub fn note_stranger(&mut self, now_ns: u64, advert: &Advert<'_>) {
        self.counters.foreign += 1;
        let until_ns = now_ns.saturating_add(advert.interval_ns.saturating_mul(4));
        self.stranger = (advert.priority > 0).then_some((advert.source, advert.priority, until_ns));
        self.stranger_mac = Some((advert.source_mac, until_ns.saturating_add(SETTLED_NS)));
    }

    /// An advert with a signature, which is heard as if it had none.
    pub fn note_signed(&mut self, now_ns: u64, advert: &Advert<'_>) {
        if advert.is_signed {
            self.counters.signed += 1;
            let until_ns = now_ns.saturating_add(advert.interval_ns.saturating_mul(4));
            self.signed = Some((
                advert.source,
                until_ns.max(now_ns.saturating_add(SIGNED_NS)),
            ));
        }
    }

    /// The router that signs its adverts.
    pub fn signer(&self, now_ns: u64) -> Option<IpAddr> {
        let (signer, _) = self.signed.filter(|(_, until_ns)| now_ns < *until_ns)?;
        Some(signer)
    }

    /// Whether that router, which has a finding of its own, has this MAC address.
    pub fn is_strangers_mac(&self, now_ns: u64, mac: Mac) -> bool {
        let of = self.stranger_mac.filter(|(_, until_ns)| now_ns < *until_ns);
        of.is_some_and(|(of, _)| of == mac)
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

    /// Rebuilds the packets, in the same buffers if destinations stay.
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
        let is_own = |peer: &IpAddr| *peer == source || own.contains(peer);
        let peers = peers.filter(|peer| self.config.unicast && !is_own(peer));
        let destinations = std::iter::once(None).chain(peers.map(Some));
        let mut count = 0;
        for to in destinations {
            if self.packets.len() == count {
                self.packets.push(Packet::default());
            }
            let Some(packet) = self.packets.get_mut(count) else {
                return;
            };
            if packet.to != to {
                (packet.is_refused, packet.refused_since_ns) = (false, None);
            }
            packet.to = to;
            for (priority, out) in [
                (speech.priority, &mut packet.advert),
                (0, &mut packet.resign),
            ] {
                let repr = Repr { priority, ..repr };
                match to {
                    Some(peer) => emit_packet(source, peer, &repr, out),
                    // a packet to a peer that does not answer ARP never leaves and renews no lease;
                    // a frame to this node itself does, and no switch forwards it
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

    /// Another advert is sent.
    pub fn begin_advert(&mut self, now_ns: u64, patience_ns: u64) {
        self.refused_before = self.unsent >= self.packets.len();
        self.unsent = 0;
        let is_first = now_ns.saturating_sub(self.sent_ns) >= patience_ns;
        for packet in &mut self.packets {
            if !std::mem::take(&mut packet.is_refused) || is_first {
                packet.refused_since_ns = None;
            }
        }
        self.sent_before_ns = self.sent_ns;
        self.sent_ns = now_ns;
    }

    /// The system has refused a packet of the last advert.
    pub fn refuse_packet(&mut self, now_ns: u64, packet: usize) {
        self.counters.send_errors += 1;
        self.unsent += 1;
        if let Some(packet) = self.packets.get_mut(packet) {
            packet.is_refused = true;
            packet.refused_since_ns.get_or_insert(now_ns);
        }
    }

    /// Unicast peers to which no advert has left for some time, though some leave: the lease is renewed.
    pub fn refused_peers(
        &self,
        now_ns: u64,
        patience_ns: u64,
    ) -> impl Iterator<Item = IpAddr> + '_ {
        let is_refused = move |packet: &&Packet| {
            let since_ns = packet.refused_since_ns;
            since_ns.is_some_and(|at_ns| now_ns >= at_ns.saturating_add(patience_ns))
        };
        let packets = self.packets.iter().filter(|_| !self.muted);
        packets.filter(is_refused).filter_map(|packet| packet.to)
    }

    /// Sender of an advert, for a sentence.
    pub fn sender_of(&self, advert: &Advert<'_>) -> String {
        let (source, interface) = (advert.source, &self.config.interface);
        let (vrid, priority) = (advert.vrid, advert.priority);
        format!("{source} on {interface} (vrid {vrid}, priority {priority})")
    }

    /// The form of checksum that the peer uses, if it differs from ours.
    pub fn other_form(&self, advert: &Advert<'_>) -> Option<Form> {
        let follows = advert.version == Version::V3 && advert.source.is_ipv4();
        advert
            .checksums
            .form()
            .filter(|form| follows && *form != self.form)
    }
}
