//! Keeps programs of other users away from the port of charon's plugin `ha`.

use std::io;

use spared_netlink::{Requests, Transactions};

use crate::SECOND;
use crate::codec::port_guard::{self, Chains, Ends};

/// Interval in which the table is looked for while charon says something: others may have flushed all tables.
const INTERVAL_NS: u64 = 10 * SECOND;

pub struct PortGuard {
    transactions: Transactions,
    ends: Ends,
    /// Chains that were put; None: not yet, and an earlier run may have left others.
    chains: Option<Chains>,
    next_ns: u64,
    has_failed: bool,
}

impl PortGuard {
    /// Guards the port of charon, and that of the plugin at its address.
    ///
    /// # Errors
    /// No socket is available.
    pub fn open(ends: Ends) -> io::Result<Self> {
        Ok(Self {
            transactions: Transactions::open()?,
            ends,
            chains: None,
            next_ns: 0,
            has_failed: false,
        })
    }

    /// Puts the table if it is not there as a whole; a failure is logged once.
    pub fn keep(&mut self, now_ns: u64) {
        if now_ns < self.next_ns {
            return;
        }
        self.next_ns = now_ns + INTERVAL_NS;
        let there = self.chains.filter(|it| count_rules() == *it as usize);
        if there == Some(Chains::Both) {
            return;
        }
        let (chains, fault) = self.put(there);
        if let (Some(fault), false) = (&fault, self.has_failed) {
            log::warn!("{fault}");
        }
        (self.chains, self.has_failed) = (chains, fault.is_some());
    }

    /// Puts the table, or what of it the kernel can; returns the chains that are there then, and what is missing.
    fn put(&mut self, there: Option<Chains>) -> (Option<Chains>, Option<String>) {
        let Err(error) = self.commit(Chains::Both) else {
            return (Some(Chains::Both), None);
        };
        let Ends { port, plugin, .. } = self.ends;
        let done = there.map_or_else(|| self.commit(Chains::Output), |_| Ok(()));
        match done {
            Ok(()) => {
                let fault = format!(
                    "while this plugin does not run, other users of this router can take port {port} of {plugin}, to \
                     which charon sends keys: nf_tables, expression socket: {error}"
                );
                (Some(Chains::Output), Some(fault))
            }
            Err(error) => {
                let fault = format!(
                    "other users of this router can use port {port} of charon's plugin ha: nf_tables: {error}"
                );
                (None, Some(fault))
            }
        }
    }

    fn commit(&mut self, chains: Chains) -> io::Result<()> {
        // what is there may be of another version, or for another user
        let mut changes = port_guard::remove();
        changes.extend(port_guard::put(chains, self.ends));
        self.transactions.commit_all(&changes)
    }
}

/// Removes the table that a run with an IKE daemon left.
pub fn remove_port_guard() {
    let removed = Transactions::open().and_then(|mut it| it.commit_all(&port_guard::remove()));
    if let Err(error) = removed {
        log::debug!("no nf_tables: {error}");
    }
}

fn count_rules() -> usize {
    let mut count = 0;
    let dumped = Requests::open_netfilter()
        .and_then(|mut it| it.dump(port_guard::get_rules(), |_, _| count += 1));
    if dumped.is_ok() { count } else { 0 }
}
