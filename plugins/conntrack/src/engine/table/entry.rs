//! What is known of one flow, in 28 bytes.

use super::Translation;
use crate::flow::{Flow, INCARNATIONS, status};

/// Nothing waits for the flow.
pub const NOT_WAITING: u32 = 0;

/// Flags of an [`Entry`].
pub mod flag {
    /// The peer has it, or was told of it.
    pub const SENT: u8 = 1;
    /// Something changed that only a whole record tells.
    pub const STALE: u8 = 2;
    /// An event or the peer told of it since a dump passed it: what the dump says may be older.
    pub const FRESH: u8 = 4;
    /// A walk has found it in the kernel here.
    pub const PRESENT: u8 = 8;
    /// A packet passed here since this node's latest resync began.
    pub const RECENT: u8 = 16;
    /// The same of the resync before.
    pub const LATELY: u8 = 32;
    /// The kernel here dropped it before its time: a new one may follow at once.
    pub const ENDING: u8 = 64;
    /// The peer has it no longer: its time is what was written, and no word of the peer's.
    pub const ENDED: u8 = 128;
}

/// Two clocks are rounded to a second.
pub const ROUNDING_S: u32 = 2;
/// What this node writes of a flow that the peer knows is so much shorter than what a packet gives it:
/// whatever packet comes later, its end is another one. With the usual times both are 120 s, and nobody
/// would see the packet.
pub const APART_S: u32 = ROUNDING_S + 1;
/// Bit of [`Entry::outbound`], above the numbers of changes and the seconds of an engine's life.
const WAITS: u32 = 1 << 31;
/// Rounds that are told apart: three bits.
pub(super) const ROUNDS: u8 = 8;
/// Place of the [`Translation`] in [`Entry::life`], above incarnation and round.
pub(super) const TRANSLATION_AT: u8 = 6;

/// A flow. Times are seconds of the engine's clock; 0 is none. Two of them tell who knows that it
/// lives: this kernel, by the packets that passed it, and the peer, by its word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(Rust, packed(4))]
pub struct Entry {
    pub hash: u64,
    pub mark: u32,
    /// With [`WAITS`] the number of the change that waits to be sent, else the end of the peer's copy by
    /// what it was told: it is told again as the change goes. Of a free slot, the next free one.
    pub(super) outbound: u32,
    /// End by the packets that passed here, as the kernel showed it last.
    pub own_s: u32,
    /// End by the peer's word, as it was written to the kernel here.
    pub peer_s: u32,
    /// State and status, four bits each: see [`Entry::learn`].
    pub word: u8,
    /// [`digest`] of the last whole record.
    pub extra: u8,
    /// Incarnation (three bits), the round of the peer's resyncs that named it last (three), and its
    /// [`Translation`] (two).
    pub(super) life: u8,
    pub flags: u8,
}

impl Entry {
    /// A flow of which nothing more is known.
    pub fn new(hash: u64, flags: u8) -> Self {
        Self {
            hash,
            flags,
            ..Self::default()
        }
    }

    /// TCP's, SCTP's or DCCP's state.
    pub fn state(&self) -> u8 {
        self.word & 15
    }

    /// As [`status_byte`].
    pub fn status(&self) -> u8 {
        self.word >> 4
    }

    /// Content of a record; a partial one omits unchanged attributes.
    pub fn learn(&mut self, flow: &Flow) {
        let state = flow.state().unwrap_or(self.state());
        self.word = status_byte(flow.status) << 4 | state & 15;
        self.mark = flow.mark;
    }

    /// The number of the change that waits to be sent, or [`NOT_WAITING`].
    pub fn waiting(&self) -> u32 {
        match self.outbound & WAITS {
            0 => NOT_WAITING,
            _ => self.outbound & !WAITS,
        }
    }

    /// End of the peer's copy, by the last report; 0 if it is not known, and while a change waits to report it.
    pub fn told_s(&self) -> u32 {
        match self.outbound & WAITS {
            0 => self.outbound,
            _ => 0,
        }
    }

    pub fn wait(&mut self, number: u32) {
        self.outbound = number | WAITS;
    }

