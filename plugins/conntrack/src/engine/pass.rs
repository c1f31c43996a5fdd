//! Walks through the kernel's table, one at a time: to tell the peer of everything, to drop what it
//! does not have and to miss what it has, to restore times after a failover, to compare.

use super::table::flag;
use super::{Action, Engine, SECOND_NS, Source};
use crate::flow::{Flow, status};

/// Walks that are due.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    pub resync: bool,
    pub restore: bool,
    /// The peer is gone: what it carried keeps its full time.
    pub keep: bool,
    /// The kernel's own entries become as copies are: liberal.
    pub loosen: bool,
    /// Flows that no node reports as alive are deleted.
    pub prune: bool,
    /// A walk that prunes also drops what no node knows.
    pub strays: bool,
    /// The kernel here may have dropped flows and not said so.
    pub verify: bool,
    /// The peer compares.
    pub answer: Option<u32>,
    pub compare: bool,
    /// Somebody asked for a list.
    pub list: bool,
}

impl Wanted {
    /// Whether a walk is due.
    pub fn any(&self) -> bool {
        let for_peer = self.resync || self.answer.is_some() || self.compare;
        let for_kernel = self.restore || self.keep || self.loosen || self.prune || self.verify;
        for_peer || for_kernel || self.list
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Resync {
        number: u8,
    },
    Restore,
    Keep,
    Loosen,
    Tidy {
        prune: bool,
        strays: bool,
        verify: bool,
    },
    Answer {
        id: u32,
    },
    Compare,
    List,
}

impl Work {
    /// Useless without the peer.
    pub fn needs_peer(self) -> bool {
        !matches!(self, Self::Restore | Self::Keep | Self::Loosen | Self::List)
    }
}

#[derive(Clone, Debug)]
pub struct Pass {
    pub work: Work,
    pub source: Source,
    pub began_ns: u64,
    /// Times when the kernel filled the present piece of its table, and when the last one was
    /// requested: it fills each piece when the previous one is read.
    filled_ns: u64,
    read_ns: u64,
    pub flows: u32,
    /// Times restored, and flows dropped.
    pub restored: u32,
    pub dropped: u32,
    /// Hashes that the peer is told of at once, and whether one of them has gone meanwhile.
    pub alive: Vec<u8>,
    pub has_gone: bool,
    pub records: Vec<u8>,
    /// Overruns before it began.
    pub overruns: u64,
    /// Another resync is to follow soon.
    pub repeats: bool,
}

impl Pass {
    /// A flow as it is now: its piece may have waited for a channel that was full.
    fn aged(&self, now_ns: u64, flow: Flow) -> Flow {
        let waited_s = (now_ns.saturating_sub(self.filled_ns) / SECOND_NS) as u32;
        Flow {
            timeout_s: flow.timeout_s.map(|left_s| left_s.saturating_sub(waited_s)),
            ..flow
        }
    }
}

impl Engine {
    /// Begins what has become due; called after every input, before actions are polled.
    pub fn go_on(&mut self, now_ns: u64) {
        self.send_lost(now_ns);
        if self.is_vain(now_ns) {
            self.stopped = true;
            self.stop_pass();
            self.wanted.resync = true;
        }
        if !self.unknown.is_empty() {
            let unknown = std::mem::take(&mut self.unknown);
            self.actions.push_back(Action::Find(unknown));
        }
        if self.pass.is_some() {
            return;
        }
        let Some(work) = self.next_work(now_ns) else {
            return;
        };
        match work {
            Work::Restore | Work::Keep => {
                self.table.clear_flag(flag::FRESH);
                self.actions.push_back(Action::ReadTimeouts);
            }
            Work::Resync { .. } => {
                self.begin_resync(now_ns);
                self.actions.push_back(Action::ReadTimeouts);
            }
            Work::Tidy { .. } => self.table.clear_flag(flag::PRESENT),
            Work::List => self.begin_list(),
            _ => {}
        }
        self.pass = Some(Pass {
            work,
            source: Source::Flows,
            began_ns: now_ns,
            filled_ns: now_ns,
            read_ns: now_ns,
            flows: 0,
            restored: 0,
            dropped: 0,
            alive: Vec::new(),
            has_gone: false,
            records: Vec::new(),
            overruns: self.counters.overruns,
            repeats: false,
        });
        self.actions.push_back(Action::Dump(Source::Flows));
    }

    /// A resync in which notifications were lost must be repeated: better now than at its end, as soon
    /// as the burst is over. While it goes on, each resync is brought to its end. So is the next one, or bursts
    /// that follow each other would let none end.
    fn is_vain(&self, now_ns: u64) -> bool {
        const CALM_NS: u64 = SECOND_NS / 50;
        let overrun = |pass: &Pass| self.counters.overruns > pass.overruns;
        let calm = now_ns.saturating_sub(self.overrun_ns) >= CALM_NS;
        self.resyncing() && !self.stopped && calm && self.pass.as_ref().is_some_and(overrun)
    }

    fn next_work(&mut self, now_ns: u64) -> Option<Work> {
        if self.pauses(now_ns) {
            return None;
        }
        let wanted = &mut self.wanted;
        if std::mem::take(&mut wanted.restore) {
            return Some(Work::Restore);
        }
        if std::mem::take(&mut wanted.keep) {
            return Some(Work::Keep);
        }
        if std::mem::take(&mut wanted.loosen) {
            return Some(Work::Loosen);
        }
        if wanted.prune || wanted.verify {
            let prune = std::mem::take(&mut wanted.prune);
            return Some(Work::Tidy {
                prune,
                strays: prune && std::mem::take(&mut wanted.strays),
                verify: std::mem::take(&mut wanted.verify),
            });
        }
        if let Some(id) = wanted.answer.take() {
            return Some(Work::Answer { id });
        }
        if std::mem::take(&mut wanted.compare) {
            return Some(Work::Compare);
        }
        if std::mem::take(&mut wanted.list) {
            return Some(Work::List);
        }
        if wanted.resync && self.speaks(now_ns) {
            self.wanted.resync = false;
            self.resync_number = self.resync_number.wrapping_add(1);
            return Some(Work::Resync {
                number: self.resync_number,
            });
        }
        None
    }

