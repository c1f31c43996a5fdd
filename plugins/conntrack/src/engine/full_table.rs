//! Requests missing flows when a kernel table that was full has room again.

use super::status::counted;
use super::{Action, Engine, How, KernelChange, SECOND_NS};
use crate::flow::Flow;

const WARN_EVERY_NS: u64 = 60 * SECOND_NS;

/// State of this kernel's table while it is full.
#[derive(Debug, Default)]
pub(super) struct FullTable {
    room: Room,
    /// Time until which no flows are requested.
    until_ns: u64,
    /// The table was found to be full after the last warning.
    is_news: bool,
    warned_ns: Option<u64>,
}

impl FullTable {
    pub(super) fn is_full(&self, now_ns: u64) -> bool {
        now_ns < self.until_ns
    }

    /// Sets the time until which no flows are requested; a shorter interval shortens a longer pause.
    pub(super) fn wait_until(&mut self, until_ns: u64) {
        self.until_ns = until_ns;
    }

    pub(super) fn wait_at_least(&mut self, until_ns: u64) {
        self.until_ns = self.until_ns.max(until_ns);
    }

    /// Takes note that the kernel had no room for a flow.
    pub(super) fn note_refused(&mut self, now_ns: u64, flow: &Flow) {
        self.room.note_refused(now_ns, flow);
        self.is_news = true;
    }

    /// Takes note of a change that the kernel accepted.
    pub(super) fn see_written(&mut self, change: &KernelChange) {
        self.room.see_written(change);
    }

    /// Forgets the refused flow if it is this one, which has ended at the peer: to try it would bring it back to life.
    pub(super) fn handle_gone(&mut self, flow: &Flow) {
        if self.room.is_of(flow) {
            self.room.forget();
        }
    }

    /// Forgets the refused flow, which may have ended before the session began.
    pub(super) fn handle_session(&mut self) {
        self.room = Room {
            pause_ns: self.room.pause_ns,
            ..Room::default()
        };
    }

    /// Returns true if a warning is due; called each second, since the number of refusals is not known at the first
    /// one.
    fn is_warning_due(&mut self, now_ns: u64, missing: u64) -> bool {
        let is_new = std::mem::take(&mut self.is_news) && missing > 0;
        let is_soon = |at_ns: u64| now_ns < at_ns + WARN_EVERY_NS;
        let is_due = is_new && !self.warned_ns.is_some_and(is_soon);
        if is_due {
            self.warned_ns = Some(now_ns);
        }
        is_due
    }
}

/// Detects that the kernel's table has room again, by one flow that was refused.
#[derive(Debug)]
struct Room {
    refused: Option<Flow>,
    /// Time of the next try.
    next_ns: Option<u64>,
    pause_ns: u64,
    is_tried: bool,
    /// The kernel accepted the flow.
    is_there: bool,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            refused: None,
            next_ns: None,
            pause_ns: Self::PAUSE_NS,
            is_tried: false,
            is_there: false,
        }
    }
}

impl Room {
    const PAUSE_NS: u64 = 10 * SECOND_NS;

    /// Takes note of a refused flow. The newest one is tried next, since an older one may have ended.
    fn note_refused(&mut self, now_ns: u64, flow: &Flow) {
        if self.is_tried && !self.is_of(flow) {
            return;
        }
        let next_ns = now_ns.saturating_add(self.pause_ns);
        self.next_ns.get_or_insert(next_ns);
        (self.is_tried, self.is_there) = (false, false);
        self.refused = Some(flow.clone());
    }

    /// Forgets the refused flow, but not that the kernel accepted it.
    fn forget(&mut self) {
        (self.refused, self.is_tried) = (None, false);
    }

    fn is_of(&self, flow: &Flow) -> bool {
        let refused = self.refused.as_ref();
        refused.is_some_and(|it| (it.original, it.zone) == (flow.original, flow.zone))
    }

    fn see_written(&mut self, change: &KernelChange) {
        let is_new = matches!(change.how, How::Create { .. });
        self.is_there |= self.is_tried && is_new && self.is_of(&change.flow);
    }

