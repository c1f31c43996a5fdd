//! Steps of a switchover (E6) in the loop that concern the link and the kernel.

use spared_process::clock;

use super::core::Core;
use crate::events::{Kind, Notice};

impl Core {
    /// Tells the groups which plugins are connected to their peers.
    pub(super) fn sync_channels(&mut self) {
        if self.groups.channels() != self.channels_up() {
            let channels = self.channels_up().clone();
            self.groups.set_channels(channels);
        }
    }

    pub(super) fn prepare(&mut self, group: &str) {
        let result = self.kernel.prepare(group);
        let result = result.map_err(|error| error.to_string());
        self.groups
            .handle_prepared(clock::monotonic_ns(), group, result);
    }

    pub(super) fn unprepare(&mut self, group: &str) {
        for failure in self.kernel.unprepare(group) {
            log::warn!("{group}: {failure}");
        }
    }

    // If the lease cannot be carried, it is revoked: packets are lost for a moment, but this node no longer
    // answers for the address.
    pub(super) fn carry_lease(&mut self, group: &str) {
        if let Err(error) = self.kernel.carry_lease(group) {
            let text =
                format!("packets that arrive here during the switchover are dropped: {error}");
            self.events.record(
                Notice::warn(Kind::Fence, text)
                    .of_group(group)
                    .because("kernel"),
            );
            self.revoke_lease(group);
        }
    }

    pub(super) fn end_carry(&mut self, group: &str) {
        if let Err(error) = self.kernel.end_carry(group) {
            log::warn!("{group}: {error}; what is carried ends by itself");
        }
    }
}