    /// A walk that somebody waits for starts again.
    pub(super) fn stop_pass(&mut self) {
        self.stop_pass_if(|_| true);
    }

    pub(super) fn stop_pass_if(&mut self, ends: impl Fn(Work) -> bool) {
        let Some(pass) = self.pass.take_if(|pass| ends(pass.work)) else {
            return;
        };
        match pass.work {
            Work::Compare => self.wanted.compare = true,
            Work::List => self.wanted.list = true,
            Work::Answer { id } => drop(self.wanted.answer.get_or_insert(id)),
            Work::Tidy { verify, .. } => self.wanted.verify |= verify,
            Work::Resync { .. } => self.wanted.resync = true,
            _ => {}
        }
        self.destroyed.clear();
        self.actions.push_back(Action::StopDump);
    }

    pub(super) fn resyncing(&self) -> bool {
        let work = self.pass.as_ref().map(|pass| pass.work);
        matches!(work, Some(Work::Resync { .. }))
    }

    pub(super) fn is_tidying(&self) -> bool {
        let work = self.pass.as_ref().map(|pass| pass.work);
        matches!(work, Some(Work::Tidy { .. }))
    }

    pub(super) fn is_restoring(&self) -> bool {
        let work = self.pass.as_ref().map(|pass| pass.work);
        matches!(work, Some(Work::Restore))
    }

    /// Whether the dump may go on.
    pub fn wants_more(&self) -> bool {
        self.pass.is_some() && !self.is_congested()
    }

    /// One flow of a dump.
    pub fn handle_dumped(&mut self, now_ns: u64, flow: Flow) {
        let Some(pass) = &mut self.pass else { return };
        if flow.status & status::DYING != 0 {
            return;
        }
        pass.flows += 1;
        pass.read_ns = now_ns;
        // its times are as old as the piece
        let flow = pass.aged(now_ns, flow);
        match pass.work {
            Work::Resync { .. } => self.resync(now_ns, flow),
            Work::Restore => self.restore(now_ns, flow),
            Work::Keep => self.keep(now_ns, &flow),
            Work::Loosen => self.loosen(&flow),
            Work::Tidy { prune, strays, .. } => self.tidy(now_ns, flow, prune, strays),
            Work::Answer { id } => self.answer_with(now_ns, id, &flow),
            Work::Compare => self.compare_own(flow),
            Work::List => self.add_to_list(now_ns, &flow),
        }
    }

    /// One expectation of a dump.
    pub fn handle_dumped_expectation(&mut self, now_ns: u64, request: &[u8]) {
        if self.resyncing() {
            self.expect_there(now_ns, true, request);
        }
    }

    /// A flow destroyed before this piece was filled is in no later piece.
    pub fn handle_dump_piece(&mut self) {
        self.destroyed.clear();
        if let Some(pass) = &mut self.pass {
            pass.filled_ns = pass.read_ns;
        }
    }

    /// `complete` is false where the dump failed, or may have holes.
    pub fn handle_dump_end(&mut self, now_ns: u64, complete: bool) {
        let Some(pass) = self.pass.take() else { return };
        self.destroyed.clear();
        // without expectations a resync has told all flows
        self.note_walk(now_ns, complete || pass.source == Source::Expectations);
        match pass.work {
            Work::Resync { number } => self.end_resync(now_ns, number, pass, complete),
            Work::Restore => self.end_restore(&pass, complete),
            Work::Keep => self.wanted.keep |= !complete,
            Work::Loosen => self.end_loosen(now_ns, complete),
            Work::Tidy {
                prune,
                strays,
                verify,
            } if !complete => {
                self.wanted.prune |= prune;
                self.wanted.strays |= strays;
                self.wanted.verify |= verify;
            }
            Work::Tidy { prune, verify, .. } => self.end_tidy(now_ns, prune, verify),
            Work::Answer { id } => self.end_answer(now_ns, id, pass, complete),
            Work::Compare => self.end_own(now_ns, complete),
            Work::List => self.end_list(complete),
        }
    }

    /// The next resync is due at once; false where this node has nobody to tell.
    pub fn request_resync(&mut self, now_ns: u64) -> bool {
        let speaks = self.speaks(now_ns);
        self.wanted.resync |= speaks;
        speaks
    }

    pub(super) fn resync_interval_ns(&self) -> u64 {
        self.settings.resync_ns.max(self.least_interval_ns())
    }

    /// The next resync comes as soon as it may, after the one that goes on.
    pub(super) fn resync_soon(&mut self, now_ns: u64) {
        if self.resyncing() {
            self.pass.iter_mut().for_each(|pass| pass.repeats = true);
        }
        let soon_ns = now_ns + self.least_interval_ns().max(SECOND_NS);
        self.resync_at_ns = self.resync_at_ns.min(soon_ns);
    }

    /// Resyncs take at most a twentieth of the time.
    fn least_interval_ns(&self) -> u64 {
        const SHARE: u64 = 20;
        let least_ns = self.resync_took_ns.saturating_mul(SHARE);
        least_ns.min(3600 * SECOND_NS)
    }
}
