//! Handles answers of the kernel to changes of its tables.

use std::collections::BTreeMap;

use super::{Change, Engine};

const ENOENT: i32 = 2;
const ESRCH: i32 = 3;

impl Engine {
    /// Handles the end of [`Action::Apply`](super::Action::Apply); `refused`: positions and errnos of refused changes.
    pub fn handle_applied(&mut self, now_ns: u64, changes: Vec<Change>, refused: &[(usize, i32)]) {
        let refused: BTreeMap<usize, i32> = refused.iter().copied().collect();
        for (position, change) in changes.into_iter().enumerate() {
            match refused.get(&position) {
                None => self.applied(now_ns, change),
                Some(errno) => self.refused(now_ns, change, *errno),
            }
        }
        self.outbox.handle_applied();
        self.report_refused_if_installed();
        self.mark_dirty();
    }

    fn applied(&mut self, now_ns: u64, change: Change) {
        match change {
            Change::AddSa(sa, threshold) => self.handle_added_sa(now_ns, sa, threshold),
            Change::DeleteSa(id) => self.remove_sa(now_ns, &id),
            Change::AddPolicy(policy) | Change::PutPolicy(policy) => {
                self.handle_installed_policy(now_ns, &policy);
            }
            Change::ParkPolicy(_) => {}
            Change::DeletePolicy(id) => self.remove_policy(now_ns, &id),
            Change::SetReplay(id, replay) => {
                if !self.handle_number_set(now_ns, &id, None) {
                    self.handle_counters(now_ns, &id, replay, None);
                }
            }
            Change::SetThreshold(..) => {}
            Change::Probe(sa) => self.handle_proof(now_ns, &sa, None),
        }
    }

    fn refused(&mut self, now_ns: u64, change: Change, errno: i32) {
        match change {
            Change::AddSa(sa, threshold) => self.handle_refused_sa(now_ns, (sa, threshold), errno),
            Change::AddPolicy(policy) | Change::PutPolicy(policy) => {
                self.handle_refused_policy(now_ns, &policy, errno);
            }
            // the SA is not there
            Change::DeleteSa(id) if errno == ESRCH => self.remove_sa(now_ns, &id),
            Change::DeletePolicy(id) if errno == ENOENT => self.remove_policy(now_ns, &id),
            Change::Probe(sa) => self.handle_proof(now_ns, &sa, Some(errno)),
            Change::SetThreshold(id, _) => {
                if let Some(known) = self.store.sas.get_mut(&id) {
                    // the next measurement sets it again
                    known.threshold = 0;
                }
            }
            Change::SetReplay(id, _) => {
                self.counters.refused += 1;
                self.handle_number_set(now_ns, &id, Some(errno));
            }
            Change::DeleteSa(_) | Change::DeletePolicy(_) | Change::ParkPolicy(_) => {
                self.counters.refused += 1;
            }
        }
    }
}
