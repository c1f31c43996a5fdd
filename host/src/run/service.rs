//! The service as systemd sees it: ready, reloading, stopping, alive, and a line of status.

use std::time::Duration;

use crate::notify::Notify;

/// The service, and the line that systemd was last told.
#[derive(Debug)]
pub struct Service {
    notify: Notify,
    line: String,
}

impl Service {
    pub fn from_environment() -> Self {
        Self {
            notify: Notify::from_environment(),
            line: String::new(),
        }
    }

    pub fn ready(&self, line: &str) {
        self.notify.ready(line);
    }

    pub fn reloading(&self) {
        self.notify.reloading();
    }

    pub fn stopping(&self) {
        self.notify.stopping();
    }

    /// Tells the line if it has changed.
    pub fn status(&mut self, line: String) {
        if line != self.line {
            self.notify.status(&line);
            self.line = line;
        }
    }

    /// Holds off systemd's watchdog, if there is one.
    pub fn alive(&self) {
        if self.notify.watchdog.is_some() {
            self.notify.alive();
        }
    }

    /// Longest time between two calls of [`alive`](Self::alive), if there is a watchdog.
    pub fn watchdog(&self) -> Option<Duration> {
        Some(self.notify.watchdog? / 2)
    }
}
