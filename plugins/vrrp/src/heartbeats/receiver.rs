//! What the peer says, opened: nothing forged, nothing twice, nothing older than what is known.

use super::key::Key;
use crate::error::HeartbeatDiscard;
use crate::wire::heartbeat::{Echo, Heartbeat, Packet, next_group};

/// How long frames under the key before are taken: what was under way when the key changed.
const PREVIOUS_NS: u64 = 5_000_000_000;
/// Numbers of a group that count for the path that brings them: the newest, and two behind it. What is
/// held back longer proves nothing of a path.
const TIMELY: usize = 3;

/// Opens the peer's heartbeats.
#[derive(Debug)]
pub struct Receiver {
    current: Option<Trusted>,
    previous: Option<Trusted>,
    previous_until_ns: u64,
    groups: Vec<u64>,
    paths: Vec<u32>,
    heartbeat: Heartbeat,
}

/// A part of a heartbeat of the peer's, its groups to be taken one after the other.
#[derive(Debug)]
pub struct Opened<'r, 'f> {
    run: u64,
    number: u64,
    echo: Echo,
    groups: &'f [u8],
    newest: &'r mut Newest,
    heartbeat: &'r mut Heartbeat,
    has_news: bool,
    has_unknown: bool,
}

/// What the peer says of one group.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'h> {
    pub run: u64,
    /// What the peer has heard of this node.
    pub echo: Echo,
    pub heartbeat: &'h Heartbeat,
    /// It counts for the path that brought it.
    pub is_timely: bool,
    /// Not if it is a copy of what another path brought first, or older than that.
    pub is_news: bool,
}

impl Receiver {
    /// A receiver that trusts no key yet.
    pub fn new() -> Receiver {
        Receiver {
            current: None,
            previous: None,
            previous_until_ns: 0,
            groups: Vec::new(),
            paths: Vec::new(),
            heartbeat: Heartbeat::with_room(),
        }
    }

    /// The groups that are configured, by [`group_id`](crate::wire::heartbeat::group_id).
    pub fn set_groups(&mut self, groups: impl Iterator<Item = u64>) {
        self.groups = groups.collect();
        for trusted in self.current.iter_mut().chain(&mut self.previous) {
            trusted.newest.set_groups(&self.groups);
        }
    }

    /// The paths that heartbeats come over.
    pub fn set_paths(&mut self, paths: impl Iterator<Item = u32>) {
        self.paths = paths.collect();
        for trusted in self.current.iter_mut().chain(&mut self.previous) {
            trusted.set_paths(&self.paths);
        }
    }

    /// What this node has heard of the peer.
    pub fn echo(&self) -> Echo {
        let heard = self.current.as_ref().filter(|trusted| trusted.highest > 0);
        heard.map_or(Echo::default(), |trusted| Echo {
            run: trusted.key.id(),
            number: trusted.highest,
        })
    }

    /// The peer's key, from its own mouth. A repeated one changes nothing: its sequence goes on.
    pub fn trust(&mut self, now_ns: u64, key: Key) {
        if self.current.as_ref().is_some_and(|now| now.key.is(&key)) {
            return;
        }
        let trusted = Trusted::new(key, &self.groups, &self.paths);
        self.previous = self.current.replace(trusted);
        self.previous_until_ns = now_ns.saturating_add(PREVIOUS_NS);
    }

    pub fn knows_a_key(&self) -> bool {
        self.current.is_some()
    }

    /// Opens a frame that came over a path.
    pub fn open<'r, 'f>(
        &'r mut self,
        now_ns: u64,
        path: u32,
        frame: &'f [u8],
    ) -> Result<Opened<'r, 'f>, HeartbeatDiscard> {
        let packet = Packet::new_checked(frame).map_err(|_| HeartbeatDiscard::Malformed)?;
        if now_ns >= self.previous_until_ns {
            self.previous = None;
        }
        let candidates = [self.current.as_mut(), self.previous.as_mut()];
        let is_current = admit(candidates, path, &packet)?;
        if is_current {
            // the peer has changed its key: whatever still comes under the old one is recorded
            self.previous = None;
        }
        let sender = if is_current {
            &mut self.current
        } else {
            &mut self.previous
        };
        let newest = sender.as_mut().map(|sender| &mut sender.newest);
        Ok(Opened {
            run: packet.run(),
            number: packet.number(),
            echo: packet.echo(),
            groups: packet.groups(),
            newest: newest.ok_or(HeartbeatDiscard::UnknownKey)?,
            heartbeat: &mut self.heartbeat,
            has_news: false,
            has_unknown: false,
        })
    }
}

impl Opened<'_, '_> {
    /// The next group that is configured here.
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
        })
    }

    /// Whether any of the groups taken so far was news.
    pub fn has_news(&self) -> bool {
        self.has_news
    }

    /// Whether any of them is not configured here.
    pub fn has_unknown(&self) -> bool {
        self.has_unknown
    }
}

impl Default for Receiver {
    fn default() -> Receiver {
        Receiver::new()
    }
}

/// Finds the key of a frame and lets its number pass; whether the key is the first of them.
fn admit(
    candidates: [Option<&mut Trusted>; 2],
    path: u32,
    packet: &Packet<'_>,
) -> Result<bool, HeartbeatDiscard> {
    let mut named = false;
    for (place, trusted) in candidates.into_iter().enumerate() {
        let Some(trusted) = trusted.filter(|trusted| trusted.key.id() == packet.run()) else {
            continue;
        };
        named = true;
        if trusted.key.verify(packet.signed(), packet.tag()) {
            if packet.path() != path {
                return Err(HeartbeatDiscard::OtherPath);
            }
            let window = trusted.window(path).ok_or(HeartbeatDiscard::OtherPath)?;
            window.pass(packet.number(), packet.part())?;
            trusted.highest = trusted.highest.max(packet.number());
            return Ok(place == 0);
        }
    }
    Err(if named {
        HeartbeatDiscard::Forged
    } else {
        HeartbeatDiscard::UnknownKey
    })
}

/// A key of the peer, and what was heard under it.
#[derive(Debug)]
struct Trusted {
    key: Key,
    windows: Vec<(u32, Window)>,
    /// Over all paths.
    highest: u64,
    newest: Newest,
}

impl Trusted {
    fn new(key: Key, groups: &[u64], paths: &[u32]) -> Trusted {
        let mut trusted = Trusted {
            key,
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

    fn window(&mut self, path: u32) -> Option<&mut Window> {
        let found = self.windows.iter_mut().find(|(known, _)| *known == path);
        found.map(|(_, window)| window)
    }
}

/// The newest numbers of each group, over all paths: one that is slow, or delayed by somebody, brings no
/// old role back.
#[derive(Debug, Default)]
struct Newest {
    /// In the order of their ids.
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

/// What one path brought under one key.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    /// Numbers begin with 1.
    highest: u64,
    /// Bit n: part n of that number was heard. There are no more than 64.
    parts: u64,
    /// Bit n: `highest - n` was heard. Only to tell a replay from a latecomer; both are dropped.
    heard: u64,
}

impl Window {
    /// Lets each part of a number pass once, and no number behind a later one.
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
