//! Deletes SAs and reads their last numbers from the kernel's events.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use spared_netlink::Verdict;
use spared_netlink::constants::XFRMNLGRP_SA;

use super::Kernel;
use crate::codec;
use crate::sa::{Replay, SaId};

impl Kernel {
    /// Deletes SAs. Returns those that were deleted, each with its last numbers if the kernel reported them. The
    /// kernel reports them after the last packet has its number, and before it answers the request.
    pub fn stop(&mut self, ids: &[SaId]) -> Vec<(SaId, Option<Replay>)> {
        let listens = self.own_deletions.join(XFRMNLGRP_SA);
        let refused = self.delete(ids).unwrap_or_else(|error| {
            log::warn!("cannot delete SAs: {error}");
            ids.iter().copied().collect()
        });
        let mut numbers = match listens {
            Ok(()) => self.last_numbers(),
            Err(error) => Err(error),
        }
        .unwrap_or_else(|error| {
            log::warn!("cannot receive the last sequence numbers of SAs: {error}");
            BTreeMap::new()
        });
        // an error has no effect: it is not subscribed any more
        let _ = self.own_deletions.leave(XFRMNLGRP_SA);
        let gone = ids.iter().filter(|id| !refused.contains(*id));
        gone.map(|id| (*id, numbers.remove(id))).collect()
    }

    /// Returns the SAs that the kernel refused to delete.
    fn delete(&mut self, ids: &[SaId]) -> io::Result<BTreeSet<SaId>> {
        let mut refused = BTreeSet::new();
        for id in ids {
            self.push(&codec::deletion(id));
        }
        self.writer.flush(|request, verdict| {
            if let (Some(id), Verdict::Refused(_)) = (ids.get(request), verdict) {
                refused.insert(*id);
            }
        })?;
        Ok(refused)
    }

    fn last_numbers(&mut self) -> io::Result<BTreeMap<SaId, Replay>> {
        let mut numbers = BTreeMap::new();
        loop {
            let read = self.own_deletions.read(|header, payload| {
                numbers.extend(codec::last_numbers(header.kind, payload));
            })?;
            if read.empty {
                return Ok(numbers);
            }
        }
    }
}
