//! What the twin says, opened: nothing forged, nothing twice, nothing older than what is known.

use super::LINKS_MAX;
use super::key::Key;
use crate::error::BeatDiscard;
use crate::wire::beat::{Beat, Packet};

/// How long frames under the key before are taken: what was under way when the key changed.
const PREVIOUS_NS: u64 = 5_000_000_000;

/// Opens the twin's beats.
#[derive(Debug)]
pub struct Receiver {
    current: Option<Trusted>,
    previous: Option<Trusted>,
    previous_until_ns: u64,
    groups: Vec<u64>,
    beat: Beat,
}

impl Receiver {
    /// A receiver that trusts no key yet.
    pub fn new() -> Receiver {
        Receiver {
            current: None,
            previous: None,
            previous_until_ns: 0,
            groups: Vec::new(),
            beat: Beat::with_room(),
        }
    }

    /// The groups that are configured, by [`group_id`](crate::wire::beat::group_id).
    pub fn set_groups(&mut self, groups: impl Iterator<Item = u64>) {
        self.groups = groups.collect();
        for trusted in self.current.iter_mut().chain(&mut self.previous) {
            trusted.set_groups(&self.groups);
        }
    }

    /// The twin's key, from its own mouth. A repeated one changes nothing: its sequence goes on.
    pub fn trust(&mut self, now_ns: u64, key: Key) {
        if self.current.as_ref().is_some_and(|now| now.key.is(&key)) {
            return;
        }
        let trusted = Trusted::new(key, &self.groups);
        self.previous = self.current.replace(trusted);
        self.previous_until_ns = now_ns.saturating_add(PREVIOUS_NS);
    }

    pub fn knows_a_key(&self) -> bool {
        self.current.is_some()
    }

    /// Opens a frame that came over a link. None: a copy of what another link brought first, or
    /// older than that.
    pub fn open(
        &mut self,
        now_ns: u64,
        link: usize,
        frame: &[u8],
    ) -> Result<Option<&Beat>, BeatDiscard> {
        let packet = Packet::new_checked(frame).map_err(|_| BeatDiscard::Malformed)?;
        if now_ns >= self.previous_until_ns {
            self.previous = None;
        }
        let candidates = [self.current.as_mut(), self.previous.as_mut()];
        let is_current = admit(candidates, link, &packet)?;
        if is_current {
            // the twin has changed its key: whatever still comes under the old one is recorded
            self.previous = None;
        }
        packet
            .parse(&mut self.beat)
            .map_err(|_| BeatDiscard::Malformed)?;
        let sender = if is_current {
            &mut self.current
        } else {
            &mut self.previous
        };
        let newest = sender
            .as_mut()
            .and_then(|sender| sender.newest(self.beat.group))
            .ok_or(BeatDiscard::UnknownGroup)?;
        if packet.sequence() <= *newest {
            return Ok(None);
        }
        *newest = packet.sequence();
        Ok(Some(&self.beat))
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
    link: usize,
    packet: &Packet<'_>,
) -> Result<bool, BeatDiscard> {
    let mut named = false;
    for (place, trusted) in candidates.into_iter().enumerate() {
        let Some(trusted) = trusted.filter(|trusted| trusted.key.id() == packet.key()) else {
            continue;
        };
        named = true;
        if trusted.key.verify(packet.signed(), packet.tag()) {
            if usize::from(packet.link()) != link {
                return Err(BeatDiscard::OtherLink);
            }
            let window = trusted.windows.get_mut(link);
            window
                .ok_or(BeatDiscard::OtherLink)?
                .pass(packet.sequence())?;
            return Ok(place == 0);
        }
    }
    Err(if named {
        BeatDiscard::Forged
    } else {
        BeatDiscard::UnknownKey
    })
}

/// A key of the twin, and what was heard under it.
#[derive(Debug)]
struct Trusted {
    key: Key,
    windows: [Window; LINKS_MAX],
    /// The newest number of each group, over all links: a link that is slow, or delayed by
    /// somebody, brings no old role back.
    newest: Vec<(u64, u64)>,
}

impl Trusted {
    fn new(key: Key, groups: &[u64]) -> Trusted {
        Trusted {
            key,
            windows: Default::default(),
            newest: groups.iter().map(|group| (*group, 0)).collect(),
        }
    }

    fn set_groups(&mut self, groups: &[u64]) {
        let kept = groups.iter().map(|group| {
            let known = self.newest.iter().find(|(known, _)| known == group);
            (*group, known.map_or(0, |(_, sequence)| *sequence))
        });
        self.newest = kept.collect();
    }

    fn newest(&mut self, group: u64) -> Option<&mut u64> {
        let found = self.newest.iter_mut().find(|(known, _)| *known == group);
        found.map(|(_, sequence)| sequence)
    }
}

/// What one link brought under one key.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    /// Numbers begin with 1.
    highest: u64,
    /// Bit n: `highest - n` was heard. Only to tell a replay from a latecomer; both are dropped.
    heard: u64,
}

impl Window {
    fn pass(&mut self, sequence: u64) -> Result<(), BeatDiscard> {
        if let Some(ahead) = sequence.checked_sub(self.highest).filter(|n| *n > 0) {
            let shift = u32::try_from(ahead).unwrap_or(u32::MAX);
            self.heard = self.heard.checked_shl(shift).unwrap_or(0) | 1;
            self.highest = sequence;
            return Ok(());
        }
        let behind = u32::try_from(self.highest - sequence).unwrap_or(u32::MAX);
        let bit = 1_u64.checked_shl(behind).unwrap_or(0);
        if self.heard & bit != 0 {
            return Err(BeatDiscard::Replayed);
        }
        self.heard |= bit;
        Err(BeatDiscard::Late)
    }
}
