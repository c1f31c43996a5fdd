//! Commands of people in progress: one that waits for a transfer or an offer, one that waits for the peer to confirm,
//! and one that reads contents in the stage.

use super::ANSWER_NS;
use super::confirm::Confirming;

/// Time that a reader has, in ns.
const SHOWN_NS: u64 = 30_000_000_000;

#[derive(Debug, Default)]
pub(super) struct People {
    /// Token of the command that waits for the end of the transfer or the offer, and the time until which it waits.
    asker: Option<(u64, u64)>,
    confirming: Option<Confirming>,
    /// Time until which contents stay in the stage for a command that compares.
    shown_until_ns: Option<u64>,
}

impl People {
    // ---- transfers and offers --------------------------------------------------------------

    pub fn handle_asked(&mut self, now_ns: u64, token: u64) {
        self.asker = Some((token, now_ns.saturating_add(ANSWER_NS)));
    }

    /// Takes the token of the waiting command, to answer it.
    pub fn take_asker(&mut self) -> Option<u64> {
        self.asker.take().map(|(token, _)| token)
    }

    /// Takes the token if the command has waited too long.
    pub fn take_late_asker(&mut self, now_ns: u64) -> Option<u64> {
        let late = self.asker.take_if(|(_, until_ns)| *until_ns <= now_ns);
        late.map(|(token, _)| token)
    }

    pub fn has_asker(&self) -> bool {
        self.asker.is_some()
    }

    // ---- confirmations by the peer ---------------------------------------------------------

    pub fn begin_confirming(&mut self, confirming: Confirming) {
        self.confirming = Some(confirming);
    }

    pub fn take_confirming(&mut self) -> Option<Confirming> {
        self.confirming.take()
    }

    /// Takes the command if the peer has not answered in time.
    pub fn take_late_confirming(&mut self, now_ns: u64) -> Option<Confirming> {
        self.confirming.take_if(|it| it.until_ns <= now_ns)
    }

    /// Ticket of the question to the peer.
    pub fn confirming(&self) -> Option<u64> {
        self.confirming.as_ref().map(|it| it.ticket)
    }

    // ---- readers ---------------------------------------------------------------------------

    pub fn begin_show(&mut self, now_ns: u64) {
        self.shown_until_ns = Some(now_ns.saturating_add(SHOWN_NS));
    }

    /// Ends the reader's time; true if there was a reader.
    pub fn end_show(&mut self) -> bool {
        self.shown_until_ns.take().is_some()
    }

    pub fn is_showing(&self) -> bool {
        self.shown_until_ns.is_some()
    }

    /// True if the reader's time is over.
    pub fn is_show_over(&self, now_ns: u64) -> bool {
        self.shown_until_ns.is_some_and(|it| it <= now_ns)
    }

    /// Time when one of them has to be answered, or is over.
    pub fn due_ns(&self) -> Option<u64> {
        let asker = self.asker.map(|(_, until_ns)| until_ns);
        let confirming = self.confirming.as_ref().map(|it| it.until_ns);
        let due = [asker, confirming, self.shown_until_ns];
        due.into_iter().flatten().min()
    }
}
