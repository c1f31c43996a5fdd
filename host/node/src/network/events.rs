//! Handles events of the kernel, and notifies the plugins, the groups and the administrator.

use std::time::Instant;

use spared_group::Groups;
use spared_kernel::KernelEvent;
use spared_message::notice::{Kind, Notice};
use spared_process::clock;
use spared_supervisor::Supervisor;

use super::Network;

impl Network {
    /// Handles events of the kernel. Returns those for the administrator.
    pub fn handle_events(
        &mut self,
        now: Instant,
        supervisor: &mut Supervisor,
        groups: &mut Groups,
        events: Vec<KernelEvent>,
    ) -> Vec<Notice> {
        let events = events.into_iter();
        let notices = events.filter_map(|event| self.handle_event(now, supervisor, groups, event));
        notices.collect()
    }

    fn handle_event(
        &mut self,
        now: Instant,
        supervisor: &mut Supervisor,
        groups: &mut Groups,
        event: KernelEvent,
    ) -> Option<Notice> {
        match event {
            KernelEvent::Interface(name) => self.handle_interface(now, supervisor, &name),
            KernelEvent::Restored {
                group,
                address,
                interface,
                count,
            } => {
                let text = format!(
                    "{address} on {interface} was deleted by another program and restored ({count} times so far)"
                );
                let notice = Notice::warn(Kind::Restored, text).of_group(&group);
                Some(notice.because("deleted"))
            }
            KernelEvent::Contested { group, why } => {
                groups.handle_contested(clock::monotonic_ns(), &group, why);
                None
            }
            KernelEvent::FenceMissing(why) => {
                let text = format!("the fence is gone: {why}");
                self.fence_missing = Some(why);
                Some(Notice::warn(Kind::Fence, text).because("missing"))
            }
            KernelEvent::FenceRestored(after) => {
                let text = format!("the fence is back after {} ms", after.as_millis());
                self.fence_missing = None;
                Some(Notice::warn(Kind::Fence, text).because("restored"))
            }
            // The node's readiness is computed from the settings themselves.
            KernelEvent::Forwarding => None,
            KernelEvent::Warning(text) => {
                log::warn!("{text}");
                None
            }
        }
    }
}
