//! Devices beside those of claims. The kernel answers ARP and neighbour discovery on every device for the addresses of
//! all, so those that may answer have chains of the fence as well.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use spared_netlink::Link;

use super::interfaces::Interfaces;

/// Devices that are guarded. A machine with more has many containers, whose devices are in no network of the pair.
const GUARDED_MAX: usize = 256;
/// Programs that make devices make many, and change them again at once.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Default)]
pub struct Elsewhere {
    /// Devices that may answer for an address.
    guarded: BTreeSet<u32>,
    /// All devices as of then.
    seen: BTreeSet<u32>,
    /// When they were last guarded.
    since: Option<Instant>,
    /// When others are to be guarded.
    due: Option<Instant>,
}

impl Elsewhere {
    /// Notes the devices of now: those that are new are due at once, or after a pause if others have just come.
    pub fn note(&mut self, interfaces: &Interfaces, now: Instant) {
        let mut links = interfaces.links();
        let are_seen = links.all(|link| self.has_seen(link));
        if are_seen && self.guarded == may_answer(interfaces) {
            return;
        }
        let due = self.since.map_or(now, |since| now.max(since + PAUSE));
        self.due.get_or_insert(due);
    }

    /// Takes the devices of now as those that are guarded.
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

    /// Leaves out devices that have gone, or have another name, of which no event has been read: `links` are those of the
    /// kernel now.
    pub fn retain_present(&mut self, interfaces: &Interfaces, links: &[Link]) {
        self.guarded.retain(|index| {
            let known = interfaces.name_of(*index);
            let mut links = links.iter();
            links.any(|link| link.index == *index && Some(link.name.as_str()) == known)
        });
        self.due = Some(Instant::now() + PAUSE);
    }

    /// Guards none until they are due again.
    pub fn give_up(&mut self) {
        self.guarded.clear();
    }
}

// A port answers nothing. One that is down may be up before its event is read.
fn may_answer(interfaces: &Interfaces) -> BTreeSet<u32> {
    let links = interfaces.links();
    let may = links.filter(|link| link.is_ethernet && link.port_of.is_none());
    may.map(|link| link.index).take(GUARDED_MAX).collect()
}
