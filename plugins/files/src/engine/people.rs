//! Commands of people in progress: one that waits for a transfer or an offer, one that waits for the peer to confirm,
//! and one that reads contents in the stage.

use super::ANSWER_NS;
use super::confirm::Confirming;

/// Time that a reader has, in ns.
const SHOWN_NS: u64 = 30_000_000_000;

/// Command here, from its beginning to its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    /// Token of the answer; None: the command was already answered that it continues.
    token: Option<u64>,
    until_ns: u64,
}

impl Caller {
    pub fn new(now_ns: u64, token: u64) -> Self {
        let (token, until_ns) = (Some(token), now_ns.saturating_add(ANSWER_NS));
        Self { token, until_ns }
    }

    pub fn token(&self) -> Option<u64> {
        self.token
    }

    /// Time when the command has waited too long; None: nobody waits.
    pub fn due_ns(&self) -> Option<u64> {
        self.token.map(|_| self.until_ns)
    }

    /// Takes the token if the command has waited too long.
    pub fn take_late(&mut self, now_ns: u64) -> Option<u64> {
        self.token.take_if(|_| self.until_ns <= now_ns)
    }
}

#[derive(Debug, Default)]
pub(super) struct People {
    /// Command that waits for the end of the transfer or the offer.
    asker: Option<Caller>,
    confirming: Option<Confirming>,
    /// Time until which contents stay in the stage for a command that compares.
    shown_until_ns: Option<u64>,
}

impl People {
    // ---- transfers and offers --------------------------------------------------------------

    pub fn handle_asked(&mut self, caller: Caller) {
        self.asker = Some(caller).filter(|it| it.token.is_some());
    }

    /// Takes the token of the waiting command, to answer it.
    pub fn take_asker(&mut self) -> Option<u64> {
        self.asker.take()?.token
    }

    /// Takes the token if the command has waited too long.
    pub fn take_late_asker(&mut self, now_ns: u64) -> Option<u64> {
        let late = self.asker.take_if(|it| it.until_ns <= now_ns)?;
        late.token
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

    /// Takes the command's token if the peer has not answered in time.
    pub fn take_late_confirming(&mut self, now_ns: u64) -> Option<u64> {
        let late = self.confirming.as_mut()?.by.take_late(now_ns)?;
        self.confirming = None;
        Some(late)
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
        let asker = self.asker.and_then(|it| it.due_ns());
        let confirming = self.confirming.as_ref().and_then(|it| it.by.due_ns());
        let due = [asker, confirming, self.shown_until_ns];
        due.into_iter().flatten().min()
    }
}
