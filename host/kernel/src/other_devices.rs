//! Tracks devices that no claim names. The kernel answers ARP and neighbour discovery on every device for the addresses
//! of all devices. So every device that may answer has chains of the fence as well.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use spared_netlink::Link;

use super::interfaces::Interfaces;

/// Maximum number of guarded devices. A machine with more has many containers, whose devices are in no network of the
/// pair.
const GUARDED_MAX: usize = 256;
/// Pause between two changes of the guarded devices. Programs that create devices create many, and change them at once.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Default)]
pub struct OtherDevices {
    /// Indices of the devices that may answer for an address.
    guarded: BTreeSet<u32>,
    /// All devices that existed when `guarded` was last set.
    seen: BTreeSet<u32>,
    /// Time at which `guarded` was last set.
    since: Option<Instant>,
    /// Time at which `guarded` is to be set again.
    due: Option<Instant>,
}

impl OtherDevices {
    /// Compares with the present devices. New ones are due at once, or after a pause if others have just appeared.
    pub fn note(&mut self, interfaces: &Interfaces, now: Instant) {
        let mut links = interfaces.links();
        let are_seen = links.all(|link| self.has_seen(link));
        if are_seen && self.guarded == may_answer(interfaces) {
            return;
        }
        let due = self.since.map_or(now, |since| now.max(since + PAUSE));
        self.due.get_or_insert(due);
    }

    /// Guards all present devices that may answer.
    pub fn take(&mut self, interfaces: &Interfaces) {
        self.due = None;
        self.since = Some(Instant::now());
        self.guarded = may_answer(interfaces);
        self.seen = interfaces.links().map(|link| link.index).collect();
    }

    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    pub fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    pub fn guards(&self, link: &Link) -> bool {
        self.guarded.contains(&link.index)
    }

    pub fn has_seen(&self, link: &Link) -> bool {
        self.seen.contains(&link.index)
    }

    /// Drops devices that are gone or renamed although their event has not been read yet. `links` is the kernel's
    /// present list.
    pub fn retain_present(&mut self, interfaces: &Interfaces, links: &[Link]) {
        self.guarded.retain(|index| {
            let known = interfaces.name_of(*index);
            let mut links = links.iter();
            links.any(|link| link.index == *index && Some(link.name.as_str()) == known)
        });
        self.due = Some(Instant::now() + PAUSE);
    }

    /// Guards no device until the next time that is due.
    pub fn give_up(&mut self) {
        self.guarded.clear();
    }
}

// Returns the devices that may answer. A port does not. A device that is down counts, as it may be up before its event
// is read.
fn may_answer(interfaces: &Interfaces) -> BTreeSet<u32> {
    let links = interfaces.links();
    let may = links.filter(|link| link.is_ethernet && link.port_of.is_none());
    may.map(|link| link.index).take(GUARDED_MAX).collect()
}
