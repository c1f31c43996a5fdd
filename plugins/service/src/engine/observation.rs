//! Observed state of one item, from looks at its service.

use crate::job::Status;

const S: u64 = 1_000_000_000;
/// Time limit in ns for an answer of the service manager.
pub(super) const LOOK_NS: u64 = 20 * S;
/// Time in ns between looks at a service whose state is unknown.
const UNANSWERED_NS: u64 = 2 * S;

#[derive(Debug)]
pub(super) struct Observation {
    status: Option<Status>,
    changed_ns: u64,
    /// True if the last look gave no state; `status` is then the result of the last job, or an earlier observation.
    is_unconfirmed: bool,
    unanswered: Unanswered,
    look: Look,
}

/// Number of looks in a row that gave no state of a service that can be asked, with the reason of the last one.
#[derive(Debug, Default)]
struct Unanswered {
    looks: u32,
    why: String,
    /// Time of the next look, which comes before the next poll, so that a repair is noticed soon.
    again_ns: Option<u64>,
}

/// Time of the last look at the service.
#[derive(Clone, Copy, Debug, Default)]
struct Look {
    is_wanted: bool,
    asked_ns: Option<u64>,
    /// Time before which a requested answer is outdated.
    valid_from_ns: u64,
}

impl Observation {
    pub(super) fn new(now_ns: u64, is_looked_at: bool) -> Self {
        Self {
            status: None,
            changed_ns: now_ns,
            is_unconfirmed: false,
            unanswered: Unanswered::default(),
            look: Look {
                is_wanted: is_looked_at,
                ..Look::default()
            },
        }
    }

    // ---- looks -----------------------------------------------------------------------------

    /// Requests a look soon, if `is_wanted`.
    pub(super) fn request_look_if(&mut self, is_wanted: bool) {
        self.look.is_wanted |= is_wanted;
    }

    /// Requests a look soon, or cancels it.
    pub(super) fn set_look_wanted(&mut self, is_wanted: bool) {
        self.look.is_wanted = is_wanted;
    }

    /// Returns true if a look begins now.
    pub(super) fn begin_look(&mut self, now_ns: u64) -> bool {
        let begins = self.look.is_wanted && self.look.asked_ns.is_none();
        if begins {
            (self.look.is_wanted, self.look.asked_ns) = (false, Some(now_ns));
        }
        begins
    }

    /// Handles that the service is another one: an answer does not count.
    pub(super) fn forget_look(&mut self) {
        self.look.asked_ns = None;
    }

    /// Handles an answer; returns true if it counts. `is_busy` is true while a job is in progress.
    pub(super) fn end_look(&mut self, is_busy: bool) -> bool {
        let Some(asked_ns) = self.look.asked_ns.take() else {
            return false;
        };
        let is_old = is_busy || asked_ns < self.look.valid_from_ns;
        self.look.is_wanted |= is_old;
        !is_old
    }

    /// Handles the end of a job: answers to earlier queries are outdated.
    pub(super) fn handle_job_end(&mut self, now_ns: u64, is_looked_at: bool) {
        self.look.valid_from_ns = now_ns;
        self.look.is_wanted = is_looked_at;
    }

    /// Requests the look that is due after one without an answer, if there is a service.
    pub(super) fn handle_timeout(&mut self, now_ns: u64, is_looked_at: bool) {
        let again_ns = &mut self.unanswered.again_ns;
        if again_ns.take_if(|at_ns| now_ns >= *at_ns).is_some() {
            self.look.is_wanted = is_looked_at;
        }
    }

    pub(super) fn is_look_late(&self, now_ns: u64) -> bool {
        let late_ns = self.late_ns();
        late_ns.is_some_and(|at_ns| now_ns >= at_ns)
    }

    /// Times of the next looks and limits.
    pub(super) fn timeouts(&self) -> [Option<u64>; 2] {
        [self.late_ns(), self.unanswered.again_ns]
    }

    fn late_ns(&self) -> Option<u64> {
        let asked_ns = self.look.asked_ns;
        asked_ns.map(|at_ns| at_ns.saturating_add(LOOK_NS))
    }

    // ---- answers ---------------------------------------------------------------------------

    /// Handles the answer to a look; returns true if it has to be taken. `is_answerable`: the service can be asked for its
    /// state.
    pub(super) fn handle_answer(
        &mut self,
        now_ns: u64,
        status: &Status,
        is_answerable: bool,
    ) -> bool {
        match status {
            Status::Unknown(why) if is_answerable => self.unanswered.note(now_ns, why),
            _ => self.unanswered = Unanswered::default(),
        }
        self.is_unconfirmed = matches!(status, Status::Unknown(_));
        !(self.is_unconfirmed && self.status.is_some())
    }

    /// Handles a look without an answer.
    pub(super) fn handle_no_answer(&mut self, now_ns: u64, why: &str) {
        self.look.asked_ns = None;
        self.unanswered.note(now_ns, why);
        if self.status.is_none() {
            self.set(now_ns, Status::Unknown(why.to_owned()));
        }
    }

    /// State as it was observed, or as a job left it.
    pub(super) fn set(&mut self, now_ns: u64, status: Status) {
        if self.status.as_ref() != Some(&status) {
            self.changed_ns = now_ns;
            self.status = Some(status);
        }
    }

    /// State after a job that was abandoned.
    pub(super) fn assume(&mut self, status: Status) {
        self.status = Some(status);
    }

    pub(super) fn status(&self) -> Option<&Status> {
        self.status.as_ref()
    }

    pub(super) fn changed_ns(&self) -> u64 {
        self.changed_ns
    }

    pub(super) fn is_unconfirmed(&self) -> bool {
        self.is_unconfirmed
    }

    /// Reason why the state has been unknown for some time.
    pub(super) fn unanswered(&self) -> Option<&str> {
        let is_lasting = self.unanswered.looks > Unanswered::TOLERATED;
        is_lasting.then_some(&self.unanswered.why)
    }
}

impl Unanswered {
    /// Number of looks without an answer that are tolerated: one may come at a bad moment.
    const TOLERATED: u32 = 1;

    fn note(&mut self, now_ns: u64, why: &str) {
        self.looks = self.looks.saturating_add(1);
        why.clone_into(&mut self.why);
        self.again_ns = Some(now_ns.saturating_add(UNANSWERED_NS));
    }
}
