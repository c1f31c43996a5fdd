//! Entry of the table: the state of one flow, in 28 bytes.

use super::Translation;
use crate::flow::{Flow, INCARNATIONS, status};

/// Number that stands for no waiting change.
pub const NOT_WAITING: u32 = 0;

/// Flags of an [`Entry`].
pub mod flag {
    /// The peer has it, or was informed of it.
    pub const KNOWN_TO_PEER: u8 = 1;
    /// The peer needs a whole record, or this node needs one of it: something differs that no other record contains.
    pub const NEEDS_WHOLE: u8 = 2;
    /// An event or a report is newer than the dump, which may be older.
    pub const FRESH: u8 = 4;
    /// A walk has found it in the kernel here.
    pub const PRESENT: u8 = 8;
    /// A packet passed here since this node's latest resync began.
    pub const PACKET_THIS_RESYNC: u8 = 16;
    /// A packet passed here between the beginnings of the resync before and of the latest one.
    pub const PACKET_LAST_RESYNC: u8 = 32;
    /// The kernel here dropped it before its time: a new one may follow at once.
    pub const DROPPED_HERE: u8 = 64;
    /// The peer no longer has it: the peer's time of expiry is the one that was written, without a report behind it.
    pub const ENDED_AT_PEER: u8 = 128;
}

/// Difference that rounding of two clocks to a second may cause.
pub const ROUNDING_S: u32 = 2;
/// Seconds by which this node writes a shorter time than a packet would set, for a flow that the peer knows: a later
/// packet then sets another time of expiry. With the usual times both are 120 s, and the packet would not be noticed.
pub const APART_S: u32 = ROUNDING_S + 1;
/// Bit of [`Entry::outbound`], above the numbers of changes and the seconds of an engine's life.
const WAITS: u32 = 1 << 31;
/// Number of rounds that can be distinguished: three bits.
pub(super) const ROUNDS: u8 = 8;
/// Place of the [`Translation`] in [`Entry::life`], above incarnation and round.
pub(super) const TRANSLATION_AT: u8 = 6;

/// A flow. Times are seconds of the engine's clock; 0 is none. It has two expiry times: one by this kernel, from packets
/// that passed it, and one by the peer's reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(Rust, packed(4))]
pub struct Entry {
    pub hash: u64,
    pub mark: u32,
    /// Number of the change that waits to be sent, with [`WAITS`]; else the time at which the peer's copy expires by the last report.
    /// In a free slot, the next free slot.
    pub(super) outbound: u32,
    /// Time of expiry by the packets that passed here, as the kernel last showed it.
    pub own_expiry_s: u32,
    /// Time of expiry by the peer's report, as it was written to the kernel here.
    pub peer_expiry_s: u32,
    /// State and status, four bits each: see [`Entry::learn`].
    pub state_and_status: u8,
    /// [`digest`] of the last whole record.
    pub digest: u8,
    /// Incarnation (three bits), round of the peer's resync that named it last (three), [`Translation`] (two).
    pub(super) life: u8,
    pub flags: u8,
}

impl Entry {
    /// Creates an entry of a flow about which nothing else is known.
    pub fn new(hash: u64, flags: u8) -> Self {
        Self {
            hash,
            flags,
            ..Self::default()
        }
    }

    /// Returns the state of TCP, SCTP or DCCP.
    pub fn state(&self) -> u8 {
        self.state_and_status & 15
    }

    /// Returns the status as [`status_byte`].
    pub fn status(&self) -> u8 {
        self.state_and_status >> 4
    }

    /// Stores the contents of a record; a partial one omits unchanged attributes.
    pub fn learn(&mut self, flow: &Flow) {
        let state = flow.state().unwrap_or(self.state());
        self.state_and_status = status_byte(flow.status) << 4 | state & 15;
        self.mark = flow.mark;
    }

    /// Returns the number of the change that waits to be sent, or [`NOT_WAITING`].
    pub fn waiting(&self) -> u32 {
        match self.outbound & WAITS {
            0 => NOT_WAITING,
            _ => self.outbound & !WAITS,
        }
    }

