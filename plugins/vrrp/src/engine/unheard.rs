//! E3: judges an interface on which the peer is unheard though it lives on another path: which node's connection is at
//! fault?
//!
//! The backup rates the quiet interface by the answers of other stations there: good if one answers, bad if those asked
//! do not. On a good one it claims the group.

use std::net::IpAddr;

use super::contact::Contact;
use super::group::{Group, State};
use super::port::Port;
use super::unheard_port::{Rating, WINDOW_NS};
use super::{Action, Context};
use crate::election::{CLAIM, Rank};
use crate::wire::heartbeat::{self, HeartbeatPort};

impl Group {
    /// Time when [`Group::check_unheard`] has something to do.
    pub(super) fn unheard_timeout(&self) -> Option<u64> {
        if !self.can_judge_unheard() {
            return None;
        }
        let at = |port: &Port| match port.unheard.current() {
            Some(unheard) => Some(unheard.next_ns()),
            None => self.unheard_at_ns(port),
        };
        let unheard_timeout_ns = self.ports().filter_map(at).min();
        unheard_timeout_ns
            .into_iter()
            .chain(self.both_ways_timeout())
            .min()
    }

    /// True if there is another path by which the peer may be known to live.
    fn can_judge_unheard(&self) -> bool {
        self.networks.ports().len() > 1 || self.peer.last_contact() != Contact::None
    }

    /// Time when a silent port becomes unheard, if the peer is heard elsewhere by then.
    fn unheard_at_ns(&self, port: &Port) -> Option<u64> {
        let since_ns = match self.state {
            State::Backup { since_ns, .. } => since_ns,
            State::Active { .. } => {
                let unheard_ns = port.unheard.since_ns()?;
                return Some(unheard_ns.saturating_add(self.active_down_ns()));
            }
            _ => return None,
        };
        // strangers may never speak on all interfaces of ours
        let heard_ns = port.reception.heard_ns();
        let is_expected =
            port.reception.is_expected() && (heard_ns.is_some() || !self.config.any_router);
        let usable_ns = port.usable_since_ns().filter(|_| is_expected)?;
        let quiet_ns = heard_ns.unwrap_or(0).max(since_ns).max(usable_ns);
        let at_ns = quiet_ns.saturating_add(self.active_down_ns());
        let elsewhere = self.networks.ports().len() > 1 && self.heard_elsewhere(port, at_ns);
        if elsewhere && self.peer.last_contact() == Contact::None {
            return Some(at_ns);
        }
        let peer = self.peer.last().filter(|peer| peer.is_active())?;
        let theirs = self.peer_port(port);
        if self.peer.last_contact() == Contact::None || theirs.is_some_and(|theirs| !theirs.usable)
        {
            return None;
        }
        let spoken_ns = peer.active_since_ns.saturating_add(self.active_down_ns());
        Some(at_ns.max(spoken_ns))
    }

    fn heard_elsewhere(&self, port: &Port, at_ns: u64) -> bool {
        // adverts of one round arrive one after the other: only a later round is a difference
        let later_ns = self.watch.interval_ns() / 2;
        let horizon_ns = at_ns
            .saturating_sub(self.active_down_ns())
            .saturating_add(later_ns);
        self.ports().any(|other| {
            other.interface != port.interface && other.reception.is_heard_since(horizon_ns)
        })
    }

    pub(super) fn check_unheard(&mut self, cx: &mut Context<'_>) {
        if !self.can_judge_unheard() {
            return;
        }
        self.check_both_ways(cx);
        for index in 0..self.networks.ports().len() {
            let Some(port) = self.networks.port(index) else {
                return;
            };
            let now_ns = cx.now_ns;
            let is_due = |at_ns: u64| now_ns >= at_ns;
            match port.unheard.current() {
                None if self.unheard_at_ns(port).is_some_and(is_due) => {
                    self.begin_unheard_port(cx, index);
                }
                Some(unheard) if is_due(unheard.next_ns()) => {
                    if port.unheard.is_asking() {
                        self.end_window(cx, index)
                    } else {
                        self.probe_stations(cx, index)
                    }
                }
                _ => {}
            }
        }
    }

    fn begin_unheard_port(&mut self, cx: &mut Context<'_>, index: usize) {
        self.counters.unheard_interfaces += 1;
        let port = self.networks.port_mut(index);
        let more = port.and_then(|port| port.unheard.begin(cx.now_ns));
        if let Some((more, port)) = more.zip(self.networks.port(index)) {
            let text = self.unheard_sentence(cx, port);
            let what = "probing other stations there";
            cx.push(Action::Event(format!("{text}: {what}{more}")));
        }
        self.probe_stations(cx, index);
    }

