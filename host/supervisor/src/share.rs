//! Share of one worker in the host: bytes that it sends without being asked, and time that the host spends on it. A
//! worker that has used up its share is not read until it has a share again. Meanwhile its socket fills, then its own
//! queue; nothing that it sent is lost here.

use std::time::{Duration, Instant};

use spared_contract::FromPlugin;
use spared_process::poller::{Key, Poller};
use spared_process::token_bucket::TokenBucket;

use super::plugin::Plugin;
use super::worker::Running;
use super::{Kind, Notice, Supervisor};

/// Limits of what a worker may send without being asked: bytes per second, and bytes at once.
const BYTES_PER_S: u32 = 2 << 20;
const BYTES_BURST: u32 = 4 << 20;
/// Weight of a record in addition to its bytes: the shortest ones cost the host as much as some hundred bytes.
const RECORD: usize = 256;

/// Limits of the host's time for one worker: µs per second, and µs at once.
const TIME_PER_S: u32 = 100_000;
const TIME_BURST: u32 = 100_000;
/// Weight of the elector's time. Its messages move roles, and a failover of many groups takes the host hundreds of
/// milliseconds, in which the elector must not be paused.
const ELECTOR: f64 = 0.2;

/// Minimum pause: each end of a pause is a turn of the host's loop, which no share pays for.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// Maximum pause. A longer debt is waited for in the next pause.
const PAUSE_MAX: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Share {
    bytes: TokenBucket,
    time: TokenBucket,
    paused_until: Option<Instant>,
    /// Number of pauses so far.
    pub(super) pauses: u64,
    /// True if there was a pause since the last ping.
    was_paused: bool,
}

impl Share {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            bytes: TokenBucket::new(BYTES_PER_S, BYTES_BURST, now),
            time: TokenBucket::new(TIME_PER_S, TIME_BURST, now),
            paused_until: None,
            pauses: 0,
            was_paused: false,
        }
    }

    /// Counts a record that came without being asked for.
    pub(super) fn charge_record(&mut self, now: Instant, bytes: usize) {
        let weight = u32::try_from(bytes + RECORD).unwrap_or(u32::MAX);
        self.bytes.charge(now, weight.into());
    }

    pub(super) fn charge_time(&mut self, now: Instant, spent: Duration, is_elector: bool) {
        let factor = if is_elector { ELECTOR } else { 1.0 };
        self.time.charge(now, spent.as_secs_f64() * 1e6 * factor);
    }

    /// Returns true if the worker has sent too much to be read on.
    pub(super) fn is_overdrawn(&mut self, now: Instant) -> bool {
        self.bytes.debt(now).is_some()
    }

    pub(super) fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    pub(super) fn take_paused(&mut self) -> bool {
        std::mem::take(&mut self.was_paused)
    }

    /// Begins a pause if more than the share was used. Returns which part of the share was exceeded most.
    fn pause(&mut self, now: Instant) -> Option<&'static str> {
        let (bytes, time) = (self.bytes.debt(now), self.time.debt(now));
        let debt = bytes.max(time)?;
        self.paused_until = Some(now + debt.clamp(PAUSE_MIN, PAUSE_MAX));
        self.pauses += 1;
        self.was_paused = true;
        Some(if bytes >= time {
            "sends more than 2 MiB a second"
        } else {
            "takes more than a tenth of the daemon's time"
        })
    }
}

impl Running {
    /// Returns true if a message answers an open question of the host.
    pub(super) fn is_asked(&self, message: &FromPlugin) -> bool {
        match message {
            FromPlugin::Returned { token, .. } => self.pending.contains_key(token),
            FromPlugin::Pong { number, .. } => self.pings.is_open(*number),
            _ => false,
        }
    }
}

impl Supervisor {
    /// Counts time that was spent on a worker, and pauses reading from a worker that used up its share.
    pub fn charge(&mut self, poller: &Poller, now: Instant, serial: u64, spent: Duration) {
        let Some(name) = self.name_of(serial) else {
            return;
        };
        let is_elector = self.is_elector(serial);
        let Some(running) = self.running(&name) else {
            return;
        };
        let share = &mut running.share;
        share.charge_time(now, spent, is_elector);
        if share.paused_until.is_some() {
            return;
        }
        let Some(why) = share.pause(now) else { return };
        let is_first = share.pauses == 1;
        poller.forget(&running.worker);
        if let Some(errors) = running.worker.errors() {
            poller.forget(errors);
        }
        if is_first {
            let text = format!("{name} {why}: its messages are read more slowly");
            self.tell(Notice::warn(Kind::Plugin, text).because("flood"));
        }
    }

    /// Resumes reading from workers whose pause is over.
    pub(super) fn end_pauses(&mut self, poller: &Poller, now: Instant) {
        for running in self.plugins.values_mut().filter_map(Plugin::running_mut) {
            if running.share.paused_until.is_none_or(|until| now < until) {
                continue;
            }
            running.share.paused_until = None;
            let serial = running.serial;
            // this fails only without memory; the pings then end the worker
            let _ = poller.watch(&running.worker, Key::Worker(serial));
            if let Some(errors) = running.worker.errors() {
                let _ = poller.watch(errors, Key::Errors(serial));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn bytes_beyond_the_share_are_waited_for() {
        let now = Instant::now();
        let mut share = Share::new(now);
        for _ in 0..63 {
            share.charge_record(now, 64 << 10);
        }
        assert_eq!(share.pause(now), None);
        for _ in 0..3 {
            share.charge_record(now, 64 << 10);
        }
        assert_eq!(share.pause(now), Some("sends more than 2 MiB a second"));
        let until = share.paused_until().unwrap();
        assert!(until > now + 60 * MS && until < now + 120 * MS);
        assert!(share.is_overdrawn(until - 10 * MS));
        assert!(!share.is_overdrawn(until));
        assert_eq!(share.pause(until), None);
    }

    #[test]
    fn a_small_debt_does_not_wake_the_host_at_once() {
        let now = Instant::now();
        let mut share = Share::new(now);
        share.charge_record(now, (4 << 20) + 1);
        assert!(share.pause(now).is_some());
        assert_eq!(share.paused_until(), Some(now + PAUSE_MIN));
    }

    #[test]
    fn the_shortest_records_weigh_more_than_their_bytes() {
        let now = Instant::now();
        let mut share = Share::new(now);
        (0..20_000).for_each(|_| share.charge_record(now, 8));
        assert!(share.is_overdrawn(now));
    }

    #[test]
    fn time_beyond_a_tenth_is_waited_for_and_an_electors_counts_less() {
        let now = Instant::now();
        let (mut one, mut elector) = (Share::new(now), Share::new(now));
        one.charge_time(now, 110 * MS, false);
        elector.charge_time(now, 110 * MS, true);
        assert_eq!(elector.pause(now), None);
        let why = one.pause(now);
        assert_eq!(why, Some("takes more than a tenth of the daemon's time"));
        let pause = one.paused_until().unwrap() - now;
        assert!(pause > 99 * MS && pause < 101 * MS, "{pause:?}");
        one.charge_time(now, 10_000 * MS, false);
        let _ = one.pause(now);
        assert_eq!(one.paused_until(), Some(now + PAUSE_MAX));
    }
}
