//! Alarms of `sparectl alarm test`, and the answers to those who asked.

use std::collections::BTreeMap;

/// Time in ns after which the answer is given without the results that are missing. The daemon waits 12 s.
const WAIT_NS: u64 = 11_000_000_000;
/// Maximum number of trials at once.
const TRIALS_MAX: usize = 4;

/// Result by recipient: None while there is none.
pub type Results = BTreeMap<String, Option<Result<(), String>>>;

#[derive(Debug)]
struct Trial {
    token: u64,
    until_ns: u64,
    results: Results,
}

/// Tests in progress.
#[derive(Debug, Default)]
pub struct Trials {
    trials: Vec<Trial>,
    /// Recipient by run.
    runs: BTreeMap<u64, String>,
}

impl Trials {
    /// True if one more may begin.
    pub fn has_room(&self) -> bool {
        self.trials.len() < TRIALS_MAX
    }

    /// Notes a test: the runs with their recipients.
    pub fn begin(&mut self, now_ns: u64, token: u64, runs: Vec<(u64, String)>) {
        let results = runs.iter().map(|(_, name)| (name.clone(), None)).collect();
        self.runs.extend(runs);
        self.trials.push(Trial {
            token,
            until_ns: now_ns.saturating_add(WAIT_NS),
            results,
        });
    }

    /// Takes a result. False if the run is none of a test.
    pub fn handle_result(&mut self, run: u64, result: &Result<(), String>) -> bool {
        let Some(name) = self.runs.remove(&run) else {
            return false;
        };
        let mut missing = self
            .trials
            .iter_mut()
            .filter_map(|it| it.results.get_mut(&name));
        if let Some(missing) = missing.find(|it| it.is_none()) {
            *missing = Some(result.clone());
        }
        true
    }

    /// Takes a test that is complete, or has waited for long enough.
    pub fn take_ended(&mut self, now_ns: u64) -> Option<(u64, Results)> {
        let is_ended =
            |it: &Trial| now_ns >= it.until_ns || it.results.values().all(Option::is_some);
        let place = self.trials.iter().position(is_ended)?;
        let trial = self.trials.remove(place);
        Some((trial.token, trial.results))
    }

    pub fn next_timeout(&self) -> Option<u64> {
        self.trials.iter().map(|it| it.until_ns).min()
    }
}