    /// Returns the flow to try, and schedules another try.
    fn begin(&mut self, now_ns: u64) -> Option<Flow> {
        self.next_ns = Some(now_ns.saturating_add(self.pause_ns));
        self.is_tried = self.refused.is_some();
        self.refused.clone()
    }

    /// Ends the tries, before all missing flows are requested, and doubles the pause: if flows come and go, room for
    /// one is not room for all, and each request costs resyncs.
    fn end(&mut self, longest_ns: u64) {
        self.pause_ns = self
            .pause_ns
            .saturating_mul(2)
            .min(longest_ns)
            .max(Self::PAUSE_NS);
        (self.is_tried, self.is_there) = (false, false);
    }
}

impl Engine {
    /// Returns the time at which a refused flow is tried again. The next timeout handles the result, and a time that
    /// passed while the peer was not active.
    pub(super) fn next_try_ns(&self, now_ns: u64) -> Option<u64> {
        let room = &self.kernel_room.room;
        let due_ns = room.next_ns.filter(|due_ns| *due_ns > now_ns);
        due_ns.filter(|_| !room.is_there && self.lacks_flows())
    }

    /// Tries one flow to learn if the kernel has room: a resync for that purpose would name all flows.
    pub(super) fn try_for_room(&mut self, now_ns: u64) {
        if self.has_all_flows() && self.kernel_room.room.refused.is_some() {
            self.kernel_room.room = Room::default();
        }
        if self.kernel_room.room.is_there && self.lacks_flows() {
            return self.request_the_rest(now_ns);
        }
        let is_due = self
            .kernel_room
            .room
            .next_ns
            .is_some_and(|due_ns| now_ns >= due_ns);
        if !is_due || !self.lacks_flows() {
            return;
        }
        let Some(flow) = self.kernel_room.room.begin(now_ns) else {
            return;
        };
        let hash = self.table.hash(&flow);
        match self.table.find(hash) {
            None => {
                self.create_copy(now_ns, hash, flow);
                // it may have changed since: it is still to come
                self.channel.missing.insert(hash);
            }
            // the peer has sent it again, and it has been written
            Some(_) => self.request_the_rest(now_ns),
        }
    }

    /// Forgets the refused flow if the peer's resync did not name it.
    pub(super) fn forget_unnamed_refused(&mut self) {
        let hash = self
            .kernel_room
            .room
            .refused
            .as_ref()
            .map(|flow| self.table.hash(flow));
        let is_named =
            |hash| self.table.find(hash).is_some() || self.channel.missing.may_have(hash);
        if hash.is_some_and(|hash| !is_named(hash)) {
            self.kernel_room.room.forget();
        }
    }

    fn lacks_flows(&self) -> bool {
        !self.has_all_flows() && self.peer_is_active()
    }

    /// Requests the missing flows: the peer answers the request for one flow by a resync, which names all.
    fn request_the_rest(&mut self, now_ns: u64) {
        let longest_ns = self.resync_interval_ns();
        self.kernel_room.room.end(longest_ns);
        self.kernel_room.until_ns = 0;
        let refused = self.kernel_room.room.refused.as_ref();
        let tried = refused.map(|flow| self.table.hash(flow));
        // it may have ended since
        if let Some(hash) = tried.or_else(|| self.channel.missing.any()) {
            self.channel.outbox.push_request(hash);
        }
        self.send_requests(now_ns);
    }

    pub(super) fn warn_of_full_table(&mut self, now_ns: u64) {
        let missing = self.channel.missing.count();
        if !self.kernel_room.is_warning_due(now_ns, missing) {
            return;
        }
        let are = if missing == 1 { "is" } else { "are" };
        let text = format!(
            "the kernel's table is full: {} of the other node {are} not here; raise \
             net.netfilter.nf_conntrack_max",
            counted(usize::try_from(missing).unwrap_or(usize::MAX))
        );
        self.actions.push_back(Action::Warn(text));
    }
}
