//! Turns of jobs: at most one job is in progress for each object.
//!
//! A thread or program that hangs in the kernel outlives its run. If each later run added another one, no processes
//! would soon be left for the checks of other objects. So a run whose object is in use waits, and its timeout counts
//! meanwhile. It begins when the job before it ends. The earlier job's result is not used: it may be as old as that
//! job's start, and a good result from then would hide that the object fails now.

use std::collections::BTreeMap;

use super::Job;
use crate::config::{Amount, Kind, Worse};

#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Object of each job that has not ended, by run; also for runs that are over.
    in_progress: BTreeMap<u64, Job>,
    /// Jobs whose object is in use, the oldest first; at most one of each check.
    waiting: Vec<(u64, Job)>,
}

impl Turns {
    /// Returns the job if it may begin now; otherwise the job waits.
    pub(super) fn begin(&mut self, run: u64, job: Job) -> Option<Job> {
        let Some(object) = object(&job) else {
            return Some(job);
        };
        if self.in_progress.values().any(|taken| *taken == object) {
            self.waiting.push((run, job));
            return None;
        }
        self.in_progress.insert(run, object);
        Some(job)
    }

    /// Notes the end of a job; returns the job that begins in its place.
    pub(super) fn end(&mut self, run: u64) -> Option<(u64, Job)> {
        let free = self.in_progress.remove(&run)?;
        let mut waiting = self.waiting.iter();
        let at = waiting.position(|(_, job)| object(job).as_ref() == Some(&free))?;
        let (next, job) = self.waiting.remove(at);
        self.in_progress.insert(next, free);
        Some((next, job))
    }

    /// Gives up a run; true if its job had not begun.
    pub(super) fn cancel(&mut self, run: u64) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|(waiting, _)| *waiting != run);
        self.waiting.len() < before
    }
}

/// Object on which a job may hang: the job without its limits, so that a check whose limits a reload has changed finds
/// the job that hangs. None for a connection, which ends with its run.
fn object(job: &Job) -> Option<Job> {
    let mut object = job.clone();
    match &mut object {
        Job::Connect(_) => return None,
        // the name stays: a program may act differently for another check
        Job::Spawn { output, .. } => *output = false,
        Job::Read(kind) => clear_limits(kind),
    }
    Some(object)
}

fn clear_limits(kind: &mut Kind) {
    match kind {
        Kind::Interface { members, .. } => *members = None,
        Kind::File(file) => {
            file.exists = true;
            (file.contains, file.equals, file.max_age_ns) = (None, None, None);
        }
        Kind::Disk { min_free, .. } => *min_free = Amount::Bytes(0),
        Kind::Sensor(sensor) => (sensor.max, sensor.min) = (None, None),
        Kind::Smart { max_age_ns, .. } => *max_age_ns = None,
        Kind::Conntrack { max_used } => *max_used = 0,
        Kind::Pressure(pressure) => pressure.max = 0,
        Kind::Route(route) => route.protocol = None,
        Kind::Number(number) => (number.best, number.worse) = (0, Worse::Above),
        Kind::Ping(_)
        | Kind::Tcp { .. }
        | Kind::Unit { .. }
        | Kind::Process(_)
        | Kind::Script { .. }
        | Kind::ReadOnly { .. } => {}
    }
}
