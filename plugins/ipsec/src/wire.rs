//! What the peers say to each other. Numbers are little-endian; a body is the kernel's own bytes,
//! which is why roles come with how a machine lays them out.
//!
//! ```text
//!  1 role             active 8, order 8, word 8, SA 16, policy 16
//!  2 want
//!  3 begin            epoch 32, SAs 32, policies 32
//!  4 SAs              told ...
//!  5 counters         counted ...
//!  6 delete SAs       id ...
//!  7 policies         (body n 16, body ..., interface n 8, ...) ...
//!  8 delete policies  (selector 56 bytes, interface n 8, ..., direction 8, kind 8, mark 64, if_id 32) ...
//!  9 end              epoch 32
//! 10 synced           epoch 32
//! 11 refused          count 32, (id, errno 32) ...
//! 12 final
//! 13 last             counted ...
//! 14 unsure           yes 8
//!
//! id          family 8 (4, 6), destination, spi 32, protocol 8, mark 32, mask 32
//! told        body n 16, body ..., interfaces, side 8 (0 in, 1 out), replay, life, pace, name
//! counted     id, replay, life, pace
//! interfaces  selector n 8, ..., offload n 8, ..., flags 8 where n > 0
//! replay      oseq 64, seq 64, window 32, words 8, bits 32 ...; words 255: 32 bits of the old form
//! life        bytes 64, packets 64, age 64, used 8, since 64 where used
//! pace        threshold 32, packets a second 32
//! name        connection n 8, ..., child n 8, ... where n > 0
//! ```
//!
//! The parser takes any bytes without a panic: [`Message::parse`].

mod reader;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use crate::body;
use crate::error::Malformed;
use crate::sa::{
    ChildName, Direction, Interfaces, Life, Mark, Policy, PolicyId, Replay, ReplayForm, Sa, SaId,
};

/// A message is never longer: the channel takes 64 KiB.
pub const MESSAGE_MAX: usize = 60_000;
/// Of an SA or a policy; the kernel's own limits on keys are far below.
pub const BODY_MAX: usize = 4096;
/// Of a ring of received numbers: 4096 packets, as many as the kernel takes.
pub const WORDS_MAX: usize = 128;
/// In place of the number of words.
const LEGACY: u8 = 255;
/// Room for one more record, whatever it is.
const RECORD_MAX: usize = BODY_MAX + 4 * WORDS_MAX + 5 * 256 + 128;

#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Of the sender: whether it is active.
    Role {
        active: bool,
        layout: Layout,
    },
    /// From a backup: send what you have.
    Request,
    /// All policies and SAs follow, until `End`.
    Begin {
        epoch: u32,
        sas: u32,
        policies: u32,
    },
    Sas(Vec<ToldSa>),
    Counters(Vec<Counted>),
    DeleteSas(Vec<SaId>),
    Policies(Vec<Policy>),
    DeletePolicies(Vec<PolicyId>),
    End {
        epoch: u32,
    },
    /// From a backup: all up to that end is here.
    InSync {
        epoch: u32,
    },
    /// From a backup: its kernel could not take so many SAs, the first of them with errnos.
    Refused {
        count: u32,
        first: Vec<(SaId, i32)>,
    },
    /// Before a switchover: the counters are exact.
    Final,
    /// After one: what the node received that is backup now.
    Last(Vec<Counted>),
    /// Counters may be older than their bound, or are not any more.
    Unsure {
        yes: bool,
    },
}

/// How a machine lays out the kernel's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub big_endian: bool,
    /// Bytes of a word.
    pub word: u8,
    /// Bytes of `struct xfrm_usersa_info`.
    pub sa: u16,
    pub policy: u16,
}

impl Layout {
    pub const HERE: Self = Self {
        big_endian: cfg!(target_endian = "big"),
        word: size_of::<usize>() as u8,
        sa: body::SA_LEN as u16,
        policy: body::POLICY_LEN as u16,
    };
}

