//! Proofs: kinds of SAs that the kernel here is known to support.

use std::collections::BTreeMap;

use spared_replica::Token;

use crate::SECOND;
use crate::codec::body::suite;
use crate::codec::hides_keys;
use crate::sa::Sa;

pub const SUPPORTED_FOR_NS: u64 = 600 * SECOND;
/// Interval of retries, since a module may be loaded at any time.
pub const RETRY_NS: u64 = 60 * SECOND;
/// Limit of kinds, since the peer decides how many it names.
const KINDS_MAX: usize = 4_096;
const ESP: u8 = 50;
const ENOSPC: i32 = 28;
const EPROTONOSUPPORT: i32 = 93;
/// Error for an SA whose keys the peer's kernel does not show.
pub const EKEYREJECTED: i32 = 129;

#[derive(Debug, Default)]
pub struct Proofs {
    suites: BTreeMap<Vec<u8>, u64>,
    pub list: BTreeMap<u64, Proof>,
    last: u64,
}

#[derive(Debug)]
pub struct Proof {
    esp: bool,
    pub state: ProofState,
    pub due_ns: u64,
    /// Tokens of the peer's records that wait for the kernel's answer.
    pub tokens: Vec<Token>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofState {
    Pending,
    Supported,
    Refused(i32),
}

impl Proofs {
    pub fn next_ns(&self) -> u64 {
        let due = self.list.values().map(|it| it.due_ns);
        due.min().unwrap_or(u64::MAX)
    }

    pub fn any_pending(&self) -> bool {
        let mut states = self.list.values().map(|it| it.state);
        states.any(|it| it == ProofState::Pending)
    }

    pub fn any_refused(&self) -> bool {
        let refused = |it: &Proof| matches!(it.state, ProofState::Refused(_));
        self.list.values().any(refused)
    }

    pub fn errno(&self, proof: Option<u64>) -> Option<i32> {
        match self.list.get(&proof?)?.state {
            ProofState::Refused(errno) => Some(errno),
            _ => None,
        }
    }

    /// Returns true if no kind of ESP is supported.
    pub fn is_esp_missing(&self) -> bool {
        let mut esp = self.list.values().filter(|it| it.esp).peekable();
        let refused = ProofState::Refused(EPROTONOSUPPORT);
        esp.peek().is_some() && esp.all(|it| it.state == refused)
    }

    /// Returns the proof that an SA needs, and whether the kernel is to be asked for it.
    pub fn find_or_add(&mut self, sa: &Sa) -> (u64, bool) {
        let hidden = hides_keys(sa);
        // no other kind is empty
        let suite = if hidden { Vec::new() } else { suite(&sa.body) };
        if let Some(known) = self.suites.get(&suite) {
            return (*known, false);
        }
        let state = match hidden {
            true => ProofState::Refused(EKEYREJECTED),
            false if self.suites.len() >= KINDS_MAX => ProofState::Refused(ENOSPC),
            false => ProofState::Pending,
        };
        if state == ProofState::Refused(ENOSPC) {
            return (self.overflow_proof(), false);
        }
        self.last += 1;
        self.suites.insert(suite, self.last);
        let proof = Proof {
            esp: sa.id.protocol == ESP,
            state,
            due_ns: u64::MAX,
            tokens: Vec::new(),
        };
        self.list.insert(self.last, proof);
        (self.last, state == ProofState::Pending)
    }

    /// Returns the common proof of all SAs beyond the limit.
    fn overflow_proof(&mut self) -> u64 {
        self.list.entry(0).or_insert(Proof {
            esp: false,
            state: ProofState::Refused(ENOSPC),
            due_ns: u64::MAX,
            tokens: Vec::new(),
        });
        0
    }

    /// Returns the proof of an SA that was tried.
    pub fn of_sa(&mut self, sa: &Sa) -> Option<&mut Proof> {
        let position = self.suites.get(&suite(&sa.body))?;
        self.list.get_mut(position)
    }

    /// Removes a proof that no SA needs any more.
    pub fn forget(&mut self, proof: u64) {
        self.list.remove(&proof);
        self.suites.retain(|_, it| *it != proof);
    }
}