    fn unheard_sentence(&self, cx: &Context<'_>, port: &Port) -> String {
        let name = cx
            .interface(port.interface)
            .map_or("?", |interface| interface.name.as_str());
        let group = &self.name;
        let heard = self.active_address();
        match heard.filter(|_| self.living_peer(cx.now_ns).is_none()) {
            Some(peer) => format!("{group}: {peer} is unheard on {name} though heard elsewhere"),
            None if self.is_active() && self.peer_hears(port) != Some(true) => {
                let peer = self.peer_name(cx);
                format!("{group}: {peer} does not hear this node on {name}")
            }
            None => {
                let peer = self.peer_name(cx);
                format!("{group}: {peer} is unheard on {name} though it lives")
            }
        }
    }

    /// Asks stations again at once: without heartbeats the nodes no longer know each other's ratings, so that a claim
    /// may be needed (E13).
    pub(super) fn probe_again(&mut self, cx: &mut Context<'_>) {
        for index in 0..self.networks.ports().len() {
            let is_idle =
                |port: &Port| port.unheard.current().is_some() && !port.unheard.is_asking();
            if self.networks.port(index).is_some_and(is_idle) {
                self.probe_stations(cx, index);
            }
        }
    }

    fn probe_stations(&mut self, cx: &mut Context<'_>, index: usize) {
        let port = self.networks.port_mut(index);
        if port.is_some_and(|port| port.unheard.begin_window(cx.now_ns)) {
            self.networks.note_listening_changed();
        }
    }

    /// Handles the answer of a station on an interface to this node. `is_third`: its MAC address is not the pair's.
    pub(super) fn handle_answer(
        &mut self,
        cx: &mut Context<'_>,
        interface: usize,
        sender: IpAddr,
        is_third: bool,
    ) {
        let Some(port) = self.networks.port_on(interface) else {
            return;
        };
        let index = port.place;
        if self.is_peer_address(port, sender) {
            return self.note_both_ways(index);
        }
        let port = self.networks.port_mut(index).filter(|_| is_third);
        if !port.is_some_and(|port| port.unheard.handle_answer(cx.now_ns)) {
            return;
        }
        self.networks.note_checks_changed();
        self.networks.note_listening_changed();
        self.own_heartbeat.note_changed();
        self.update_priority(cx);
        self.claim(cx, index);
    }

    fn end_window(&mut self, cx: &mut Context<'_>, index: usize) {
        let Some(port) = self.networks.port_mut(index) else {
            return;
        };
        let interface = port.interface;
        let Some((rating, is_new)) = port.unheard.end_window(cx.now_ns) else {
            return;
        };
        self.networks.note_listening_changed();
        if is_new {
            let name = cx
                .interface(interface)
                .map_or("?", |interface| interface.name.as_str());
            let text = format!("{}: {name} is rated {}", self.name, rating.name());
            cx.push(Action::Info(text));
        }
        self.networks.note_checks_changed();
        self.own_heartbeat.note_changed();
        self.update_priority(cx);
    }

    /// Claims the group by priority 254: without a link that means "my network is good, yours is not".
    fn claim(&mut self, cx: &mut Context<'_>, index: usize) {
        // with a link heartbeats carry the ratings themselves
        if self.peer.was_mutual() {
            return;
        }
        let stands =
            !self.candidacy.directive().stands_aside() && cx.now_ns >= self.not_before_ns();
        let outranked = self
            .watch
            .router()
            .is_some_and(|peer| peer.priority < CLAIM);
        let Some(port) = self.networks.port_mut(index) else {
            return;
        };
        let is_backup = matches!(self.state, State::Backup { .. });
        if !(stands && outranked && is_backup && port.unheard.claim()) {
            return;
        }
        self.candidacy.begin_claim(cx.now_ns);
        self.counters.claims += 1;
        self.update_priority(cx);
        // this node takes over with the peer's next advert, which shows that it lives and will give way
        self.watch.begin_readiness();
    }

    /// Ends a claim that is over. A node that gave way takes the group back only when it hears this node on every
    /// interface again, so that the claim need not be repeated forever. A stranger does not know that rule.
    pub(super) fn expire_claim(&mut self, cx: &mut Context<'_>) {
        if self.candidacy.is_claim_over(cx.now_ns) && !self.config.any_router {
            self.drop_claim(cx);
        }
    }

    /// Ends the time in which the peer was unheard on a port.
    pub(super) fn end_unheard_port(&mut self, cx: &mut Context<'_>, index: usize) {
        let port = self.networks.port_mut(index);
        if port.is_some_and(|port| port.unheard.end()) {
            self.networks.note_listening_changed();
            self.networks.note_checks_changed();
            self.own_heartbeat.note_changed();
            self.update_priority(cx);
        }
    }

    // ---- reports of the peer ---------------------------------------------------------------

