//! What the kernel reports.

use std::time::Instant;

use super::core::Core;
use crate::clock;
use crate::events::{Kind, News};
use crate::kernel::KernelEvent;

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
}
