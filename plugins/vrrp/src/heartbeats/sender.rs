//! Composes heartbeats, and seals them for each path.

use super::key::Key;
use crate::wire::heartbeat::{
    Ack, FRAME_MAX, Heartbeat, PARTS_MAX, emit_group, emit_header, has_room, set_ack, set_parts,
    set_path,
};

/// Seals this node's heartbeats.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Sender {
    run: u64,
    number: u64,
    /// Parts of the last composed heartbeat: the first `count`. The others keep their memory.
    parts: Vec<Part>,
    count: usize,
    omitted: Omitted,
}

/// Totals of what had no room in a heartbeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Omitted {
    pub groups: u64,
    pub ports: u64,
}

/// One part, with room for its tag.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
struct Part {
    frame: Vec<u8>,
    signed_len: usize,
}

impl Sender {
    /// Creates the sender of a run, whose numbers begin with 1.
    pub fn new(run: u64) -> Sender {
        Sender {
            run,
            number: 0,
            parts: Vec::with_capacity(PARTS_MAX),
            count: 0,
            omitted: Omitted::default(),
        }
    }

    /// Begins another run, whose numbers begin with 1 again.
    pub fn begin(&mut self, run: u64) {
        (self.run, self.number, self.count) = (run, 0, 0);
    }

    pub fn run(&self) -> u64 {
        self.run
    }

    /// Returns the last number.
    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn omitted(&self) -> Omitted {
        self.omitted
    }

    /// Begins the next heartbeat: one number for all paths. Returns the number of its parts, 0 if
    /// it is empty. It allocates only if there are more parts than ever before.
    pub fn begin_heartbeat<'h>(
        &mut self,
        heartbeats: impl Iterator<Item = &'h Heartbeat>,
    ) -> usize {
        self.count = 0;
        for heartbeat in heartbeats {
            let Some(part) = self.part_for(heartbeat) else {
                self.omitted.groups += 1;
                continue;
            };
            let ports = emit_group(heartbeat, &mut part.frame);
            part.signed_len = part.frame.len();
            self.omitted.ports += u64::try_from(ports).unwrap_or(u64::MAX);
        }
        let count = u8::try_from(self.count).unwrap_or(u8::MAX);
        for part in self.parts.iter_mut().take(self.count) {
            set_parts(&mut part.frame, count);
        }
        self.count
    }

    /// Seals a part of the composed heartbeat for one path, and for the run that it acknowledges.
    pub fn seal(&mut self, key: &Key, ack: Ack, path: u32, part: usize) -> &[u8] {
        let Some(part) = self.parts.get_mut(part) else {
            return &[];
        };
        part.frame.truncate(part.signed_len);
        set_path(&mut part.frame, path);
        set_ack(&mut part.frame, ack);
        let tag = key.tag(&part.frame);
        part.frame.extend_from_slice(&tag);
        &part.frame
    }

    /// Returns the last part, or the next one if that is full; None if all are full.
    fn part_for(&mut self, heartbeat: &Heartbeat) -> Option<&mut Part> {
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
        emit_header(self.run, self.number, number, &mut part.frame);
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
