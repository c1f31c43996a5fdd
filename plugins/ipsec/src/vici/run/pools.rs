//! Reads charon's pools, and replaces them as [`Withholding`](super::Withholding) decides.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use super::super::ViciEvent;
use super::super::client::Fault;
use super::super::list;
use super::super::withhold::PoolAction;
use super::session::CharonSession;
use super::{RETRY_ABSENT, Thread};
use crate::connections::Pool;

/// Limit of leases in one answer; charon would send no answer with more.
const LEASES_MAX: u64 = 1_000;

impl Thread {
    pub(super) fn order_withholding(&mut self, now: Instant, addresses: BTreeSet<IpAddr>) {
        self.withholding.set_addresses(now, addresses);
        if self.session.is_none() {
            let at = self.next_connect_at(now, RETRY_ABSENT);
            self.connecting.next_at = self.connecting.next_at.min(at);
        }
    }

    /// Prevents charon from assigning addresses of replicated clients, if it is time.
    pub(super) fn withhold(&mut self) -> Result<(), Fault> {
        let now = Instant::now();
        let is_due = self.withholding.due().is_some_and(|due| due <= now);
        let Some(session) = self.session.as_mut().filter(|_| is_due) else {
            return Ok(());
        };
        let mut pools = list::pools(&mut session.client)?;
        pools.retain(|(pool, _)| self.withholding.concerns(pool));
        let mut faults = Vec::new();
        for (pool, leases) in pools {
            faults.extend(self.withhold_in_pool(&pool, leases)?);
        }
        let fault = faults.into_iter().next();
        if let Some(change) = self.withholding.handle_read(now, fault) {
            self.report(ViciEvent::Withheld(change));
        }
        Ok(())
    }

    /// Does so for one pool; returns the reason why it is not possible.
    fn withhold_in_pool(&mut self, pool: &Pool, leases: u64) -> Result<Option<String>, Fault> {
        let Some(CharonSession { client, .. }) = &mut self.session else {
            return Ok(None);
        };
        let assigned = if leases <= LEASES_MAX {
            Some(list::assigned(client, &pool.name)?)
        } else {
            None
        };
        let part = match self.withholding.handle_pool(pool, assigned.as_ref()) {
            None => return Ok(None),
            Some(PoolAction::Fault(why)) => return Ok(Some(why)),
            Some(PoolAction::Replace(part)) => part,
        };
        match list::load_pool(client, &part) {
            Ok(()) => {
                let (name, range) = (&pool.name, part.range());
                self.note(format!(
                    "pool {name} assigns {range} only: replicated clients have others"
                ));
                self.withholding.handle_replaced(pool, part);
                Ok(None)
            }
            Err(Fault::Refused(why)) => Ok(Some(format!(
                "pool {} may assign addresses twice: {why}",
                pool.name
            ))),
            Err(fault) => Err(fault),
        }
    }
}
