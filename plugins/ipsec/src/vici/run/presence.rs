//! Charon's presence as the engine knows it; sans I/O.

use std::mem;

#[derive(Debug, Default)]
pub struct CharonPresence {
    is_there: bool,
    /// The presence was reported at least once.
    is_told: bool,
    /// Reason why the last try to connect failed.
    fault: Option<String>,
}

/// News of a connection that was lost, or could not be made.
#[derive(Debug, PartialEq, Eq)]
pub struct Loss {
    pub note: Option<String>,
    /// The engine is to learn that charon has ended.
    pub is_end: bool,
    /// charon was there until now.
    pub was_there: bool,
}

impl CharonPresence {
    pub fn is_there(&self) -> bool {
        self.is_there
    }

    /// charon has answered; whether that is news.
    pub fn handle_answer(&mut self) -> bool {
        self.fault = None;
        let is_news = !mem::replace(&mut self.is_there, true);
        self.is_told |= is_news;
        is_news
    }

    /// Nobody listens; whether that is to be told.
    pub fn handle_absent(&mut self) -> bool {
        self.fault = None;
        self.is_there = false;
        !mem::replace(&mut self.is_told, true)
    }

    /// A fault, which is told once for all tries that end in it.
    pub fn handle_fault(&mut self, why: String) -> Loss {
        // one that ends hangs up: the next try tells whether it has
        let is_news = self.fault.as_ref() != Some(&why);
        let was_there = mem::take(&mut self.is_there);
        let note = if was_there {
            Some(format!("lost charon: {why}"))
        } else {
            is_news.then(|| format!("cannot talk to charon: {why}"))
        };
        // one that was being stopped when this plugin began is told, too
        let is_end = was_there || !mem::replace(&mut self.is_told, true);
        self.fault = Some(why);
        Loss {
            note,
            is_end,
            was_there,
        }
    }
}
