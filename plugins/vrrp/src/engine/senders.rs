//! E11: senders of the adverts for a virtual router: the peer, a router that is no node of the pair, or one of which
//! that is not known yet.

use std::net::IpAddr;

use super::duplicates::SETTLED_NS;
use super::peer::Peer;
use crate::wire::Mac;
use crate::wire::frame::Advert;

/// Shortest time for which a router counts as one that signs, after its last signed advert.
const SIGNED_NS: u64 = 5_000_000_000;
/// Time for which a router counts as one with other addresses, after its last advert that named them. It may drop this
/// node's adverts, and then be active without a word: keepalived sends nothing while it hears adverts that it drops.
const DIFFERING_NS: u64 = 600_000_000_000;
/// Maximum number of addresses in a sentence.
const ADDRESSES_SHOWN: usize = 8;

/// Origin of an advert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// The peer, or a router that is assumed to be.
    Peer,
    /// A router that may be the peer: the peer's next heartbeats tell.
    Unsure,
    Stranger,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Senders {
    /// Time of the last advert that counted.
    heard_ns: Option<u64>,
    /// Source address of the peer's adverts.
    peer: Option<IpAddr>,
    peer_heard_ns: u64,
    /// Source address of another router's adverts.
    foreign: Option<IpAddr>,
    /// Address that may belong to another router, and the time since which it is suspected.
    suspect: Option<(IpAddr, u64)>,
    /// Router that advertised last; `previous_advertiser`: the previous one.
    last_advertiser: Option<Advertiser>,
    previous_advertiser: Option<Advertiser>,
    stranger: Option<Stranger>,
    /// MAC address of the last stranger, and the time until which it may still be heard.
    stranger_mac: Option<(Mac, u64)>,
    /// Sender of signed adverts, and the time until which that is reported.
    signed: Option<(IpAddr, u64)>,
    differing: Option<Differing>,
}

/// A router whose adverts name other addresses than this node's.
#[derive(Clone, Debug)]
struct Differing {
    address: IpAddr,
    /// Its addresses, for people.
    names: String,
    until_ns: u64,
}

/// The router that advertises for a virtual router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Advertiser {
    pub address: IpAddr,
    pub interval_ns: u64,
    pub heard_ns: u64,
}

/// A router that advertises as active and is neither this node nor the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stranger {
    pub address: IpAddr,
    pub priority: u8,
    until_ns: u64,
}

impl Senders {
    // ---- received adverts ------------------------------------------------------------------

    /// Notes an advert that counts. `interval_ns`: its interval, limited to what is believed.
    pub fn handle_advert(&mut self, now_ns: u64, advert: &Advert<'_>, interval_ns: u64) {
        self.heard_ns = Some(now_ns);
        if advert.priority > 0 {
            self.note_advertiser(now_ns, advert.source, interval_ns);
        }
    }

    fn note_advertiser(&mut self, now_ns: u64, address: IpAddr, interval_ns: u64) {
        if self.last_advertiser.is_some_and(|it| it.address != address) {
            self.previous_advertiser = self.last_advertiser;
        }
        self.last_advertiser = Some(Advertiser {
            address,
            interval_ns,
            heard_ns: now_ns,
        });
    }

    /// Learns the peer's address, from which its heartbeat or advert came.
    pub fn handle_peer_address(&mut self, now_ns: u64, address: IpAddr) {
        (self.peer, self.peer_heard_ns) = (Some(address), now_ns);
    }

    /// Determines the sender of an advert while the peer lives. The source is the peer's if it is heard while the
    /// peer's heartbeats say that it is active, with the same priority.
    pub fn learn(
        &mut self,
        now_ns: u64,
        advert: &Advert<'_>,
        peer: &Peer,
        advert_loss: u32,
    ) -> Sender {
        let source = advert.source;
        let is_active = peer.is_active();
        let interval_ns = peer.heartbeat.advert_interval_ns;
        let patience_ns = interval_ns.saturating_mul(u64::from(advert_loss));
        let matches = is_active && peer.heartbeat.priority == advert.priority;
        let long_idle = !is_active && now_ns.saturating_sub(peer.idle_since_ns) / 2 > patience_ns;
        let lately = now_ns.saturating_sub(self.peer_heard_ns) < patience_ns;
        let known = self.peer.filter(|_| lately);
        if self.is_peer(source) || matches && known.is_none() {
            self.handle_peer_address(now_ns, source);
            self.foreign = self.foreign.filter(|at| *at != source);
            self.suspect = self.suspect.filter(|(at, _)| *at != source);
            return Sender::Peer;
        }
        if self.foreign == Some(source) {
            return Sender::Stranger;
        }
        if !(long_idle || is_active && known.is_some()) {
            return Sender::Peer;
        }
        let since_ns = match self.suspect {
            Some((suspect, since_ns)) if suspect == source => since_ns,
            _ => now_ns,
        };
        self.suspect = Some((source, since_ns));
        // the peer's own heartbeat may still be in transit, or its link be cut
        if peer.heard_ns <= since_ns.saturating_add(interval_ns) {
            return Sender::Unsure;
        }
        self.foreign = Some(source);
        Sender::Stranger
    }

