//! Requests to the link's process: signatures of this node, and verifications of the peer's.

use super::key_share::{self, KeyShare};
use super::peer_runs::{PeerRun, PendingRequest, PendingVerification};
use super::{Agreement, PAUSE_NS};
use crate::heartbeats::key::NoRandomness;
use crate::wire::offer::{Offer, Signature};

/// Number of repetitions of an unanswered offer; later only a message of its receiver repeats it.
const REPEATS: u32 = 20;
/// Number of requests for one verification.
const TRIES: u32 = 3;

/// A request to the link's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Sign {
        ticket: u64,
        statement: Vec<u8>,
    },
    Verify {
        ticket: u64,
        statement: Vec<u8>,
        signature: Signature,
    },
}

impl Agreement {
    /// Handles this node's signature.
    pub fn handle_signed(&mut self, now_ns: u64, ticket: u64, signature: &[u8]) {
        let Ok(signature) = Signature::try_from(signature) else {
            return;
        };
        let (run, offers) = (self.run, self.offers());
        let signs = |entry: &&mut PeerRun| {
            entry
                .signature_request
                .as_ref()
                .is_some_and(|it| it.is(ticket))
        };
        let Some(entry) = self.table.iter_mut().find(signs) else {
            return;
        };
        let Some(offer) = entry.own_offer(run) else {
            return;
        };
        entry.signature_request = None;
        let frame = offer.frame(!offers, &signature).to_vec();
        entry.frame = Some(frame.clone());
        entry.sent_ns = now_ns;
        if offers {
            entry.repeats = REPEATS;
            entry.again_ns = Some(now_ns.saturating_add(PAUSE_NS));
        }
        self.frames.push_back(frame);
    }

    /// Handles the result of a verification. Returns false if a frame was forged.
    pub fn handle_verified(&mut self, now_ns: u64, ticket: u64, genuine: bool) -> bool {
        let checks = |entry: &&mut PeerRun| {
            entry
                .verification
                .as_ref()
                .is_some_and(|it| it.request.is(ticket))
        };
        let Some(entry) = self.table.iter_mut().find(checks) else {
            return true;
        };
        let Some(verification) = entry.verification.take() else {
            return true;
        };
        if !genuine {
            self.counters.forged += 1;
            let run = entry.run;
            if entry.own_share.is_none() {
                self.table.remove(run);
            }
            return false;
        }
        if self.handle_peer_share(now_ns, &verification.offer).is_err() {
            log::error!("heartbeats: {NoRandomness}");
        }
        true
    }

    /// Uses the peer's authentic key share.
    fn handle_peer_share(&mut self, now_ns: u64, offer: &Offer) -> Result<(), NoRandomness> {
        let offers = self.offers();
        let Some(mut entry) = self.table.take(offer.from) else {
            return Ok(());
        };
        if offers && entry.peer_share.is_some() {
            // the run answered twice, and forgot the first answer: both begin again
            self.number += 1;
            entry.number = self.number;
            entry.peer_share = None;
            entry.own_share = Some(KeyShare::generate()?);
            self.sign(now_ns, &mut entry);
        } else {
            if !offers {
                entry.number = offer.number;
                entry.own_share = Some(KeyShare::generate()?);
            }
            entry.peer_share = Some(offer.public);
            entry.alive_ns = now_ns;
            entry.again_ns = None;
            self.agree(&mut entry);
            if !offers {
                self.sign(now_ns, &mut entry);
            }
        }
        let current = self.current_run();
        self.table.insert(entry, current);
        Ok(())
    }

    fn agree(&mut self, entry: &mut PeerRun) {
        let (Some(peer), Some(own_share), Some(peer_share)) =
            (&self.peer, entry.own_share.as_mut(), entry.peer_share)
        else {
            return;
        };
        let sides = [
            key_share::Side::new(&self.own, self.run, own_share.public),
            key_share::Side::new(peer, entry.run, peer_share),
        ];
        if let Some(agreed) = key_share::agree(own_share, sides) {
            self.counters.agreed += 1;
            self.agreed.push_back(agreed);
        }
    }

    pub(super) fn sign(&mut self, now_ns: u64, entry: &mut PeerRun) {
        entry.frame = None;
        self.ticket += 1;
        entry.signature_request = Some(PendingRequest::new(self.ticket, now_ns));
        let request = self.signature_of(entry);
        self.requests.extend(request);
    }

    pub(super) fn verify(&mut self, now_ns: u64, offer: Offer, signature: Signature) {
        self.ticket += 1;
        let request = PendingRequest::new(self.ticket, now_ns);
        if let Some(entry) = self.table.find(offer.from) {
            entry.verification = Some(PendingVerification {
                request,
                offer,
                signature,
                tries: TRIES,
            });
        }
        let entry = self.table.iter().find(|entry| entry.run == offer.from);
        let request = entry.and_then(|entry| self.verification_of(entry));
        self.requests.extend(request);
    }

    fn signature_of(&self, entry: &PeerRun) -> Option<Request> {
        let (offer, peer) = (entry.own_offer(self.run)?, self.peer.as_deref()?);
        let answers = entry.peer_share.filter(|_| !self.offers());
        Some(Request::Sign {
            ticket: entry.signature_request.as_ref()?.ticket,
            statement: offer.statement(answers.as_ref(), &self.own, peer),
        })
    }

    fn verification_of(&self, entry: &PeerRun) -> Option<Request> {
        let (verification, peer) = (entry.verification.as_ref()?, self.peer.as_deref()?);
        let answers = entry.own_share.as_ref().filter(|_| self.offers());
        let answers = answers.map(|own_share| &own_share.public);
        Some(Request::Verify {
            ticket: verification.request.ticket,
            statement: verification.offer.statement(answers, peer, &self.own),
            signature: verification.signature,
        })
    }

    /// Repeats a request that the link's process did not answer.
    pub(super) fn repeat_requests(&mut self, now_ns: u64, place: usize) {
        let Some(entry) = self.table.get_mut(place) else {
            return;
        };
        let is_due = |request: &mut PendingRequest| request.take_due(now_ns);
        let signs = entry.signature_request.as_mut().is_some_and(is_due);
        let verifies = entry
            .verification
            .as_mut()
            .is_some_and(|it| it.request.take_due(now_ns));
        if let Some(verification) = entry.verification.as_mut().filter(|_| verifies) {
            verification.tries -= 1;
            if verification.tries == 0 {
                // its sender repeats it
                entry.verification = None;
            }
        }
        let Some(entry) = self.table.iter().nth(place) else {
            return;
        };
        let signature = self.signature_of(entry).filter(|_| signs);
        let verification = self.verification_of(entry).filter(|_| verifies);
        self.requests
            .extend(signature.into_iter().chain(verification));
    }
}
