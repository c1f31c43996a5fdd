//! Opens the peer's heartbeats: it passes none that is forged, repeated, or older than a known one.

use super::agreement::AgreedKeys;
use super::key::Key;
use crate::error::HeartbeatDiscard;
use crate::wire::heartbeat::{Ack, Heartbeat, Packet, next_group};

/// Limit of keys: the one in use, and others.
const KEYS_MAX: usize = 5;
/// Time for which a key is used in addition to the one in use, after something was received under it.
const ADDITIONAL_NS: u64 = 10_000_000_000;
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
    keys: Vec<RunKeys>,
    /// Time for which the peer's run must be silent before another one replaces it.
    patience_ns: u64,
    events: ReceiverEvents,
    groups: Vec<u64>,
    paths: Vec<u32>,
    heartbeat: Heartbeat,
}

/// Consequences of received heartbeats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiverEvents {
    /// The peer's run whose key has come into use.
    pub confirmed: Option<u64>,
    /// The peer waits for a heartbeat, which has to be sent at once.
    pub needs_heartbeat: bool,
    /// Two machines have the peer's keys.
    pub has_second_machine: bool,
}

/// A part of a heartbeat of the peer. Its groups are taken one after the other.
#[derive(Debug)]
pub struct OpenedPart<'r, 'f> {
    run: u64,
    number: u64,
    ack: Ack,
    groups: &'f [u8],
    newest: &'r mut NewestHeartbeats,
    heartbeat: &'r mut Heartbeat,
    counts: bool,
    is_any_new: bool,
    has_unknown: bool,
}

