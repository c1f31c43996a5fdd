//! E0: the same plugin on the other node, as its beats tell, and what this node tells it.

use std::net::IpAddr;

use super::dispute::Rating;
use super::group::{Group, State};
use super::port::Port;
use super::{Action, Context};
use crate::config::Election;
use crate::election::Standing;
use crate::wire::beat::{self, Beat, BeatPort, Speaks};
use crate::wire::frame::Advert;

/// The last beat of the twin, and when it said what.
#[cfg_attr(test, derive(Clone))]
pub(super) struct Twin {
    pub beat: Beat,
    pub heard_ns: u64,
    /// Since when it has not been active, as far as it was heard.
    pub idle_since_ns: u64,
    /// Since when it has been active.
    pub active_since_ns: u64,
}

/// How much is known of the twin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Contact {
    #[default]
    None,
    /// Its beats are heard, but it hears none.
    OneWay,
    /// Each hears the other: both know what the other knows.
    Mutual,
}

/// Whose an advert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// The twin's, or nobody knows better.
    Twin,
    /// To be told by the next beats.
    Unsure,
    Stranger,
}

impl Contact {
    pub fn name(self) -> &'static str {
        match self {
            Contact::None => "silent",
            Contact::OneWay => "hears nothing",
            Contact::Mutual => "both ways",
        }
    }
}

/// When this node's own beats go.
#[cfg_attr(test, derive(Clone))]
pub(super) struct Speaking {
    pub beat: Beat,
    /// The next one of its own accord, while no advert takes it along.
    pub due_ns: u64,
    /// Something must be said at once.
    pub now: bool,
    /// E6: the twin may go ahead until then.
    pub go_until_ns: u64,
    /// It ends.
    pub leaves: bool,
    /// The beat is to be written anew.
    pub stale: bool,
    /// There are links to speak on.
    pub on: bool,
}

impl Speaking {
    pub fn new(group: &str, now_ns: u64) -> Speaking {
        let beat = Beat {
            group: beat::group_id(group),
            ..Beat::with_room()
        };
        Speaking {
            beat,
            due_ns: now_ns,
            now: true,
            go_until_ns: 0,
            leaves: false,
            stale: true,
            on: false,
        }
    }

    /// When a node that sends no adverts speaks again.
    pub fn next_ns(&self) -> Option<u64> {
        (self.on && !self.leaves).then_some(self.due_ns)
    }
}

impl Twin {
    fn new(now_ns: u64) -> Twin {
        Twin {
            beat: Beat::with_room(),
            heard_ns: now_ns,
            idle_since_ns: now_ns,
            active_since_ns: now_ns,
        }
    }

    pub fn is_active(&self) -> bool {
        self.beat.role == Speaks::Active
    }

    pub fn role(&self) -> &'static str {
        match self.beat.role {
            Speaks::Fault => "fault",
            Speaks::Backup => "backup",
            Speaks::Active => "active",
        }
    }

    /// What it says of an interface: of the same name, or in the same place where names differ.
    pub fn port(&self, name: u32, place: usize, count: usize) -> Option<&BeatPort> {
        let ports = &self.beat.ports;
        let here = ports.get(place).filter(|port| port.port == name);
        let named = here.or_else(|| ports.iter().find(|port| port.port == name));
        named.or_else(|| ports.get(place).filter(|_| ports.len() == count))
    }

    pub fn standing(&self) -> Standing {
        let beat = &self.beat;
        let hurt = |port: &&BeatPort| !port.usable || port.rating == beat::Rating::Bad;
        Standing {
            able: !beat.unable,
            class: beat.class,
            quality: beat.quality,
            priority: beat.priority,
            preferred: beat.preferred,
            ready: beat.ready,
            hurt: beat.ports.iter().filter(hurt).count(),
        }
    }

    /// Without allocation once there was room for as many ports.
    fn take(&mut self, now_ns: u64, beat: &Beat) {
        let was_active = self.is_active();
        let mut ports = std::mem::take(&mut self.beat.ports);
        ports.clear();
        ports.extend_from_slice(&beat.ports);
        self.beat = Beat { ports, ..*beat };
        self.heard_ns = now_ns;
        match (was_active, self.is_active()) {
            (true, false) => self.idle_since_ns = now_ns,
            (false, true) => self.active_since_ns = now_ns,
            _ => {}
        }
    }
}

impl Group {
    // ---- whose advert it is (E11) --------------------------------------------------------

