//! Reads the installed SAs back after a failover, compares them and reports the result.

use super::super::status::counted;
use super::Engine;
use crate::ms_between;

impl Engine {
    /// Compares the kernel with the installed SAs after a failover's reading; then the IKE daemon gets its order.
    pub(in crate::engine) fn read_back(&mut self, now_ns: u64) {
        let wanted = self.failover.read_back_generation;
        if wanted.is_none_or(|wanted| wanted > self.reads.generation()) {
            return;
        }
        if !self.is_installed() {
            self.failover.read_back_generation = Some(self.read_fresh());
            return;
        }
        self.failover.read_back_generation = None;
        let differing = self.installed.read_back(&self.store.sas);
        if let Some(first) = differing.first() {
            let sas = counted(differing.len(), "SA");
            let text = format!("{sas} not as installed, first {:08x}", first.spi);
            self.counters.differing += differing.len() as u64;
            self.event(text);
        }
        self.adopt(now_ns);
    }

    fn adopt(&mut self, now_ns: u64) {
        self.ike.saved_unadopted.mark_changed();
        let installed = counted(self.installed.len(), "SA");
        let failover = &self.failover;
        let read_ms = ms_between(failover.active_ns, now_ns);
        let took_ms = ms_between(failover.began_ns, failover.installed_ns);
        self.event(format!(
            "{installed} taken over within {took_ms} ms, read back after {read_ms} ms"
        ));
        self.order_adoption();
    }
}
