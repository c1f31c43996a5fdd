//! Opens the peer's heartbeats: it passes none that is forged, repeated, or older than a known one.

use super::agreement::Agreed;
use super::key::Key;
use crate::error::HeartbeatDiscard;
use crate::wire::heartbeat::{Echo, Heartbeat, Packet, next_group};

/// Limit of keys: the one in use, and others.
const KEYS_MAX: usize = 5;
/// Time for which a key is used in addition to the one in use, after something was received under it.
const BESIDE_NS: u64 = 10_000_000_000;
/// Time for which two runs of the peer must be heard before it is reported.
const SECOND_NS: u64 = 1_000_000_000;
/// Number of the newest heartbeats of a group that count for the path that delivers them: the newest, and two before
/// it. A heartbeat that was delayed longer proves nothing about a path.
const TIMELY: usize = 3;

/// Opens the peer's heartbeats, and decides which of its runs is in use.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Receiver {
    /// This node's run.
    run: u64,
    keys: Vec<Trusted>,
    /// Time for which the peer's run must be silent before another one replaces it.
    patience_ns: u64,
    news: News,
    groups: Vec<u64>,
    paths: Vec<u32>,
    heartbeat: Heartbeat,
}

/// Consequences of received heartbeats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// The peer's run whose key has come into use.
    pub confirmed: Option<u64>,
    /// The peer waits for a heartbeat, which has to be sent at once.
    pub hurries: bool,
    /// Two machines have the peer's keys.
    pub is_double: bool,
}

/// A part of a heartbeat of the peer. Its groups are taken one after the other.
#[derive(Debug)]
pub struct Opened<'r, 'f> {
    run: u64,
    number: u64,
    echo: Echo,
    groups: &'f [u8],
    newest: &'r mut Newest,
    heartbeat: &'r mut Heartbeat,
    counts: bool,
    has_news: bool,
    has_unknown: bool,
}

/// The peer's report about one group.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'h> {
    pub run: u64,
    /// State of this node that the peer has received.
    pub echo: Echo,
    pub heartbeat: &'h Heartbeat,
    /// The heartbeat counts for the path that delivered it.
    pub is_timely: bool,
    /// The report is new; a copy of what another path delivered, or an older one, is not.
    pub is_news: bool,
    /// The report counts; while another run of the peer is heard, it does not.
    pub counts: bool,
}

impl Receiver {
    /// Creates the receiver of a run, without keys.
    pub fn new(run: u64) -> Receiver {
        Receiver {
            run,
            keys: Vec::with_capacity(KEYS_MAX + 1),
            patience_ns: 0,
            news: News::default(),
            groups: Vec::new(),
            paths: Vec::new(),
            heartbeat: Heartbeat::with_room(),
        }
    }

    /// Resets it for another run of this node.
    pub fn begin(&mut self, run: u64) {
        self.run = run;
        self.keys.clear();
        self.news = News::default();
    }

    pub fn set_patience(&mut self, patience_ns: u64) {
        self.patience_ns = patience_ns;
    }

    /// Sets the configured groups, by [`group_id`](crate::wire::heartbeat::group_id).
    pub fn set_groups(&mut self, groups: impl Iterator<Item = u64>) {
        self.groups = groups.collect();
        for trusted in &mut self.keys {
            trusted.newest.set_groups(&self.groups);
        }
    }

    /// Sets the paths on which heartbeats arrive.
    pub fn set_paths(&mut self, paths: impl Iterator<Item = u32>) {
        self.paths = paths.collect();
        for trusted in &mut self.keys {
            trusted.set_paths(&self.paths);
        }
    }

    /// Adds the keys of a pair of runs, which come into use when a heartbeat under them confirms them. Earlier keys of
    /// the same runs stay only if they are in use.
    pub fn trust(&mut self, now_ns: u64, agreed: Agreed) {
        let run = agreed.run;
        self.keys
            .retain(|trusted| trusted.is_current || trusted.opens.run() != run);
        let trusted = Trusted::new(agreed, now_ns, &self.groups, &self.paths);
        self.keys.push(trusted);
        if self.keys.len() > KEYS_MAX {
            let others = self.keys.iter().take(KEYS_MAX).enumerate();
            let others = others.filter(|(_, trusted)| !trusted.is_current);
            if let Some((place, _)) = others.min_by_key(|(_, trusted)| trusted.heard_ns) {
                self.keys.remove(place);
            }
        }
        self.news.hurries = true;
    }

