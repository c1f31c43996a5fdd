//! The replica's store: SAs and policies of both nodes, as records of two tables. This node's are in its kernel, known
//! from its reports. The peer's SAs are in memory, and its policies in this kernel as well.
//!
//! The local end of a tunnel determines the owner of a record: only the node that has that address may change it, also
//! while both nodes are active for different groups. An SA is replicated as a record, its numbers on the lane of newest
//! values. A record's value has numbers, too, so that every stored SA has some; the digest omits them.

mod blocks;
mod ended;
mod ends;
mod held;
mod index;
mod installed_policies;
mod lane;
mod local;
mod packet_rate;
mod proofs;
mod records;
mod records_to_update;
mod reserved_memory;
mod run;
mod sessions;

use std::collections::{BTreeMap, VecDeque};

use spared_replica::{Applied, Tag, Token};

use crate::codec::body::{FIRST_OWN_REQID, policy_with_own_reqids};
use crate::config::Settings;
use crate::error::Malformed;
use crate::sa::{Policy, PolicyId, Sa, SaId};
use crate::wire::{Numbers, Origin, TunnelKey, read_policy, read_sa};

pub use ended::Ended;
pub use ends::Ends;
pub use held::{Held, HeldSa};
pub use index::{Index, Record, policy_digest, sa_digest};
pub use installed_policies::InstalledPolicies;
use lane::{NumbersLane, PeerNumbers};
pub use local::{LocalPolicy, LocalSa};
pub use packet_rate::{THRESHOLD_FIRST, threshold_of};
pub use proofs::{EKEYREJECTED, ProofState, Proofs, RETRY_NS, SUPPORTED_FOR_NS};
pub use reserved_memory::ReservedMemory;
use run::Run;
pub use sessions::SessionStore;

/// Limit of each table; further SAs or policies are refused.
pub const TABLE_MAX: usize = 65_536;

/// Work for the engine after a write of the replica.
#[derive(Debug)]
pub enum Effect {
    /// An SA of the peer is now held.
    Held(SaId),
    /// An SA is no longer held.
    Released(SaId),
    /// The kernel is to be asked if it supports such an SA.
    Prove(Box<Sa>),
    /// A policy of the peer is to be installed in the kernel here; its tokens get their result afterwards.
    PolicyHeld(PolicyId),
    /// A policy is no longer to be installed.
    PolicyReleased(PolicyId),
    /// Last numbers that the peer received, or sent, before it became backup.
    FormerNumbers(SaId, Box<Numbers>),
}

/// The store.
#[derive(Debug, Default)]
pub struct Tunnels {
    pub run: Run,
    /// Time of the replica's present call.
    pub now_ns: u64,
    /// True if this node is active for a group.
    pub is_active: bool,
    pub ends: Ends,
    /// SAs and policies of the kernel here.
    pub sas: BTreeMap<SaId, LocalSa>,
    pub policies: BTreeMap<PolicyId, LocalPolicy>,
    /// SAs and policies of the peer's kernel, for a failover.
    pub held: Held,
    pub installed_policies: InstalledPolicies,
    pub proofs: Proofs,
    pub index: Index,
    pub sessions: SessionStore,
    pub ended: Ended,
    pub lane: NumbersLane,
    pub peer_numbers: PeerNumbers,
    effects: VecDeque<Effect>,
}

impl Tunnels {
    /// Creates the store of one incarnation.
    pub fn new(incarnation: u64, settings: &Settings) -> Self {
        Self {
            run: Run::new(incarnation),
            ends: Ends::new(settings),
            ..Self::default()
        }
    }

    /// Handles the end of the session with the peer.
    pub fn handle_down(&mut self) {
        self.lane.handle_down();
        // the peer may receive more meanwhile
        self.peer_numbers = PeerNumbers::default();
    }

    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// SAs of the kernel here that this plugin replicates, in this run or an earlier one.
    pub fn replicated_sas(&self) -> impl Iterator<Item = (&SaId, &LocalSa)> {
        let sas = self.sas.iter();
        sas.filter(|(_, it)| it.sa.reqid >= FIRST_OWN_REQID)
    }

    /// Returns the record of an SA: of the kernel, if this node carries it; else as it is held.
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
            self.held.sas().get(id).map(|it| Record {
                key: TunnelKey::sa(&it.sa, it.side),
                tag: Tag::default(),
                digest: sa_digest(&it.sa, it.name.as_ref()),
                is_local: false,
            })
        };
        carried.or_else(held)
    }

    /// Returns the record of a policy.
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
        let report = read_sa(key, value)?;
        let id = report.sa.id;
        let is_known = self.held.sas().contains_key(&id);
        if !is_known && self.held.sas().len() >= TABLE_MAX {
            return Ok(Applied::Refused);
        }
        let is_copy = report.numbers.origin == Origin::Copy;
        let mut held = HeldSa::from_report(self.now_ns, report);
        let (proof, is_new) = self.proofs.find_or_add(&held.sa);
        held.proof = Some(proof);
        if is_new {
            self.effects
                .push_back(Effect::Prove(Box::new(held.sa.clone())));
        }
        if let Some(before) = self.held.sas().get(&id).filter(|_| is_copy) {
            held.keep_numbers(before);
        }
        self.held.put_sa(id, held);
        if let Some(record) = self.present_sa(&id) {
            self.index.sas.put(id, record);
        }
        self.effects.push_back(Effect::Held(id));
        let Some(proof) = self.proofs.list.get_mut(&proof) else {
            return Ok(Applied::Refused);
        };
        Ok(match proof.state {
            ProofState::Supported => Applied::Done,
            ProofState::Refused(_) => Applied::Refused,
            ProofState::Pending => {
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
        let policy = policy_with_own_reqids(&read_policy(key, value)?);
        let id = policy.id;
        if let Some(carried) = self.index.policies.get(&id).filter(|it| it.is_local) {
            // both nodes have one of their own; a policy without a local end serves both
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
        if is_same && self.installed_policies.has(&id) && !self.installed_policies.is_refused(&id) {
            return Ok(Applied::Same);
        }
        self.held.policies.insert(id, policy);
        if let Some(record) = self.present_policy(&id) {
            self.index.policies.put(id, record);
        }
        self.installed_policies.wait(id, token);
        self.effects.push_back(Effect::PolicyHeld(id));
        Ok(Applied::Later)
    }
}
