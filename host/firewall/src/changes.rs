//! Watches changes of nftables rules and sets, which the kernel reports.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;
use std::time::Duration;

use spared_netlink::constants::*;
use spared_netlink::{Monitor, find_attribute, text};

use super::digest::is_ours;
use super::elements::ChangedSets;
use super::sets::SetName;

/// linux/netfilter/nfnetlink.h: NFNLGRP_NFTABLES.
const GROUP: u32 = 7;
/// Pause without changes before a check, because rulesets are loaded in several transactions.
const CALM: Duration = Duration::from_millis(200);
/// Number of pauses after which rules are checked although they still change, so that the host gets its answers.
const PAUSES_MAX: u32 = 25;

/// Maximum number of changed sets that are noted by name between two checks. After more, any set may have changed.
const SETS_MAX: usize = 512;

pub(super) struct Changes {
    monitor: Monitor,
    noted: Noted,
}

/// Sets that messages named.
#[derive(Default)]
struct Noted {
    changed_sets: ChangedSets,
    /// Beginning of the last message about elements, up to the name of their set: that set was noted.
    last: Vec<u8>,
}

impl Changes {
    /// # Errors
    /// The kernel's: no descriptor left, or no nftables.
    pub(super) fn watch() -> io::Result<Self> {
        let monitor = Monitor::netfilter(GROUP)?;
        Ok(Self {
            monitor,
            noted: Noted::default(),
        })
    }

    /// Returns true if rules were changed since the last call.
    pub(super) fn take(&mut self) -> bool {
        let mut is_any = false;
        let noted = &mut self.noted;
        let read = self.monitor.read_raw(|header, payload| {
            is_any |= is_of_rules(header.kind, payload);
            noted.note(header.kind, payload);
        });
        let is_lost = !matches!(read, Ok(Ok(())));
        self.noted.changed_sets.is_uncertain |= is_lost;
        is_any || is_lost
    }

    /// Returns the sets that were changed since the last call.
    pub(super) fn take_changed_sets(&mut self) -> ChangedSets {
        std::mem::take(&mut self.noted).changed_sets
    }

    /// Waits until no change has come for [`CALM`], at most [`PAUSES_MAX`] times.
    pub(super) fn settle(&mut self) {
        for _ in 0..PAUSES_MAX {
            thread::sleep(CALM);
            if !self.take() {
                return;
            }
        }
    }

    /// Discards the changes of rules until now.
    pub(super) fn forget(&mut self) {
        let _ = self.take();
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.monitor.as_fd()
    }
}

// Returns true if a table, chain, rule or set of somebody else has changed. Elements of sets are ignored because they
// change all the time; the fence is ignored because it changes with each role.
fn is_of_rules(kind: u16, payload: &[u8]) -> bool {
    const TABLES_CHAINS_RULES_SETS: [u16; 8] = [
        NFT_MSG_NEWTABLE,
        NFT_MSG_DELTABLE,
        NFT_MSG_NEWCHAIN,
        NFT_MSG_DELCHAIN,
        NFT_MSG_NEWRULE,
        NFT_MSG_DELRULE,
        NFT_MSG_NEWSET,
        NFT_MSG_DELSET,
    ];
    TABLES_CHAINS_RULES_SETS.contains(&(kind & 0xff)) && !is_of_ours(payload)
}

fn is_of_ours(payload: &[u8]) -> bool {
    // linux/netfilter/nf_tables.h: tables and the objects in them use the same number
    const TABLE: u16 = NFTA_TABLE_NAME;
    const HEADER: usize = 4;
    let inner = payload.get(HEADER..).unwrap_or_default();
    find_attribute(inner, TABLE).is_some_and(|table| is_ours(&text(table)))
}

impl Noted {
    // Notes the set of the message: it or its elements have changed.
    fn note(&mut self, kind: u16, payload: &[u8]) {
        const OF_SETS: [u16; 4] = [
            NFT_MSG_NEWSET,
            NFT_MSG_DELSET,
            NFT_MSG_NEWSETELEM,
            NFT_MSG_DELSETELEM,
        ];
        // a list of 100 000 elements is as many messages about one set
        let is_known = !self.last.is_empty() && payload.starts_with(&self.last);
        if is_known || !OF_SETS.contains(&(kind & 0xff)) {
            return;
        }
        if matches!(kind & 0xff, NFT_MSG_NEWSETELEM | NFT_MSG_DELSETELEM) {
            self.last = SetName::head(payload).to_vec();
        }
        if is_of_ours(payload) {
            return;
        }
        if self.changed_sets.sets.len() < SETS_MAX {
            self.changed_sets.sets.extend(SetName::of(payload))
        } else {
            self.changed_sets.is_uncertain = true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sets::tests::message;
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
        assert!(is_of_rules(0x0a09, &of_table("filter")), "a set");
        assert!(
            !is_of_rules(0x0a0c, &of_table("filter")),
            "an element of a set"
        );
    }

    #[test]
    fn elements_of_others_are_noted_by_their_set() {
        const NEW_ELEMENT: u16 = 0x0a0c;
        let mut noted = Noted::default();
        noted.note(NEW_RULE, &of_table("filter"));
        for _ in 0..2 {
            noted.note(NEW_ELEMENT, &message("spared", "leases", 0));
        }
        noted.note(NEW_ELEMENT, &[1]);
        assert_eq!(noted.changed_sets, ChangedSets::default());
        for name in ["admins", "admins", "adm", "admins2", "adm"] {
            noted.note(NEW_ELEMENT, &message("office", name, 0));
        }
        let names = noted.changed_sets.sets.iter().map(SetName::name);
        assert_eq!(names.collect::<Vec<_>>(), ["adm", "admins", "admins2"]);
        for number in 0..SETS_MAX {
            let name = format!("s{number}");
            noted.note(NEW_ELEMENT, &message("office", &name, 0));
        }
        assert!(noted.changed_sets.sets.len() == SETS_MAX && noted.changed_sets.is_uncertain);
    }
}