    /// Returns the keys with which to seal a heartbeat: keys that are in use, or may soon be.
    pub fn seals(&self, now_ns: u64) -> impl Iterator<Item = (&Key, Echo)> {
        let beside_ns = BESIDE_NS.max(self.patience_ns);
        let used = move |trusted: &&Trusted| {
            trusted.is_current || now_ns < trusted.heard_ns.saturating_add(beside_ns)
        };
        let used = self.keys.iter().filter(used);
        used.map(move |trusted| {
            (
                &trusted.seals,
                trusted.echo(self.is_second(now_ns, trusted)),
            )
        })
    }

    /// Returns the peer's run whose key is confirmed.
    pub fn confirmed(&self) -> Option<u64> {
        self.current().map(|trusted| trusted.opens.run())
    }

    /// Returns true if there is a key that is not confirmed.
    pub fn has_candidate(&self) -> bool {
        self.keys.iter().any(|trusted| !trusted.is_current)
    }

    pub fn take_news(&mut self) -> News {
        std::mem::take(&mut self.news)
    }

    /// Returns true if another run is in use, and was heard since this one began. After a restart of the plugin the
    /// earlier run is not heard.
    fn is_second(&self, now_ns: u64, trusted: &Trusted) -> bool {
        let current = self.current().filter(|_| self.hears_current(now_ns));
        current.is_some_and(|current| {
            current.opens.run() != trusted.opens.run() && current.heard_ns > trusted.since_ns
        })
    }

    /// Returns true if the run in use was heard lately.
    fn hears_current(&self, now_ns: u64) -> bool {
        let lately = |heard_ns: u64| now_ns < heard_ns.saturating_add(self.patience_ns);
        self.current()
            .is_some_and(|current| lately(current.heard_ns))
    }

    fn current(&self) -> Option<&Trusted> {
        self.keys.iter().find(|trusted| trusted.is_current)
    }

    /// Opens a frame that arrived on a path; `sent` is the last number of this run.
    pub fn open<'r, 'f>(
        &'r mut self,
        now_ns: u64,
        path: u32,
        frame: &'f [u8],
        sent: u64,
    ) -> Result<Opened<'r, 'f>, HeartbeatDiscard> {
        let packet = Packet::new_checked(frame).map_err(|_| HeartbeatDiscard::Malformed)?;
        let place = self.admit(now_ns, path, &packet, sent)?;
        let counts = self.confirm(now_ns, place, packet.echo())?;
        let trusted = self.keys.get_mut(place);
        let trusted = trusted.ok_or(HeartbeatDiscard::UnknownKey)?;
        Ok(Opened {
            run: packet.run(),
            number: packet.number(),
            echo: packet.echo(),
            groups: packet.groups(),
            newest: &mut trusted.newest,
            heartbeat: &mut self.heartbeat,
            counts,
            has_news: false,
            has_unknown: false,
        })
    }

    /// Finds the key of a frame, and checks its number.
    fn admit(
        &mut self,
        now_ns: u64,
        path: u32,
        packet: &Packet<'_>,
        sent: u64,
    ) -> Result<usize, HeartbeatDiscard> {
        if packet.echo().run != self.run {
            return Err(HeartbeatDiscard::UnknownKey);
        }
        let mut named = false;
        let place = self.keys.iter().position(|trusted| {
            let is_named = trusted.opens.run() == packet.run();
            named |= is_named;
            is_named && trusted.opens.verify(packet.signed(), packet.tag())
        });
        let reason = if named {
            HeartbeatDiscard::Forged
        } else {
            HeartbeatDiscard::UnknownKey
        };
        let place = place.ok_or(reason)?;
        let trusted = self.keys.get_mut(place).ok_or(reason)?;
        if packet.path() != path {
            return Err(HeartbeatDiscard::OtherPath);
        }
        if trusted.is_replaced {
            return Err(HeartbeatDiscard::Late);
        }
        let window = trusted.window(path).ok_or(HeartbeatDiscard::OtherPath)?;
        window.pass(packet.number(), packet.part())?;
        if packet.echo().number > sent {
            return Err(HeartbeatDiscard::Ahead);
        }
        // the peer waits for the first echo
        self.news.hurries |= trusted.highest == 0;
        trusted.highest = trusted.highest.max(packet.number());
        trusted.heard_ns = now_ns;
        Ok(place)
    }