    /// Learns what the twin's adverts come from: what is heard while its beats say that it is
    /// active, with the priority that they say.
    pub(super) fn learn_source(
        &mut self,
        now_ns: u64,
        index: usize,
        advert: &Advert<'_>,
    ) -> Sender {
        let source = advert.source;
        let Some(twin) = self.living_twin(now_ns) else {
            let router = self.routers.get(index);
            let foreign = router.is_some_and(|r| r.foreign_source == Some(source));
            return if foreign {
                Sender::Stranger
            } else {
                Sender::Twin
            };
        };
        let (active, beat_ns) = (twin.is_active(), twin.heard_ns);
        let interval_ns = twin.beat.advert_interval_ns;
        let patience_ns = interval_ns.saturating_mul(u64::from(self.config.advert_loss));
        let matches = active && twin.beat.priority == advert.priority;
        let long_idle = !active && now_ns.saturating_sub(twin.idle_since_ns) / 2 > patience_ns;
        let Some(router) = self.routers.get_mut(index) else {
            return Sender::Stranger;
        };
        let lately = now_ns.saturating_sub(router.twin_heard_ns) < patience_ns;
        let known = router.twin_source.filter(|_| lately);
        if router.twin_source == Some(source) || matches && known.is_none() {
            router.twin_source = Some(source);
            router.twin_heard_ns = now_ns;
            router.foreign_source = router.foreign_source.filter(|at| *at != source);
            router.suspect = router.suspect.filter(|(at, _)| *at != source);
            return Sender::Twin;
        }
        if router.foreign_source == Some(source) {
            return Sender::Stranger;
        }
        if !(long_idle || active && known.is_some()) {
            return Sender::Twin;
        }
        let since_ns = match router.suspect {
            Some((suspect, since_ns)) if suspect == source => since_ns,
            _ => now_ns,
        };
        router.suspect = Some((source, since_ns));
        // the twin's own word may still be on its way, or its link be cut
        if beat_ns <= since_ns.saturating_add(interval_ns) {
            return Sender::Unsure;
        }
        router.foreign_source = Some(source);
        Sender::Stranger
    }

    /// Certainly not the twin's.
    pub(super) fn is_a_strangers(&self, index: usize, source: IpAddr) -> bool {
        self.routers.get(index).is_some_and(|router| {
            let another = router.twin_source.is_some_and(|twins| twins != source);
            another || router.foreign_source == Some(source)
        })
    }

    /// With a link, who of both is active is not decided by adverts.
    pub(super) fn twin_decides(&self, now_ns: u64, index: usize, source: IpAddr) -> bool {
        let stranger = self.config.any_router && self.is_a_strangers(index, source);
        let twin = self.mutual_twin(now_ns);
        !stranger && twin.is_some_and(|twin| twin.is_active())
    }

    // ---- what is known -------------------------------------------------------------------

    /// The twin, if it was heard within the takeover time.
    pub(super) fn living_twin(&self, now_ns: u64) -> Option<&Twin> {
        let twin = self.twin.as_ref()?;
        (now_ns < self.twin_silent_at_ns(twin)).then_some(twin)
    }

    pub(super) fn twin_silent_at_ns(&self, twin: &Twin) -> u64 {
        let loss = u64::from(self.config.advert_loss);
        let patience_ns = twin.beat.advert_interval_ns.saturating_mul(loss);
        twin.heard_ns.saturating_add(patience_ns)
    }

    /// The twin, if each hears the other.
    pub(super) fn mutual_twin(&self, now_ns: u64) -> Option<&Twin> {
        self.living_twin(now_ns).filter(|twin| twin.beat.hears)
    }

    pub(super) fn contact(&self, now_ns: u64) -> Contact {
        match self.living_twin(now_ns) {
            None => Contact::None,
            Some(twin) if twin.beat.hears => Contact::Mutual,
            Some(_) => Contact::OneWay,
        }
    }

    /// Keeps a beat; whether the twin just let go of the group.
    pub(super) fn note_beat(&mut self, now_ns: u64, beat: &Beat) -> bool {
        let alive = self.living_twin(now_ns).is_some();
        let twin = self.twin.get_or_insert_with(|| Twin::new(now_ns));
        let lets_go = beat.go && !(alive && twin.beat.go);
        if !alive {
            (twin.idle_since_ns, twin.active_since_ns) = (now_ns, now_ns);
        }
        twin.take(now_ns, beat);
        lets_go
    }

