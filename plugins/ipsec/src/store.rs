//! The SAs and policies of both nodes: this node's are in its kernel, known from its reports; the
//! peer's are in memory, with their policies in the kernel here as well. To the replica both are
//! records of the same two tables.
//!
//! The end of a tunnel on the routers tells whose a record is: who has that address alone may change
//! it, also while both nodes are active for different groups. What an SA is travels as a record, its
//! numbers on the lane of newest values. Numbers go with a record's value too, so that no SA is ever
//! kept without; a digest leaves them out.

mod ended;
mod ends;
mod held;
mod index;
mod local;
mod proofs;
mod put;
mod rate;
mod records;
mod unsorted;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use spared_replica::{Applied, Tag, Token};

use crate::codec::body::shifted_policy;
use crate::config::Settings;
use crate::error::Malformed;
use crate::sa::{Policy, PolicyId, Sa, SaId};
use crate::wire::{AllNumbers, Numbers, Origin, TunnelKey, read_policy, read_sa};

pub use ended::Ended;
pub use ends::Ends;
pub use held::{Held, HeldSa, Room};
pub use index::{Index, Record, policy_digest, sa_digest};
pub use local::{LocalPolicy, LocalSa};
pub use proofs::{AGAIN_NS, EKEYREJECTED, GOOD_FOR_NS, ProofState, Proofs};
pub use put::Put;
pub use rate::{THRESHOLD_FIRST, threshold_of};

/// Of SAs, and of policies: what is beyond is refused.
pub const TABLE_MAX: usize = 65_536;

/// Work for the engine after a write of the replica.
#[derive(Debug)]
pub enum Effect {
    /// An SA of the peer is kept now.
    Held(SaId),
    /// It is not any more.
    Released(SaId),
    /// The kernel is to be asked whether it could take such an SA.
    Prove(Box<Sa>),
    /// A policy of the peer belongs into the kernel here; then its tokens have their verdict.
    PolicyHeld(PolicyId),
    /// It does not any more.
    PolicyReleased(PolicyId),
    /// Last numbers that the peer received when it had become backup.
    LastWord(SaId, Box<Numbers>),
}

/// The lane of numbers.
#[derive(Debug, Default)]
pub struct Lane {
    /// To be put on the lane.
    pub due: BTreeSet<SaId>,
    pub all_due: bool,
    /// What is so of all that is sent.
    pub all: AllNumbers,
    /// What this node received last, told again with each pair of roles for a while.
    pub last_words: BTreeMap<SaId, Numbers>,
    pub last_until_ns: u64,
}

/// The store.
#[derive(Debug)]
pub struct Tunnels {
    life: u64,
    /// The time, as of the call of the replica that is under way.
    pub now_ns: u64,
    /// Until then this run may not know of its own what the peer keeps for it.
    pub fresh_until_ns: u64,
    /// All that the kernel has was seen once.
    pub is_read: bool,
    /// This node is active for any group.
    pub is_active: bool,
    pub ends: Ends,
    /// SAs and policies of the kernel here.
    pub sas: BTreeMap<SaId, LocalSa>,
    pub policies: BTreeMap<PolicyId, LocalPolicy>,
    /// SAs and policies of the peer's kernel, for a failover.
    pub held: Held,
    pub put: Put,
    pub proofs: Proofs,
    pub index: Index,
    pub ended: Ended,
    pub lane: Lane,
    /// What the peer says of all its numbers, and since when they are exact.
    pub peer_unsure: bool,
    pub exact_ns: Option<u64>,
    pub effects: VecDeque<Effect>,
}

impl Tunnels {
    /// A store of one life. The records of the peer are in this process's memory, so a life ends with
    /// the process: with the boot's alone, what a restart forgot would count as deleted.
    pub fn new(life: u64, settings: &Settings) -> Self {
        Self {
            life,
            now_ns: 0,
            fresh_until_ns: 0,
            is_read: false,
            is_active: false,
            ends: Ends::new(settings),
            sas: BTreeMap::new(),
            policies: BTreeMap::new(),
            held: Held::default(),
            put: Put::default(),
            proofs: Proofs::default(),
            index: Index::default(),
            ended: Ended::default(),
            lane: Lane::default(),
            peer_unsure: false,
            exact_ns: None,
            effects: VecDeque::new(),
        }
    }

