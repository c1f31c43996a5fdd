//! Whether the server runs, takes leases, and is silent.

use std::time::{Duration, Instant};

use super::super::hang;
use super::{ENDED, Event, RETRY, Thread};

/// A server that starts opens its file before its control channel.
const PROBE_FIRST: Duration = Duration::from_millis(100);

/// Facts about the server itself.
#[derive(Debug, Default)]
pub(super) struct Presence {
    /// None: not known yet.
    pub runs: Option<bool>,
    pub live: bool,
    told: Option<(bool, bool)>,
    pub silent: bool,
    probe_after: Duration,
    /// Nobody had its file open, for a moment: it may have been started anew.
    may_be_new: bool,
    /// Why it does not do its work.
    hangs: Option<String>,
    /// Why nobody can see whether it does.
    hidden: Option<String>,
}

impl Thread {
    /// `is_sure`: that nobody has the file open means that the server has ended.
    pub(super) fn see_server(&mut self, is_sure: bool) {
        // it may have left a file without a name for the one that has it
        if self.is_astray {
            self.look(false, false);
        }
        let Some(site) = &self.site else {
            return;
        };
        let runs = match site.has_server() {
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
        if runs && is_new {
            self.server.live &= before == Some(true);
            self.server.probe_after = PROBE_FIRST;
            self.due.probe = Some(Instant::now());
            self.process.forget();
        }
        // a fault of its files begins them again
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
            // it may have left the file that its configuration does not name any more
            self.due.open = Some(Instant::now());
        }
        if !runs && before != Some(false) {
            // what it left, which nobody changes any more
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

    /// Looks whether a server that runs does its work.
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

    /// Asks a server that runs whether it takes leases, and silences it where it is to be silent.
    pub(super) fn probe(&mut self) {
        let Some(site) = &mut self.site else {
            return;
        };
        let silenced = if self.server.silent && site.control.can_be_silent() {
            site.control.silence(true)
        } else {
            Ok(())
        };
        let is_live = if site.control.may_be_live() {
            site.control.is_live()
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
        match &self.site {
            _ if self.server.runs != Some(true) && !silent => Ok(()),
            _ if self.server.runs != Some(true) => Err("the server does not run".to_owned()),
            Some(site) => site.control.silence(silent),
            None => Err(self.fault.clone().unwrap_or_default()),
        }
    }
}
