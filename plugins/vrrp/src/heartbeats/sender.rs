//! What is said, sealed for each path.

use super::key::{Key, NoRandomness};
use crate::wire::heartbeat::{
    Echo, FRAME_MAX, Heartbeat, PARTS_MAX, emit_group, emit_header, has_room, set_parts, set_path,
};

/// Seals this node's heartbeats.
#[derive(Debug)]
pub struct Sender {
    key: Key,
    number: u64,
    /// What was composed last: the first `count` of them. Those behind keep their room.
    parts: Vec<Part>,
    count: usize,
    left_out: LeftOut,
}

/// What had no room in a heartbeat, in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    pub groups: u64,
    pub ports: u64,
}

/// One part, perhaps with its tag.
#[derive(Debug)]
struct Part {
    frame: Vec<u8>,
    signed_len: usize,
}

impl Sender {
    /// With a key of its own, which no earlier start had.
    pub fn new() -> Result<Sender, NoRandomness> {
        Ok(Sender::with_key(Key::random()?))
    }

    pub fn with_key(key: Key) -> Sender {
        Sender {
            key,
            number: 0,
            parts: Vec::with_capacity(PARTS_MAX),
            count: 0,
            left_out: LeftOut::default(),
        }
    }

    pub fn key(&self) -> &Key {
        &self.key
    }

    pub fn left_out(&self) -> LeftOut {
        self.left_out
    }

    /// Begins the next heartbeat: one number, over whatever paths it goes. Returns the count of its
    /// parts, none where nothing is said. Allocates only where there were never so many.
    pub fn compose<'h>(
        &mut self,
        echo: Echo,
        heartbeats: impl Iterator<Item = &'h Heartbeat>,
    ) -> usize {
        self.count = 0;
        for heartbeat in heartbeats {
            let Some(part) = self.part_for(echo, heartbeat) else {
                self.left_out.groups += 1;
                continue;
            };
            let ports = emit_group(heartbeat, &mut part.frame);
            part.signed_len = part.frame.len();
            self.left_out.ports += u64::try_from(ports).unwrap_or(u64::MAX);
        }
        let count = u8::try_from(self.count).unwrap_or(u8::MAX);
        for part in self.parts.iter_mut().take(self.count) {
            set_parts(&mut part.frame, count);
        }
        self.count
    }

    /// A part of the composed heartbeat as it goes over one path.
    pub fn seal(&mut self, path: u32, part: usize) -> &[u8] {
        let Some(part) = self.parts.get_mut(part) else {
            return &[];
        };
        part.frame.truncate(part.signed_len);
        set_path(&mut part.frame, path);
        let tag = self.key.tag(&part.frame);
        part.frame.extend_from_slice(&tag);
        &part.frame
    }

    /// The last part, or the next one where that is full; None where all are.
    fn part_for(&mut self, echo: Echo, heartbeat: &Heartbeat) -> Option<&mut Part> {
        let last = self.count.checked_sub(1);
        let last = last.filter(|last| {
            let part = self.parts.get(*last);
            part.is_some_and(|part| has_room(&part.frame, heartbeat))
        });
        if let Some(last) = last {
            return self.parts.get_mut(last);
        }
        if self.count == PARTS_MAX {
            return None;
        }
        if self.count == 0 {
            self.number += 1;
        }
        if self.count == self.parts.len() {
            self.parts.push(Part::with_room());
        }
        let number = u8::try_from(self.count).ok()?;
        let part = self.parts.get_mut(self.count)?;
        emit_header(self.key.id(), self.number, number, echo, &mut part.frame);
        self.count += 1;
        Some(part)
    }
}

impl Part {
    fn with_room() -> Part {
        Part {
            frame: Vec::with_capacity(FRAME_MAX),
            signed_len: 0,
        }
    }
}
