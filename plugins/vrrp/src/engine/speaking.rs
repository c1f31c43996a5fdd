//! E12: writes a group's part in the node's heartbeats, and decides when it needs one.

use super::group::{Group, State};
use super::port::Port;
use super::unheard_port::Rating;
use super::{Action, Context};
use crate::config::Election;
use crate::election::{Rank, class};
use crate::wire::heartbeat::{self, Heartbeat, HeartbeatPort, Speaks};

/// A group's part in this node's own heartbeats.
#[cfg_attr(test, derive(Clone))]
pub(super) struct Speaking {
    heartbeat: Heartbeat,
    /// A heartbeat is needed at once.
    now: bool,
    /// The next heartbeat carries the group, even if it is no round.
    wanted: bool,
    /// The heartbeat that is being sent carries the group.
    carried: bool,
    /// The role was given up, but the fence is not blocking yet.
    blocks: bool,
    /// E6: time until which heartbeats release the group to the peer.
    go_until_ns: u64,
    /// The plugin ends: the group's part says that it leaves.
    leaves: bool,
    /// The group's part is outdated and has to be written again.
    stale: bool,
    /// Keys are configured, so heartbeats are sent.
    on: bool,
}

impl Speaking {
    pub fn new(group: &str) -> Speaking {
        let heartbeat = Heartbeat {
            group: heartbeat::group_id(group),
            ..Heartbeat::with_room()
        };
        Speaking {
            heartbeat,
            now: true,
            wanted: false,
            carried: false,
            blocks: false,
            go_until_ns: 0,
            leaves: false,
            stale: true,
            on: false,
        }
    }

    // ---- news ------------------------------------------------------------------------------

    /// Notes that contents have changed, so that the part is written again.
    pub fn note_changed(&mut self) {
        self.stale = true;
    }

    /// Notes that the role is given up: that is sent at once, but not before the fence is blocking.
    pub fn handle_given_up(&mut self) {
        (self.blocks, self.now) = (true, true);
    }

    /// Notes that the fence is blocking, or is made to before anything else goes on.
    pub fn handle_blocked(&mut self) {
        self.blocks = false;
    }

    /// Has heartbeats release the group to the peer until `until_ns` (E6).
    pub fn release_until(&mut self, until_ns: u64) {
        self.go_until_ns = until_ns;
    }

    /// Ends the release: the peer has the group, or this node keeps it.
    pub fn end_release(&mut self) {
        self.go_until_ns = 0;
    }

    /// Has the group's part say that it leaves, as the plugin ends.
    pub fn leave(&mut self) {
        self.leaves = true;
    }

    // ---- parts of heartbeats ---------------------------------------------------------------

    /// Keys are configured, so heartbeats are sent.
    pub fn is_on(&self) -> bool {
        self.on
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
        self.carried.then_some(&self.heartbeat)
    }
}

impl Group {
    // ---- times of heartbeats -------------------------------------------------------------

    /// Interval at which the group needs heartbeats; None if it no longer speaks.
    pub(super) fn speaking_interval_ns(&self) -> Option<u64> {
        let interval_ns = self.config.interval_ns.min(self.lease.interval_ns());
        (!self.speaking.leaves).then_some(interval_ns)
    }

    /// Requests a heartbeat for changes at once; everything else waits for the node's next round.
    pub(super) fn speak(&mut self, cx: &mut Context<'_>) {
        self.speaking.on = cx.keys;
        // E13: while leases are being granted again the group is neither active nor backup
        if !self.speaking.on || self.reopens(cx.now_ns) {
            return;
        }
        let now = std::mem::take(&mut self.speaking.now);
        let stale = std::mem::take(&mut self.speaking.stale);
        // most received packets change nothing
        if !(now || stale || self.says_otherwise(cx.now_ns)) {
            return;
        }
        if self.update_heartbeat(cx) || now {
            self.say(cx);
        }
    }

    /// Has a heartbeat carry the group right before the next action, unless one waits there. A heartbeat is written
    /// when it is sent, so it is never outdated.
    pub(super) fn say(&mut self, cx: &mut Context<'_>) {
        if !self.speaking.on {
            return;
        }
        self.speaking.wanted = true;
        if !cx.actions.has_heartbeat() {
            cx.push(Action::Heartbeat);
        }
    }

