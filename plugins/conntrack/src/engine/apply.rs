//! Handles the kernel's answers to changes.

use spared_netlink::{attributes, constants as c};

use super::walk_queue::Due;
use super::{Action, Engine, How, KernelChange, Question, SECOND_NS};
use crate::flow::{Flow, status};

const ENOENT: i32 = 2;
const EPERM: i32 = 1;
const ENOMEM: i32 = 12;
const EBUSY: i32 = 16;
const EEXIST: i32 = 17;
const EINVAL: i32 = 22;
const EOPNOTSUPP: i32 = 95;

/// Number of alternative forms in which a refused flow is retried.
const TRIES_MAX: u8 = 3;

impl Engine {
    /// Counts a change that the kernel accepted.
    pub fn handle_written(&mut self, change: &KernelChange) {
        self.kernel_room.see_written(change);
        if !self.channel.orphans.has_no_flow() {
            // what waits is older
            let hash = self.table.hash(&change.flow);
            self.channel.orphans.remove(hash);
        }
        let counters = &mut self.counters;
        match change.how {
            How::Create { .. } => counters.applied.created += 1,
            How::Update { .. } => counters.applied.updated += 1,
            How::Delete | How::DeleteReply => counters.applied.deleted += 1,
            How::Refresh => counters.applied.restored += 1,
            How::Loosen | How::Expect(..) => {}
        }
    }

    /// Handles changes whose result is unknown, because a batch could not be run to its end. Further failures within a
    /// second wait for the next resync.
    pub fn handle_unwritten(&mut self, now_ns: u64, changes: Vec<KernelChange>) {
        for change in changes {
            let hash = self.table.hash(&change.flow);
            match change.how {
                How::Create { .. } | How::Update { .. } if self.table.find(hash).is_some() => {
                    self.forget_entry(hash);
                    self.request_missing(now_ns, hash);
                }
                // the flow may be there still: the next walk that prunes deletes it
                How::Delete | How::DeleteReply => self.walks.request(Due::Strays),
                // a flow of this node alone would keep the short time of a copy
                How::Refresh if self.is_sole() => self.walks.request_later(now_ns, Due::Restore),
                How::Loosen => self.walks.request_later(now_ns, Due::Loosen),
                _ => {}
            }
        }
        self.kernel_room
            .wait_at_least(now_ns.saturating_add(SECOND_NS));
        self.update_synchrony(now_ns);
    }

    /// Handles questions that the kernel did not answer. A node that carries flows finds their state by its next
    /// resync.
    pub fn handle_unasked(&mut self, now_ns: u64, questions: Vec<Question>) {
        if !self.informs_peer(now_ns) {
            let changes = questions.into_iter().map(|question| question.change);
            self.handle_unwritten(now_ns, changes.collect());
        }
    }

    /// Handles a change that the kernel refused. Often another form of the request works.
    pub fn handle_refused(&mut self, now_ns: u64, change: KernelChange, errno: i32) {
        match (&change.how, errno) {
            (How::Expect(true, _), ENOENT) => self.queue_orphan(change),
            (How::Delete | How::DeleteReply | How::Refresh | How::Loosen | How::Expect(..), _) => {}
            _ if change.tries >= TRIES_MAX => self.give_up(now_ns, &change, errno),
            _ => {
                // otherwise a later change of the batch has removed it
                if let Some(slot) = self.table.find(self.table.hash(&change.flow)) {
                    self.try_another_form(now_ns, slot, change, errno);
                }
            }
        }
    }

