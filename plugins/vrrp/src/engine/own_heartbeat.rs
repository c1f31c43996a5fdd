//! E12: writes a group's part in the node's heartbeats, and decides when it needs one.

use super::group::{Group, State};
use super::port::Port;
use super::unheard_port::Rating;
use super::{Action, Context};
use crate::config::Election;
use crate::election::{Rank, class};
use crate::wire::heartbeat::{self, Heartbeat, HeartbeatPort, HeartbeatRole};

/// A group's part in this node's own heartbeats.
#[cfg_attr(test, derive(Clone))]
#[derive(Default)]
pub(super) struct GroupHeartbeat {
    heartbeat: Heartbeat,
    /// A heartbeat is needed at once.
    is_urgent: bool,
    /// The next heartbeat carries the group, even if it is no round.
    is_requested: bool,
    /// The heartbeat that is being sent carries the group.
    is_carried: bool,
    /// The role was given up, but the fence is not blocking yet.
    waits_for_fence: bool,
    /// E6: time until which heartbeats release the group to the peer.
    release_until_ns: u64,
    /// The plugin ends: the group's part says that it leaves.
    is_leaving: bool,
    /// The group's part is outdated and has to be written again.
    is_outdated: bool,
    /// Keys are configured, so heartbeats are sent.
    is_enabled: bool,
}

impl GroupHeartbeat {
    pub fn new(group: &str) -> GroupHeartbeat {
        let heartbeat = Heartbeat {
            group: heartbeat::group_id(group),
            ..Heartbeat::with_room()
        };
        GroupHeartbeat {
            heartbeat,
            is_urgent: true,
            is_outdated: true,
            ..GroupHeartbeat::default()
        }
    }

    // ---- news ------------------------------------------------------------------------------

    /// Notes that contents have changed, so that the part is written again.
    pub fn note_changed(&mut self) {
        self.is_outdated = true;
    }

    /// Notes that the role is given up: that is sent at once, but not before the fence is blocking.
    pub fn handle_given_up(&mut self) {
        (self.waits_for_fence, self.is_urgent) = (true, true);
    }

    /// Notes that the fence is blocking, or is made to before anything else goes on.
    pub fn handle_blocked(&mut self) {
        self.waits_for_fence = false;
    }

    /// Has heartbeats release the group to the peer until `until_ns` (E6).
    pub fn release_until(&mut self, until_ns: u64) {
        self.release_until_ns = until_ns;
    }

    /// Ends the release: the peer has the group, or this node keeps it.
    pub fn end_release(&mut self) {
        self.release_until_ns = 0;
    }

    /// Has the group's part say that it leaves, as the plugin ends.
    pub fn announce_leaving(&mut self) {
        self.is_leaving = true;
    }

    // ---- parts of heartbeats ---------------------------------------------------------------

    /// Keys are configured, so heartbeats are sent.
    pub fn is_enabled(&self) -> bool {
        self.is_enabled
    }

    /// Id of the group in heartbeats.
    pub fn id(&self) -> u64 {
        self.heartbeat.group
    }

    #[cfg(test)]
    pub fn heartbeat(&self) -> &Heartbeat {
        &self.heartbeat
    }

    /// Part of the group in the heartbeat that is being sent, if the heartbeat carries it.
    pub fn carried(&self) -> Option<&Heartbeat> {
        self.is_carried.then_some(&self.heartbeat)
    }
}

impl Group {
    // ---- times of heartbeats -------------------------------------------------------------

    /// Interval at which the group needs heartbeats; None if it no longer speaks.
    pub(super) fn heartbeat_interval_ns(&self) -> Option<u64> {
        let interval_ns = self.config.interval_ns.min(self.lease.interval_ns());
        (!self.own_heartbeat.is_leaving).then_some(interval_ns)
    }

    /// Requests a heartbeat for changes at once; everything else waits for the node's next round.
    pub(super) fn send_if_changed(&mut self, cx: &mut Context<'_>) {
        self.own_heartbeat.is_enabled = cx.keys;
        // E13: while leases are being granted again the group is neither active nor backup
        if !self.own_heartbeat.is_enabled || self.reopens(cx.now_ns) {
            return;
        }
        let is_urgent = std::mem::take(&mut self.own_heartbeat.is_urgent);
        let is_outdated = std::mem::take(&mut self.own_heartbeat.is_outdated);
        // most received packets change nothing
        if !(is_urgent || is_outdated || self.has_changed(cx.now_ns)) {
            return;
        }
        if self.update_heartbeat(cx) || is_urgent {
            self.request_heartbeat(cx);
        }
    }

    /// Has a heartbeat carry the group right before the next action, unless one waits there. A heartbeat is written
    /// when it is sent, so it is never outdated.
    pub(super) fn request_heartbeat(&mut self, cx: &mut Context<'_>) {
        if !self.own_heartbeat.is_enabled {
            return;
        }
        self.own_heartbeat.is_requested = true;
        if !cx.actions.has_heartbeat() {
            cx.push(Action::Heartbeat);
        }
    }

    /// Prepares the group's part for a heartbeat that goes now; returns true if the heartbeat carries it. A group that
    /// has given its role up says nothing before its fence blocks. One whose fence may be blocking by itself says
    /// nothing until it has found out (E13).
    pub(super) fn join_heartbeat(&mut self, cx: &Context<'_>, is_round: bool) -> bool {
        let is_late = self.is_active() && self.lease.is_over(cx.now_ns);
        let may_tell = !(self.own_heartbeat.waits_for_fence || is_late || self.reopens(cx.now_ns));
        self.own_heartbeat.is_carried = may_tell && (is_round || self.own_heartbeat.is_requested);
        if self.own_heartbeat.is_carried {
            // a second heartbeat that waits behind the host's answer has to carry the group as well
            self.own_heartbeat.is_requested &= cx.actions.holds_heartbeat();
            self.update_heartbeat(cx);
        }
        self.own_heartbeat.is_carried
    }

