//! Events from the kernel.

use std::collections::BTreeMap;
use std::time::Instant;

use spared_group::Group;
use spared_kernel::{FenceState, KernelEvent};
use spared_process::clock;

use super::core::Core;
use crate::events::{Kind, Notice};

/// Checks in a row without a lease after which a group has lapsed. They take longer than an elector that
/// noticed the lapse listens before it asks for leases again.
const LAPSED_MAX: u32 = 4;

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
                        "{address} on {interface} was deleted by another program and restored ({count} times so far)"
                    );
                    let news = Notice::warn(Kind::Restored, text).of_group(&group);
                    self.events.record(news.because("deleted"));
                }
                KernelEvent::Contested { group, why } => {
                    self.groups
                        .handle_contested(clock::monotonic_ns(), &group, why);
                }
                KernelEvent::FenceMissing { why } => {
                    let text = format!("the fence is gone: {why}");
                    self.events
                        .record(Notice::warn(Kind::Fence, text).because("missing"));
                    self.fence_missing = Some(why);
                }
                KernelEvent::FenceRestored { after } => {
                    let text = format!("the fence is back after {} ms", after.as_millis());
                    self.events
                        .record(Notice::warn(Kind::Fence, text).because("restored"));
                    self.fence_missing = None;
                }
                KernelEvent::Warning { text } => log::warn!("{text}"),
            }
        }
    }

    /// Runs once a second. Reports active groups without a valid lease several times in a row; a working
    /// elector notices a lapse by itself, and asks for leases again.
    pub(super) fn check_leases(&mut self) {
        let fences = self.kernel.fence_states();
        let is_blocking = |name: &str| fences.of(name) == FenceState::Blocking;
        let lapsed: BTreeMap<String, u32> = self
            .groups
            .iter()
            .filter(|(name, group)| group.is_installed() && is_blocking(name))
            .filter(|(_, group)| self.is_up_somewhere(group))
            .map(|(name, _)| (name.to_owned(), self.lapsed.get(name).map_or(1, |n| n + 1)))
            .collect();
        for name in lapsed
            .iter()
            .filter(|(_, n)| **n == LAPSED_MAX)
            .map(|it| it.0)
        {
            self.groups.handle_lapsed(clock::monotonic_ns(), name);
        }
        self.lapsed = lapsed;
    }

    // If no interface is up, the fence blocks on purpose.
    fn is_up_somewhere(&self, group: &Group) -> bool {
        let is_up = |interface: &str| {
            let seen = self.seen.get(interface);
            seen.is_some_and(|seen| seen.lack.is_none())
        };
        let mut routers = group.claims.routers.iter();
        routers.any(|router| is_up(&router.interface))
    }
}
