// SPDX-License-Identifier: MIT OR Apache-2.0
//! Delays that a thread of a probe has measured, and the verdict on a time beside them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::Result;
use crate::clock::Stamp;
use crate::lab::disturbed;

/// Shorter delays are not recorded.
const NOTABLE: Duration = Duration::from_millis(1);

/// Delays, each with its end.
#[derive(Clone, Debug, Default)]
pub struct Delays(Arc<Mutex<Vec<(Stamp, Duration)>>>);

impl Delays {
    /// Records a delay that ends now, unless it is negligible.
    pub fn note(&self, delay: Duration) {
        if delay > NOTABLE {
            let mut delays = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            delays.push((Stamp::now(), delay));
        }
    }

    /// The longest delay that ended after `from`.
    pub fn worst_since(&self, from: Stamp) -> Duration {
        self.worst(from, Stamp(u64::MAX))
    }

    /// The longest delay that ended in [from, to].
    pub fn worst(&self, from: Stamp, to: Stamp) -> Duration {
        let delays = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let within = delays.iter().filter(|(at, _)| (from..=to).contains(at));
        within.map(|(_, delay)| *delay).max().unwrap_or_default()
    }
}

/// Judges a time. The bound follows from configured intervals, and the machine may have added what it was late by. If it
/// was late by more than the bound itself, there is no verdict.
pub fn judge(what: &str, took: Duration, bound: Duration, late: Duration) -> Result<()> {
    if took <= bound || late <= bound && took <= bound + late {
        return Ok(());
    }
    let said = format!("{what}: {took:?}, {bound:?} allowed, machine {late:?} late");
    Err(if late > bound {
        disturbed(said)
    } else {
        said.into()
    })
}

/// Judges a loss of packets where none is allowed. If the machine was late for as long as they were lost, there is no
/// verdict.
pub fn judge_loss(what: &str, lost: Duration, late: Duration) -> Result<()> {
    if lost.is_zero() {
        return Ok(());
    }
    let said = format!("{what}: packets were lost for {lost:?}, machine {late:?} late");
    Err(if late >= lost {
        disturbed(said)
    } else {
        said.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::is_disturbed;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_longest_delay_of_a_time_is_found() {
        let delays = Delays::default();
        let before = Stamp::now();
        delays.note(30 * MS);
        delays.note(MS / 2);
        delays.note(20 * MS);
        assert_eq!(delays.worst_since(before), 30 * MS);
        assert_eq!(delays.worst_since(Stamp::now().after(MS)), Duration::ZERO);
        assert_eq!(delays.worst(Stamp(0), before.before(MS)), Duration::ZERO);
    }

    #[test]
    fn a_bound_is_wider_by_what_the_machine_was_late_and_no_more() {
        let verdict = |took, late| match judge("it", took * MS, 200 * MS, late * MS) {
            Ok(()) => "passes",
            Err(error) if is_disturbed(&error) => "proves nothing",
            Err(_) => "fails",
        };
        assert_eq!(verdict(200, 0), "passes");
        assert_eq!(verdict(201, 0), "fails");
        assert_eq!(verdict(230, 30), "passes");
        assert_eq!(verdict(231, 30), "fails");
        assert_eq!(verdict(150, 900), "passes");
        assert_eq!(verdict(5000, 201), "proves nothing");
    }

    #[test]
    fn a_loss_is_a_fault_unless_the_machine_was_late_for_as_long() {
        let verdict = |lost, late| match judge_loss("it", lost * MS, late * MS) {
            Ok(()) => "passes",
            Err(error) if is_disturbed(&error) => "proves nothing",
            Err(_) => "fails",
        };
        assert_eq!(verdict(0, 900), "passes");
        assert_eq!(verdict(1, 0), "fails");
        assert_eq!(verdict(30, 29), "fails");
        assert_eq!(verdict(30, 30), "proves nothing");
    }
}
