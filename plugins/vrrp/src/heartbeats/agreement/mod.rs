//! Agrees on the keys of heartbeats between two runs, over any path that carries heartbeats.
//!
//! ```text
//!     r1 (its name sorts first)                            r2
//!          | <-------- hello, or a heartbeat of another run --|  anybody can say that
//!   signs  | --- offer: runs, public key, signature --------> |  verifies
//!          | <-- answer: runs, public key, signature -------- |  signs
//! verifies |                                                  |
//!          | <------- heartbeats under the new keys --------> |
//! ```
//!
//! Sans-I/O. Feed it with [`Agreement::handle_frame`], [`Agreement::handle_run`],
//! [`Agreement::handle_signed`], [`Agreement::handle_verified`], [`Agreement::handle_heard`],
//! [`Agreement::handle_confirmed`] and [`Agreement::handle_timeout`]; then drain
//! [`Agreement::poll_request`], [`Agreement::poll_frame`] and [`Agreement::poll_agreed`], and arm a timer
//! for [`Agreement::next_timeout`].
//!
//! One node offers and the other answers, so that no lost, repeated or recorded frame makes both change their keys
//! forever. An X25519 key serves one agreement. Agreed keys are a candidate: the owner of the keys reports when a
//! heartbeat has confirmed them. A recorded offer is for another run, has a lower number, or leads to keys that nobody
//! has.
//!
//! A hello costs r1 a signature, an offer costs r2 a verification. Each kind has separate budgets for links and for
//! networks, and so has the table of runs. So a station that floods a network delays nothing on a link. Two runs with a
//! confirmed key need no further agreement.

mod budget;
mod key_share;
mod peer_runs;
mod requests;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::wire::offer::{self, Frame, Malformed, Offer, SIGNATURE_LEN, Signature};

use budget::Budgets;
use key_share::KeyShare;
use peer_runs::{PeerRun, PeerRuns};

pub use budget::{Operation, PathClass};
pub use key_share::AgreedKeys;
pub use requests::Request;

const SECOND_NS: u64 = 1_000_000_000;
/// Interval of hellos of a node without a confirmed key of an active run of the peer.
const HELLO_NS: u64 = SECOND_NS;
/// Shortest time between two hellos, or two copies of an answer.
const PAUSE_NS: u64 = 250_000_000;
/// Time limit for an answer of the link's process.
const REQUEST_TIMEOUT_NS: u64 = SECOND_NS;
/// Time without any heartbeat under an agreement after which it begins again when its run sends something; longer if
/// heartbeats are rare.
const STALE_NS: u64 = 5 * SECOND_NS;

/// Reason why a frame of an agreement was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Malformed(Malformed),
    /// The budget of its kind and class is used up.
    Limited,
    /// The frame was answered before, has an old number, or is not for this node.
    Stale,
}

/// Totals of dropped frames and of requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    pub received: u64,
    pub malformed: u64,
    pub limited: u64,
    pub stale: u64,
    /// Number of frames whose signature is not the peer's.
    pub forged: u64,
    pub requests: u64,
    pub agreed: u64,
}

/// The run of the peer whose key is confirmed.
#[derive(Clone, Copy, Debug)]
struct CurrentRun {
    run: u64,
    heard_ns: u64,
}

/// State of the agreement with the peer.
#[derive(Debug, Default)]
pub struct Agreement {
    own: String,
    peer: Option<String>,
    run: u64,
    table: PeerRuns,
    current: Option<CurrentRun>,
    /// Time for which it may be silent, in ns.
    patience_ns: u64,
    budgets: Budgets,
    /// Number of the last offer.
    number: u64,
    ticket: u64,
    hello_sent_ns: Option<u64>,
    /// A station was heard that may wait for a hello.
    is_hello_due: bool,
    requests: VecDeque<Request>,
    frames: VecDeque<Vec<u8>>,
    agreed: VecDeque<AgreedKeys>,
    counters: Counters,
}