/// How fast an SA is, and how often its counters are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// In packets.
    pub threshold: u32,
    /// In the last seconds at most.
    pub packets_per_s: u32,
}

/// An SA as its node tells of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToldSa {
    pub sa: Sa,
    pub side: Direction,
    pub pace: Pace,
    pub name: Option<ChildName>,
}

/// Its numbers alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted {
    pub id: SaId,
    pub replay: Replay,
    pub life: Life,
    pub pace: Pace,
}

impl Message {
    /// Reads the peer's bytes.
    ///
    /// # Errors
    /// They are no message.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        reader::parse(bytes)
    }

    pub fn emit(&self) -> Vec<u8> {
        let mut it = Records::new(self.kind());
        match self {
            Self::Role { active, layout } => it.put_role(*active, *layout),
            Self::Request | Self::Final => {}
            Self::Begin {
                epoch,
                sas,
                policies,
            } => [epoch, sas, policies].iter().for_each(|n| it.u32(**n)),
            Self::Sas(told) => told
                .iter()
                .for_each(|t| it.put_sa(&t.sa, t.sa.life, t.side, t.pace, t.name.as_ref())),
            Self::Counters(counted) | Self::Last(counted) => counted
                .iter()
                .for_each(|c| it.put_counters(&c.id, &c.replay, c.life, c.pace)),
            Self::DeleteSas(ids) => ids.iter().for_each(|id| it.put_id(id)),
            Self::Policies(policies) => policies.iter().for_each(|policy| it.put_policy(policy)),
            Self::DeletePolicies(ids) => ids.iter().for_each(|id| it.put_policy_id(id)),
            Self::End { epoch } | Self::InSync { epoch } => it.u32(*epoch),
            Self::Refused { count, first } => {
                it.u32(*count);
                for (id, errno) in first {
                    it.put_id(id);
                    it.u32(*errno as u32);
                }
            }
            Self::Unsure { yes } => it.u8(u8::from(*yes)),
        }
        it.bytes
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Role { .. } => 1,
            Self::Request => 2,
            Self::Begin { .. } => 3,
            Self::Sas(_) => Records::SAS,
            Self::Counters(_) => Records::COUNTERS,
            Self::DeleteSas(_) => Records::DELETE_SAS,
            Self::Policies(_) => Records::POLICIES,
            Self::DeletePolicies(_) => Records::DELETE_POLICIES,
            Self::End { .. } => 9,
            Self::InSync { .. } => 10,
            Self::Refused { .. } => 11,
            Self::Final => 12,
            Self::Last(_) => Records::LAST,
            Self::Unsure { .. } => 14,
        }
    }
}

/// A message of records, as long as there is room for one more.
pub struct Records {
    bytes: Vec<u8>,
    count: usize,
}

impl Records {
    pub const SAS: u8 = 4;
    pub const COUNTERS: u8 = 5;
    pub const DELETE_SAS: u8 = 6;
    pub const POLICIES: u8 = 7;
    pub const DELETE_POLICIES: u8 = 8;
    pub const LAST: u8 = 13;

    pub fn new(kind: u8) -> Self {
        // a buffer that grows would leave keys behind
        let mut bytes = Vec::with_capacity(MESSAGE_MAX);
        bytes.push(kind);
        Self { bytes, count: 0 }
    }

    pub fn is_full(&self) -> bool {
        self.bytes.len() + RECORD_MAX > MESSAGE_MAX
    }

    /// The message, unless nothing is in it.
    pub fn finish(self) -> Option<Vec<u8>> {
        (self.count > 0).then_some(self.bytes)
    }