    // ---- contents of heartbeats ----------------------------------------------------------

    pub(super) fn rank(&self, now_ns: u64) -> Rank {
        let facts = self.priority_inputs();
        let preferred = match self.config.election {
            Election::Quality { preferred, .. } => preferred == Some(true),
            Election::Priority { .. } => false,
        };
        Rank {
            able: !self.is_unable(now_ns),
            class: class(self.candidacy.directive()),
            quality: self.candidacy.directive().quality,
            priority: self.candidacy.priority(),
            preferred,
            ready: self.candidacy.directive().ready,
            hurt: facts.hurt,
            term: self.history.term(),
        }
    }

    fn is_unable(&self, now_ns: u64) -> bool {
        let barred = !self.candidacy.directive().eligible
            || self.candidacy.directive().resign
            || self.own_heartbeat.is_leaving;
        // E8: the peer learns in time that this node may be active from then on
        let known_ns = now_ns.saturating_add(2 * self.config.interval_ns);
        barred || !self.networks.can_send() || known_ns < self.start.delay_until_ns()
    }

    fn heartbeat_role(&self) -> HeartbeatRole {
        match self.state {
            State::Active { .. } => HeartbeatRole::Active,
            // E13: active is sent only while the fence passes, so not in a lapse
            State::Backup { .. } | State::Promoting { .. } | State::Lapsed { .. } => {
                HeartbeatRole::Backup
            }
            State::Initialize { .. } => HeartbeatRole::Fault,
        }
    }

    fn is_releasing(&self, now_ns: u64) -> bool {
        now_ns < self.own_heartbeat.release_until_ns && !self.is_active()
    }

    /// True if the last heartbeat is outdated, apart from its ports.
    fn has_changed(&self, now_ns: u64) -> bool {
        let heartbeat = &self.own_heartbeat.heartbeat;
        heartbeat.role != self.heartbeat_role()
            || heartbeat.class != class(self.candidacy.directive())
            || heartbeat.quality != self.candidacy.directive().quality
            || heartbeat.priority != self.candidacy.priority()
            || heartbeat.ready != self.candidacy.directive().ready
            || heartbeat.hurt != self.networks.hurt()
            || heartbeat.unable != self.is_unable(now_ns)
            || heartbeat.hears != self.living_peer(now_ns).is_some()
            || heartbeat.is_release != self.is_releasing(now_ns)
    }

    /// Rewrites the part in place; returns true if it has changed.
    fn update_heartbeat(&mut self, cx: &Context<'_>) -> bool {
        let now_ns = cx.now_ns;
        let rank = self.rank(now_ns);
        let (role, is_release) = (self.heartbeat_role(), self.is_releasing(now_ns));
        let hears = self.living_peer(now_ns).is_some();
        let by_priority = matches!(self.config.election, Election::Priority { .. });
        let mut changed = self.has_changed(now_ns);
        let lease_ns = self.is_active().then_some(self.config.lease_ns);
        self.networks.update_lapses(now_ns, lease_ns);
        let mut ports = std::mem::take(&mut self.own_heartbeat.heartbeat.ports);
        changed |= self.update_heartbeat_ports(cx, &mut ports);
        self.own_heartbeat.heartbeat = Heartbeat {
            group: self.own_heartbeat.heartbeat.group,
            role,
            class: rank.class,
            quality: rank.quality,
            priority: rank.priority,
            preferred: rank.preferred,
            ready: rank.ready,
            by_priority,
            unable: !rank.able,
            is_release,
            hears,
            advert_interval_ns: self.config.interval_ns,
            term: self.history.term(),
            hurt: rank.hurt,
            ports,
        };
        changed
    }

    /// Writes what this node knows of its interfaces; returns true if a heartbeat is needed for it.
    fn update_heartbeat_ports(&self, cx: &Context<'_>, ports: &mut Vec<HeartbeatPort>) -> bool {
        let mut changed = false;
        ports.truncate(self.networks.ports().len());
        for (index, port) in self.ports().enumerate() {
            let port_now = self.heartbeat_port(cx, port);
            match ports.get_mut(index) {
                Some(old) => {
                    changed |= old.usable != port_now.usable
                        || old.rating != port_now.rating
                        || old.sends != port_now.sends;
                    *old = port_now;
                }
                None => {
                    changed = true;
                    ports.push(port_now);
                }
            }
        }
        changed
    }

    fn heartbeat_port(&self, cx: &Context<'_>, port: &Port) -> HeartbeatPort {
        let rating = port.unheard.rating().unwrap_or(Rating::Unknown);
        let horizon_ns = cx.now_ns.saturating_sub(self.active_down_ns());
        let identity = if self.is_active() {
            self.identity_by_stations(cx.now_ns, port).1
        } else {
            self.identity_on(cx.now_ns, port)
        };
        HeartbeatPort {
            network: port.heartbeat_id,
            usable: port.is_usable(),
            hears: port.reception.is_heard_since(horizon_ns),
            rating: match rating {
                Rating::Unknown => heartbeat::Rating::Unknown,
                Rating::Good => heartbeat::Rating::Good,
                Rating::Bad => heartbeat::Rating::Bad,
            },
            sends: self.networks.sends_heartbeats_on(port.interface),
            identity,
        }
    }
}
