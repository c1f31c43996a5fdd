//! Retries after garbage and after refusals, and repairs of a table by hand or by a timer.

use crate::session::Replica;
use crate::store::Store;

impl<S: Store> Replica<S> {
    /// Handles due retries after garbage and refusals.
    pub fn handle_timeout(&mut self, now_ns: u64, store: &mut S) {
        self.sending.is_busy = false;
        if !self.channel.is_up {
            return;
        }
        self.refresh(store);
        if self.garbage.take_due(now_ns) {
            self.new_serial();
        }
        let mut is_serial_due = false;
        for table in &mut self.tables {
            if table.counters.refused_here > 0 && self.serial_pair.is_on() {
                table.retry.arm(now_ns);
            }
            if table.retry.take_due(now_ns) && self.serial_pair.is_on() && table.is_common() {
                // a new offer sends the records that the decider refused
                is_serial_due |= table.role.is_decider;
                if !table.role.is_decider {
                    // the snapshot names records that were requested and never answered
                    table.pair.requests.clear();
                    table.pair.requests.all = true;
                }
            }
        }
        if is_serial_due {
            self.new_serial();
        }
        self.update_count_due(now_ns);
        self.prune(now_ns, store);
    }

    /// Time of the next [`handle_timeout`](Self::handle_timeout); `now_ns` if there is more to do at once.
    pub fn next_timeout(&self, now_ns: u64) -> Option<u64> {
        if !self.channel.is_up {
            return None;
        }
        if self.sending.is_busy {
            return Some(now_ns);
        }
        let retries = self.tables.iter().filter_map(|table| table.retry.due_ns);
        let counts = self.serial_pair.is_on() && !self.tables.is_empty();
        let idle = counts && self.out.is_empty();
        let count = idle.then_some(self.sending.count_due_ns);
        retries.chain(self.garbage.retry_ns()).chain(count).min()
    }

    /// Requests a whole table again, or sends it: a repair by hand or by a timer.
    pub fn resync(&mut self, table: usize) {
        let is_paired = self.serial_pair.is_on();
        // without a pair there is nothing to do: the next one begins with the whole table
        let Some(table) = self.tables.get_mut(table).filter(|_| is_paired) else {
            return;
        };
        if table.role.is_decider {
            table.snapshot_again()
        } else {
            table.pair.requests.all = true
        }
    }
}
