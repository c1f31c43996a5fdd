//! Operations on expiring keys: grants, revokes and carries leases.

use std::io;
use std::time::{Duration, Instant};

use super::changes::{add_keys, remove_keys};
use super::transaction::Transaction;
use super::{CARRY_MAX, Fence, FenceError, LeaseKey, TABLE, TABLE_NAME, dump, sets};

/// Maximum time to write a lease. After a longer time the lease may be stale.
const WRITE_MAX: Duration = Duration::from_millis(100);

impl Fence {
    /// Grants leases in one transaction. Their packets are no longer carried.
    pub fn grant(&mut self, leases: &[(LeaseKey, Duration)]) -> Result<(), FenceError> {
        let begun = Instant::now();
        let keys: Vec<LeaseKey> = leases.iter().map(|(key, _)| *key).collect();
        let carried: Vec<LeaseKey> = self.carried_of(&keys);
        let mut transaction = Transaction::new();
        remove_keys(&mut transaction, TABLE, sets::CARRY, &carried);
        for table in self.tables() {
            add_keys(&mut transaction, table, sets::LEASE, leases);
        }
        self.transport.commit(transaction)?;
        self.forget_carried(&carried);
        if begun.elapsed() > WRITE_MAX {
            self.revoke(&keys)?;
            return Err(late("grant a lease in time"));
        }
        Ok(())
    }

    /// Revokes leases, valid or not.
    pub fn revoke(&mut self, keys: &[LeaseKey]) -> Result<(), FenceError> {
        self.commit_removal(|fence, transaction| fence.remove_leases(transaction, keys))
    }

    /// Revokes leases, and carries the packets of those that were valid.
    pub fn carry_leases(&mut self, keys: &[LeaseKey]) -> Result<(), FenceError> {
        let begun = Instant::now();
        let read = |error| FenceError::new("read the leases", error);
        // A lease that has expired may be the peer's already, so its packets are not carried.
        let mut carried = self.leases().map_err(read)?;
        carried.retain(|(key, _)| keys.contains(key));
        carried.iter_mut().for_each(|(_, left)| *left = CARRY_MAX);
        self.commit_removal(|fence, transaction| {
            add_keys(transaction, TABLE, sets::CARRY, &carried);
            fence.remove_leases(transaction, keys);
        })?;
        self.carried.extend(carried.iter().map(|(key, _)| *key));
        if begun.elapsed() > WRITE_MAX {
            self.end_carry(keys)?;
            return Err(late("switch over a lease in time"));
        }
        Ok(())
    }

    /// Ends the carrying that [`Fence::carry_leases`] has begun.
    pub fn end_carry(&mut self, keys: &[LeaseKey]) -> Result<(), FenceError> {
        let carried = self.carried_of(keys);
        if carried.is_empty() {
            return Ok(());
        }
        self.commit_removal(|_, transaction| {
            remove_keys(transaction, TABLE, sets::CARRY, &carried);
        })?;
        self.forget_carried(&carried);
        Ok(())
    }

    // Retries, because an element may expire while the transaction that deletes it is under way.
    fn commit_removal(&mut self, fill: impl Fn(&Self, &mut Transaction)) -> Result<(), FenceError> {
        const ATTEMPTS: usize = 4;
        let mut result = Ok(());
        for _ in 0..ATTEMPTS {
            let mut transaction = Transaction::new();
            fill(self, &mut transaction);
            result = self.transport.commit(transaction);
            if !result.as_ref().is_err_and(FenceError::is_missing) {
                break;
            }
        }
        result
    }

    fn remove_leases(&self, transaction: &mut Transaction, keys: &[LeaseKey]) {
        for table in self.tables() {
            remove_keys(transaction, table, sets::LEASE, keys);
        }
    }

    fn carried_of(&self, keys: &[LeaseKey]) -> Vec<LeaseKey> {
        let mut carried = keys.to_vec();
        carried.retain(|key| self.carried.contains(key));
        carried
    }

    fn forget_carried(&mut self, keys: &[LeaseKey]) {
        self.carried.retain(|key| !keys.contains(key));
    }

    /// Valid leases, each with the time that is left.
    pub fn leases(&self) -> io::Result<Vec<(LeaseKey, Duration)>> {
        dump::keys(&mut self.requests.borrow_mut(), TABLE_NAME, "lease")
    }

    /// Keys whose packets are carried, each with the time that is left.
    pub fn carried(&self) -> io::Result<Vec<(LeaseKey, Duration)>> {
        dump::keys(&mut self.requests.borrow_mut(), TABLE_NAME, "carry")
    }
}

fn late(what: &str) -> FenceError {
    FenceError::new(what, io::Error::from_raw_os_error(libc::ETIMEDOUT))
}
