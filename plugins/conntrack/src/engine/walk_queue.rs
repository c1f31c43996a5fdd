//! The walk through the kernel's table that is under way, and the reasons for further ones.

use std::collections::{BTreeSet, HashSet};

use super::walk_pause::Pause;
use super::{SECOND_NS, Source};
use crate::flow::{Flow, status};
use crate::wire::HASHES_MAX;

/// Reasons for walks, in the order in which they are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    Restore,
    /// The peer is gone: the flows that it carried keep their full time.
    RenewCopies,
    /// The kernel's own entries become liberal, as copies are.
    Loosen,
    /// Flows that no node reports as alive are deleted.
    Prune,
    /// Flows that no node knows are deleted as well, by the next walk that prunes. Alone it begins no walk.
    Strays,
    /// The kernel here may have dropped flows without an event.
    Verify,
    Compare,
    /// A list was requested.
    List,
    Resync,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Resync {
        number: u8,
    },
    Restore,
    RenewCopies,
    Loosen,
    Tidy {
        prune: bool,
        strays: bool,
        verify: bool,
    },
    /// Answer to the peer's comparison.
    Answer {
        id: u32,
    },
    Compare,
    List,
}

impl Due {
    /// Returns true if the walk is useless without the peer.
    fn needs_peer(self) -> bool {
        !matches!(
            self,
            Self::Restore | Self::RenewCopies | Self::Loosen | Self::List
        )
    }
}

impl Work {
    /// Returns the reason for the walk; None for an answer to the peer.
    fn due(self) -> Option<Due> {
        match self {
            Self::Resync { .. } => Some(Due::Resync),
            Self::Restore => Some(Due::Restore),
            Self::RenewCopies => Some(Due::RenewCopies),
            Self::Loosen => Some(Due::Loosen),
            Self::Tidy { verify: true, .. } => Some(Due::Verify),
            Self::Tidy { .. } => Some(Due::Prune),
            Self::Answer { .. } => None,
            Self::Compare => Some(Due::Compare),
            Self::List => Some(Due::List),
        }
    }

    /// Returns true if the walk is useless without the peer.
    pub(super) fn needs_peer(self) -> bool {
        self.due().is_none_or(Due::needs_peer)
    }
}

/// A walk through the table.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    pub(super) work: Work,
    pub(super) source: Source,
    pub(super) began_ns: u64,
    /// Times at which the kernel filled the present piece of its table, and at which the last piece
    /// was requested: the kernel fills each piece when the previous one is read.
    filled_ns: u64,
    read_ns: u64,
    /// Numbers of times restored, and of flows dropped.
    pub(super) restored: u32,
    pub(super) dropped: u32,
    /// Hashes to report in one message, and whether one of these flows has gone meanwhile.
    alive: Vec<u8>,
    has_gone: bool,
    pub(super) records: Vec<u8>,
    /// Number of overruns before it began.
    pub(super) overruns: u64,
    /// Another resync is to follow soon.
    pub(super) repeats: bool,
}

impl Walk {
    fn new(now_ns: u64, work: Work, overruns: u64) -> Self {
        Self {
            work,
            source: Source::Flows,
            began_ns: now_ns,
            filled_ns: now_ns,
            read_ns: now_ns,
            restored: 0,
            dropped: 0,
            alive: Vec::new(),
            has_gone: false,
            records: Vec::new(),
            overruns,
            repeats: false,
        }
    }

