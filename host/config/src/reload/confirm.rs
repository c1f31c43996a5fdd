//! Confirmation of a reload: the configuration from before comes back, files and all, unless somebody confirms in time.
//!
//! The starter keeps the files from before until then ([`Step::Keep`], [`Step::Forget`]). While something waits, other
//! reloads are refused: it would not be clear what comes back. A way back that is refused is tried again.

use std::time::{Duration, Instant};

use spared_message::control::{ErrorCode, refusal};
use spared_message::notice::{Kind, Notice};

use super::{Reload, ReloadRequest, Stage, Step};

/// Pause before another attempt to take a configuration back.
const AGAIN: Duration = Duration::from_secs(10);

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
    /// Requests a reload that is taken back after `lasts` unless it is confirmed.
    pub fn request_to_confirm(&mut self, client: u64, anyway: bool, lasts: Duration) {
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
        self.steps.push_back(Step::Keep);
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

    /// Notes that files are kept although nothing waits: they could not be put back. The next reload ends that.
    pub fn note_kept(&mut self) {
        self.keeps = true;
    }

    /// Takes a configuration back whose time is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        let is_due = self.confirmation_due().is_some_and(|due| now >= due);
        if !is_due || !matches!(self.stage, Stage::Idle) {
            return;
        }
        self.confirmation = Confirmation::GoesBack(now + AGAIN);
        self.request = ReloadRequest {
            clients: Vec::new(),
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
                "the last reload waits for `sparectl confirm`: confirm it first, or wait until it is taken back",
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
                None
            }
            Confirmation::Stays if self.keeps => {
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

    fn forget(&mut self) {
        self.confirmation = Confirmation::Stays;
        self.keeps = false;
        self.steps.push_back(Step::Forget);
    }
}
