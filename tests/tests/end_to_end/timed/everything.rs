// SPDX-License-Identifier: MIT OR Apache-2.0
//! Everything enabled, and a fault every five seconds: a sample of `make soak`, the same each time.

use std::time::Duration;

use spared_tests::lab::{disturbed, scenario};
use spared_tests::soak;

const SEED: u64 = 7;
const TIME: Duration = Duration::from_secs(16);

#[test]
fn both_nodes_say_what_is_so_whatever_befalls_them() {
    scenario(2, |lab| {
        let outcome = soak::run(lab, SEED, TIME)?;
        let text = [outcome.figures, outcome.wrong.clone()].concat().join("\n");
        println!("{text}");
        match (outcome.wrong.is_empty(), outcome.stalls) {
            (true, _) => Ok(()),
            (false, 0) => Err(text.into()),
            (false, _) => Err(disturbed(text)),
        }
    });
}
