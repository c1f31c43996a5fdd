//! The queue of actions for the driver.

use std::collections::VecDeque;

use super::Action;

/// Actions that wait for the driver.
#[cfg_attr(test, derive(Clone))]
pub(super) struct Queue {
    actions: VecDeque<Action>,
    heartbeats: usize,
    /// Whether nothing after the last heartbeat waits for the host.
    is_fresh: bool,
}

impl Queue {
    pub fn new() -> Queue {
        Queue {
            actions: VecDeque::with_capacity(64),
            heartbeats: 0,
            is_fresh: false,
        }
    }

    pub fn push(&mut self, action: Action) {
        if matches!(action, Action::Heartbeat) {
            self.heartbeats += 1;
            self.is_fresh = true;
        }
        // the driver has the host's answer before it goes on
        if matches!(
            action,
            Action::Publish { .. } | Action::Reopen { .. } | Action::SwitchOver { .. }
        ) {
            self.is_fresh = false;
        }
        self.actions.push_back(action);
    }

    pub fn front(&self) -> Option<&Action> {
        self.actions.front()
    }

    pub fn pop(&mut self) -> Option<Action> {
        let action = self.actions.pop_front()?;
        if matches!(action, Action::Heartbeat) {
            self.heartbeats -= 1;
        }
        Some(action)
    }

    /// Takes the roles of other groups that may be published together with that of `group`, which was
    /// popped. What waits in front of them is sent by groups whose roles are among these, or are
    /// heartbeats, which say what is so when they are sent.
    pub fn pop_publications(&mut self, group: &str) -> Vec<Action> {
        let mut names: Vec<std::sync::Arc<str>> = Vec::new();
        let mut index = 0;
        let mut taken = Vec::new();
        while let Some(action) = self.actions.get(index) {
            match action {
                Action::Publish { group: name, .. } => {
                    if **name == *group || names.contains(name) {
                        break;
                    }
                    names.push(name.clone());
                    taken.extend(self.actions.remove(index));
                }
                Action::Transmit(id) if id.resign => index += 1,
                Action::Heartbeat => index += 1,
                _ => break,
            }
        }
        taken
    }

    /// Whether a heartbeat waits that goes right before whatever is pushed next.
    pub fn has_heartbeat(&self) -> bool {
        self.heartbeats > 0 && self.is_fresh
    }

    /// Whether any heartbeat waits.
    pub fn holds_heartbeat(&self) -> bool {
        self.heartbeats > 0
    }

    /// Whether a role waits to be published.
    pub fn publishes(&self) -> bool {
        self.actions
            .iter()
            .any(|action| matches!(action, Action::Publish { .. } | Action::Reopen { .. }))
    }

    /// Takes back a group's adverts.
    pub fn drop_adverts(&mut self, group: usize) {
        let is_advert = |action: &Action| matches!(action, Action::Transmit(id) if id.group == group && !id.resign);
        self.actions.retain(|action| !is_advert(action));
    }
}
