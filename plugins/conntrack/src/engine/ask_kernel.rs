//! Asks the kernel for its present state of a flow before this node changes one that it may carry, and decides with the
//! answer: about the end at the peer, a merge of both states, or two translations.

use spared_netlink::BATCH_MAX;

use super::merge::{self, Merged, Rules};
use super::table::{Entry, NOT_WAITING, ROUNDING_S, flag};
use super::{Action, Engine, How, KernelChange, seconds};
use crate::flow::{Flow, status};
use crate::wire::{Kind, Why};

/// A change that depends on the kernel's present state of the flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub change: KernelChange,
    /// Entry of the flow before the peer's report.
    before: Entry,
    /// End of the flow at the peer; None if it did not end there.
    why: Option<Why>,
}

impl Engine {
    pub(super) fn question(&mut self, change: KernelChange, before: Entry, why: Option<Why>) {
        let question = Question {
            change,
            before,
            why,
        };
        match self.actions.back_mut() {
            Some(Action::Ask(questions)) if questions.len() < BATCH_MAX => {
                questions.push(question);
            }
            _ => self.actions.push_back(Action::Ask(vec![question])),
        }
    }

    /// Handles the kernel's state of a requested flow; returns the change to make now, if any.
    pub fn handle_asked(
        &mut self,
        now_ns: u64,
        question: Question,
        found: Option<Flow>,
    ) -> Option<KernelChange> {
        let Question {
            change,
            before,
            why,
        } = question;
        // the kernel finds an entry by either direction: an entry of the other one begins elsewhere
        let found = found.filter(|flow| {
            flow.status & status::DYING == 0 && flow.original == change.flow.original
        });
        match (why, found) {
            (Some(why), Some(found)) => self.judge_end(now_ns, change, &before, why, &found),
            (Some(_), None) => {
                if self.ended_slot(&before).is_some() {
                    self.forget_entry(before.hash);
                }
                None
            }
            (None, Some(found)) if change.whole && found.reply != change.flow.reply => {
                self.decide_translation(now_ns, change, &before, found);
                None
            }
            (None, Some(_)) if !self.informs_peer(now_ns) => Some(of_known(change)),
            (None, Some(found)) => self.put_together(now_ns, of_known(change), &before, &found),
            (None, None) => self.make_anew(now_ns, change),
        }
    }

    /// Decides about a flow that ended at the peer, and is in the kernel here.
    fn judge_end(
        &mut self,
        now_ns: u64,
        change: KernelChange,
        before: &Entry,
        why: Why,
        found: &Flow,
    ) -> Option<KernelChange> {
        let slot = self.ended_slot(before)?;
        let moved = self.observe(now_ns, slot, before, found);
        let entry = self.table.get(slot);
        let lives = match why {
            Why::Closed => !merge::is_closed(found) && (moved || entry.is_busy()),
            Why::Ended | Why::Deleted => entry.is_own(seconds(now_ns)),
        };
        if lives {
            self.counters.applied.kept += 1;
            self.tell_again(now_ns, slot, found.clone(), Kind::Whole);
            return None;
        }
        self.walks.note_destroyed(before.hash);
        self.forget_entry(before.hash);
        Some(change)
    }

    /// Returns the slot of the flow that ended at the peer, unless the same message reported that it began again: the
    /// kernel's answers come after the whole message was processed.
    fn ended_slot(&self, before: &Entry) -> Option<u32> {
        let slot = self.table.find(before.hash)?;
        let entry = self.table.get(slot);
        let is_same = entry.incarnation() == before.incarnation();
        (is_same && entry.has(flag::ENDED_AT_PEER)).then_some(slot)
    }

    /// Merges the peer's report with the kernel's state of a flow that both nodes know.
    fn put_together(
        &mut self,
        now_ns: u64,
        mut change: KernelChange,
        before: &Entry,
        found: &Flow,
    ) -> Option<KernelChange> {
        let slot = self.table.find(before.hash)?;
        self.observe(now_ns, slot, before, found);
        // marked here before the peer returned: it may be that the peer carries nothing any more
        let is_untold = self.is_shared() && self.roles.has_all() && found.mark != before.mark;
        let rules = Rules {
            whole: change.whole,
            prefers_local: is_untold
                || before.is_own(seconds(now_ns)) && self.prefers_local(before),
        };
        let Merged {
            mut flow,
            differs,
            is_closing,
            knows_more,
        } = merge::merge(found, &change.flow, rules);
        let writes_time = put_ends_together(
            self.table.get_mut(slot),
            seconds(now_ns),
            &change,
            before,
            found,
            is_closing,
        );
        let entry = self.table.get_mut(slot);
        entry.learn(&flow);
        entry.set(flag::NEEDS_WHOLE, is_untold || entry.has(flag::NEEDS_WHOLE));
        if change.whole {
            entry.digest = super::table::digest(&flow);
        }
        self.own_if_sole(slot);
        self.counters.applied.merged += 1;
        // a peer that carries nothing applies the last report that it receives: it must be this one
        if knows_more || differs && self.is_sole() {
            let told = Flow {
                reply: found.reply,
                tcp: flow.tcp.or(found.tcp),
                ..flow.clone()
            };
            self.tell_again(now_ns, slot, told, Kind::Whole);
        }
        if !differs {
            return writes_time.then_some(KernelChange {
                how: How::Refresh,
                ..change
            });
        }
        flow.timeout_s = writes_time.then_some(change.timeout_s);
        change.flow = flow;
        Some(change)
    }

