//! Job of one item that is in progress, and state that earlier jobs left.

use super::goal::JobKind;

#[derive(Debug, Default)]
pub(super) struct Work {
    job: Option<JobInProgress>,
    /// True if the interface is to be set down for a while.
    is_bounce_due: bool,
    /// True if a bounce was cut short, and the interface is still down.
    is_left_down: bool,
    /// Time when the last start succeeded, or when the service was last seen not to stay.
    started_ns: Option<u64>,
    /// Time when the last job began.
    begun_ns: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct JobInProgress {
    pub(super) number: u64,
    pub(super) kind: JobKind,
    pub(super) until_ns: u64,
}

impl Work {
    pub(super) fn begin(&mut self, now_ns: u64, job: JobInProgress) {
        match job.kind {
            JobKind::Bounce => self.is_bounce_due = false,
            JobKind::Task(_) | JobKind::Keep(_) => self.is_left_down = false,
            _ => {}
        }
        self.begun_ns = Some(now_ns);
        self.job = Some(job);
    }

    pub(super) fn end(&mut self) -> Option<JobInProgress> {
        self.job.take()
    }

    pub(super) fn end_if(
        &mut self,
        is_it: impl FnOnce(&JobInProgress) -> bool,
    ) -> Option<JobInProgress> {
        self.job.take_if(|job| is_it(job))
    }

    /// Handles a change of the role: notes whether the interface is to be set down for a while.
    pub(super) fn handle_role(&mut self, is_bounce_due: bool) {
        self.is_bounce_due = is_bounce_due;
    }

    /// Handles that a bounce was cut short.
    pub(super) fn handle_left_down(&mut self) {
        self.is_left_down = true;
    }

    pub(super) fn note_started(&mut self, now_ns: u64) {
        self.started_ns = Some(now_ns);
    }

    pub(super) fn job(&self) -> Option<&JobInProgress> {
        self.job.as_ref()
    }

    pub(super) fn is_busy(&self) -> bool {
        self.job.is_some()
    }

    pub(super) fn is_bounce_due(&self) -> bool {
        self.is_bounce_due
    }

    pub(super) fn is_left_down(&self) -> bool {
        self.is_left_down
    }

    pub(super) fn started_ns(&self) -> Option<u64> {
        self.started_ns
    }

    pub(super) fn begun_ns(&self) -> Option<u64> {
        self.begun_ns
    }
}
