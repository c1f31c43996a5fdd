//! Whether the kernel here could take what the peer has: one SA of each kind is tried beforehand.

use std::collections::BTreeMap;

use super::{Change, Engine};
use crate::body::suite;
use crate::sa::{Sa, SaId};
use crate::xfrm::hides_keys;

const GOOD_FOR_MS: u64 = 600_000;
/// A module may be loaded at any time.
const AGAIN_MS: u64 = 60_000;
const ESP: u8 = 50;
const EPROTONOSUPPORT: i32 = 93;
/// Of an SA whose keys the peer's kernel does not show.
pub const EKEYREJECTED: i32 = 129;

#[derive(Debug, Default)]
pub struct Proofs {
    suites: BTreeMap<Vec<u8>, usize>,
    list: Vec<Proof>,
}

#[derive(Debug)]
struct Proof {
    esp: bool,
    state: State,
    due_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Asked,
    Good,
    Refused(i32),
}

impl Proofs {
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    pub fn next_ms(&self) -> u64 {
        let due = self.list.iter().map(|it| it.due_ms);
        due.min().unwrap_or(u64::MAX)
    }

    pub fn are_asked(&self) -> bool {
        self.list.iter().any(|it| it.state == State::Asked)
    }

    pub fn refuse_some(&self) -> bool {
        let refused = |it: &Proof| matches!(it.state, State::Refused(_));
        self.list.iter().any(refused)
    }

    pub fn errno(&self, proof: Option<usize>) -> Option<i32> {
        match self.list.get(proof?)?.state {
            State::Refused(errno) => Some(errno),
            _ => None,
        }
    }

    /// Not one kind of ESP.
    pub fn lack_esp(&self) -> bool {
        let mut esp = self.list.iter().filter(|it| it.esp).peekable();
        let refused = State::Refused(EPROTONOSUPPORT);
        esp.peek().is_some() && esp.all(|it| it.state == refused)
    }
}

impl Engine {
    /// The proof that an SA needs, which is asked for where nobody did.
    pub(super) fn prove(&mut self, sa: &Sa) -> usize {
        let next = self.proofs.list.len();
        let hidden = hides_keys(sa);
        // no kind is empty
        let suite = if hidden { Vec::new() } else { suite(&sa.body) };
        let proof = *self.proofs.suites.entry(suite).or_insert(next);
        if proof == next {
            self.proofs.list.push(Proof {
                esp: sa.id.protocol == ESP,
                state: match hidden {
                    true => State::Refused(EKEYREJECTED),
                    false => State::Asked,
                },
                due_ms: u64::MAX,
            });
            if !hidden {
                self.work.push(Change::Probe(Box::new(sa.clone())));
            }
        }
        proof
    }

    pub(super) fn prove_again(&mut self, now_ms: u64) {
        if self.proofs.next_ms() > now_ms {
            return;
        }
        for position in 0..self.proofs.list.len() {
            let Some(proof) = self.proofs.list.get_mut(position) else {
                continue;
            };
            if proof.due_ms > now_ms {
                continue;
            }
            let mut held = self.held.sas.values();
            proof.due_ms = match held.find(|it| it.proof == Some(position)) {
                Some(held) => {
                    self.work.push(Change::Probe(Box::new(held.sa.clone())));
                    u64::MAX
                }
                None => now_ms + GOOD_FOR_MS,
            };
        }
    }

    pub(super) fn handle_proof(&mut self, now_ms: u64, sa: &Sa, errno: Option<i32>) {
        let position = self.proofs.suites.get(&suite(&sa.body)).copied();
        let proof = position.and_then(|it| self.proofs.list.get_mut(it));
        let Some(proof) = proof else {
            return;
        };
        (proof.state, proof.due_ms) = match errno {
            None => (State::Good, now_ms + GOOD_FOR_MS),
            Some(errno) => (State::Refused(errno), now_ms + AGAIN_MS),
        };
        self.dirty = true;
    }

    /// The peer's SAs that the kernel here does not take.
    pub(super) fn refusals(&self) -> impl Iterator<Item = (&SaId, &Sa, i32)> {
        let some = self.proofs.refuse_some();
        let held = self.held.sas.iter().filter(move |_| some);
        held.filter_map(|(id, it)| Some((id, &it.sa, self.proofs.errno(it.proof)?)))
    }
}
