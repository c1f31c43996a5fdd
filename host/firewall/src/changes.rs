//! Changes of rules, as the kernel tells them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;
use std::time::Duration;

use spared_netlink::{Monitor, attributes, text};

use super::digest::is_ours;

/// linux/netfilter/nfnetlink.h: NFNLGRP_NFTABLES.
const GROUP: u32 = 7;
/// Pause without changes before a check, as rulesets are loaded in several transactions.
const CALM: Duration = Duration::from_millis(200);
/// Pauses after which rules are checked although they still change, so that the host is heard.
const PAUSES_MAX: u32 = 25;

pub(super) struct Changes {
    monitor: Monitor,
}

impl Changes {
    /// # Errors
    /// The kernel's: no descriptor left, or no nftables.
    pub(super) fn watch() -> io::Result<Self> {
        let monitor = Monitor::netfilter(GROUP)?;
        Ok(Self { monitor })
    }

    /// Whether rules were changed since the last call.
    pub(super) fn take(&mut self) -> bool {
        let mut is_any = false;
        let read = self
            .monitor
            .read_raw(|header, payload| is_any |= is_of_rules(header.kind, payload));
        is_any || !matches!(read, Ok(Ok(())))
    }

    /// Returns once no change has come for a moment.
    pub(super) fn settle(&mut self) {
        for _ in 0..PAUSES_MAX {
            thread::sleep(CALM);
            if !self.take() {
                return;
            }
        }
    }

    /// Forgets the changes until now.
    pub(super) fn forget(&mut self) {
        let _ = self.monitor.read_raw(|_, _| {});
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.monitor.as_fd()
    }
}

// Whether tables, chains or rules of others have changed. Elements of sets change all the time, and the fence with
// each role.
fn is_of_rules(kind: u16, payload: &[u8]) -> bool {
    const TABLES_CHAINS_RULES: [u16; 6] = [0, 2, 3, 5, 6, 8];
    // linux/netfilter/nf_tables.h: NFTA_TABLE_NAME, NFTA_CHAIN_TABLE and NFTA_RULE_TABLE
    const TABLE: u16 = 1;
    const HEADER: usize = 4;
    if !TABLES_CHAINS_RULES.contains(&(kind & 0xff)) {
        return false;
    }
    let mut all = attributes(payload.get(HEADER..).unwrap_or_default());
    let table = all.find_map(|(kind, value)| (kind == TABLE).then(|| text(value)));
    !table.is_some_and(|table| is_ours(&table))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW_RULE: u16 = 0x0a06;

    fn of_table(name: &str) -> Vec<u8> {
        let length = u16::try_from(4 + name.len() + 1).expect("a short name");
        let mut payload = vec![5, 0, 0, 0];
        payload.extend(length.to_ne_bytes());
        payload.extend(1_u16.to_ne_bytes());
        payload.extend(name.bytes());
        payload.resize(payload.len().next_multiple_of(4) + 4, 0);
        payload
    }

    #[test]
    fn rules_of_others_count_and_those_of_the_fence_do_not() {
        assert!(is_of_rules(NEW_RULE, &of_table("filter")));
        assert!(!is_of_rules(NEW_RULE, &of_table("spared")));
        assert!(
            !is_of_rules(0x0a0c, &of_table("filter")),
            "an element of a set"
        );
    }
}
