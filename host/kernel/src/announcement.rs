//! Announces addresses: when a group announces again, and the socket that sends the frames.

use std::time::{Duration, Instant};

use spared_netlink::PacketSocket;

use super::KernelError;

/// Delays of the announcements after an installation, in ms. They are repeated because switches and
/// hosts lose single frames.
const AFTER_INSTALL_MS: [u64; 5] = [0, 100, 1000, 2000, 5000];
/// Delays of the announcements after a conflict, in ms.
const AFTER_CONFLICT_MS: [u64; 3] = [0, 1000, 5000];

/// Pending announcements of a group.
#[derive(Debug, Default)]
pub struct Schedule {
    // Ascending.
    pending: Vec<Instant>,
    refresh: Option<Duration>,
    // Time of the latest announcement. The next refresh follows one interval after it.
    announced: Option<Instant>,
}

impl Schedule {
    pub fn installed(&mut self, now: Instant, refresh_s: u32) {
        self.pending = AFTER_INSTALL_MS
            .map(|ms| now + Duration::from_millis(ms))
            .into();
        self.refresh_every(refresh_s);
    }

    /// Sets the interval of refreshes, which begin when nothing else is pending.
    pub fn refresh_every(&mut self, refresh_s: u32) {
        self.refresh = (refresh_s > 0).then(|| Duration::from_secs(refresh_s.into()));
    }

    /// Replaces the announcements that are not due yet by those of a conflict, and keeps the
    /// overdue ones.
    pub fn again(&mut self, now: Instant) {
        let last = AFTER_CONFLICT_MS.map(|ms| now + Duration::from_millis(ms));
        self.pending.retain(|at| *at < now);
        self.pending.extend(last);
    }

    pub fn once(&mut self, now: Instant) {
        self.pending.insert(0, now);
    }

    pub fn stop(&mut self) {
        *self = Self::default();
    }

    pub fn next(&self) -> Option<Instant> {
        let refresh = || Some(self.announced? + self.refresh?);
        self.pending.first().copied().or_else(refresh)
    }

    /// Returns true if an announcement is due, and removes it.
    pub fn take_due(&mut self, now: Instant) -> bool {
        if self.next().is_none_or(|at| at > now) {
            return false;
        }
        // One announcement serves all that are overdue.
        let kept = self
            .pending
            .iter()
            .position(|at| *at > now)
            .unwrap_or(self.pending.len());
        self.pending.drain(..kept);
        self.announced = Some(now);
        true
    }
}

/// Sends the frames that announce addresses, and counts them.
pub(super) struct Announcer {
    packets: PacketSocket,
    sent: u64,
    failed: u64,
}

impl Announcer {
    pub(super) fn open() -> Result<Self, KernelError> {
        let packets = PacketSocket::sender();
        Ok(Self {
            packets: packets
                .map_err(|error| KernelError::new("kernel", "open a packet socket", error))?,
            sent: 0,
            failed: 0,
        })
    }

    pub(super) fn send(&mut self, index: u32, frame: &[u8]) {
        match self.packets.send(index, frame) {
            Ok(()) => self.sent += 1,
            Err(_) => self.failed += 1,
        }
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    pub(super) fn failed(&self) -> u64 {
        self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failover_is_announced_five_times_and_then_refreshed() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        schedule.installed(start, 60);
        let mut sent = Vec::new();
        for ms in 0..130_000 {
            if schedule.take_due(start + Duration::from_millis(ms)) {
                sent.push(ms);
            }
        }
        assert_eq!(sent, [0, 100, 1000, 2000, 5000, 65_000, 125_000]);
    }

    #[test]
    fn another_interval_counts_from_the_latest_announcement() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut schedule = Schedule::default();
        schedule.refresh_every(60);
        assert_eq!(schedule.next(), None);
        schedule.installed(start, 60);
        assert!(schedule.take_due(at(5)));
        assert_eq!(schedule.next(), Some(at(65)));
        schedule.refresh_every(10);
        assert_eq!(schedule.next(), Some(at(15)));
        schedule.refresh_every(0);
        assert_eq!(schedule.next(), None);
    }

    #[test]
    fn a_late_caller_announces_once_not_in_a_burst() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        schedule.installed(start, 0);
        assert!(schedule.take_due(start + Duration::from_secs(3)));
        assert!(!schedule.take_due(start + Duration::from_secs(3)));
        assert!(schedule.take_due(start + Duration::from_secs(5)));
        assert_eq!(schedule.next(), None);
    }
}
