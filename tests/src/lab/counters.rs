// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the kernel's counters of an interface.

use std::fs;

use super::Namespace;
use crate::Result;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub received_bytes: u64,
    pub sent_bytes: u64,
    /// Number of frames that could not be sent.
    pub sent_dropped: u64,
}

impl Counters {
    /// # Errors
    /// The interface does not exist.
    pub fn of(ns: &Namespace, interface: &str) -> Result<Self> {
        let text = ns.run(|| Ok(fs::read_to_string("/proc/thread-self/net/dev")?))?;
        Self::read(&text, interface)
            .ok_or_else(|| format!("{}: no counters of {interface}", ns.name).into())
    }

    fn read(text: &str, interface: &str) -> Option<Self> {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        let (_, numbers) = lines.find(|(name, _)| name.trim() == interface)?;
        let numbers: Vec<u64> = numbers
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        Some(Self {
            received_bytes: *numbers.first()?,
            sent_bytes: *numbers.get(8)?,
            sent_dropped: *numbers.get(11)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_found_among_others() {
        let text = "Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0
r1-lan: 1183180   20154    0    0    0     0          0         0  1326544   22187    0   37    0     0       0          0
";
        let wanted = Counters {
            received_bytes: 1_183_180,
            sent_bytes: 1_326_544,
            sent_dropped: 37,
        };
        assert_eq!(Counters::read(text, "r1-lan"), Some(wanted));
        assert_eq!(Counters::read(text, "lan"), None);
    }
}
