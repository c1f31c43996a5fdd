//! Confirmation of a reload: the configuration from before comes back, files and all, unless somebody confirms in time.
//!
//! The starter keeps the files from before until then ([`Step::Keep`], [`Step::Forget`]). While something waits, other
//! reloads are refused: it would not be clear what comes back. A way back that is refused is tried again, and so are
//! files that cannot be put back. Somebody may take the configuration back at once: then its time is over.

use std::time::{Duration, Instant};

use spared_message::control::{ErrorCode, refusal};
use spared_message::notice::{Kind, Notice};

use super::{Reload, ReloadRequest, Stage, Step};

/// Pause before another attempt to take a configuration back.
const AGAIN: Duration = Duration::from_secs(10);
/// Pause before another attempt to put files back, which writes to the disk.
const PUT_BACK_AGAIN: Duration = Duration::from_secs(60);

const NOTHING_WAITS: &str = "nothing waits for a confirmation";

/// Future of the configuration in force.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Confirmation {
    /// It stays.
    #[default]
    Stays,
    /// A reload is in progress. What it puts in force waits for so long.
    Asked(Duration),
    /// It waits for a confirmation until then.
    Waits(Instant),
    /// It is being taken back. The next attempt is made at that time.
    GoesBack(Instant),
}

impl Reload {
    /// Requests a reload that is taken back after `lasts` unless it is confirmed, and at once at a restart of the
    /// daemon unless it is one across restarts.
    pub fn request_to_confirm(
        &mut self,
        client: u64,
        anyway: bool,
        lasts: Duration,
        across_restarts: bool,
    ) {
        if let Some(why) = self.objection() {
            return self.refuse_request(Some(client), why);
        }
        if !matches!(self.stage, Stage::Idle) {
            let why = "another reload is in progress: run the command again";
            return self.refuse_request(Some(client), why);
        }
        self.confirmation = Confirmation::Asked(lasts);
        self.request.join(Some(client), anyway);
        self.stage = Stage::Reading;
        let term = if across_restarts {
            lasts
        } else {
            Duration::ZERO
        };
        self.steps.push_back(Step::Keep { term });
    }

    /// Notes that the configuration of this start has waited for its confirmation since before the restart.
    pub fn note_waiting(&mut self, until: Instant) {
        self.confirmation = Confirmation::Waits(until);
    }

