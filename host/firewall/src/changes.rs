//! Changes of rules, as the kernel tells them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;
use std::time::Duration;

use spared_netlink::Monitor;

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

    /// Whether rules were changed. Returns once no change has come for a moment.
    pub(super) fn settle(&mut self) -> bool {
        for pauses in 0..PAUSES_MAX {
            let mut more = false;
            let read = self
                .monitor
                .read_raw(|header, payload| more |= is_of_rules(header.kind, payload));
            more |= !matches!(read, Ok(Ok(())));
            if !more {
                return pauses > 0;
            }
            thread::sleep(CALM);
        }
        true
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

// Whether tables, chains or rules have changed, of a family that sees the link. Elements of sets
// change all the time, and the fence is of the family netdev.
fn is_of_rules(kind: u16, payload: &[u8]) -> bool {
    const TABLES_CHAINS_RULES: [u16; 6] = [0, 2, 3, 5, 6, 8];
    const NETDEV: u8 = 5;
    TABLES_CHAINS_RULES.contains(&(kind & 0xff)) && payload.first() != Some(&NETDEV)
}
