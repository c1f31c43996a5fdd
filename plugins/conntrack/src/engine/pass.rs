//! Walks through the kernel's table, one at a time: to tell the twin of everything, to drop what it
//! does not have and to miss what it has, to restore times after a takeover, to compare.

use super::table::flag;
use super::{Action, Engine, SECOND_NS, Source};
use crate::flow::{Flow, status};

/// Walks that are due.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    pub sweep: bool,
    pub restore: bool,
    /// The kernel's own entries become as copies are: liberal.
    pub loosen: bool,
    /// What the twin did not tell of in this sweep goes.
    pub prune: Option<u8>,
    /// A walk that prunes also drops what no node knows.
    pub strays: bool,
    /// The kernel here may have dropped flows and not said so.
    pub verify: bool,
    /// The twin compares.
    pub answer: Option<u32>,
    pub compare: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Sweep {
        number: u8,
    },
    Restore,
    Loosen,
    Tidy {
        sweep: Option<u8>,
        strays: bool,
        verify: bool,
    },
    Answer {
        id: u32,
    },
    Compare,
}

impl Work {
    /// Of no use without the twin.
    pub fn needs_twin(self) -> bool {
        !matches!(self, Self::Restore | Self::Loosen)
    }
}

#[derive(Clone, Debug)]
pub struct Pass {
    pub work: Work,
    pub source: Source,
    pub began_ns: u64,
    pub flows: u32,
    /// Times restored, and flows dropped.
    pub restored: u32,
    pub dropped: u32,
    /// Hashes that the twin is told of at once, and whether one of them has gone meanwhile.
    pub alive: Vec<u8>,
    pub has_gone: bool,
    pub records: Vec<u8>,
    /// Overruns before it began.
    pub overruns: u64,
}

impl Engine {
    /// Begins what has become due; called after every input, before actions are polled.
    pub fn go_on(&mut self, now_ns: u64) {
        self.send_lost(now_ns);
        if self.is_vain(now_ns) {
            self.stop_pass();
            self.wanted.sweep = true;
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
            Work::Sweep { .. } => self.begin_sweep(now_ns),
            Work::Tidy { .. } => self.table.clear_flag(flag::PRESENT),
            _ => {}
        }
        self.pass = Some(Pass {
            work,
            source: Source::Flows,
            began_ns: now_ns,
            flows: 0,
            restored: 0,
            dropped: 0,
            alive: Vec::new(),
            has_gone: false,
            records: Vec::new(),
            overruns: self.counters.overruns,
        });
        self.actions.push_back(Action::Dump(Source::Flows));
    }

    /// A sweep in which notifications were lost must be repeated: better now than at its end, as soon
    /// as the burst is over. While it goes on, each sweep is brought to its end.
    fn is_vain(&self, now_ns: u64) -> bool {
        const CALM_NS: u64 = SECOND_NS / 50;
        let overrun = |pass: &Pass| self.counters.overruns > pass.overruns;
        let calm = now_ns.saturating_sub(self.overrun_ns) >= CALM_NS;
        self.sweeping() && calm && self.pass.as_ref().is_some_and(overrun)
    }

    fn next_work(&mut self, now_ns: u64) -> Option<Work> {
        let wanted = &mut self.wanted;
        if std::mem::take(&mut wanted.restore) {
            return Some(Work::Restore);
        }
        if std::mem::take(&mut wanted.loosen) {
            return Some(Work::Loosen);
        }
        if wanted.prune.is_some() || wanted.verify {
            let sweep = wanted.prune.take();
            return Some(Work::Tidy {
                sweep,
                strays: sweep.is_some() && std::mem::take(&mut wanted.strays),
                verify: std::mem::take(&mut wanted.verify),
            });
        }
        if let Some(id) = wanted.answer.take() {
            return Some(Work::Answer { id });
        }
        if std::mem::take(&mut wanted.compare) {
            return Some(Work::Compare);
        }
        if wanted.sweep && self.speaks(now_ns) {
            self.wanted.sweep = false;
            self.sweep_number = self.sweep_number.wrapping_add(1);
            return Some(Work::Sweep {
                number: self.sweep_number,
            });
        }
        None
    }

    /// What somebody waits for begins again.
    pub(super) fn stop_pass(&mut self) {
        self.stop_pass_if(|_| true);
    }

    pub(super) fn stop_pass_if(&mut self, ends: impl Fn(Work) -> bool) {
        let Some(pass) = self.pass.take_if(|pass| ends(pass.work)) else {
            return;
        };
        match pass.work {
            Work::Compare => self.wanted.compare = true,
            Work::Answer { id } => self.wanted.answer = Some(id),
            Work::Tidy { verify, .. } => self.wanted.verify |= verify,
            _ => {}
        }
        self.destroyed.clear();
        self.actions.push_back(Action::StopDump);
    }

    pub(super) fn sweeping(&self) -> bool {
        let work = self.pass.as_ref().map(|pass| pass.work);
        matches!(work, Some(Work::Sweep { .. }))
    }

    pub(super) fn is_tidying(&self) -> bool {
        let work = self.pass.as_ref().map(|pass| pass.work);
        matches!(work, Some(Work::Tidy { .. }))
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
        match pass.work {
            Work::Sweep { number } => self.sweep(now_ns, number, flow),
            Work::Restore => self.restore(flow),
            Work::Loosen => self.loosen(flow),
            Work::Tidy { sweep, strays, .. } => self.tidy(flow, sweep, strays),
            Work::Answer { id } => self.answer_with(now_ns, id, &flow),
            Work::Compare => self.compare_own(flow),
        }
    }

    /// One expectation of a dump.
    pub fn handle_dumped_expectation(&mut self, now_ns: u64, request: &[u8]) {
        if self.sweeping() {
            self.expect_there(now_ns, true, request);
        }
    }

    /// What was destroyed before this piece was filled is in no later one.
    pub fn handle_dump_piece(&mut self) {
        self.destroyed.clear();
    }

    /// `complete` is false where the dump failed, or may have holes.
    pub fn handle_dump_end(&mut self, now_ns: u64, complete: bool) {
        let Some(pass) = self.pass.take() else { return };
        self.destroyed.clear();
        match pass.work {
            Work::Sweep { number } => self.end_sweep(now_ns, number, pass, complete),
            Work::Restore => self.end_restore(&pass, complete),
            Work::Loosen => self.end_loosen(complete),
            Work::Tidy { sweep, verify, .. } => self.end_tidy(now_ns, sweep, verify, complete),
            Work::Answer { id } => self.end_answer(now_ns, id, pass),
            Work::Compare => self.end_own(now_ns, complete),
        }
    }

    /// The next sweep is due at once.
    pub fn want_sweep(&mut self, now_ns: u64) {
        if self.speaks(now_ns) {
            self.wanted.sweep = true;
        }
    }

    pub(super) fn sweep_interval_ns(&self) -> u64 {
        self.settings.sweep_ns.max(self.least_interval_ns())
    }

    /// The next sweep comes as soon as it may.
    pub(super) fn sweep_soon(&mut self, now_ns: u64) {
        let soon_ns = now_ns + self.least_interval_ns().max(SECOND_NS);
        self.sweep_at_ns = self.sweep_at_ns.min(soon_ns);
    }

    /// Sweeps take at most a twentieth of the time.
    fn least_interval_ns(&self) -> u64 {
        const SHARE: u64 = 20;
        let least_ns = self.sweep_took_ns.saturating_mul(SHARE);
        least_ns.min(3600 * SECOND_NS)
    }
}
