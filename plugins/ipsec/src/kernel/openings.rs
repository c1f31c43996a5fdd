//! Prevents this node from beginning IKE SAs with certain far ends.

use std::collections::BTreeSet;
use std::io;

use spared_netlink::Transactions;

use crate::codec::openings::{self, Ends};

pub struct Openings {
    transactions: Transactions,
    /// Ends that are blocked; None: an earlier run may have left others.
    blocked: Option<BTreeSet<Ends>>,
}

impl Openings {
    /// Opens it, and ends what an earlier run blocked.
    ///
    /// # Errors
    /// No socket is available.
    pub fn open() -> io::Result<Self> {
        let mut opened = Self {
            transactions: Transactions::open()?,
            blocked: None,
        };
        if let Err(error) = opened.block(BTreeSet::new()) {
            log::debug!("no nf_tables: {error}");
        }
        Ok(opened)
    }

    /// Sets the ends that are blocked, instead of earlier ones.
    ///
    /// # Errors
    /// The kernel refused it: what was blocked before still is.
    pub fn block(&mut self, ends: BTreeSet<Ends>) -> io::Result<()> {
        if self.blocked.as_ref() == Some(&ends) {
            return Ok(());
        }
        self.transactions.commit_all(&openings::block(&ends))?;
        self.blocked = Some(ends);
        Ok(())
    }
}