    /// Notes an advert of a router that is no node of the pair.
    pub fn handle_stranger(&mut self, now_ns: u64, advert: &Advert<'_>) {
        let until_ns = now_ns.saturating_add(advert.interval_ns.saturating_mul(4));
        self.stranger = (advert.priority > 0).then_some(Stranger {
            address: advert.source,
            priority: advert.priority,
            until_ns,
        });
        self.stranger_mac = Some((advert.source_mac, until_ns.saturating_add(SETTLED_NS)));
    }

    /// Notes an advert with a signature, which is otherwise treated as if it had none.
    pub fn handle_signed(&mut self, now_ns: u64, advert: &Advert<'_>) {
        let until_ns = now_ns.saturating_add(advert.interval_ns.saturating_mul(4));
        let until_ns = until_ns.max(now_ns.saturating_add(SIGNED_NS));
        self.signed = Some((advert.source, until_ns));
    }

    /// Compares the addresses of an advert with this node's. Returns true if they differ. A peer with heartbeats is not
    /// noted: both nodes compare their configurations.
    pub fn handle_addresses(&mut self, now_ns: u64, advert: &Advert<'_>, ours: &[IpAddr]) -> bool {
        let source = advert.source;
        let differs = !advert.addresses.same(ours);
        let noted = self.differing.as_mut().filter(|it| it.address == source);
        if !differs || advert.priority == 0 {
            if noted.is_some() {
                self.differing = None;
            }
        } else if let Some(noted) = noted {
            noted.until_ns = now_ns.saturating_add(DIFFERING_NS);
        } else if self.peer != Some(source) {
            self.differing = Some(Differing {
                address: source,
                names: names(advert),
                until_ns: now_ns.saturating_add(DIFFERING_NS),
            });
        }
        differs
    }

    // ---- known senders ---------------------------------------------------------------------

    pub fn heard_ns(&self) -> Option<u64> {
        self.heard_ns
    }

    /// Source address of the peer's adverts.
    pub fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    pub fn is_peer(&self, source: IpAddr) -> bool {
        self.peer == Some(source)
    }

    /// Sender of adverts from an address while the peer is not heard: a stranger if that is known, otherwise the peer.
    pub fn sender(&self, source: IpAddr) -> Sender {
        if self.foreign == Some(source) {
            Sender::Stranger
        } else {
            Sender::Peer
        }
    }

    /// True if an address is certainly not the peer's.
    pub fn is_stranger(&self, source: IpAddr) -> bool {
        self.is_not_peer(source) || self.foreign == Some(source)
    }

    /// True if the peer's address is known, and this is another one.
    pub fn is_not_peer(&self, source: IpAddr) -> bool {
        self.peer.is_some_and(|peers| peers != source)
    }

    /// The peer's address, if it was ever heard.
    pub fn peer_address(&self) -> Option<IpAddr> {
        // the first adverts come before the heartbeats that tell whose they are
        let heard = self.last_advertiser.map(|it| it.address);
        let heard = heard.filter(|address| self.foreign != Some(*address));
        self.peer.or(heard)
    }

    pub fn last_advertiser(&self) -> Option<Advertiser> {
        self.last_advertiser
    }

    /// True if a router other than `address` advertised lately.
    pub fn others_advertise(&self, now_ns: u64, address: IpAddr, advert_loss: u32) -> bool {
        [self.last_advertiser, self.previous_advertiser]
            .into_iter()
            .flatten()
            .any(|advertiser| {
                let patience_ns = advertiser
                    .interval_ns
                    .saturating_mul(u64::from(advert_loss));
                advertiser.address != address
                    && now_ns.saturating_sub(advertiser.heard_ns) < patience_ns
            })
    }

    pub fn stranger(&self, now_ns: u64) -> Option<Stranger> {
        self.stranger.filter(|it| now_ns < it.until_ns)
    }

    /// True if the stranger, which has a finding of its own, has this MAC address.
    pub fn is_strangers_mac(&self, now_ns: u64, mac: Mac) -> bool {
        let of = self.stranger_mac.filter(|(_, until_ns)| now_ns < *until_ns);
        of.is_some_and(|(of, _)| of == mac)
    }

    /// Address of a router that signs its adverts.
    pub fn signer(&self, now_ns: u64) -> Option<IpAddr> {
        let (signer, _) = self.signed.filter(|(_, until_ns)| now_ns < *until_ns)?;
        Some(signer)
    }

    /// Router whose adverts name other addresses, with those: "192.0.2.2 (192.0.2.9, 192.0.2.10)".
    pub fn differing(&self, now_ns: u64) -> Option<String> {
        let of = self.differing.as_ref().filter(|it| now_ns < it.until_ns)?;
        Some(format!("{} ({})", of.address, of.names))
    }
}

fn names(advert: &Advert<'_>) -> String {
    let shown = advert.addresses.iter().take(ADDRESSES_SHOWN);
    let mut names: Vec<String> = shown.map(|it| it.to_string()).collect();
    let more = advert.addresses.iter().skip(ADDRESSES_SHOWN).count();
    if more > 0 {
        names.push(format!("{more} more"));
    }
    names.join(", ")
}
