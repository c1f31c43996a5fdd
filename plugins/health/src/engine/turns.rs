//! Turns of jobs: at most one is under way for each object.
//!
//! A thread or program that hangs in the kernel outlives its run. If each later run added another one, no
//! processes would soon be left for the checks of other objects. So a run whose object is taken waits; its
//! time-out counts meanwhile. When the job before it ends, its own begins: what the earlier one found may be
//! as old as its start, and a good result of that time would hide that the object fails now.

use std::collections::BTreeMap;

use super::Job;
use crate::config::{Amount, Kind};

#[derive(Debug, Default)]
pub(super) struct Turns {
    /// The object of each job that has not ended, by run. Runs that are over are among them.
    under_way: BTreeMap<u64, Job>,
    /// Jobs whose object is taken, the oldest first; one of a check at most.
    waiting: Vec<(u64, Job)>,
}

impl Turns {
    /// The job, if it may begin now; otherwise it waits.
    pub(super) fn begin(&mut self, run: u64, job: Job) -> Option<Job> {
        let Some(object) = object(&job) else {
            return Some(job);
        };
        if self.under_way.values().any(|taken| *taken == object) {
            self.waiting.push((run, job));
            return None;
        }
        self.under_way.insert(run, object);
        Some(job)
    }

    /// A job has ended: the one that begins in its place.
    pub(super) fn end(&mut self, run: u64) -> Option<(u64, Job)> {
        let free = self.under_way.remove(&run)?;
        let mut waiting = self.waiting.iter();
        let at = waiting.position(|(_, job)| object(job).as_ref() == Some(&free))?;
        let (next, job) = self.waiting.remove(at);
        self.under_way.insert(next, free);
        Some((next, job))
    }

    /// Nobody wants the run's result any more; whether its job had not begun.
    pub(super) fn give_up(&mut self, run: u64) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|(waiting, _)| *waiting != run);
        self.waiting.len() < before
    }
}

/// What a job may hang on: the job without what is demanded, so that a check whose demands a reload has
/// changed finds the job that hangs. None for a connection, which ends with its run.
fn object(job: &Job) -> Option<Job> {
    let mut object = job.clone();
    match &mut object {
        Job::Connect(_) => return None,
        // the name stays: a program may do something else for another check
        Job::Spawn { output, .. } => *output = false,
        Job::Read(kind) => drop_demands(kind),
    }
    Some(object)
}

fn drop_demands(kind: &mut Kind) {
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
        Kind::Ping(_)
        | Kind::Tcp { .. }
        | Kind::Unit { .. }
        | Kind::Process(_)
        | Kind::Script { .. }
        | Kind::ReadOnly { .. } => {}
    }
}
