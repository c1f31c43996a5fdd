//! Compares the settings that must be equal on both machines.

use std::time::Instant;

use super::r#loop::Loop;

impl Loop {
    /// Compares the machines if this machine's settings were read again.
    pub(super) fn compare_machines(&mut self, now: Instant) {
        let is_due = self.readers.is_machine_due(now);
        if is_due {
            let wanted = self.view().machine_request();
            self.readers.read_machine(wanted);
        }
        if self.config.linked().is_none() {
            return;
        }
        self.pair.set_ignored(now, &self.config);
        let is_read = self.readers.take_is_machine_new();
        let is_new = self.firewall.take_is_listed() || is_read;
        // even if nothing new was read, a reload may have changed the names
        if !(is_new || is_due) {
            return;
        }
        let Some(read) = self.readers.machine_state() else {
            return;
        };
        let names = self.view().node_names(&read);
        self.firewall.set_names(now, names);
        if !is_new {
            return;
        }
        let facts = self.view().machine_facts(read);
        self.pair.set_machine(now, facts);
    }
}
