//! What is said, sealed for each path.

use super::key::{Key, NoRandomness};
use crate::wire::heartbeat::{self, Echo, FRAME_MAX, Heartbeat};

/// Seals this node's heartbeats.
#[derive(Debug)]
pub struct Sender {
    key: Key,
    sequence: u64,
    /// What was composed last, and perhaps its tag.
    frame: Vec<u8>,
    signed_len: usize,
    ports_left_out: u64,
}

impl Sender {
    /// With a key of its own, which no earlier start had.
    pub fn new() -> Result<Sender, NoRandomness> {
        Ok(Sender::with_key(Key::random()?))
    }

    pub fn with_key(key: Key) -> Sender {
        Sender {
            key,
            sequence: 0,
            frame: Vec::with_capacity(FRAME_MAX),
            signed_len: 0,
            ports_left_out: 0,
        }
    }

    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Ports that had no room in a frame, in all.
    pub fn ports_left_out(&self) -> u64 {
        self.ports_left_out
    }

    /// Begins the next heartbeat: one number, over whatever paths it goes.
    pub fn compose(&mut self, echo: Echo, heartbeat: &Heartbeat) {
        self.sequence += 1;
        let (run, sequence) = (self.key.id(), self.sequence);
        let left_out = heartbeat::emit(run, sequence, echo, heartbeat, &mut self.frame);
        self.ports_left_out += u64::try_from(left_out).unwrap_or(u64::MAX);
        self.signed_len = self.frame.len();
    }

    /// The composed heartbeat as it goes over one path.
    pub fn seal(&mut self, path: u32) -> &[u8] {
        self.frame.truncate(self.signed_len);
        heartbeat::set_path(&mut self.frame, path);
        let tag = self.key.tag(&self.frame);
        self.frame.extend_from_slice(&tag);
        &self.frame
    }
}
