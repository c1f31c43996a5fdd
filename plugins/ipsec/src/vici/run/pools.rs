//! Reads charon's pools, and replaces them as [`Withholding`](super::Withholding) decides.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use super::super::ViciEvent;
use super::super::client::Fault;
use super::super::list;
use super::super::withhold::Step;
use super::talk::Talk;
use super::{LOOK, Thread};
use crate::connections::Pool;

/// Limit of leases in one answer; charon would send no answer with more.
const LEASES_MAX: u64 = 1_000;

impl Thread {
    pub(super) fn order_withholding(&mut self, now: Instant, addresses: BTreeSet<IpAddr>) {
        self.withholding.order(now, addresses);
        if self.talk.is_none() {
            self.connect_at = self.connect_at.min(self.look_at(now, LOOK));
        }
    }

    /// Prevents charon from assigning addresses of replicated clients, if it is time.
    pub(super) fn withhold(&mut self) -> Result<(), Fault> {
        let now = Instant::now();
        let is_due = self.withholding.due().is_some_and(|due| due <= now);
        let Some(talk) = self.talk.as_mut().filter(|_| is_due) else {
            return Ok(());
        };
        let mut pools = list::pools(&mut talk.client)?;
        pools.retain(|(pool, _)| self.withholding.concerns(pool));
        let mut faults = Vec::new();
        for (pool, leases) in pools {
            faults.extend(self.withhold_of(&pool, leases)?);
        }
        let fault = faults.into_iter().next();
        if let Some(news) = self.withholding.handle_looked(now, fault) {
            self.say(ViciEvent::Withheld(news));
        }
        Ok(())
    }

    /// Does so for one pool; returns the reason why it is not possible.
    fn withhold_of(&mut self, pool: &Pool, leases: u64) -> Result<Option<String>, Fault> {
        let Some(Talk { client, .. }) = &mut self.talk else {
            return Ok(None);
        };
        let given = if leases <= LEASES_MAX {
            Some(list::given(client, &pool.name)?)
        } else {
            None
        };
        let part = match self.withholding.handle_pool(pool, given.as_ref()) {
            None => return Ok(None),
            Some(Step::Fault(why)) => return Ok(Some(why)),
            Some(Step::Replace(part)) => part,
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