    /// Prepares the group's part for a heartbeat that goes now; returns true if the heartbeat carries it. A group that
    /// has given its role up says nothing before its fence blocks. One whose fence may be blocking by itself says
    /// nothing until it has found out (E13).
    pub(super) fn join_heartbeat(&mut self, cx: &Context<'_>, is_round: bool) -> bool {
        let is_late = self.is_active() && self.lease.is_over(cx.now_ns);
        let tells = !(self.speaking.blocks || is_late || self.reopens(cx.now_ns));
        self.speaking.carried = tells && (is_round || self.speaking.wanted);
        if self.speaking.carried {
            // a second heartbeat that waits behind the host's answer has to carry the group as well
            self.speaking.wanted &= cx.actions.holds_heartbeat();
            self.update_heartbeat(cx);
        }
        self.speaking.carried
    }

    // ---- contents of heartbeats ----------------------------------------------------------

    pub(super) fn standing(&self, now_ns: u64) -> Rank {
        let facts = self.facts();
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
            || self.speaking.leaves;
        // E8: the peer learns in time that this node may be active from then on
        let known_ns = now_ns.saturating_add(2 * self.config.interval_ns);
        barred || !self.networks.speaks() || known_ns < self.start.delay_until_ns()
    }

    fn speaks_as(&self) -> Speaks {
        match self.state {
            State::Active { .. } => Speaks::Active,
            // E13: active is sent only while the fence passes, so not in a lapse
            State::Backup { .. } | State::Promoting { .. } | State::Lapsed { .. } => Speaks::Backup,
            State::Initialize { .. } => Speaks::Fault,
        }
    }

    fn lets_go(&self, now_ns: u64) -> bool {
        now_ns < self.speaking.go_until_ns && !self.is_active()
    }

    /// True if the last heartbeat is outdated, apart from its ports.
    fn says_otherwise(&self, now_ns: u64) -> bool {
        let heartbeat = &self.speaking.heartbeat;
        heartbeat.role != self.speaks_as()
            || heartbeat.class != class(self.candidacy.directive())
            || heartbeat.quality != self.candidacy.directive().quality
            || heartbeat.priority != self.candidacy.priority()
            || heartbeat.ready != self.candidacy.directive().ready
            || heartbeat.unable != self.is_unable(now_ns)
            || heartbeat.hears != self.living_peer(now_ns).is_some()
            || heartbeat.go != self.lets_go(now_ns)
    }

    /// Rewrites the part in place; returns true if it has changed.
    fn update_heartbeat(&mut self, cx: &Context<'_>) -> bool {
        let now_ns = cx.now_ns;
        let standing = self.standing(now_ns);
        let (role, go) = (self.speaks_as(), self.lets_go(now_ns));
        let hears = self.living_peer(now_ns).is_some();
        let by_priority = matches!(self.config.election, Election::Priority { .. });
        let mut changed = self.says_otherwise(now_ns);
        let lease_ns = self.is_active().then_some(self.config.lease_ns);
        self.networks.update_lapses(now_ns, lease_ns);
        let mut ports = std::mem::take(&mut self.speaking.heartbeat.ports);
        ports.truncate(self.networks.ports().len());
        for (index, port) in self.networks.ports().iter().enumerate() {
            let said = self.heartbeat_port(cx, index, port);
            match ports.get_mut(index) {
                Some(old) => {
                    changed |= old.usable != said.usable
                        || old.rating != said.rating
                        || old.sends != said.sends;
                    *old = said;
                }
                None => {
                    changed = true;
                    ports.push(said);
                }
            }
        }
        self.speaking.heartbeat = Heartbeat {
            group: self.speaking.heartbeat.group,
            role,
            class: standing.class,
            quality: standing.quality,
            priority: standing.priority,
            preferred: standing.preferred,
            ready: standing.ready,
            by_priority,
            unable: !standing.able,
            go,
            hears,
            advert_interval_ns: self.config.interval_ns,
            term: self.history.term(),
            ports,
        };
        changed
    }

    fn heartbeat_port(&self, cx: &Context<'_>, index: usize, port: &Port) -> HeartbeatPort {
        let rating = port.unheard.rating().unwrap_or(Rating::Unknown);
        let horizon_ns = cx.now_ns.saturating_sub(self.active_down_ns());
        let identity = if self.is_active() {
            self.identity_asked(cx.now_ns, index).1
        } else {
            self.identity_on(cx.now_ns, port)
        };
        HeartbeatPort {
            port: port.heartbeat_id,
            usable: port.is_usable(),
            hears: port.hearing.is_heard_since(horizon_ns),
            rating: match rating {
                Rating::Unknown => heartbeat::Rating::Unknown,
                Rating::Good => heartbeat::Rating::Good,
                Rating::Bad => heartbeat::Rating::Bad,
            },
            sends: self.networks.has_way_on(port.interface),
            identity,
        }
    }
}
