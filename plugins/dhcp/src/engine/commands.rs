//! Commands to a server's thread that are in progress.

use std::collections::BTreeSet;

use crate::lease::Key;

/// Command whose result decides what is written next.
#[derive(Debug)]
pub enum Doing {
    Looking,
    Probing,
    Replacing {
        keys: BTreeSet<Key>,
        identity: bool,
        rewrite: bool,
        leases: usize,
    },
    Applying(BTreeSet<Key>),
    Silencing(bool),
}

#[derive(Debug, Default)]
pub struct Commands {
    serial: u64,
    doing: Option<(u64, Doing)>,
    /// Readings of the file's tail that a change of the role waits for.
    reads: BTreeSet<u64>,
}

impl Commands {
    /// Begins a command; returns its number.
    pub fn begin(&mut self, doing: Doing) -> u64 {
        self.serial += 1;
        self.doing = Some((self.serial, doing));
        self.serial
    }

    /// Begins a reading of the file's tail; returns its number.
    pub fn begin_reading(&mut self) -> u64 {
        self.serial += 1;
        self.reads.insert(self.serial);
        self.serial
    }

    pub fn forget_readings(&mut self) {
        self.reads.clear();
    }

    /// Handles the end of a command; returns what it did, unless it was a reading.
    pub fn end(&mut self, serial: u64) -> Option<Doing> {
        if self.reads.remove(&serial) {
            return None;
        }
        let ended = self.doing.take_if(|(doing, _)| *doing == serial);
        ended.map(|(_, doing)| doing)
    }

    pub fn doing(&self) -> Option<&Doing> {
        self.doing.as_ref().map(|(_, doing)| doing)
    }

    pub fn is_idle(&self) -> bool {
        self.doing.is_none()
    }

    pub fn is_reading(&self) -> bool {
        !self.reads.is_empty()
    }

    pub fn is_replacing(&self) -> bool {
        matches!(self.doing(), Some(Doing::Replacing { .. }))
    }

    pub fn is_silencing(&self) -> bool {
        matches!(self.doing(), Some(Doing::Silencing(_)))
    }

    /// Keys that are being written.
    pub fn keys(&self) -> Option<&BTreeSet<Key>> {
        match self.doing()? {
            Doing::Replacing { keys, .. } | Doing::Applying(keys) => Some(keys),
            _ => None,
        }
    }

    #[cfg(test)]
    pub fn serial(&self) -> u64 {
        self.serial
    }
}
