//! The process of the daemon: its signals, the service manager that watches it, its periodic work and its stop.

use std::time::{Duration, Instant};

use spared_group::stop::{PendingWork, Step, Stop};
use spared_process::nearest_tick;
use spared_process::service::Service;
use spared_process::signals::Signals;
use spared_process::worker::restricts_files;

/// Interval of periodic work: watchdog, findings, leases, clients that do not read their answers.
const TICK: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Process {
    signals: Signals,
    service: Service,
    ticked_at: Instant,
    /// The stop, once it has begun.
    stop: Option<Stop>,
    /// True if the kernel restricts the files of workers.
    restricts_files: bool,
}

/// Signals that arrived since they were last taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) terminate: bool,
    pub(super) hangup: bool,
}

impl Process {
    pub(super) fn new(signals: Signals, now: Instant) -> Self {
        Self {
            signals,
            service: Service::from_environment(),
            ticked_at: now,
            stop: None,
            restricts_files: restricts_files(),
        }
    }

    pub(super) fn take_signals(&mut self) -> Taken {
        self.signals.acknowledge();
        Taken {
            terminate: self.signals.take_terminate(),
            hangup: self.signals.take_hangup(),
        }
    }

    pub(super) fn restricts_files(&self) -> bool {
        self.restricts_files
    }

    // ---- time

    /// Returns how late the periodic work is, if it is due.
    pub(super) fn poll_tick(&mut self, now: Instant) -> Option<Duration> {
        let since = now.saturating_duration_since(self.ticked_at);
        let late = since.checked_sub(self.tick_interval())?;
        self.ticked_at = nearest_tick(self.ticked_at, self.tick_interval(), now);
        Some(late)
    }

    pub(super) fn next_timeout(&self) -> Instant {
        let tick = self.ticked_at + self.tick_interval();
        let stop = self.stop.as_ref().map(Stop::next_timeout);
        stop.map_or(tick, |stop| stop.min(tick))
    }

    fn tick_interval(&self) -> Duration {
        self.service.watchdog().map_or(TICK, |it| it.min(TICK))
    }

    // ---- the service manager

    /// Returns true if a service manager starts this process again when it has ended.
    pub(super) fn is_managed(&self) -> bool {
        self.service.is_managed()
    }

    /// Reports that the configuration is in force.
    pub(super) fn tell_ready(&self, line: &str) {
        self.service.ready(line);
    }

    pub(super) fn tell_reloading(&self) {
        self.service.reloading();
    }

    pub(super) fn tell_alive(&self) {
        self.service.alive();
    }

    pub(super) fn tell_status(&mut self, line: String) {
        self.service.status(line);
    }

    // ---- the stop

    /// Begins the stop. Returns false if it has begun before: then it no longer waits.
    pub(super) fn begin_stop(&mut self, now: Instant) -> bool {
        if let Some(stop) = &mut self.stop {
            stop.skip_waiting(now);
            return false;
        }
        self.service.stopping();
        self.stop = Some(Stop::new(now));
        true
    }

    pub(super) fn handle_plugin_stopped(&mut self, plugin: &str) {
        if let Some(stop) = &mut self.stop {
            stop.handle_stopped(plugin);
        }
    }

    /// Advances the stop. Returns false if it has to wait.
    pub(super) fn advance_stop(&mut self, now: Instant, pending: &PendingWork) -> bool {
        let stop = self.stop.as_mut();
        stop.is_some_and(|stop| stop.advance(now, pending))
    }

    pub(super) fn poll_stop_step(&mut self) -> Option<Step> {
        self.stop.as_mut().and_then(Stop::poll_step)
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(Stop::is_done)
    }
}