    /// Returns a flow with its present time: its piece may have waited for a full channel.
    fn aged(&self, now_ns: u64, flow: Flow) -> Flow {
        let waited_s = (now_ns.saturating_sub(self.filled_ns) / SECOND_NS) as u32;
        Flow {
            timeout_s: flow.timeout_s.map(|left_s| left_s.saturating_sub(waited_s)),
            ..flow
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct WalkQueue {
    walk: Option<Walk>,
    due: BTreeSet<Due>,
    /// Reasons for walks whose changes the kernel did not make, and the time from which they count again.
    deferred: BTreeSet<Due>,
    deferred_until_ns: u64,
    /// Id of the peer's comparison that waits for an answer.
    answer: Option<u32>,
    pause: Pause,
    /// Flows destroyed since the last piece of the dump.
    destroyed: HashSet<u64>,
    /// Number of the latest resync.
    resync: u8,
    /// Times were restored, and notifications of earlier packets may not have been read yet.
    has_restored: bool,
}

impl WalkQueue {
    // ---- what is due

    pub(super) fn request(&mut self, due: Due) {
        self.due.insert(due);
    }

    /// Requests a walk again a little later, because the kernel did not make its changes.
    pub(super) fn request_later(&mut self, now_ns: u64, due: Due) {
        if self.deferred.is_empty() {
            self.deferred_until_ns = now_ns.saturating_add(SECOND_NS);
        }
        self.deferred.insert(due);
    }

    pub(super) fn handle_timeout(&mut self, now_ns: u64) {
        if now_ns >= self.deferred_until_ns {
            self.due.append(&mut self.deferred);
        }
    }

    pub(super) fn request_answer(&mut self, id: u32) {
        self.answer = Some(id);
    }

    /// Requests the answer again, unless the peer has begun another comparison.
    pub(super) fn request_answer_again(&mut self, id: u32) {
        self.answer.get_or_insert(id);
    }

    pub(super) fn cancel(&mut self, due: Due) {
        self.due.remove(&due);
        self.deferred.remove(&due);
    }

    pub(super) fn is_due(&self, due: Due) -> bool {
        self.due.contains(&due)
    }

    /// Cancels the walks that have no use without this peer, as it has gone or another one has come. A walk that
    /// deletes flows compares them with the reports of this peer: without these it would delete flows that carry
    /// traffic now.
    pub(super) fn cancel_those_for_the_peer(&mut self) {
        self.due.retain(|due| !due.needs_peer());
        self.deferred.retain(|due| !due.needs_peer());
        self.answer = None;
    }

    fn is_any_due(&self) -> bool {
        self.answer.is_some() || self.due.iter().any(|due| *due != Due::Strays)
    }

    fn take(&mut self, due: Due) -> bool {
        self.due.remove(&due)
    }

    /// Returns the walk to begin now, if none is under way.
    pub(super) fn next(&mut self, now_ns: u64, informs_peer: bool) -> Option<Work> {
        if self.walk.is_some() || self.pause.is_on(now_ns) {
            return None;
        }
        let simple = [
            (Due::Restore, Work::Restore),
            (Due::RenewCopies, Work::RenewCopies),
            (Due::Loosen, Work::Loosen),
        ];
        if let Some((_, work)) = simple.into_iter().find(|(due, _)| self.take(*due)) {
            return Some(work);
        }
        if self.is_due(Due::Prune) || self.is_due(Due::Verify) {
            let prune = self.take(Due::Prune);
            return Some(Work::Tidy {
                prune,
                strays: prune && self.take(Due::Strays),
                verify: self.take(Due::Verify),
            });
        }
        if let Some(id) = self.answer.take() {
            return Some(Work::Answer { id });
        }
        let asked_for = [(Due::Compare, Work::Compare), (Due::List, Work::List)];
        if let Some((_, work)) = asked_for.into_iter().find(|(due, _)| self.take(*due)) {
            return Some(work);
        }
        if informs_peer && self.take(Due::Resync) {
            self.resync = self.resync.wrapping_add(1);
            return Some(Work::Resync {
                number: self.resync,
            });
        }
        None
    }

    // ---- the walk under way

    pub(super) fn begin(&mut self, now_ns: u64, work: Work, overruns: u64) {
        self.has_restored |= work == Work::Restore;
        self.walk = Some(Walk::new(now_ns, work, overruns));
    }

    /// Resumes the walk, with another table of the kernel.
    pub(super) fn resume(&mut self, walk: Walk) {
        self.walk = Some(walk);
    }

    pub(super) fn take_walk(&mut self) -> Option<Walk> {
        self.walk.take()
    }

    /// Stops the walk, and requests it again if its result is needed. Returns false if none was
    /// stopped.
    pub(super) fn stop_if(&mut self, ends: impl Fn(Work) -> bool) -> bool {
        let Some(walk) = self.walk.take_if(|walk| ends(walk.work)) else {
            return false;
        };
        match walk.work {
            Work::Compare => self.request(Due::Compare),
            Work::List => self.request(Due::List),
            Work::Answer { id } => self.request_answer_again(id),
            Work::Tidy { verify: true, .. } => self.request(Due::Verify),
            Work::Resync { .. } => self.request(Due::Resync),
            Work::Tidy { .. } | Work::Restore | Work::RenewCopies | Work::Loosen => {}
        }
        self.destroyed.clear();
        true
    }

    /// Ends the walk with its dump. A walk that could not be read to its end delays the next one.
    pub(super) fn end(&mut self, now_ns: u64, complete: bool) -> Option<Walk> {
        let walk = self.walk.take()?;
        self.destroyed.clear();
        // a resync has reported all flows even if expectations failed
        if complete || walk.source == Source::Expectations {
            self.pause = Pause::default()
        } else {
            self.pause.lengthen(now_ns)
        }
        Some(walk)
    }

    fn work(&self) -> Option<Work> {
        self.walk.as_ref().map(|walk| walk.work)
    }

    pub(super) fn is_on(&self) -> bool {
        self.walk.is_some()
    }

    pub(super) fn is_resync(&self) -> bool {
        matches!(self.work(), Some(Work::Resync { .. }))
    }

    /// Returns true if a resync is under way that began at this time or later.
    pub(super) fn is_resync_since(&self, since_ns: u64) -> bool {
        self.is_resync() && self.walk.as_ref().is_some_and(|it| it.began_ns >= since_ns)
    }

    /// Returns true if flows that the walk does not find are taken for lost.
    pub(super) fn is_verifying(&self) -> bool {
        matches!(self.work(), Some(Work::Tidy { verify: true, .. }))
    }

    /// Returns true if flows of this node are still to be made ready for a failover.
    pub(super) fn is_loosening(&self) -> bool {
        let is_deferred = self.deferred.contains(&Due::Loosen);
        is_deferred || self.is_due(Due::Loosen) || self.work() == Some(Work::Loosen)
    }

    pub(super) fn is_restoring(&self) -> bool {
        matches!(self.work(), Some(Work::Restore))
    }

    /// Returns true if a packet that is notified now may be older than the time that a walk restored.
    pub(super) fn has_restored(&self) -> bool {
        self.has_restored
    }

    /// Takes note that no notification waits in the kernel.
    pub(super) fn handle_heard_all(&mut self) {
        self.has_restored &= self.is_restoring();
    }

    /// Returns true if notifications were lost since the resync under way began.
    pub(super) fn is_resync_overrun(&self, overruns: u64) -> bool {
        self.is_resync() && self.walk.as_ref().is_some_and(|it| overruns > it.overruns)
    }

    /// Schedules another resync soon after the one under way.
    pub(super) fn repeat_resync(&mut self) {
        if self.is_resync() {
            self.walk.iter_mut().for_each(|walk| walk.repeats = true);
        }
    }

    // ---- its flows

    /// Returns one flow of the dump with its present time: its times are as old as the piece.
    pub(super) fn read(&mut self, now_ns: u64, flow: Flow) -> Option<(Work, Flow)> {
        let walk = self.walk.as_mut()?;
        if flow.status & status::DYING != 0 {
            return None;
        }
        walk.read_ns = now_ns;
        Some((walk.work, walk.aged(now_ns, flow)))
    }

    /// Handles a new piece: a flow destroyed before it was filled is in no later piece.
    pub(super) fn handle_piece(&mut self) {
        self.destroyed.clear();
        if let Some(walk) = &mut self.walk {
            walk.filled_ns = walk.read_ns;
        }
    }

    /// Takes note of a destroyed flow, which the dump of a resync may still have.
    pub(super) fn note_destroyed(&mut self, hash: u64) {
        if self.is_resync() {
            self.destroyed.insert(hash);
        }
    }

    pub(super) fn note_created(&mut self, hash: u64) {
        self.destroyed.remove(&hash);
    }

    pub(super) fn is_destroyed(&self, hash: u64) -> bool {
        self.destroyed.contains(&hash)
    }

    pub(super) fn count_restored(&mut self) {
        self.walk.iter_mut().for_each(|walk| walk.restored += 1);
    }

    pub(super) fn count_dropped(&mut self) {
        self.walk.iter_mut().for_each(|walk| walk.dropped += 1);
    }

    /// Returns the records of the answer to the peer's comparison.
    pub(super) fn records_mut(&mut self) -> Option<&mut Vec<u8>> {
        self.walk.as_mut().map(|walk| &mut walk.records)
    }

    /// Adds a flow to be reported as alive. Returns true if there are as many as a message holds.
    pub(super) fn push_alive(&mut self, hash: u64) -> bool {
        let Some(walk) = &mut self.walk else {
            return false;
        };
        walk.alive.extend(hash.to_be_bytes());
        walk.alive.len() >= HASHES_MAX * 8
    }

    /// Takes note that a flow has gone which may be among those.
    pub(super) fn note_gone(&mut self) {
        self.walk.iter_mut().for_each(|walk| walk.has_gone = true);
    }

    /// Removes the hashes of flows that are alive; also returns whether one of them has gone
    /// meanwhile.
    pub(super) fn take_alive(&mut self) -> (Vec<u8>, bool) {
        self.walk.as_mut().map_or((Vec::new(), false), |walk| {
            let alive = std::mem::take(&mut walk.alive);
            (alive, std::mem::take(&mut walk.has_gone))
        })
    }

    // ---- pauses

    /// Ends the pause, since a failover must not wait for it.
    pub(super) fn end_pause(&mut self) {
        self.pause = Pause::default();
    }

    /// Returns the time at which a walk that waits may begin.
    pub(super) fn next_ns(&self, now_ns: u64) -> Option<u64> {
        let waits = self.walk.is_none() && self.is_any_due();
        let paused_ns = self.pause.end_ns(now_ns).filter(|_| waits);
        let deferred_ns = (!self.deferred.is_empty()).then_some(self.deferred_until_ns);
        paused_ns.into_iter().chain(deferred_ns).min()
    }

    /// Returns true if the kernel's table could not be read for some time.
    pub(super) fn is_blind(&self) -> bool {
        self.pause.is_trouble()
    }
}
