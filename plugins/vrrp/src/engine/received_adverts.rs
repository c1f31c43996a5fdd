//! Adverts that were received: counts, senders, and differences from this node's configuration.

use std::net::IpAddr;

use super::group::Group;
use super::router::VirtualRouter;
use super::senders::Sender;
use super::{Action, Context};
use crate::election::OtherRouter;
use crate::wire::frame::Advert;

impl Group {
    /// Counts an advert and learns from it; returns false if it must not decide anything.
    pub(super) fn note_advert(
        &mut self,
        cx: &mut Context<'_>,
        index: usize,
        advert: &Advert<'_>,
    ) -> bool {
        let now_ns = cx.now_ns;
        let content = self.advert_content();
        let believed_ns = self.believed_interval_ns(advert);
        let sender = match advert.priority {
            0 => Sender::Peer,
            _ => self.learn_source(now_ns, index, advert),
        };
        let Some((router, port)) = self.networks.router_and_port(index) else {
            return false;
        };
        router.counters.received += 1;
        router.counters.received_priority_zero += u64::from(advert.priority == 0);
        if !self.config.any_router && !router.accepts_sender(cx, &self.name, sender, advert) {
            return false;
        }
        router.report_differences(cx, &self.name, self.config.interval_ns, advert);
        if let Some(form) = router.adverts.other_form(advert) {
            router.counters.checksum_changes += 1;
            router.adverts.set_form(form);
            let interface = port.as_ref().and_then(|it| cx.interface(it.interface));
            if let Some(interface) = interface {
                router.build(interface, content);
            }
        }
        router.senders.handle_advert(now_ns, advert, believed_ns);
        let port_index = router.port;
        if let Some(port) = port {
            port.reception.handle_advert(now_ns, advert.source_mac);
        }
        self.note_heard(cx, port_index);
        true
    }

    pub(super) fn note_active_router(&mut self, cx: &Context<'_>, advert: &Advert<'_>) {
        if advert.priority > 0 {
            self.watch.handle_advert(cx.now_ns, advert);
        }
    }

    /// Sender of an advert: the peer's name if the address is known to be the peer's.
    pub(super) fn router_at(&self, cx: &Context<'_>, address: IpAddr) -> OtherRouter {
        let peers = |router: &VirtualRouter| router.senders.is_peer(address);
        if self.routers().any(peers) {
            self.peer_name(cx)
        } else {
            OtherRouter::Address(address)
        }
    }
}

impl VirtualRouter {
    /// True if adverts of this sender may decide something; a foreign router is counted and reported.
    fn accepts_sender(
        &mut self,
        cx: &mut Context<'_>,
        group: &str,
        sender: Sender,
        advert: &Advert<'_>,
    ) -> bool {
        let peers = &self.config.peers;
        let (is_foreign, what) = if peers.is_empty() {
            (sender == Sender::Stranger, "is not the peer")
        } else {
            (!peers.contains(&advert.source), "is not in peers")
        };
        if !is_foreign {
            return !peers.is_empty() || sender != Sender::Unsure;
        }
        self.note_stranger(cx.now_ns, advert);
        if let Some(more) = self.limits.foreign.allow(cx.now_ns) {
            let who = self.sender_of(advert);
            let text = format!("{group}: {who} {what}: its advert is ignored{more}");
            cx.push(Action::Event(text));
        }
        false
    }

    /// Counts and reports an advert with another interval or other addresses than this node's.
    fn report_differences(
        &mut self,
        cx: &mut Context<'_>,
        group: &str,
        interval_ns: u64,
        advert: &Advert<'_>,
    ) {
        let interval = advert.interval_ns != interval_ns;
        let ours = &self.config.advertised;
        let list = self.senders.handle_addresses(cx.now_ns, advert, ours);
        self.counters.interval_mismatch += u64::from(interval);
        self.counters.address_list_mismatch += u64::from(list);
        for (differs, what, limit) in [
            (interval, "advert interval", &mut self.limits.interval),
            (list, "addresses", &mut self.limits.addresses),
        ] {
            let Some(more) = differs.then(|| limit.allow(cx.now_ns)).flatten() else {
                continue;
            };
            let text = format!(
                "{group}: {} on {} (vrid {}) has another {what}{more}",
                advert.source, self.config.interface, advert.vrid
            );
            cx.push(Action::Warn(text));
        }
    }
}