    pub(super) fn standing(&self, now_ns: u64) -> Standing {
        let facts = self.facts();
        let preferred = match self.config.election {
            Election::Quality { preferred, .. } => preferred == Some(true),
            Election::Priority { .. } => false,
        };
        Standing {
            able: !self.is_unable(now_ns),
            class: self.stance.class(),
            quality: self.stance.quality,
            priority: self.priority,
            preferred,
            ready: self.stance.ready,
            hurt: facts.hurt,
        }
    }

    fn is_unable(&self, now_ns: u64) -> bool {
        let barred = !self.stance.eligible || self.stance.resign || self.speaking.leaves;
        // E8: the twin is told in time that this node may be active from then on
        let known_ns = now_ns.saturating_add(2 * self.config.interval_ns);
        barred || !self.speaks || known_ns < self.not_before_ns
    }

    /// Says what there is to say: with each advert, at each interval, and whenever it changes.
    pub(super) fn speak(&mut self, cx: &mut Context<'_>) {
        self.speaking.on = !cx.links.is_empty();
        if !self.speaking.on {
            return;
        }
        // an active node's go with its adverts
        let due = cx.now_ns >= self.speaking.due_ns && !self.is_active();
        let now = std::mem::take(&mut self.speaking.now);
        let stale = std::mem::take(&mut self.speaking.stale);
        // most of what is heard changes nothing
        if !(due || now || stale || self.says_otherwise(cx.now_ns)) {
            return;
        }
        let changed = self.update_beat(cx);
        if due || changed || now {
            self.speaking.due_ns = cx.now_ns.saturating_add(self.config.interval_ns);
            cx.push(Action::Beat { group: cx.group });
        }
    }

    fn speaks_as(&self) -> Speaks {
        match self.state {
            State::Active { .. } => Speaks::Active,
            State::Backup { .. } | State::Promoting { .. } => Speaks::Backup,
            State::Initialize { .. } => Speaks::Fault,
        }
    }

    fn lets_go(&self, now_ns: u64) -> bool {
        now_ns < self.speaking.go_until_ns && !self.is_active()
    }

    /// Whether the last beat is wrong by now, apart from its ports.
    fn says_otherwise(&self, now_ns: u64) -> bool {
        let beat = &self.speaking.beat;
        beat.role != self.speaks_as()
            || beat.class != self.stance.class()
            || beat.quality != self.stance.quality
            || beat.priority != self.priority
            || beat.ready != self.stance.ready
            || beat.unable != self.is_unable(now_ns)
            || beat.hears != self.living_twin(now_ns).is_some()
            || beat.go != self.lets_go(now_ns)
    }

    /// Writes the beat anew into its place; whether it says something else than before.
    fn update_beat(&mut self, cx: &Context<'_>) -> bool {
        let now_ns = cx.now_ns;
        let standing = self.standing(now_ns);
        let (role, go) = (self.speaks_as(), self.lets_go(now_ns));
        let hears = self.living_twin(now_ns).is_some();
        let by_priority = matches!(self.config.election, Election::Priority { .. });
        let mut changed = self.says_otherwise(now_ns);
        let mut ports = std::mem::take(&mut self.speaking.beat.ports);
        ports.truncate(self.ports.len());
        for (index, port) in self.ports.iter().enumerate() {
            let said = self.beat_port(cx, port);
            match ports.get_mut(index) {
                Some(old) => {
                    changed |= old.usable != said.usable || old.rating != said.rating;
                    *old = said;
                }
                None => {
                    changed = true;
                    ports.push(said);
                }
            }
        }
        self.speaking.beat = Beat {
            group: self.speaking.beat.group,
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
            ports,
        };
        changed
    }

    fn beat_port(&self, cx: &Context<'_>, port: &Port) -> BeatPort {
        let rating = port
            .dispute
            .map_or(Rating::Unknown, |dispute| dispute.rating);
        let horizon_ns = cx.now_ns.saturating_sub(self.active_down_ns());
        BeatPort {
            port: port.beat_id,
            usable: port.speaks,
            hears: port.heard_ns.is_some_and(|at_ns| at_ns > horizon_ns),
            rating: match rating {
                Rating::Unknown => beat::Rating::Unknown,
                Rating::Good => beat::Rating::Good,
                Rating::Bad => beat::Rating::Bad,
            },
        }
    }
}