    /// Returns true if a key is in use, perhaps from now on.
    fn confirm(&mut self, now_ns: u64, place: usize, echo: Echo) -> Result<bool, HeartbeatDiscard> {
        if self.keys.get(place).is_some_and(|one| one.is_current) {
            self.news.is_double |= self.hears_second(now_ns);
            return Ok(true);
        }
        if echo.number == 0 {
            return Err(HeartbeatDiscard::Unconfirmed);
        }
        let run = self.keys.get(place).map(|one| one.opens.run());
        // a key of the same run is a newer one, as older ones are not admitted: it is not a second machine's
        let replaces = run.is_some() && run == self.confirmed();
        let is_heard = !replaces && self.hears_current(now_ns);
        let newest = self.replace_current(replaces);
        let Some(trusted) = self.keys.get_mut(place) else {
            return Err(HeartbeatDiscard::UnknownKey);
        };
        if let Some(newest) = newest {
            trusted.newest = newest;
        }
        if is_heard {
            trusted.echoed_ns.get_or_insert(now_ns);
            return Ok(false);
        }
        self.news.confirmed = Some(trusted.opens.run());
        self.news.hurries = true;
        for (at, trusted) in self.keys.iter_mut().enumerate() {
            trusted.is_current = at == place;
            trusted.echoed_ns = None;
        }
        Ok(true)
    }

    /// Ends the key in use, whose newest numbers continue under the newer key of the same run.
    fn replace_current(&mut self, replaces: bool) -> Option<Newest> {
        let mut keys = self.keys.iter_mut();
        let current = keys.find(|one| one.is_current).filter(|_| replaces)?;
        current.is_replaced = true;
        Some(std::mem::take(&mut current.newest))
    }

    /// Returns true if another run hears this node, and has been heard for some time in parallel with the one in use.
    fn hears_second(&self, now_ns: u64) -> bool {
        let span_ns = SECOND_NS.max(self.patience_ns);
        self.keys.iter().any(|trusted| {
            let long = |since_ns: u64| now_ns >= since_ns.saturating_add(span_ns);
            trusted.echoed_ns.is_some_and(long) && !long(trusted.heard_ns)
        })
    }
}

impl Opened<'_, '_> {
    /// Returns the next group that is configured here.
    pub fn next_group(&mut self) -> Option<Heard<'_>> {
        let place = loop {
            self.groups = next_group(self.groups, self.heartbeat)?;
            match self.newest.place(self.heartbeat.group) {
                Some(place) => break place,
                None => self.has_unknown = true,
            }
        };
        let newest = self.newest.get_mut(place)?;
        let is_news = self.number > newest.first().copied().unwrap_or(0);
        if is_news {
            newest.rotate_right(1);
            newest[0] = self.number;
        }
        self.has_news |= is_news;
        Some(Heard {
            run: self.run,
            echo: self.echo,
            heartbeat: self.heartbeat,
            is_timely: self.number >= newest[TIMELY - 1],
            is_news,
            counts: self.counts,
        })
    }

    pub fn run(&self) -> u64 {
        self.run
    }

    /// Returns false if another run of the peer was heard lately.
    pub fn counts(&self) -> bool {
        self.counts
    }

    /// Returns true if any of the groups taken so far was new.
    pub fn has_news(&self) -> bool {
        self.has_news
    }

    /// Returns true if any of them is not configured here.
    pub fn has_unknown(&self) -> bool {
        self.has_unknown
    }
}