/// The peer's report about one group.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'h> {
    pub run: u64,
    /// State of this node that the peer has received.
    pub ack: Ack,
    pub heartbeat: &'h Heartbeat,
    /// The heartbeat counts for the path that delivered it.
    pub is_timely: bool,
    /// The report is new; a copy of what another path delivered, or an older one, is not.
    pub is_new: bool,
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
            events: ReceiverEvents::default(),
            groups: Vec::new(),
            paths: Vec::new(),
            heartbeat: Heartbeat::with_room(),
        }
    }

    /// Resets it for another run of this node.
    pub fn begin(&mut self, run: u64) {
        self.run = run;
        self.keys.clear();
        self.events = ReceiverEvents::default();
    }

    pub fn set_patience(&mut self, patience_ns: u64) {
        self.patience_ns = patience_ns;
    }

    /// Sets the configured groups, by [`group_id`](crate::wire::heartbeat::group_id).
    pub fn set_groups(&mut self, groups: impl Iterator<Item = u64>) {
        self.groups = groups.collect();
        for run_keys in &mut self.keys {
            run_keys.newest.set_groups(&self.groups);
        }
    }

    /// Sets the paths on which heartbeats arrive.
    pub fn set_paths(&mut self, paths: impl Iterator<Item = u32>) {
        self.paths = paths.collect();
        for run_keys in &mut self.keys {
            run_keys.set_paths(&self.paths);
        }
    }

    /// Adds the keys of a pair of runs, which come into use when a heartbeat under them confirms them. Earlier keys of
    /// the same runs stay only if they are in use.
    pub fn add_keys(&mut self, now_ns: u64, agreed: AgreedKeys) {
        let run = agreed.run;
        self.keys
            .retain(|run_keys| run_keys.is_current || run_keys.receive_key.run() != run);
        let run_keys = RunKeys::new(agreed, now_ns, &self.groups, &self.paths);
        self.keys.push(run_keys);
        if self.keys.len() > KEYS_MAX {
            let others = self.keys.iter().take(KEYS_MAX).enumerate();
            let others = others.filter(|(_, run_keys)| !run_keys.is_current);
            if let Some((place, _)) = others.min_by_key(|(_, run_keys)| run_keys.heard_ns) {
                self.keys.remove(place);
            }
        }
        self.events.needs_heartbeat = true;
    }

    /// Returns the keys with which to seal a heartbeat: keys that are in use, or may soon be.
    pub fn send_keys(&self, now_ns: u64) -> impl Iterator<Item = (&Key, Ack)> {
        let additional_ns = ADDITIONAL_NS.max(self.patience_ns);
        let used = move |run_keys: &&RunKeys| {
            run_keys.is_current || now_ns < run_keys.heard_ns.saturating_add(additional_ns)
        };
        let used = self.keys.iter().filter(used);
        used.map(move |run_keys| {
            (
                &run_keys.send_key,
                run_keys.ack(self.is_second_run(now_ns, run_keys)),
            )
        })
    }

    /// Returns the peer's run whose key is confirmed.
    pub fn confirmed(&self) -> Option<u64> {
        self.current().map(|run_keys| run_keys.receive_key.run())
    }

    /// Returns true if there is a key that is not confirmed.
    pub fn has_unconfirmed_key(&self) -> bool {
        self.keys.iter().any(|run_keys| !run_keys.is_current)
    }

    pub fn take_events(&mut self) -> ReceiverEvents {
        std::mem::take(&mut self.events)
    }

    /// Returns true if another run is in use, and was heard since this one began. After a restart of the plugin the
    /// earlier run is not heard.
    fn is_second_run(&self, now_ns: u64, run_keys: &RunKeys) -> bool {
        let current = self.current().filter(|_| self.hears_current(now_ns));
        current.is_some_and(|current| {
            current.receive_key.run() != run_keys.receive_key.run()
                && current.heard_ns > run_keys.since_ns
        })
    }

    /// Returns true if the run in use was heard lately.
    fn hears_current(&self, now_ns: u64) -> bool {
        let lately = |heard_ns: u64| now_ns < heard_ns.saturating_add(self.patience_ns);
        self.current()
            .is_some_and(|current| lately(current.heard_ns))
    }

    fn current(&self) -> Option<&RunKeys> {
        self.keys.iter().find(|run_keys| run_keys.is_current)
    }

    /// Opens a frame that arrived on a path; `sent` is the last number of this run.
    pub fn open<'r, 'f>(
        &'r mut self,
        now_ns: u64,
        path: u32,
        frame: &'f [u8],
        sent: u64,
    ) -> Result<OpenedPart<'r, 'f>, HeartbeatDiscard> {
        let packet = Packet::new_checked(frame).map_err(|_| HeartbeatDiscard::Malformed)?;
        let place = self.admit(now_ns, path, &packet, sent)?;
        let counts = self.confirm(now_ns, place, packet.ack())?;
        let run_keys = self.keys.get_mut(place);
        let run_keys = run_keys.ok_or(HeartbeatDiscard::UnknownKey)?;
        Ok(OpenedPart {
            run: packet.run(),
            number: packet.number(),
            ack: packet.ack(),
            groups: packet.groups(),
            newest: &mut run_keys.newest,
            heartbeat: &mut self.heartbeat,
            counts,
            is_any_new: false,
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
        if packet.ack().run != self.run {
            return Err(HeartbeatDiscard::UnknownKey);
        }
        let mut named = false;
        let place = self.keys.iter().position(|run_keys| {
            let is_named = run_keys.receive_key.run() == packet.run();
            named |= is_named;
            is_named && run_keys.receive_key.verify(packet.signed(), packet.tag())
        });
        let reason = if named {
            HeartbeatDiscard::Forged
        } else {
            HeartbeatDiscard::UnknownKey
        };
        let place = place.ok_or(reason)?;
        let run_keys = self.keys.get_mut(place).ok_or(reason)?;
        if packet.path() != path {
            return Err(HeartbeatDiscard::OtherPath);
        }
        if run_keys.is_replaced {
            return Err(HeartbeatDiscard::Late);
        }
        let window = run_keys.window(path).ok_or(HeartbeatDiscard::OtherPath)?;
        window.accept(packet.number(), packet.part())?;
        if packet.ack().number > sent {
            return Err(HeartbeatDiscard::Ahead);
        }
        // the peer waits for the first acknowledgement
        self.events.needs_heartbeat |= run_keys.highest == 0;
        run_keys.highest = run_keys.highest.max(packet.number());
        run_keys.heard_ns = now_ns;
        Ok(place)
    }

    /// Returns true if a key is in use, perhaps from now on.
    fn confirm(&mut self, now_ns: u64, place: usize, ack: Ack) -> Result<bool, HeartbeatDiscard> {
        if self.keys.get(place).is_some_and(|one| one.is_current) {
            self.events.has_second_machine |= self.has_second_run(now_ns);
            return Ok(true);
        }
        if ack.number == 0 {
            return Err(HeartbeatDiscard::Unconfirmed);
        }
        let run = self.keys.get(place).map(|one| one.receive_key.run());
        // a key of the same run is a newer one, as older ones are not admitted: it is not a second machine's
        let replaces = run.is_some() && run == self.confirmed();
        let is_heard = !replaces && self.hears_current(now_ns);
        let newest = self.replace_current(replaces);
        let Some(run_keys) = self.keys.get_mut(place) else {
            return Err(HeartbeatDiscard::UnknownKey);
        };
        if let Some(newest) = newest {
            run_keys.newest = newest;
        }
        if is_heard {
            run_keys.acked_ns.get_or_insert(now_ns);
            return Ok(false);
        }
        self.events.confirmed = Some(run_keys.receive_key.run());
        self.events.needs_heartbeat = true;
        for (at, run_keys) in self.keys.iter_mut().enumerate() {
            run_keys.is_current = at == place;
            run_keys.acked_ns = None;
        }
        Ok(true)
    }

    /// Ends the key in use, whose newest numbers continue under the newer key of the same run.
    fn replace_current(&mut self, replaces: bool) -> Option<NewestHeartbeats> {
        let mut keys = self.keys.iter_mut();
        let current = keys.find(|one| one.is_current).filter(|_| replaces)?;
        current.is_replaced = true;
        Some(std::mem::take(&mut current.newest))
    }

    /// Returns true if another run hears this node, and has been heard for some time in parallel with the one in use.
    fn has_second_run(&self, now_ns: u64) -> bool {
        let span_ns = SECOND_NS.max(self.patience_ns);
        self.keys.iter().any(|run_keys| {
            let long = |since_ns: u64| now_ns >= since_ns.saturating_add(span_ns);
            run_keys.acked_ns.is_some_and(long) && !long(run_keys.heard_ns)
        })
    }
}

impl OpenedPart<'_, '_> {
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
        let is_new = self.number > newest.first().copied().unwrap_or(0);
        if is_new {
            newest.rotate_right(1);
            newest[0] = self.number;
        }
        self.is_any_new |= is_new;
        Some(Heard {
            run: self.run,
            ack: self.ack,
            heartbeat: self.heartbeat,
            is_timely: self.number >= newest[TIMELY - 1],
            is_new,
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
    pub fn is_any_new(&self) -> bool {
        self.is_any_new
    }

    /// Returns true if any of them is not configured here.
    pub fn has_unknown(&self) -> bool {
        self.has_unknown
    }
}

/// Keys between this run and one of the peer's, and what was received under them.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
struct RunKeys {
    receive_key: Key,
    send_key: Key,
    /// The key is in use: a heartbeat under it confirmed it.
    is_current: bool,
    /// A newer key of the same run is in use: nothing is accepted under this one any more.
    is_replaced: bool,
    /// Time of the agreement.
    since_ns: u64,
    /// Time at which something was received under it, or of the agreement.
    heard_ns: u64,
    /// Time since which it is acknowledged in addition to the key in use.
    acked_ns: Option<u64>,
    windows: Vec<(u32, ReplayWindow)>,
    /// Highest number over all paths.
    highest: u64,
    newest: NewestHeartbeats,
}

impl RunKeys {
    fn new(agreed: AgreedKeys, now_ns: u64, groups: &[u64], paths: &[u32]) -> RunKeys {
        let mut run_keys = RunKeys {
            receive_key: agreed.receive_key,
            send_key: agreed.send_key,
            is_current: false,
            is_replaced: false,
            since_ns: now_ns,
            heard_ns: now_ns,
            acked_ns: None,
            windows: Vec::new(),
            highest: 0,
            newest: NewestHeartbeats::default(),
        };
        run_keys.newest.set_groups(groups);
        run_keys.set_paths(paths);
        run_keys
    }

    fn set_paths(&mut self, paths: &[u32]) {
        let kept = paths.iter().map(|path| {
            let known = self.windows.iter().find(|(known, _)| known == path);
            (
                *path,
                known.map_or(ReplayWindow::default(), |(_, window)| *window),
            )
        });
        self.windows = kept.collect();
    }

    /// Returns the other run, and the highest number that was received from it.
    fn ack(&self, is_second: bool) -> Ack {
        Ack {
            run: self.receive_key.run(),
            number: self.highest,
            is_second,
        }
    }

    fn window(&mut self, path: u32) -> Option<&mut ReplayWindow> {
        let found = self.windows.iter_mut().find(|(known, _)| *known == path);
        found.map(|(_, window)| window)
    }
}

/// Newest numbers of each group over all paths, so that a slow path, or a delay by an attacker, brings no old role
/// back.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
struct NewestHeartbeats {
    /// Groups in the order of their ids.
    groups: Vec<(u64, [u64; TIMELY])>,
}

impl NewestHeartbeats {
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
struct ReplayWindow {
    /// Highest number that was received; numbers begin with 1.
    highest: u64,
    /// Bit n: part n of that number was received. There are no more than 64.
    parts: u64,
    /// Bit n: `highest - n` was received. It only distinguishes a replay from a late heartbeat; both are dropped.
    heard: u64,
}

impl ReplayWindow {
    /// Accepts each part of a number once, and no number below a later one.
    fn accept(&mut self, number: u64, part: u8) -> Result<(), HeartbeatDiscard> {
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
