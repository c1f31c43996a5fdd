//! Surroundings of a group while it is called.

use std::sync::Arc;

use super::Action;
use super::interface::Interface;
use super::queue::Queue;

/// Time and surroundings of one call.
pub(super) struct Context<'a> {
    pub now_ns: u64,
    pub node: &'a str,
    pub peer: Option<&'a Arc<str>>,
    pub links: &'a [String],
    /// Keys of both nodes are configured, so there are heartbeats.
    pub keys: bool,
    /// The hosts have a session.
    pub session: bool,
    pub interfaces: &'a [Interface],
    pub actions: &'a mut Queue,
    /// Index of the group in the engine.
    pub group: usize,
}

impl Context<'_> {
    pub fn push(&mut self, action: Action) {
        self.actions.push(action);
    }

    pub fn interface(&self, index: usize) -> Option<&Interface> {
        self.interfaces.get(index)
    }
}
