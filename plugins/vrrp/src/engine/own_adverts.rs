//! Adverts of a virtual router of this node: prebuilt packets, the times of their sending, and refusals by the system.

use std::net::IpAddr;

use super::interface::Interface;
use crate::config;
use crate::wire::frame::{Advert, emit_frame, emit_frame_to_self, emit_packet};
use crate::wire::vrrp::{ChecksumForm, Repr, Version, capacity};
use crate::wire::{Mac, virtual_mac};

/// A packet that is ready to go, for one destination.
#[derive(Clone, Default)]
pub(super) struct Packet {
    /// Address of a unicast peer. None: a whole frame, to the multicast group or to this node itself.
    pub to: Option<IpAddr>,
    pub advert: Vec<u8>,
    /// The advert with priority 0.
    pub resign: Vec<u8>,
    /// The system refused the last advert.
    is_refused: bool,
    /// Time since which the system has refused each advert.
    refused_since_ns: Option<u64>,
}

impl Packet {
    /// Writes the advert and its form with priority 0 for the packet's destination.
    fn write(
        &mut self,
        config: &config::VirtualRouter,
        own_mac: Mac,
        source: IpAddr,
        repr: &Repr<'_>,
    ) {
        for (priority, out) in [(repr.priority, &mut self.advert), (0, &mut self.resign)] {
            let repr = Repr { priority, ..*repr };
            match self.to {
                Some(peer) => emit_packet(source, peer, &repr, out),
                // a packet to a peer that does not answer ARP never leaves and renews no lease;
                // a frame to this node itself does, and no switch forwards it
                None if config.unicast => emit_frame_to_self(own_mac, source, &repr, out),
                None if config.vmac.is_some() => {
                    let mac = virtual_mac(config.family, config.vrid);
                    emit_frame(mac, source, &repr, out);
                }
                None => emit_frame(own_mac, source, &repr, out),
            }
        }
    }
}

/// Content common to all routers of a group.
#[derive(Clone, Copy)]
pub(super) struct AdvertContent {
    pub version: Version,
    pub priority: u8,
    pub interval_ns: u64,
}

#[cfg_attr(test, derive(Clone))]
pub(super) struct OwnAdverts {
    form: ChecksumForm,
    packets: Vec<Packet>,
    /// Fewer addresses are advertised than configured, as the MTU has no room.
    is_capped: bool,
    /// Time of the last advert; `sent_before_ns`: of the one before.
    sent_ns: u64,
    sent_before_ns: u64,
    /// E13: the lease has ended and is not granted again yet.
    is_lapsed: bool,
    /// Number of packets of the last advert that the system refused.
    refused: usize,
    /// The packets of the previous advert were all refused as well.
    was_refused: bool,
}

/// The system refused all packets of an advert.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    /// Time of the advert.
    pub sent_ns: u64,
    /// Time of the previous advert, which left.
    pub left_ns: u64,
    /// The system refused the previous advert as well.
    pub is_repeated: bool,
}

impl OwnAdverts {
    pub fn new(form: ChecksumForm) -> OwnAdverts {
        OwnAdverts {
            form,
            packets: Vec::new(),
            is_capped: false,
            sent_ns: 0,
            sent_before_ns: 0,
            is_lapsed: false,
            refused: 0,
            was_refused: false,
        }
    }

    // ---- packets ---------------------------------------------------------------------------

    pub fn set_form(&mut self, form: ChecksumForm) {
        self.form = form;
    }

    /// Rebuilds the packets, in the same buffers if destinations stay.
    pub fn build(
        &mut self,
        config: &config::VirtualRouter,
        interface: &Interface,
        source: IpAddr,
        content: AdvertContent,
    ) {
        let version = content.version.of(config.family);
        let room = capacity(version, config.family, interface.facts.mtu);
        self.is_capped = room < config.advertised.len();
        let addresses = config.advertised.get(..room).unwrap_or(&config.advertised);
        let repr = Repr {
            version,
            family: config.family,
            vrid: config.vrid,
            priority: content.priority,
            interval_ns: content.interval_ns,
            addresses,
            form: self.form,
            password: config.password,
        };
        let own = &interface.facts.addresses;
        let peers = config.peers.iter().copied();
        let is_own = |peer: &IpAddr| *peer == source || own.contains(peer);
        let peers = peers.filter(|peer| config.unicast && !is_own(peer));
        let destinations = std::iter::once(None).chain(peers.map(Some));
        let count = destinations.clone().count();
        self.packets.resize_with(count, Packet::default);
        for (packet, to) in self.packets.iter_mut().zip(destinations) {
            if packet.to != to {
                (packet.is_refused, packet.refused_since_ns) = (false, None);
            }
            packet.to = to;
            packet.write(config, interface.facts.mac, source, &repr);
        }
    }

