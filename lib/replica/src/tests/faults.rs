//! The random histories find each planted fault.

use super::random::histories_until_found;
use crate::planted_fault::PlantedFault;

/// Maximum number of histories in which each fault has to be found.
const LIMIT: u64 = 10_000;

#[test]
fn random_histories_find_each_planted_fault() {
    let found = PlantedFault::ALL.map(|fault| (fault, histories_until_found(fault, LIMIT)));
    for (fault, count) in found {
        println!("{fault:?}: found in history {count:?}");
    }
    assert!(found.iter().all(|(_, count)| count.is_some()), "{found:?}");
}