    /// The record that an SA makes now: of the kernel, if this node carries it; else as it is kept.
    pub fn present_sa(&self, id: &SaId) -> Option<Record> {
        let carried = self.sas.get(id).and_then(|it| {
            Some(Record {
                key: self.carried_sa(it)?,
                tag: Tag::default(),
                digest: sa_digest(&it.sa, it.name.as_ref()),
                is_local: true,
            })
        });
        let held = || {
            self.held.sas.get(id).map(|it| Record {
                key: TunnelKey::sa(&it.sa, it.side),
                tag: Tag::default(),
                digest: sa_digest(&it.sa, it.name.as_ref()),
                is_local: false,
            })
        };
        carried.or_else(held)
    }

    /// The record that a policy makes now.
    pub fn present_policy(&self, id: &PolicyId) -> Option<Record> {
        let record = |key, policy: &Policy, is_local| Record {
            key,
            tag: Tag::default(),
            digest: policy_digest(policy),
            is_local,
        };
        let carried = self.policies.get(id).and_then(|it| {
            let key = self.carried_policy(it)?;
            Some(record(key, &it.policy, true))
        });
        let held = || self.held.policies.get(id);
        carried.or_else(|| held().map(|it| record(TunnelKey::policy(it), it, false)))
    }

    fn apply_sa(
        &mut self,
        key: &TunnelKey,
        value: &[u8],
        token: Token,
    ) -> Result<Applied, Malformed> {
        let told = read_sa(key, value)?;
        let id = told.sa.id;
        let is_known = self.held.sas.contains_key(&id);
        if !is_known && self.held.sas.len() >= TABLE_MAX {
            return Ok(Applied::Refused);
        }
        let is_copy = told.numbers.origin == Origin::Copy;
        let mut held = HeldSa::told(self.now_ns, told);
        let (proof, is_new) = self.proofs.of(&held.sa);
        held.proof = Some(proof);
        if is_new {
            self.effects
                .push_back(Effect::Prove(Box::new(held.sa.clone())));
        }
        if let Some(before) = self.held.sas.get(&id).filter(|_| is_copy) {
            held.keep_numbers(before);
        }
        self.held.sas.insert(id, held);
        self.exact_ns = None;
        if let Some(record) = self.present_sa(&id) {
            self.index.sas.put(id, record);
        }
        self.effects.push_back(Effect::Held(id));
        let Some(proof) = self.proofs.list.get_mut(&proof) else {
            return Ok(Applied::Refused);
        };
        Ok(match proof.state {
            ProofState::Good => Applied::Done,
            ProofState::Refused(_) => Applied::Refused,
            ProofState::Asked => {
                proof.tokens.push(token);
                Applied::Later
            }
        })
    }

    fn apply_policy(
        &mut self,
        key: &TunnelKey,
        value: &[u8],
        token: Token,
    ) -> Result<Applied, Malformed> {
        let policy = shifted_policy(&read_policy(key, value)?);
        let id = policy.id;
        if let Some(carried) = self.index.policies.get(&id).filter(|it| it.is_local) {
            // both nodes have one of their own; without an end it serves both
            return Ok(match carried.key.local_end() {
                None => Applied::Same,
                Some(_) => Applied::Refused,
            });
        }
        let before = self.held.policies.get(&id);
        if before.is_none() && self.held.policies.len() >= TABLE_MAX {
            return Ok(Applied::Refused);
        }
        let is_same = before == Some(&policy);
        if is_same && self.put.has(&id) && !self.put.refused.contains_key(&id) {
            return Ok(Applied::Same);
        }
        self.held.policies.insert(id, policy);
        self.exact_ns = None;
        if let Some(record) = self.present_policy(&id) {
            self.index.policies.put(id, record);
        }
        self.put.tokens.entry(id).or_default().push(token);
        self.effects.push_back(Effect::PolicyHeld(id));
        Ok(Applied::Later)
    }
}
