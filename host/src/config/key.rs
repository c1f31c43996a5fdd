//! The secrets of the link.

use spared_link::message::Keys;

/// How both nodes know each other; wiped from memory when dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkKeys(Keys);

impl LinkKeys {
    pub(super) fn new(keys: Keys) -> Self {
        Self(keys)
    }

    /// A copy, to be wiped by who asks for it.
    pub fn reveal(&self) -> Keys {
        self.0.clone()
    }
}

impl Drop for LinkKeys {
    fn drop(&mut self) {
        self.0.wipe();
    }
}
