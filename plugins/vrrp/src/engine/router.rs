//! One virtual router: its adverts, and the adverts of others that it heard.

use std::net::IpAddr;

use super::counters::RouterCounters;
use super::interface::Interface;
use super::muting::Muting;
use super::own_adverts::{AdvertContent, OwnAdverts, Refusal};
use super::senders::Senders;
use super::virtual_identity::VirtualIdentity;
use super::virtual_mac_probe::StationAnswers;
use crate::config;
use crate::election::OWNER;
use crate::limit::Limit;
use crate::wire::frame::Advert;
use crate::wire::vrrp::ChecksumForm;

#[cfg_attr(test, derive(Clone))]
pub(super) struct VirtualRouter {
    pub config: config::VirtualRouter,
    /// Index into the group's ports.
    pub port: usize,
    /// Source address of the adverts; None while the router cannot send.
    pub source: Option<IpAddr>,
    /// Time until which the router waits for its source address, while the interface does not have it.
    pub source_until_ns: Option<u64>,
    pub adverts: OwnAdverts,
    pub muting: Muting,
    pub senders: Senders,
    /// Virtual identity of the active peer, as this node hears it (E15).
    pub identity: VirtualIdentity,
    /// Answers of stations to this node's virtual MAC (E15).
    pub answers: StationAnswers,
    pub counters: RouterCounters,
    pub limits: Limits,
}

/// Limits of log lines on others' adverts, by kind.
#[derive(Clone, Copy, Default)]
pub(super) struct Limits {
    pub foreign: Limit,
    pub contradicting: Limit,
    pub interval: Limit,
    pub addresses: Limit,
}

impl VirtualRouter {
    pub fn new(config: config::VirtualRouter, port: usize, form: ChecksumForm) -> VirtualRouter {
        VirtualRouter {
            config,
            port,
            source: None,
            source_until_ns: None,
            adverts: OwnAdverts::new(form),
            muting: Muting::default(),
            senders: Senders::default(),
            identity: VirtualIdentity::default(),
            answers: StationAnswers::default(),
            counters: RouterCounters::default(),
            limits: Limits::default(),
        }
    }

    pub fn usable(&self) -> bool {
        self.source.is_some() && !self.muting.is_muted()
    }

    /// True if an advert comes from one of the router's own addresses; only their owner (255) may send from there,
    /// priority 0 included.
    pub fn is_virtual(&self, advert: &Advert<'_>) -> bool {
        let last_advertiser = self.senders.last_advertiser();
        let is_owner = advert.priority == OWNER
            || last_advertiser.is_some_and(|it| it.address == advert.source);
        let mut addresses = self.config.addresses.iter();
        !is_owner && addresses.any(|own| own.address == advert.source)
    }

    /// Notes an advert of a router that is no node of the pair.
    pub fn note_stranger(&mut self, now_ns: u64, advert: &Advert<'_>) {
        self.counters.foreign += 1;
        self.senders.handle_stranger(now_ns, advert);
    }

    /// Notes an advert with a signature, which is otherwise treated as if it had none.
    pub fn note_signed(&mut self, now_ns: u64, advert: &Advert<'_>) {
        if advert.is_signed {
            self.counters.signed += 1;
            self.senders.handle_signed(now_ns, advert);
        }
    }

    /// Rebuilds the packets.
    pub fn build(&mut self, interface: &Interface, content: AdvertContent) {
        if let Some(source) = self.source {
            self.adverts.build(&self.config, interface, source, content);
        }
    }

    /// Notes that the system has refused a packet of the last advert; returns a refusal if it has refused all.
    pub fn handle_refused_packet(&mut self, now_ns: u64, packet: usize) -> Option<Refusal> {
        self.counters.send_errors += 1;
        self.adverts.handle_refused(now_ns, packet)
    }

    /// Notes that the adverts were refused for a whole lease; returns true if a new grant of the lease has not helped,
    /// or did not help a moment ago.
    pub fn handle_refused_lease(&mut self, now_ns: u64) -> bool {
        self.adverts.retry(now_ns);
        self.muting.handle_refused(now_ns)
    }

    /// Unicast peers to which no advert leaves, though adverts to others do.
    pub fn refused_peers(
        &self,
        now_ns: u64,
        patience_ns: u64,
    ) -> impl Iterator<Item = IpAddr> + '_ {
        let peers = self.adverts.refused_peers(now_ns, patience_ns);
        peers.filter(|_| !self.muting.is_muted())
    }

    /// Sender of an advert, for a sentence.
    pub fn sender_of(&self, advert: &Advert<'_>) -> String {
        let (source, interface) = (advert.source, &self.config.interface);
        let (vrid, priority) = (advert.vrid, advert.priority);
        format!("{source} on {interface} (vrid {vrid}, priority {priority})")
    }
}