impl Agreement {
    /// Creates the agreement of the node `own`, in a run that is not 0.
    pub fn new(own: &str, run: u64) -> Agreement {
        Agreement {
            own: own.to_owned(),
            run,
            ..Self::default()
        }
    }

    /// Sets the other node's name if keys are configured. Agreements with another node become void.
    pub fn set_peer(&mut self, peer: Option<&str>) {
        if self.peer.as_deref() == peer {
            return;
        }
        self.peer = peer.map(str::to_owned);
        self.forget();
    }

    /// Begins another run of this node, with the same peer. Tickets continue, so that an answer to an earlier run's
    /// request does not match one of this run.
    pub fn begin(&mut self, run: u64) {
        self.run = run;
        self.forget();
    }

    /// Drops agreed and pending keys.
    fn forget(&mut self) {
        self.table = PeerRuns::default();
        self.current = None;
        (self.hello_sent_ns, self.is_hello_due) = (None, false);
        self.requests.clear();
        self.frames.clear();
        self.agreed.clear();
    }

    /// Sets the time for which the peer may be silent before a hello asks for its present run.
    pub fn set_patience(&mut self, patience_ns: u64) {
        self.patience_ns = patience_ns;
    }

    /// Returns the other node's name, if keys are configured.
    pub fn peer(&self) -> Option<&str> {
        self.peer.as_deref()
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }

    // ---- inputs --------------------------------------------------------------------------------

    /// Handles a payload that is a frame of an agreement ([`offer::is_agreement_frame`]).
    pub fn handle_frame(
        &mut self,
        now_ns: u64,
        class: PathClass,
        payload: &[u8],
    ) -> Result<(), Refusal> {
        self.counters.received += 1;
        let done = match Frame::parse(payload) {
            Ok(Frame::Hello(run)) => self.handle_run(now_ns, class, run),
            // it is for another run: its sender may not know this one
            Ok(Frame::Offer(offer, _) | Frame::Answer(offer, _)) if offer.to != self.run => {
                self.handle_run(now_ns, class, offer.from)
            }
            Ok(Frame::Offer(offer, signature)) => {
                self.handle_offer(now_ns, class, offer, signature)
            }
            Ok(Frame::Answer(offer, signature)) => {
                self.handle_answer(now_ns, class, offer, signature)
            }
            Err(reason) => Err(Refusal::Malformed(reason)),
        };
        match done {
            Ok(()) => {}
            Err(Refusal::Malformed(_)) => self.counters.malformed += 1,
            Err(Refusal::Limited) => self.counters.limited += 1,
            Err(Refusal::Stale) => self.counters.stale += 1,
        }
        done
    }

    /// Handles the claim of a run, by a hello or by a heartbeat that no key opens.
    pub fn handle_run(&mut self, now_ns: u64, class: PathClass, run: u64) -> Result<(), Refusal> {
        if !self.is_of_interest(run) {
            return Err(Refusal::Stale);
        }
        if !self.offers() {
            self.is_hello_due = true;
            self.send_hello(now_ns);
            return Ok(());
        }
        let silence_ns = self.patience_ns.max(STALE_NS);
        let is_current = self.current_run() == Some(run);
        let mut entry = self.table.find(run);
        if let Some(entry) = &mut entry {
            entry.note_request(now_ns, silence_ns);
        }
        let fresh = entry.filter(|entry| {
            // after an outage of the networks its next heartbeat comes under the key in use
            let waits = is_current && !entry.has_requested_for(now_ns, silence_ns);
            waits || !entry.is_stale(now_ns, silence_ns)
        });
        match fresh {
            Some(entry) => {
                entry.note_heard(now_ns, class);
                if entry.may_be_repeated(now_ns) {
                    entry.again_ns = Some(now_ns);
                    entry.repeats = entry.repeats.max(1);
                    self.repeat(now_ns);
                }
                Ok(())
            }
            None => self.make_offer(now_ns, class, run),
        }
    }

