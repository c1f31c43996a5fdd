//! Prevents this node from beginning IKE SAs with certain far ends.

use std::collections::BTreeSet;
use std::io;

use spared_netlink::Transactions;

use crate::codec::openings::{self, Ends};

pub struct Openings {
    transactions: Transactions,
    /// True if there may be a table, perhaps one of an earlier run.
    may_block: bool,
}

impl Openings {
    /// Opens it, and ends what an earlier run blocked.
    ///
    /// # Errors
    /// No socket is available.
    pub fn open() -> io::Result<Self> {
        let mut opened = Self {
            transactions: Transactions::open()?,
            may_block: true,
        };
        if let Err(error) = opened.block(BTreeSet::new()) {
            log::debug!("no nf_tables: {error}");
        }
        Ok(opened)
    }

    /// Sets the ends that are blocked, instead of earlier ones. The same ends are set again: a flush of the ruleset may
    /// have ended their block, and it ends by itself after some minutes.
    ///
    /// # Errors
    /// The kernel refused it: what was blocked before still is.
    pub fn block(&mut self, ends: BTreeSet<Ends>) -> io::Result<()> {
        if ends.is_empty() && !self.may_block {
            return Ok(());
        }
        self.transactions.commit_all(&openings::block(&ends))?;
        self.may_block = !ends.is_empty();
        Ok(())
    }
}
