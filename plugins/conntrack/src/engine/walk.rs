//! Walks through the kernel's table, one at a time: for a resync, to delete flows that the peer
//! does not have and to find those missing here, to restore times after a failover, to compare.

use super::table::flag;
use super::walk_queue::{Due, Work};
use super::{Action, Engine, Source};
use crate::flow::Flow;

impl Engine {
    /// Begins work that is due. It is called when all actions have been performed; more actions may follow.
    pub fn go_on(&mut self, now_ns: u64) {
        self.send_requests(now_ns);
        if self.is_resync_futile(now_ns) {
            self.channel.resyncs.handle_stop();
            self.stop_walk();
        }
        if !self.channel.unknown.is_empty() {
            let unknown = std::mem::take(&mut self.channel.unknown);
            self.actions.push_back(Action::Find(unknown));
        }
        let informs_peer = self.informs_peer(now_ns);
        let Some(work) = self.walks.next(now_ns, informs_peer) else {
            return;
        };
        match work {
            Work::Restore | Work::RenewCopies => {
                self.table.clear_flag(flag::FRESH);
                self.actions.push_back(Action::ReadTimeouts);
            }
            Work::Resync { number } => {
                self.begin_resync(now_ns, number);
                self.actions.push_back(Action::ReadTimeouts);
            }
            Work::Tidy { .. } => self.table.clear_flag(flag::PRESENT),
            Work::List => self.begin_list(),
            _ => {}
        }
        self.walks.begin(now_ns, work, self.counters.local.overruns);
        self.actions.push_back(Action::Dump(Source::Flows));
    }

    /// Returns true if notifications were lost during a resync: it must be repeated, and better now
    /// than at its end.
    fn is_resync_futile(&self, now_ns: u64) -> bool {
        self.walks.is_resync_overrun(self.counters.local.overruns)
            && self.channel.resyncs.may_stop(now_ns)
    }

    /// Stops the walk. A walk whose result is needed starts again.
    pub(super) fn stop_walk(&mut self) {
        self.stop_walk_if(|_| true);
    }

    pub(super) fn stop_walk_if(&mut self, ends: impl Fn(Work) -> bool) {
        if self.walks.stop_if(ends) {
            self.actions.push_back(Action::StopDump);
        }
    }

    /// Returns true if the dump may go on.
    pub fn wants_more(&self) -> bool {
        self.walks.is_on() && !self.is_congested()
    }

    /// Handles one flow of a dump.
    pub fn handle_dumped(&mut self, now_ns: u64, flow: Flow) {
        let Some((work, flow)) = self.walks.read(now_ns, flow) else {
            return;
        };
        match work {
            Work::Resync { .. } => self.resync(now_ns, flow),
            Work::Restore => self.restore(now_ns, flow),
            Work::RenewCopies => self.renew_copy(now_ns, &flow),
            Work::Loosen => self.loosen(&flow),
            Work::Tidy { prune, strays, .. } => self.tidy(now_ns, flow, prune, strays),
            Work::Answer { id } => self.answer_with(now_ns, id, &flow),
            Work::Compare => self.compare_own(flow),
            Work::List => self.add_to_list(now_ns, &flow),
        }
    }

    /// Handles one expectation of a dump.
    pub fn handle_dumped_expectation(&mut self, now_ns: u64, request: &[u8]) {
        if self.walks.is_resync() {
            self.expect_there(now_ns, true, request);
        }
    }

    /// Takes note that the kernel has filled the next piece of the dump.
    pub fn handle_dump_piece(&mut self) {
        self.walks.handle_piece();
    }

    /// Handles the end of a dump. `complete` is false if the dump failed or may have holes.
    pub fn handle_dump_end(&mut self, now_ns: u64, complete: bool) {
        let Some(walk) = self.walks.end(now_ns, complete) else {
            return;
        };
        match walk.work {
            Work::Resync { number } => self.end_resync(now_ns, number, walk, complete),
            Work::Restore => self.end_restore(&walk, complete),
            Work::RenewCopies if !complete => self.walks.request(Due::RenewCopies),
            Work::RenewCopies => {}
            Work::Loosen => self.end_loosen(now_ns, complete),
            Work::Tidy {
                prune,
                strays,
                verify,
            } if !complete => {
                let again = [
                    (Due::Prune, prune),
                    (Due::Strays, strays),
                    (Due::Verify, verify),
                ];
                let again = again.into_iter().filter(|(_, is_wanted)| *is_wanted);
                again.for_each(|(due, _)| self.walks.request(due));
            }
            Work::Tidy { prune, verify, .. } => self.end_tidy(now_ns, prune, verify),
            Work::Answer { id } => self.end_answer(now_ns, id, walk, complete),
            Work::Compare => self.end_own(now_ns, complete),
            Work::List => self.end_list(complete),
        }
    }

    /// Makes the next resync due at once. Returns false if this node has no peer to inform.
    pub fn request_resync(&mut self, now_ns: u64) -> bool {
        let informs_peer = self.informs_peer(now_ns);
        if informs_peer {
            self.walks.request(Due::Resync);
        }
        informs_peer
    }

    pub(super) fn resync_interval_ns(&self) -> u64 {
        self.channel.resyncs.interval_ns(self.settings.resync_ns)
    }

    /// Schedules another resync soon after the one under way.
    pub(super) fn resync_soon(&mut self, now_ns: u64) {
        self.walks.repeat_resync();
        self.channel.resyncs.hasten(now_ns);
    }
}