    pub fn packets(&self) -> &[Packet] {
        &self.packets
    }

    pub fn form(&self) -> ChecksumForm {
        self.form
    }

    /// Form of checksum that the peer uses, if it differs from this node's.
    pub fn other_form(&self, advert: &Advert<'_>) -> Option<ChecksumForm> {
        let follows = advert.version == Version::V3 && advert.source.is_ipv4();
        advert
            .checksums
            .form()
            .filter(|form| follows && *form != self.form)
    }

    pub fn is_capped(&self) -> bool {
        self.is_capped
    }

    // ---- sending ---------------------------------------------------------------------------

    /// Begins to send: the fence passes since the host was asked, or was asked again.
    pub fn begin(&mut self, asked_ns: u64) {
        (self.sent_ns, self.is_lapsed) = (asked_ns, false);
    }

    /// Restarts the lease: the host grants it again after a time without adverts.
    pub fn resume(&mut self, now_ns: u64) {
        self.sent_ns = now_ns;
    }

    /// Restarts the lease: the host grants it again after a time of refused adverts.
    pub fn retry(&mut self, now_ns: u64) {
        (self.sent_ns, self.refused) = (now_ns, 0);
    }

    /// Notes that another advert is sent.
    pub fn begin_advert(&mut self, now_ns: u64, lease_ns: u64, patience_ns: u64) {
        self.is_lapsed |= !self.passes(now_ns, lease_ns);
        self.was_refused = self.refused >= self.packets.len();
        self.refused = 0;
        let is_first = now_ns.saturating_sub(self.sent_ns) >= patience_ns;
        for packet in &mut self.packets {
            if !std::mem::take(&mut packet.is_refused) || is_first {
                packet.refused_since_ns = None;
            }
        }
        self.sent_before_ns = self.sent_ns;
        self.sent_ns = now_ns;
    }

    /// Notes that the system has refused a packet of the last advert; returns a refusal if it has refused all.
    pub fn handle_refused(&mut self, now_ns: u64, packet: usize) -> Option<Refusal> {
        self.refused += 1;
        if let Some(packet) = self.packets.get_mut(packet) {
            packet.is_refused = true;
            packet.refused_since_ns.get_or_insert(now_ns);
        }
        if self.refused < self.packets.len() {
            return None;
        }
        Some(Refusal {
            sent_ns: std::mem::replace(&mut self.sent_ns, self.sent_before_ns),
            left_ns: self.sent_before_ns,
            is_repeated: self.was_refused,
        })
    }

    /// Notes that the lease has ended.
    pub fn handle_lapse(&mut self) {
        self.is_lapsed = true;
    }

    /// Notes that the lease was granted again.
    pub fn end_lapse(&mut self) {
        self.is_lapsed = false;
    }

    /// Forgets refusals of earlier adverts.
    pub fn forget_refused(&mut self) {
        self.was_refused = false;
    }

    pub fn is_lapsed(&self) -> bool {
        self.is_lapsed
    }

    /// True if the lease has not ended, as far as this node can tell.
    pub fn passes(&self, now_ns: u64, lease_ns: u64) -> bool {
        !self.is_lapsed && now_ns <= self.sent_ns.saturating_add(lease_ns)
    }

    /// Unicast peers to which no advert has left for `patience_ns`, though adverts to others leave and renew the lease.
    pub fn refused_peers(
        &self,
        now_ns: u64,
        patience_ns: u64,
    ) -> impl Iterator<Item = IpAddr> + '_ {
        let is_refused = move |packet: &&Packet| {
            let since_ns = packet.refused_since_ns;
            since_ns.is_some_and(|at_ns| now_ns >= at_ns.saturating_add(patience_ns))
        };
        let packets = self.packets.iter().filter(is_refused);
        packets.filter_map(|packet| packet.to)
    }
}
