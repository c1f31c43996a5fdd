//! Tracks whether the server runs, accepts leases, and is silent.

use std::time::{Duration, Instant};

use super::super::hang;
use super::{ENDED, Event, RETRY, Thread};

/// Delay of the first probe: a server that starts opens its file before its control channel.
const PROBE_FIRST: Duration = Duration::from_millis(100);

/// Facts about the server itself.
#[derive(Debug, Default)]
pub(super) struct Presence {
    /// The server runs; None if unknown.
    pub runs: Option<bool>,
    pub live: bool,
    told: Option<(bool, bool)>,
    pub silent: bool,
    probe_after: Duration,
    /// No process had the file open for a moment: the server may have been restarted.
    may_be_new: bool,
    /// Reason why it does not work.
    hangs: Option<String>,
    /// Reason why it cannot be determined whether it works.
    hidden: Option<String>,
}

impl Thread {
    /// Detects whether the server runs. `is_sure`: if no process has the file open, the server has
    /// ended.
    pub(super) fn see_server(&mut self, is_sure: bool) {
        // it may have left a file without a name for the one with the name
        if self.told.has_unnamed_file() {
            self.look(false, false);
        }
        let Some(files) = &self.files else {
            return;
        };
        let runs = match files.has_server() {
            Ok(runs) => runs,
            Err(why) => {
                log::warn!("{}: {why}", self.settings.name);
                return;
            }
        };
        let before = self.server.runs;
        if before == Some(true) && !runs && !is_sure {
            self.server.may_be_new = true;
            self.due.server = Some(Instant::now() + ENDED);
            return;
        }
        let is_new = std::mem::take(&mut self.server.may_be_new) || before != Some(true);
        self.server.runs = Some(runs);
        if before != Some(runs) || runs && is_new {
            // it has read its configuration, or has closed a file that this no longer names
            self.due.setup = Some(Instant::now());
        }
        if runs && is_new {
            self.server.live &= before == Some(true);
            self.server.probe_after = PROBE_FIRST;
            self.due.probe = Some(Instant::now());
            self.process.forget();
        }
        // a fault of its files begins the looks again
        if runs {
            self.due
                .hang
                .get_or_insert_with(|| Instant::now() + hang::LOOK);
        }
        if !runs {
            self.due.hang = None;
            self.tell_hanging(None);
            self.tell_hidden(None);
            self.server.live = false;
            self.due.probe = None;
        }
        self.tell_server();
        if !runs && before == Some(true) && self.due.open.is_some() {
            // it may have left a file that its configuration no longer names
            self.due.open = Some(Instant::now());
        }
        if !runs && before != Some(false) {
            // the final contents, which no process changes any more
            self.look(false, true);
        }
    }

    fn tell_server(&mut self) {
        let Some(runs) = self.server.runs else {
            return;
        };
        let live = self.server.live;
        if self.server.told != Some((runs, live)) {
            self.server.told = Some((runs, live));
            self.emit(Event::Runs { runs, live });
        }
    }

    /// Looks if a running server works.
    pub(super) fn look_at_process(&mut self) {
        let now = Instant::now();
        self.due.hang = Some(now + hang::LOOK);
        let hangs = self.process.look(now);
        self.tell_hanging(hangs);
        self.tell_hidden(self.process.hidden());
    }

    fn tell_hidden(&mut self, hidden: Option<String>) {
        if self.server.hidden != hidden {
            self.server.hidden.clone_from(&hidden);
            self.emit(Event::Hidden(hidden));
        }
    }

    fn tell_hanging(&mut self, hangs: Option<String>) {
        if self.server.hangs != hangs {
            self.server.hangs.clone_from(&hangs);
            self.emit(Event::Hangs(hangs));
        }
    }

    /// Probes if a running server accepts leases, and silences it if it is to be silent.
    pub(super) fn probe(&mut self) {
        let Some(files) = &mut self.files else {
            return;
        };
        let silenced = if self.server.silent && files.control.can_be_silent() {
            files.control.silence(true)
        } else {
            Ok(())
        };
        let is_live = if files.control.may_be_live() {
            files.control.is_live()
        } else {
            Ok(false)
        };
        match silenced.and(is_live) {
            Ok(live) => {
                self.server.live = live;
                self.tell_server();
            }
            Err(why) => {
                log::debug!("{}: {why}", self.settings.name);
                self.due.probe = Some(Instant::now() + self.server.probe_after);
                self.server.probe_after = RETRY.min(self.server.probe_after * 2);
            }
        }
    }

    pub(super) fn silence(&mut self) -> Result<(), String> {
        let silent = self.server.silent;
        match &self.files {
            _ if self.server.runs != Some(true) && !silent => Ok(()),
            _ if self.server.runs != Some(true) => Err("the server does not run".to_owned()),
            Some(files) => files.control.silence(silent),
            None => Err(self.told.fault().cloned().unwrap_or_default()),
        }
    }
}