    /// The change has gone, or is not sent; the number that it had.
    pub fn stop_waiting(&mut self) -> u32 {
        let number = self.waiting();
        self.outbound = self.told_s();
        number
    }

    /// The peer's copy lives until then; nothing, while a change waits.
    pub fn tell(&mut self, end_s: u32) {
        if self.outbound & WAITS == 0 {
            self.outbound = end_s.min(!WAITS);
        }
    }

    /// When the peer's copy ends is not known. A change that waits is to tell, and a fixed time is as it was.
    pub fn forget_told(&mut self) {
        let is_fixed = status_bits(self.status()) & status::FIXED_TIMEOUT != 0;
        if self.waiting() == NOT_WAITING && !is_fixed {
            self.outbound = 0;
        }
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub fn set(&mut self, flag: u8, on: bool) {
        match on {
            true => self.flags |= flag,
            false => self.flags &= !flag,
        }
    }

    /// End of the entry in the kernel, unless a packet has moved it since.
    pub fn ends_s(&self) -> u32 {
        self.own_s.max(self.peer_s)
    }

    /// Whether it lives by packets that passed here.
    pub fn is_own(&self, now_s: u32) -> bool {
        self.own_s > now_s
    }

    /// Whether it lives by the peer's word.
    pub fn is_peers(&self, now_s: u32) -> bool {
        self.peer_s > now_s && !self.has(flag::ENDED)
    }

    /// The same before anything was written of it.
    pub fn unwritten(mut self) -> Self {
        self.peer_s = 0;
        self
    }

    /// Whether this end in the kernel is the work of a packet: neither node's time for it.
    pub fn is_moved(&self, end_s: u32) -> bool {
        let far = |known_s: u32| end_s.abs_diff(known_s) >= ROUNDING_S;
        far(self.own_s) && far(self.peer_s)
    }

    /// Whether nobody says that it lives: neither packets here, nor the peer.
    pub fn is_doomed(&self, now_s: u32) -> bool {
        self.has(flag::ENDED) && !self.is_own(now_s)
    }

    /// Whether a packet passed here since the resync before the latest one began.
    pub fn is_busy(&self) -> bool {
        self.has(flag::RECENT | flag::LATELY)
    }

    pub fn incarnation(&self) -> u8 {
        self.life % INCARNATIONS
    }

    pub fn set_incarnation(&mut self, incarnation: u8) {
        self.life = self.life / INCARNATIONS * INCARNATIONS + incarnation % INCARNATIONS;
    }

    pub fn round(&self) -> u8 {
        self.life / INCARNATIONS % ROUNDS
    }

    pub fn set_round(&mut self, round: u8) {
        const BITS: u8 = (ROUNDS - 1) * INCARNATIONS;
        self.life = self.life & !BITS | (round % ROUNDS * INCARNATIONS);
    }

    pub fn translation(&self) -> Translation {
        Translation::from_bits(self.life >> TRANSLATION_AT)
    }
}

/// The kernel's bits in one byte.
pub fn status_byte(bits: u32) -> u8 {
    let fixed = u8::from(bits & status::FIXED_TIMEOUT != 0) << 3;
    (bits & (status::EXPECTED | status::SEEN_REPLY | status::ASSURED)) as u8 | fixed
}

pub fn status_bits(byte: u8) -> u32 {
    let fixed = u32::from(byte >> 3 & 1) * status::FIXED_TIMEOUT;
    u32::from(byte & 7) | fixed
}

/// Tells whether attributes or the translation have changed; 0 without either.
pub fn digest(flow: &Flow) -> u8 {
    const PRIME: u32 = 0x0100_0193;
    let mix = |sum: u32, byte: &u8| (sum ^ u32::from(*byte)).wrapping_mul(PRIME);
    if flow.is_plain() && flow.extra.is_empty() {
        return 0;
    }
    let reply = [flow.reply.source, flow.reply.destination];
    let reply = reply.iter().flatten().chain(&flow.reply.ends);
    let reply = reply.filter(|_| !flow.is_plain());
    (reply.chain(&flow.extra).fold(0x811c_9dc5, mix) >> 24).max(1) as u8
}