    /// Handles a flow that the kernel refused in this form.
    fn try_another_form(&mut self, now_ns: u64, slot: u32, change: KernelChange, errno: i32) {
        match (&change.how, errno) {
            (How::Create { exclusive: true }, EEXIST) => self.look_before(slot, change),
            (How::Create { .. }, EEXIST) => self.replace(change, How::DeleteReply),
            (How::Create { .. }, EOPNOTSUPP) if change.tries == 0 && !change.flow.is_plain() => {
                self.replace(change, How::Delete);
            }
            (How::Create { .. }, EOPNOTSUPP) if has(&change.flow, c::CTA_HELP) => {
                self.counters.refused.helper += 1;
                self.without(change, c::CTA_HELP);
            }
            (How::Create { .. }, ENOENT) if has(&change.flow, c::CTA_TUPLE_MASTER) => {
                self.queue_orphan(change);
            }
            (How::Create { .. } | How::Update { with_status: true }, EBUSY) => {
                self.again(change, How::Update { with_status: false });
            }
            (How::Update { .. }, ENOENT) if change.whole => {
                self.again(change, How::Create { exclusive: false });
            }
            (How::Update { .. }, ENOENT) => self.handle_missing(now_ns, &change),
            (How::Update { .. }, EPERM) => self.with_fixed_time(change),
            _ => self.give_up(now_ns, &change, errno),
        }
    }

    pub(super) fn again(&mut self, mut change: KernelChange, how: How) {
        change.how = how;
        change.tries += 1;
        self.actions.push_back(Action::Write(change));
    }

    /// Deletes another flow that is in the place of the peer's, and creates the peer's.
    pub(super) fn replace(&mut self, change: KernelChange, delete: How) {
        self.write(delete, change.flow.clone(), 0);
        self.again(change, How::Create { exclusive: false });
    }

    /// Asks the kernel for its flow first: it has one with this key, or another one with its translated ends.
    fn look_before(&mut self, slot: u32, mut change: KernelChange) {
        change.tries += 1;
        let before = self.table.get(slot).unwritten();
        self.question(change, before, None);
    }

    pub(super) fn without(&mut self, mut change: KernelChange, unwanted: u16) {
        change.flow.drop_attributes(|kind| kind == unwanted);
        let how = change.how.clone();
        self.again(change, how);
    }

    fn with_fixed_time(&mut self, mut change: KernelChange) {
        change.flow.status |= status::FIXED_TIMEOUT;
        self.again(change, How::Update { with_status: true });
    }

    /// Handles a flow that the kernel has dropped: a partial record is not enough to create it again.
    pub(super) fn handle_missing(&mut self, now_ns: u64, change: &KernelChange) {
        let hash = self.table.hash(&change.flow);
        if self.table.find(hash).is_some() {
            self.forget_entry(hash);
            self.counters.lost += 1;
            self.request_missing(now_ns, hash);
        }
    }

    fn give_up(&mut self, now_ns: u64, change: &KernelChange, errno: i32) {
        let counters = &mut self.counters;
        match errno {
            ENOMEM => counters.refused.full += 1,
            EEXIST => counters.refused.exists += 1,
            EINVAL => counters.refused.invalid += 1,
            _ => counters.refused.other += 1,
        }
        let hash = self.table.hash(&change.flow);
        let is_known = self.table.find(hash).is_some();
        self.forget_entry(hash);
        if errno == ENOMEM {
            self.kernel_room.note_refused(now_ns, &change.flow);
            self.note_missing(now_ns, hash);
            return self.wait_for_resync(now_ns);
        }
        log::debug!("{}: {:?}: errno {errno}", change.flow.original, change.how);
        if is_known && !self.channel.missing.refuse(hash) {
            self.wait_for_resync(now_ns);
        }
    }

    /// Waits until the next resync, since the kernel's table is full: each request for missing flows would cost the
    /// peer a resync.
    fn wait_for_resync(&mut self, now_ns: u64) {
        let interval_ns = self.resync_interval_ns().saturating_sub(SECOND_NS);
        self.kernel_room
            .wait_until(now_ns.saturating_add(interval_ns));
        self.update_synchrony(now_ns);
    }
}

fn has(flow: &Flow, kind: u16) -> bool {
    attributes(&flow.extra).any(|(known, _)| known == kind)
}
