//! Blocking policies in the kernel, which `engine/blocks.rs` explains.

use std::collections::BTreeMap;

use crate::sa::PolicyId;

/// By the policy that each is below: the last reading that found it.
#[derive(Debug, Default)]
pub struct Blocks(BTreeMap<PolicyId, u32>);

impl Blocks {
    pub fn put(&mut self, below: PolicyId, reading: u32) {
        self.0.insert(below, reading);
    }

    pub fn remove(&mut self, below: &PolicyId) -> bool {
        self.0.remove(below).is_some()
    }

    /// A reading is done: what it did not find is not there.
    pub fn keep_read(&mut self, reading: u32) {
        self.0.retain(|_, it| *it == reading);
    }

    pub fn has(&self, below: &PolicyId) -> bool {
        self.0.contains_key(below)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The policies that they are below.
    pub fn below(&self) -> impl Iterator<Item = &PolicyId> {
        self.0.keys()
    }
}