    /// Returns when the peer's copy expires by the last report; 0 if it is unknown, or while a change waits that reports
    /// it.
    pub fn told_expiry_s(&self) -> u32 {
        match self.outbound & WAITS {
            0 => self.outbound,
            _ => 0,
        }
    }

    pub fn wait(&mut self, number: u32) {
        self.outbound = number | WAITS;
    }

    /// Ends the wait of a change that was sent or dropped; returns the number that it had.
    pub fn stop_waiting(&mut self) -> u32 {
        let number = self.waiting();
        self.outbound = self.told_expiry_s();
        number
    }

    /// Stores when the peer's copy expires; does nothing while a change waits.
    pub fn note_told(&mut self, expires_s: u32) {
        if self.outbound & WAITS == 0 {
            self.outbound = expires_s.min(!WAITS);
        }
    }

    /// Forgets when the peer's copy expires. A waiting change will report it, and a fixed time does not change.
    pub fn forget_told_expiry(&mut self) {
        let is_fixed = status_bits(self.status()) & status::FIXED_TIMEOUT != 0;
        if self.waiting() == NOT_WAITING && !is_fixed {
            self.outbound = 0;
        }
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub fn set(&mut self, flag: u8, on: bool) {
        if on {
            self.flags |= flag
        } else {
            self.flags &= !flag
        }
    }

    /// Returns when the flow expires in the kernel, unless a packet has moved that time since.
    pub fn expires_s(&self) -> u32 {
        self.own_expiry_s.max(self.peer_expiry_s)
    }

    /// Returns true if packets that passed here keep it alive.
    pub fn is_own(&self, now_s: u32) -> bool {
        self.own_expiry_s > now_s
    }

    /// Returns true if the peer's report keeps it alive.
    pub fn is_peers(&self, now_s: u32) -> bool {
        self.peer_expiry_s > now_s && !self.has(flag::ENDED_AT_PEER)
    }

    /// Returns the entry without the time of expiry that was written.
    pub fn unwritten(mut self) -> Self {
        self.peer_expiry_s = 0;
        self
    }

    /// Returns true if a packet set this time of expiry in the kernel: it is neither node's.
    pub fn is_moved(&self, expires_s: u32) -> bool {
        let far = |known_s: u32| expires_s.abs_diff(known_s) >= ROUNDING_S;
        far(self.own_expiry_s) && far(self.peer_expiry_s)
    }

    /// Returns true if neither packets here nor the peer keep it alive.
    pub fn is_doomed(&self, now_s: u32) -> bool {
        self.has(flag::ENDED_AT_PEER) && !self.is_own(now_s)
    }

    /// Returns true if a packet passed here since the resync before the latest one began.
    pub fn is_busy(&self) -> bool {
        self.has(flag::PACKET_THIS_RESYNC | flag::PACKET_LAST_RESYNC)
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

/// Returns the kernel's status bits in one byte.
pub fn status_byte(bits: u32) -> u8 {
    let fixed = u8::from(bits & status::FIXED_TIMEOUT != 0) << 3;
    (bits & (status::EXPECTED | status::SEEN_REPLY | status::ASSURED)) as u8 | fixed
}

pub fn status_bits(byte: u8) -> u32 {
    let fixed = u32::from(byte >> 3 & 1) * status::FIXED_TIMEOUT;
    u32::from(byte & 7) | fixed
}

/// Returns a digest that shows if attributes or the translation have changed; 0 without either.
pub fn digest(flow: &Flow) -> u8 {
    const PRIME: u32 = 0x0100_0193;
    let mix = |sum: u32, byte: &u8| (sum ^ u32::from(*byte)).wrapping_mul(PRIME);
    if flow.is_plain() && flow.extra.is_empty() {
        return 0;
    }
    let reply = [flow.reply.source, flow.reply.destination];
    let reply = reply.iter().flatten().chain(&flow.reply.ports);
    let reply = reply.filter(|_| !flow.is_plain());
    (reply.chain(&flow.extra).fold(0x811c_9dc5, mix) >> 24).max(1) as u8
}