/// Keys between this run and one of the peer's, and what was received under them.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
struct Trusted {
    opens: Key,
    seals: Key,
    /// The key is in use: a heartbeat under it confirmed it.
    is_current: bool,
    /// A newer key of the same run is in use: nothing is accepted under this one any more.
    is_replaced: bool,
    /// Time of the agreement.
    since_ns: u64,
    /// Time at which something was received under it, or of the agreement.
    heard_ns: u64,
    /// Time since which it is confirmed in addition to the key in use.
    echoed_ns: Option<u64>,
    windows: Vec<(u32, Window)>,
    /// Highest number over all paths.
    highest: u64,
    newest: Newest,
}

impl Trusted {
    fn new(agreed: Agreed, now_ns: u64, groups: &[u64], paths: &[u32]) -> Trusted {
        let mut trusted = Trusted {
            opens: agreed.opens,
            seals: agreed.seals,
            is_current: false,
            is_replaced: false,
            since_ns: now_ns,
            heard_ns: now_ns,
            echoed_ns: None,
            windows: Vec::new(),
            highest: 0,
            newest: Newest::default(),
        };
        trusted.newest.set_groups(groups);
        trusted.set_paths(paths);
        trusted
    }

    fn set_paths(&mut self, paths: &[u32]) {
        let kept = paths.iter().map(|path| {
            let known = self.windows.iter().find(|(known, _)| known == path);
            (
                *path,
                known.map_or(Window::default(), |(_, window)| *window),
            )
        });
        self.windows = kept.collect();
    }

    /// Returns the other run, and the highest number that was received from it.
    fn echo(&self, is_second: bool) -> Echo {
        Echo {
            run: self.opens.run(),
            number: self.highest,
            is_second,
        }
    }

    fn window(&mut self, path: u32) -> Option<&mut Window> {
        let found = self.windows.iter_mut().find(|(known, _)| *known == path);
        found.map(|(_, window)| window)
    }
}

/// Newest numbers of each group over all paths, so that a slow path, or a delay by an attacker, brings no old role
/// back.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
struct Newest {
    /// Groups in the order of their ids.
    groups: Vec<(u64, [u64; TIMELY])>,
}

impl Newest {
    fn set_groups(&mut self, groups: &[u64]) {
        let kept = groups.iter().map(|group| {
            let known = self.groups.iter().find(|(known, _)| known == group);
            (*group, known.map_or([0; TIMELY], |(_, numbers)| *numbers))
        });
        self.groups = kept.collect();
        self.groups.sort_unstable();
    }

    fn place(&self, group: u64) -> Option<usize> {
        let place = self
            .groups
            .binary_search_by_key(&group, |(known, _)| *known);
        place.ok()
    }

    fn get_mut(&mut self, place: usize) -> Option<&mut [u64; TIMELY]> {
        self.groups.get_mut(place).map(|(_, numbers)| numbers)
    }
}

/// State of one path under one key.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    /// Highest number that was received; numbers begin with 1.
    highest: u64,
    /// Bit n: part n of that number was received. There are no more than 64.
    parts: u64,
    /// Bit n: `highest - n` was received. It only distinguishes a replay from a late heartbeat; both are dropped.
    heard: u64,
}

impl Window {
    /// Accepts each part of a number once, and no number below a later one.
    fn pass(&mut self, number: u64, part: u8) -> Result<(), HeartbeatDiscard> {
        if let Some(ahead) = number.checked_sub(self.highest).filter(|n| *n > 0) {
            let shift = u32::try_from(ahead).unwrap_or(u32::MAX);
            self.heard = self.heard.checked_shl(shift).unwrap_or(0) | 1;
            (self.highest, self.parts) = (number, 0);
        }
        let behind = u32::try_from(self.highest - number).unwrap_or(u32::MAX);
        let bit = 1_u64.checked_shl(behind).unwrap_or(0);
        if behind == 0 {
            let part = 1_u64.checked_shl(u32::from(part)).unwrap_or(0);
            let is_new = part != 0 && self.parts & part == 0;
            self.parts |= part;
            return is_new.then_some(()).ok_or(HeartbeatDiscard::Replayed);
        }
        if self.heard & bit != 0 {
            return Err(HeartbeatDiscard::Replayed);
        }
        self.heard |= bit;
        Err(HeartbeatDiscard::Late)
    }
}