    fn make_offer(&mut self, now_ns: u64, class: PathClass, run: u64) -> Result<(), Refusal> {
        if !self.budgets.take(now_ns, class, Operation::Sign) {
            return Err(Refusal::Limited);
        }
        let Ok(own_share) = KeyShare::generate() else {
            return Err(Refusal::Limited);
        };
        let mut entry = PeerRun::new(run, class, now_ns);
        self.number += 1;
        entry.number = self.number;
        entry.own_share = Some(own_share);
        self.sign(now_ns, &mut entry);
        let current = self.current_run();
        self.table.insert(entry, current);
        Ok(())
    }

    fn handle_offer(
        &mut self,
        now_ns: u64,
        class: PathClass,
        offer: Offer,
        signature: Signature,
    ) -> Result<(), Refusal> {
        if self.offers() || !self.is_of_interest(offer.from) {
            return Err(Refusal::Stale);
        }
        let is_alive = self.is_alive(now_ns, offer.from);
        if let Some(entry) = self.table.find(offer.from) {
            entry.note_heard(now_ns, class);
            if entry.peer_share == Some(offer.public) {
                let answer = entry.repeat_answer(now_ns).map(<[u8]>::to_vec);
                self.frames.extend(answer);
                return Ok(());
            }
            if offer.number <= entry.number || is_alive || entry.verification.is_some() {
                return Err(Refusal::Stale);
            }
        }
        if !self.budgets.take(now_ns, class, Operation::Verify) {
            return Err(Refusal::Limited);
        }
        if self.table.find(offer.from).is_none() {
            let entry = PeerRun::new(offer.from, class, now_ns);
            let current = self.current_run();
            self.table.insert(entry, current);
        }
        self.verify(now_ns, offer, signature);
        Ok(())
    }

    fn handle_answer(
        &mut self,
        now_ns: u64,
        class: PathClass,
        offer: Offer,
        signature: Signature,
    ) -> Result<(), Refusal> {
        let is_alive = self.is_alive(now_ns, offer.from);
        let entry = self.table.find(offer.from);
        let Some(entry) = entry.filter(|entry| entry.number == offer.number) else {
            return Err(Refusal::Stale);
        };
        entry.note_heard(now_ns, class);
        let known = entry.peer_share == Some(offer.public);
        if known || is_alive || entry.verification.is_some() || entry.own_share.is_none() {
            return Err(Refusal::Stale);
        }
        if !self.budgets.take(now_ns, class, Operation::Verify) {
            return Err(Refusal::Limited);
        }
        self.verify(now_ns, offer, signature);
        Ok(())
    }

    /// Takes note that something arrived under the key of a run.
    pub fn handle_heard(&mut self, now_ns: u64, run: u64) {
        if let Some(current) = self.current.as_mut().filter(|it| it.run == run) {
            current.heard_ns = now_ns;
        }
        if let Some(entry) = self.table.find(run) {
            entry.alive_ns = now_ns;
        }
    }

    /// Takes note that the key of a run is now in use.
    pub fn handle_confirmed(&mut self, now_ns: u64, run: u64) {
        self.current = Some(CurrentRun {
            run,
            heard_ns: now_ns,
        });
    }

    /// Requests a hello when another path is up: earlier ones may not have been sent. Does nothing while the peer is
    /// heard.
    pub fn request_hello(&mut self, now_ns: u64) {
        let run = self.current_run();
        let is_heard = run.is_some_and(|run| self.is_alive(now_ns, run));
        if self.peer.is_some() && !is_heard {
            self.is_hello_due = true;
        }
    }

    // ---- time ------------------------------------------------------------------------------------

    /// Does what is due: hellos, offers without an answer, and requests that the link's process lost.
    pub fn handle_timeout(&mut self, now_ns: u64) {
        if self.hello_due_ns().is_some_and(|at_ns| at_ns <= now_ns) {
            self.send_hello(now_ns);
        }
        self.repeat(now_ns);
        for place in 0..self.table.len() {
            self.repeat_requests(now_ns, place);
        }
    }

