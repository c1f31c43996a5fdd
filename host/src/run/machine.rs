//! Passes on what must be equal on both machines, as this one has it.

use std::time::Instant;

use super::r#loop::Loop;

impl Loop {
    /// Compares the machines if something of this one was read again.
    pub(super) fn compare_machines(&mut self, now: Instant) {
        let is_due = self.machine.is_due(now);
        if is_due {
            let wanted = self.view().machine_wanted();
            self.machine.set(wanted);
        }
        if self.here.linked().is_none() {
            return;
        }
        // a reload may have changed them
        if let Some(read) = is_due.then(|| self.machine.read()).flatten() {
            let names = self.view().node_names(&read);
            self.firewall.set_names(now, names);
        }
        self.pair.set_ignored(now, &self.here);
        let is_read = self.machine.take_is_new();
        if !self.firewall.take_is_listed() && !is_read {
            return;
        }
        let Some(read) = self.machine.read() else {
            return;
        };
        let names = self.view().node_names(&read);
        self.firewall.set_names(now, names);
        let facts = self.view().machine_facts(read);
        self.pair.set_machine(now, facts);
    }
}
