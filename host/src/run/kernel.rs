//! What the kernel reports.

use std::time::Instant;

use super::core::Core;
use crate::clock;
use crate::events::{Kind, News};
use crate::group::Group;
use crate::kernel::{FenceState, KernelEvent};

impl Core {
    pub(super) fn handle_kernel(&mut self, now: Instant, events: Vec<KernelEvent>) {
        for event in events {
            match event {
                KernelEvent::Interface { name } => self.handle_interface(now, &name),
                KernelEvent::Restored {
                    group,
                    address,
                    interface,
                    count,
                } => {
                    let text = format!(
                        "{address} on {interface} was deleted by somebody and is back ({count} times so far)"
                    );
                    let news = News::warn(Kind::Restored, text).of_group(&group);
                    self.events.record(news.because("deleted"));
                }
                KernelEvent::Contested { group, why } => {
                    self.groups
                        .handle_contested(clock::monotonic_ns(), &group, why);
                }
                KernelEvent::Unfenced { why } => {
                    let text = format!("the fence is gone: {why}");
                    self.events
                        .record(News::warn(Kind::Fence, text).because("unfenced"));
                    self.unfenced = Some(why);
                }
                KernelEvent::Fenced { after } => {
                    let text = format!("fenced again after {} ms", after.as_millis());
                    self.events
                        .record(News::warn(Kind::Fence, text).because("fenced"));
                    self.unfenced = None;
                }
                KernelEvent::Warning { text } => log::warn!("{text}"),
            }
        }
    }

    /// Once a second: a group that is active and whose lease has run out, twice in a row.
    pub(super) fn check_leases(&mut self) {
        let lapsed: Vec<String> = self
            .groups
            .iter()
            .filter(|(name, group)| group.is_installed() && self.is_lapsed(name, group))
            .map(|(name, _)| name.to_owned())
            .collect();
        for name in &lapsed {
            if self.lapsed.contains(name) {
                self.groups.handle_lapsed(clock::monotonic_ns(), name);
            }
        }
        self.lapsed = lapsed;
    }

    // Without carrier the fence is closed on purpose.
    fn is_lapsed(&self, name: &str, group: &Group) -> bool {
        let is_up = |interface: &str| {
            let seen = self.seen.get(interface);
            seen.is_some_and(|seen| seen.state == "up")
        };
        let mut routers = group.claims.routers.iter();
        routers.any(|router| is_up(&router.interface))
            && self.kernel.fence_status(name) == FenceState::Closed
    }
}