    /// Returns the time of the next [`Agreement::handle_timeout`].
    pub fn next_timeout(&self) -> Option<u64> {
        self.peer.as_ref()?;
        let entries = self.table.iter().filter_map(PeerRun::next_timeout);
        entries.chain(self.hello_due_ns()).min()
    }

    fn hello_due_ns(&self) -> Option<u64> {
        self.peer.as_ref()?;
        let sent_ns = self.hello_sent_ns;
        let after_ns = if self.is_hello_due {
            PAUSE_NS
        } else {
            HELLO_NS
        };
        let due_ns = sent_ns.map_or(0, |sent_ns| sent_ns.saturating_add(after_ns));
        if self.is_hello_due {
            return Some(due_ns);
        }
        let silent_ns = self.current.map_or(0, |it| self.silent_ns(it));
        Some(due_ns.max(silent_ns))
    }

    fn send_hello(&mut self, now_ns: u64) {
        let sent_ns = self.hello_sent_ns;
        if sent_ns.is_some_and(|sent_ns| now_ns < sent_ns.saturating_add(PAUSE_NS)) {
            return;
        }
        self.hello_sent_ns = Some(now_ns);
        self.is_hello_due = false;
        self.frames.push_back(offer::hello(self.run).to_vec());
    }

    fn repeat(&mut self, now_ns: u64) {
        for entry in self.table.iter_mut() {
            if entry.again_ns.is_none_or(|at_ns| at_ns > now_ns) {
                continue;
            }
            entry.repeats = entry.repeats.saturating_sub(1);
            let again_ns = now_ns.saturating_add(PAUSE_NS);
            entry.again_ns = (entry.repeats > 0).then_some(again_ns);
            entry.sent_ns = now_ns;
            self.frames.extend(entry.frame.clone());
        }
    }

    // ---- outputs -----------------------------------------------------------------------------

    /// Returns the next request for the link's process.
    pub fn poll_request(&mut self) -> Option<Request> {
        let request = self.requests.pop_front()?;
        self.counters.requests += 1;
        Some(request)
    }

    /// Returns the next frame to send over every path.
    pub fn poll_frame(&mut self) -> Option<Vec<u8>> {
        self.frames.pop_front()
    }

    /// Returns the next agreed keys, between this run and one of the peer's.
    pub fn poll_agreed(&mut self) -> Option<AgreedKeys> {
        self.agreed.pop_front()
    }

    // ---- state -----------------------------------------------------------------------------------

    /// Returns true if this node offers: its name sorts first. The other one answers.
    fn offers(&self) -> bool {
        self.peer.as_ref().is_none_or(|peer| self.own < *peer)
    }

    fn is_of_interest(&self, run: u64) -> bool {
        self.peer.is_some() && run != 0 && run != self.run
    }

    /// Returns true if the run's key is confirmed, and the run is heard under it.
    fn is_alive(&self, now_ns: u64, run: u64) -> bool {
        let current = self.current.filter(|it| it.run == run);
        current.is_some_and(|it| now_ns < self.silent_ns(it))
    }

    fn current_run(&self) -> Option<u64> {
        self.current.map(|it| it.run)
    }

    /// Time from which the peer counts as silent.
    fn silent_ns(&self, current: CurrentRun) -> u64 {
        current.heard_ns.saturating_add(self.patience_ns)
    }
}

#[cfg(test)]
impl Agreement {
    /// Returns an agreement of the same nodes and run, without keys: key shares cannot be copied.
    pub(super) fn copy(&self) -> Agreement {
        let mut copy = Agreement::new(&self.own, self.run);
        copy.set_peer(self.peer());
        copy.set_patience(self.patience_ns);
        copy
    }
}

const _: () = assert!(SIGNATURE_LEN == 64 && offer::OFFER_LEN <= 1200);
