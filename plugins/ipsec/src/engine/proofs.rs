//! Tries whether the kernel here could take the peer's SAs: one SA of each kind is tried in advance.

use super::{Change, Engine};
use crate::sa::{Sa, SaId};
use crate::store::{ProofState, RETRY_NS, SUPPORTED_FOR_NS};
use crate::wire::SAS;

impl Engine {
    pub(super) fn retry_proofs(&mut self, now_ns: u64) {
        if self.store.proofs.next_ns() > now_ns {
            return;
        }
        let due = self.store.proofs.list.iter();
        let due = due.filter(|(_, it)| it.due_ns <= now_ns);
        for position in due.map(|(position, _)| *position).collect::<Vec<u64>>() {
            let mut held = self.store.held.sas().values();
            let Some(held) = held.find(|it| it.proof == Some(position)) else {
                self.store.proofs.forget(position);
                continue;
            };
            self.push_change(Change::Probe(Box::new(held.sa.clone())));
            if let Some(proof) = self.store.proofs.list.get_mut(&position) {
                proof.due_ns = u64::MAX;
            }
        }
    }

    pub(super) fn handle_proof(&mut self, now_ns: u64, sa: &Sa, errno: Option<i32>) {
        let Some(proof) = self.store.proofs.of_sa(sa) else {
            return;
        };
        let before = proof.state;
        (proof.state, proof.due_ns) = match errno {
            None => (ProofState::Supported, now_ns + SUPPORTED_FOR_NS),
            Some(errno) => (ProofState::Refused(errno), now_ns + RETRY_NS),
        };
        let tokens = std::mem::take(&mut proof.tokens);
        self.give_verdicts(now_ns, tokens, errno.is_none());
        if errno.is_none() && matches!(before, ProofState::Refused(_)) {
            // refused SAs are accepted now
            self.replica.resync(SAS);
        }
        self.mark_dirty();
    }

    /// SAs of the peer that the kernel here does not take, with the errno.
    pub(super) fn refusals(&self) -> impl Iterator<Item = (&SaId, &Sa, i32)> {
        let proofs = &self.store.proofs;
        let some = proofs.any_refused();
        let held = self.store.held.sas().iter().filter(move |_| some);
        held.filter_map(|(id, it)| Some((id, &it.sa, proofs.errno(it.proof)?)))
    }
}