    pub fn put_sa(
        &mut self,
        sa: &Sa,
        life: Life,
        side: Direction,
        pace: Pace,
        name: Option<&ChildName>,
    ) {
        self.count += 1;
        self.put_body(sa.body.bytes());
        self.put_interfaces(&sa.interfaces);
        self.u8(u8::from(side == Direction::Out));
        self.put_numbers(&sa.replay, life, pace);
        match name {
            None => self.u8(0),
            Some(name) => {
                self.put_text(&name.ike);
                self.put_text(&name.child);
            }
        }
    }

    pub fn put_counters(&mut self, id: &SaId, replay: &Replay, life: Life, pace: Pace) {
        self.put_id(id);
        self.put_numbers(replay, life, pace);
    }

    pub fn put_id(&mut self, id: &SaId) {
        self.count += 1;
        match id.destination {
            IpAddr::V4(address) => {
                self.u8(4);
                self.bytes.extend(address.octets());
            }
            IpAddr::V6(address) => {
                self.u8(6);
                self.bytes.extend(address.octets());
            }
        }
        self.u32(id.spi);
        self.u8(id.protocol);
        self.put_mark(id.mark);
    }

    pub fn put_policy(&mut self, policy: &Policy) {
        self.count += 1;
        self.put_body(policy.body.bytes());
        self.put_text(policy.id.interface.text().unwrap_or_default());
    }

    pub fn put_policy_id(&mut self, id: &PolicyId) {
        self.count += 1;
        self.bytes.extend(id.selector);
        self.put_text(id.interface.text().unwrap_or_default());
        self.bytes.extend([id.direction, id.kind]);
        self.put_mark(id.mark);
        self.u32(id.if_id);
    }

    fn put_role(&mut self, active: bool, layout: Layout) {
        self.bytes
            .extend([u8::from(active), u8::from(layout.big_endian), layout.word]);
        self.bytes.extend(layout.sa.to_le_bytes());
        self.bytes.extend(layout.policy.to_le_bytes());
    }

    /// Nobody makes a longer one: who has one does not tell of it.
    fn put_body(&mut self, body: &[u8]) {
        let body = &body[..body.len().min(BODY_MAX)];
        self.bytes.extend((body.len() as u16).to_le_bytes());
        self.bytes.extend_from_slice(body);
    }

    fn put_interfaces(&mut self, interfaces: &Interfaces) {
        self.put_text(interfaces.selector.as_deref().unwrap_or_default());
        match &interfaces.offload {
            None => self.u8(0),
            Some((name, flags)) => {
                self.put_text(name);
                self.u8(*flags);
            }
        }
    }

    fn put_numbers(&mut self, replay: &Replay, life: Life, pace: Pace) {
        self.u64(replay.oseq);
        self.u64(replay.seq);
        self.u32(replay.window);
        match &replay.form {
            ReplayForm::Legacy(bits) => {
                self.u8(LEGACY);
                self.u32(*bits);
            }
            ReplayForm::Extended(words) => {
                let words = &words[..words.len().min(WORDS_MAX)];
                self.u8(words.len() as u8);
                words.iter().for_each(|word| self.u32(*word));
            }
        }
        self.u64(life.bytes);
        self.u64(life.packets);
        self.u64(life.age_s);
        self.u8(u8::from(life.used_s.is_some()));
        life.used_s.iter().for_each(|used_s| self.u64(*used_s));
        self.u32(pace.threshold);
        self.u32(pace.packets_per_s);
    }

    fn put_mark(&mut self, mark: Mark) {
        self.u32(mark.value);
        self.u32(mark.mask);
    }

    fn put_text(&mut self, text: &str) {
        let bytes = &text.as_bytes()[..text.len().min(255)];
        self.u8(bytes.len() as u8);
        self.bytes.extend_from_slice(bytes);
    }

    fn u8(&mut self, number: u8) {
        self.bytes.push(number);
    }

    fn u32(&mut self, number: u32) {
        self.bytes.extend(number.to_le_bytes());
    }

    fn u64(&mut self, number: u64) {
        self.bytes.extend(number.to_le_bytes());
    }
}
