//! Queue of actions for the driver. When it is polled, it drops a request that no longer holds.

use std::collections::VecDeque;

use super::{Action, Engine, Role};

/// Actions that wait for the driver.
#[cfg_attr(test, derive(Clone))]
#[derive(Default)]
pub(super) struct Queue {
    actions: VecDeque<Action>,
    heartbeats: usize,
    /// No action after the last heartbeat waits for the host.
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

    pub fn extend(&mut self, actions: impl IntoIterator<Item = Action>) {
        actions.into_iter().for_each(|action| self.push(action));
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

    /// Takes the roles of other groups that may be published together with the role of `group`, which was popped. Only
    /// two kinds of actions may wait in front of them: priority 0 of groups whose roles are among these, and
    /// heartbeats, whose contents are those of the moment when they are sent.
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

    /// True if a heartbeat waits that goes right before whatever is pushed next.
    pub fn has_heartbeat(&self) -> bool {
        self.heartbeats > 0 && self.is_fresh
    }

    /// True if an equal action waits already.
    pub fn holds(&self, action: &Action) -> bool {
        self.actions.contains(action)
    }

    /// True if any heartbeat waits.
    pub fn holds_heartbeat(&self) -> bool {
        self.heartbeats > 0
    }

    /// True if a role waits to be published.
    pub fn publishes(&self) -> bool {
        self.actions
            .iter()
            .any(|action| matches!(action, Action::Publish { .. } | Action::Reopen { .. }))
    }

    /// Removes a group's waiting adverts.
    pub fn drop_adverts(&mut self, group: usize) {
        let is_advert = |action: &Action| matches!(action, Action::Transmit(id) if id.group == group && !id.resign);
        self.actions.retain(|action| !is_advert(action));
    }
}

impl Action {
    fn is_request(&self) -> bool {
        matches!(
            self,
            Action::Publish {
                role: Role::Active,
                ..
            }
        )
    }
}

impl Engine {
    /// True if the next action asks the host to be active: then pass in the frames waiting in the sockets first.
    pub fn asks_to_be_active(&self) -> bool {
        self.actions.front().is_some_and(Action::is_request)
    }

    /// Returns the next action.
    pub fn poll_action(&mut self) -> Option<Action> {
        loop {
            let action = self.actions.pop()?;
            if self.still_holds(&action) {
                self.note_polled(&action);
                return Some(action);
            }
        }
    }

    /// Returns the roles of other groups to be published in one call with the role of `group`, which was polled.
    pub fn poll_publications(&mut self, group: &str) -> Vec<Action> {
        let mut actions = self.actions.pop_publications(group);
        actions.retain(|action| self.still_holds(action));
        for action in &actions {
            self.note_polled(action);
        }
        actions
    }

    /// Returns false if a group that asked to be active has heard since that another node is: the group is backup, as
    /// the host knows it.
    fn still_holds(&self, action: &Action) -> bool {
        match action {
            Action::Publish { group, .. } if action.is_request() => self.wants_active(group),
            _ => true,
        }
    }

    fn note_polled(&mut self, action: &Action) {
        if let Action::Publish { group, role, .. } = action {
            let groups = &mut self.groups;
            let group = groups.iter_mut().find(|it| it.name == *group);
            if let Some(group) = group.filter(|_| *role != Role::Active) {
                group.own_heartbeat.handle_blocked();
            }
        }
    }
}