    /// Notes while active the ports on which one node does not hear the other, though both could speak.
    pub(super) fn update_unheard_ports(&mut self, cx: &mut Context<'_>) {
        let State::Active { since_ns, .. } = self.state else {
            return;
        };
        let spoken_ns = since_ns.saturating_add(self.active_down_ns());
        for index in 0..self.networks.ports().len() {
            let peer_silent_since_ns = self.peer_silent_since_ns(cx.now_ns, index);
            let Some(port) = self.networks.port(index) else {
                return;
            };
            let hears_this = self.peer_hears(port);
            let can_hear = port.can_send() && port.reception.is_expected();
            let is_unheard = can_hear && hears_this == Some(false);
            let unheard_since_ns = peer_silent_since_ns.or(is_unheard.then_some(cx.now_ns));
            // a port counts also if it was unheard before this node became active, if that can be checked
            let unheard = &port.unheard;
            let was_unheard =
                unheard.current().is_some() || unheard.has_moved() && self.peer_on(port).is_some();
            let fixed = was_unheard && hears_this == Some(true);
            let unheard_since_ns = unheard_since_ns.filter(|_| cx.now_ns >= spoken_ns);
            if let Some(port) = self.networks.port_mut(index) {
                port.unheard.handle_while_active(unheard_since_ns);
            }
            if unheard_since_ns.is_some() {
                self.end_both_ways_check(index);
                continue;
            }
            if fixed {
                self.begin_both_ways_check(cx, index);
            }
            self.end_unheard_port(cx, index);
        }
    }

    /// E3: true if the group moves because the network is no better here than on the other node; once per unheard
    /// interface.
    pub(super) fn is_unheard_no_better_here(
        &self,
        now_ns: u64,
        own: &Rank,
        other: &Rank,
        by_priority: bool,
    ) -> bool {
        if !other.able || !own.equals(other, by_priority) {
            return false;
        }
        // a fault of one direction shows on the node to which the group has moved, and is no reason to move it back
        let moved = self.ports().any(|port| port.unheard.has_moved());
        let no_better = |port| is_port_no_better_here(now_ns, port, self.peer_port(port), moved);
        self.peer.last().is_some() && self.ports().any(no_better)
    }

    /// E3: true if the other node would serve on fewer networks that are known to work. A network that is rated bad
    /// there is among its hurt interfaces.
    pub(super) fn is_proven_here_alone(&self, own: &Rank, other: &Rank) -> bool {
        let is_alone = |port: &&Port| {
            let theirs = self.peer_port(port).map(|theirs| theirs.rating);
            let ours = port.unheard.rating();
            ours == Some(Rating::Good) && theirs == Some(heartbeat::Rating::Unknown)
        };
        let alone = self.ports().filter(is_alone).count();
        alone > 0 && usize::from(own.hurt) <= usize::from(other.hurt) + alone
    }

    pub(super) fn unheard_interfaces(&self, cx: &Context<'_>) -> String {
        let unheard = self.ports().filter(|port| port.unheard.current().is_some());
        let name = |port: &Port| cx.interface(port.interface).map(|i| i.name.clone());
        unheard.filter_map(name).collect::<Vec<_>>().join(", ")
    }

    /// Marks unheard ports as the reason of a move: the group moves only once because of them.
    pub(super) fn mark_unheard(&mut self) {
        for port in self.networks.ports_mut() {
            port.unheard.mark_moved();
        }
    }

    pub(super) fn begin_port_terms(&mut self) {
        for port in self.networks.ports_mut() {
            port.unheard.begin_term();
            port.peer_silence.begin_term();
        }
        for router in self.networks.routers_mut() {
            router.answers.begin();
        }
    }

    /// Forgets the networks on which the peer is unheard: this node has the role, and the peer is heard nowhere.
    pub(super) fn forget_unheard(&mut self, cx: &mut Context<'_>) {
        for port in self.networks.ports_mut() {
            port.unheard.begin_term();
            port.peer_silence.begin_term();
        }
        self.end_unheard(cx);
    }

    pub(super) fn end_unheard(&mut self, cx: &mut Context<'_>) {
        for index in 0..self.networks.ports().len() {
            self.end_unheard_port(cx, index);
            self.end_both_ways_check(index);
            if let Some(port) = self.networks.port_mut(index) {
                port.peer_silence.end();
            }
        }
    }
}

/// True if the peer rates a quiet interface better than this node does, or neither rates it good. `moved`: the group has
/// moved for such an interface.
fn is_port_no_better_here(
    now_ns: u64,
    port: &Port,
    theirs: Option<&HeartbeatPort>,
    moved: bool,
) -> bool {
    let unheard = port.unheard.current();
    let Some(unheard) = unheard.filter(|_| !port.unheard.has_moved()) else {
        return false;
    };
    // both have had the time to ask
    let asked = now_ns.saturating_sub(unheard.since_ns) >= 2 * WINDOW_NS;
    // the peer may be the node that cannot speak: only a bad rating tells
    if theirs.is_some_and(|theirs| theirs.hears) {
        return false;
    }
    let theirs = theirs.map_or(0, |theirs| match theirs.rating {
        heartbeat::Rating::Bad => 0,
        heartbeat::Rating::Unknown => 1,
        heartbeat::Rating::Good => 2,
    });
    let ours = match unheard.rating {
        Rating::Bad => 0,
        Rating::Unknown => 1,
        Rating::Good => 2,
    };
    let are_both_no_better = theirs == ours && unheard.rating != Rating::Good && !moved;
    asked && (theirs > ours || are_both_no_better)
}