    /// Takes the configuration back that waits for its confirmation. A client of this node gets the answer of that
    /// reload.
    ///
    /// # Errors
    /// Why nothing is taken back.
    pub fn request_back(&mut self, now: Instant, client: Option<u64>) -> Result<(), &'static str> {
        match (&self.confirmation, &self.stage) {
            (Confirmation::Stays, _) => Err(NOTHING_WAITS),
            (Confirmation::Asked(_), _) => Err("a reload is in progress: run the command again"),
            // the way back has begun
            (Confirmation::GoesBack(_), Stage::Reading | Stage::Checking { .. }) => {
                self.request.join(client, true);
                Ok(())
            }
            (Confirmation::Waits(_) | Confirmation::GoesBack(_), _) => {
                self.confirmation = Confirmation::GoesBack(now);
                self.back.extend(client);
                Ok(())
            }
        }
    }

    /// Returns why nothing can be confirmed; None if something waits for it.
    pub fn confirm_objection(&self) -> Option<(ErrorCode, &'static str)> {
        match self.confirmation {
            Confirmation::Waits(_) => None,
            Confirmation::GoesBack(_) => {
                let why = "too late to confirm: the configuration from before comes back";
                Some((ErrorCode::Failed, why))
            }
            Confirmation::Stays | Confirmation::Asked(_) => {
                Some((ErrorCode::Refused, NOTHING_WAITS))
            }
        }
    }

    /// Handles the result of [`Step::Keep`].
    pub fn handle_kept(&mut self, kept: Result<(), String>) {
        match kept {
            Ok(()) => self.steps.push_back(Step::Read),
            Err(why) => {
                self.confirmation = Confirmation::Stays;
                let why = format!("the files in force cannot be kept, so nothing changed: {why}");
                self.end(&refusal(ErrorCode::Refused, why));
            }
        }
    }

    /// Returns true if a configuration waits for its confirmation.
    pub fn is_unconfirmed(&self) -> bool {
        matches!(self.confirmation, Confirmation::Waits(_))
    }

    /// Time until the configuration is taken back; None if nothing waits.
    pub fn unconfirmed_left(&self, now: Instant) -> Option<Duration> {
        match self.confirmation {
            Confirmation::Waits(until) => Some(until.saturating_duration_since(now)),
            _ => None,
        }
    }

    /// Handles that the configuration was confirmed, and that the files from before are no longer kept.
    pub fn handle_confirmed(&mut self) {
        if self.is_unconfirmed() {
            self.confirmation = Confirmation::Stays;
        }
    }

    /// Notes that files are kept although nothing waits: they could not be put back, which is tried again until the next
    /// reload.
    pub fn note_kept(&mut self, now: Instant) {
        self.keeps = Some(now + PUT_BACK_AGAIN);
    }

    /// Adds why files could not be put back to the answer of the reload in progress.
    pub fn note_not_put_back(&mut self, why: String) {
        self.note(why);
    }

    /// Takes a configuration back whose time is over, or tries again to put files back.
    pub fn handle_timeout(&mut self, now: Instant) {
        if !matches!(self.stage, Stage::Idle) {
            return;
        }
        let is_due = |due: Option<Instant>| due.is_some_and(|due| now >= due);
        if self.confirmation == Confirmation::Stays && is_due(self.keeps) {
            self.keeps = None;
            return self.steps.push_back(Step::PutBack);
        }
        if !is_due(self.confirmation_due()) {
            return;
        }
        self.confirmation = Confirmation::GoesBack(now + AGAIN);
        self.request = ReloadRequest {
            clients: std::mem::take(&mut self.back),
            anyway: true,
        };
        self.stage = Stage::Reading;
        self.steps.push_back(Step::ReadKept);
    }

    /// Time at which a configuration is taken back; later, while a reload is in progress.
    pub(super) fn confirmation_due(&self) -> Option<Instant> {
        match self.confirmation {
            Confirmation::Waits(due) | Confirmation::GoesBack(due) => Some(due),
            Confirmation::Stays | Confirmation::Asked(_) => None,
        }
    }

    /// Returns why no other reload may begin; None if one may.
    pub(super) fn objection(&self) -> Option<&'static str> {
        match self.confirmation {
            Confirmation::Stays => None,
            Confirmation::Asked(_) | Confirmation::Waits(_) => Some(
                "the last reload waits for `sparectl confirm`: confirm it, or take it back by `sparectl reload --back`",
            ),
            Confirmation::GoesBack(_) => {
                Some("the last reload was not confirmed and is being taken back: wait for that")
            }
        }
    }

    pub(super) fn refuse_request(&mut self, client: Option<u64>, why: &str) {
        let step = match client {
            Some(client) => Step::Answer(client, refusal(ErrorCode::Refused, why)),
            None => {
                let notice = Notice::warn(Kind::Reload, format!("reload refused: {why}"));
                Step::Tell(notice.because("refused"))
            }
        };
        self.steps.push_back(step);
    }

    /// Handles that a configuration is put in force. Returns a line of the answer.
    pub(super) fn note_applied(&mut self, now: Instant, is_same: bool) -> Option<String> {
        match self.confirmation {
            Confirmation::Asked(_) if is_same => {
                self.forget();
                None
            }
            Confirmation::Asked(lasts) => {
                self.confirmation = Confirmation::Waits(now + lasts);
                let lasts_s = lasts.as_secs();
                Some(format!(
                    "the configuration from before comes back in {lasts_s} s, unless `sparectl confirm` comes first"
                ))
            }
            Confirmation::GoesBack(_) => {
                self.confirmation = Confirmation::Stays;
                let text =
                    "nobody confirmed the last reload: the configuration from before comes back";
                let notice = Notice::warn(Kind::Reload, text).because("taken-back");
                self.steps.push_back(Step::Tell(notice));
                Some(
                    "this is the configuration from before the reload that nobody confirmed"
                        .to_owned(),
                )
            }
            Confirmation::Stays if self.keeps.is_some() => {
                self.forget();
                None
            }
            Confirmation::Stays | Confirmation::Waits(_) => None,
        }
    }

    /// Handles the end of a reload. If it put nothing in force, nothing waits for a confirmation.
    pub(super) fn note_ended(&mut self) {
        if matches!(self.confirmation, Confirmation::Asked(_)) {
            self.forget();
        }
    }

    /// Line of an answer that says when a way back that was refused is tried again.
    pub(super) fn another_attempt(&self) -> Option<String> {
        let is_way_back = matches!(self.confirmation, Confirmation::GoesBack(_));
        is_way_back.then(|| {
            let again_s = AGAIN.as_secs();
            format!("the configuration from before is refused: it is tried again every {again_s} s")
        })
    }

    fn forget(&mut self) {
        self.confirmation = Confirmation::Stays;
        self.keeps = None;
        self.steps.push_back(Step::Forget);
    }
}
