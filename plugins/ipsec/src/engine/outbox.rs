//! Actions on their way to the driver, and changes on their way to the kernel.

use std::collections::VecDeque;

use super::{Action, Change, Engine};

/// Number of changes in one batch for the kernel, a request each: a few milliseconds, so that other work has its turn
/// between batches.
pub(super) const BATCH_MAX: usize = 100;

#[derive(Debug, Default)]
pub struct Outbox {
    actions: VecDeque<Action>,
    changes: VecDeque<Change>,
    /// Batches of changes that the kernel has not answered.
    in_flight: usize,
}

impl Outbox {
    pub fn push_action(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub fn push_change(&mut self, change: Change) {
        self.changes.push_back(change);
    }

    /// Notes that the kernel has answered a batch.
    pub fn handle_applied(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Cancels additions that are not on their way.
    pub fn cancel_additions(&mut self) {
        let adds = |change: &Change| {
            matches!(
                change,
                Change::AddSa(..) | Change::SetReplay(..) | Change::SetThreshold(..)
            )
        };
        self.changes.retain(|change| !adds(change));
    }

    /// Cancels [`Action::Detach`]; returns false if it is no longer waiting.
    pub fn cancel_detach(&mut self) -> bool {
        let before = self.actions.len();
        self.actions.retain(|it| !matches!(it, Action::Detach(..)));
        self.actions.len() < before
    }

    pub fn poll_changes(&mut self) -> Option<Vec<Change>> {
        let mut count = self.changes.len().min(BATCH_MAX);
        if let (Some(Change::DeleteSa(gone)), Some(Change::AddSa(again, _))) = (
            count.checked_sub(1).and_then(|it| self.changes.get(it)),
            self.changes.get(count),
        ) {
            // a replaced SA is missing for as short a time as possible
            count -= usize::from(*gone == again.id);
        }
        let batch: Vec<Change> = self.changes.drain(..count).collect();
        self.in_flight += usize::from(!batch.is_empty());
        (!batch.is_empty()).then_some(batch)
    }

    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// True if the kernel has answered all changes.
    pub fn is_applied(&self) -> bool {
        self.changes.is_empty() && self.in_flight == 0
    }

    /// True if less than a batch of changes waits.
    pub fn is_short(&self) -> bool {
        self.changes.len() < BATCH_MAX
    }

    pub fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    #[cfg(test)]
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        self.actions.iter()
    }
}

impl Engine {
    pub(super) fn push_action(&mut self, action: Action) {
        self.outbox.push_action(action);
    }

    pub(super) fn push_change(&mut self, change: Change) {
        self.outbox.push_change(change);
    }

    pub(super) fn event(&mut self, text: String) {
        self.push_action(Action::Event(text));
    }

    pub(super) fn warn(&mut self, text: String) {
        self.push_action(Action::Warn(text));
    }
}
