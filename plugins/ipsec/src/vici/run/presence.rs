//! Charon's presence as the engine knows it; sans I/O.

use std::mem;

#[derive(Debug, Default)]
pub struct CharonPresence {
    is_running: bool,
    /// The presence was reported at least once.
    is_reported: bool,
    /// Reason why the last try to connect failed.
    fault: Option<String>,
}

/// Effects of a connection that was lost, or could not be made.
#[derive(Debug, PartialEq, Eq)]
pub struct Loss {
    pub note: Option<String>,
    /// The engine is to learn that charon has ended.
    pub is_end: bool,
    /// charon was there until now.
    pub was_running: bool,
}

impl CharonPresence {
    pub fn is_running(&self) -> bool {
        self.is_running
    }

    /// Notes that charon has answered; returns true if it was not known to run.
    pub fn handle_answer(&mut self) -> bool {
        self.fault = None;
        let is_new = !mem::replace(&mut self.is_running, true);
        self.is_reported |= is_new;
        is_new
    }

    /// Notes that nobody listens; returns true if that is to be reported.
    pub fn handle_absent(&mut self) -> bool {
        self.fault = None;
        self.is_running = false;
        !mem::replace(&mut self.is_reported, true)
    }

    /// Notes a fault, which is reported once for all tries that fail with it.
    pub fn handle_fault(&mut self, why: String) -> Loss {
        // a charon that ends hangs up: the next try shows whether it has
        let is_new = self.fault.as_ref() != Some(&why);
        let was_running = mem::take(&mut self.is_running);
        let note = if was_running {
            Some(format!("lost charon: {why}"))
        } else {
            is_new.then(|| format!("cannot talk to charon: {why}"))
        };
        // one that was being stopped when this plugin began is reported, too
        let is_end = was_running || !mem::replace(&mut self.is_reported, true);
        self.fault = Some(why);
        Loss {
            note,
            is_end,
            was_running,
        }
    }
}