    /// Decides between two translations: one of the nodes missed that the flow ended and began again, since the
    /// translation of an entry never changes. If packets pass both nodes, the greater key decides.
    fn decide_translation(
        &mut self,
        now_ns: u64,
        change: KernelChange,
        before: &Entry,
        found: Flow,
    ) {
        let Some(slot) = self.table.find(before.hash) else {
            return;
        };
        self.observe(now_ns, slot, before, &found);
        let entry = self.table.get(slot);
        // of flows found in the first resync of a session it is unknown whether packets pass
        let has_resynced = self.peer.as_ref().is_some_and(|peer| peer.has_resynced);
        let is_carried = entry.is_own(seconds(now_ns)) && (entry.is_busy() || !has_resynced);
        let is_greater = self.replica.replica().has_greater_key();
        if self.is_sole() || self.is_shared() && is_carried && is_greater {
            self.counters.applied.merged += 1;
            self.own_if_sole(slot);
            return self.tell_again(now_ns, slot, found, Kind::Whole);
        }
        self.begin_anew(now_ns, slot, Kind::Whole, change.flow);
    }

    /// Returns true if mark and attributes here prevail: the peer carries nothing, or both nodes changed them at the
    /// same time and this node's key is the greater one.
    fn prefers_local(&self, before: &Entry) -> bool {
        let Some(peer) = self.peer.as_ref() else {
            return true;
        };
        let at_once = before.waiting() != NOT_WAITING || !peer.has_resynced;
        self.is_sole() || self.is_shared() && at_once && self.replica.replica().has_greater_key()
    }

    /// Handles a flow of the peer that is not in the kernel here; returns the change that creates it.
    fn make_anew(&mut self, now_ns: u64, change: KernelChange) -> Option<KernelChange> {
        if let Some(slot) = self.table.find(self.table.hash(&change.flow)) {
            self.own_if_sole(slot);
        }
        match change.how {
            How::Create { .. } => self.decide_conflict(change),
            _ if change.whole => Some(KernelChange {
                how: How::Create { exclusive: false },
                ..change
            }),
            _ => {
                self.handle_missing(now_ns, &change);
                None
            }
        }
    }
}

/// Merges the peer's end of a flow with the kernel's. Returns true if the peer's is to be written.
fn put_ends_together(
    entry: &mut Entry,
    now_s: u32,
    change: &KernelChange,
    before: &Entry,
    found: &Flow,
    is_closing: bool,
) -> bool {
    let reported_s = change.flow.timeout_s;
    let written_s = now_s.saturating_add(change.timeout_s);
    let expires_s = found
        .timeout_s
        .map_or(u32::MAX, |left_s| now_s.saturating_add(left_s));
    let is_longer = reported_s.is_some() && written_s >= expires_s.saturating_add(ROUNDING_S);
    let writes_time = (is_closing || is_longer) && found.status & status::FIXED_TIMEOUT == 0;
    if is_closing {
        // the end here belongs to a state that is over
        let heard_s = now_s.saturating_add(reported_s.unwrap_or(0));
        entry.own_expiry_s = entry.own_expiry_s.min(heard_s);
    }
    // store the end that is in the kernel, or the next walk takes it for the work of a packet
    entry.peer_expiry_s = if writes_time {
        written_s
    } else if expires_s.abs_diff(before.peer_expiry_s) < ROUNDING_S {
        before.peer_expiry_s
    } else {
        entry.peer_expiry_s.min(expires_s)
    };
    writes_time
}

/// Turns a creation into an update, since the kernel has the flow already.
fn of_known(mut change: KernelChange) -> KernelChange {
    if matches!(change.how, How::Create { .. }) {
        change.how = How::Update { with_status: true };
    }
    change
}
