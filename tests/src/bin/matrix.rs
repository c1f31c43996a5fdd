// SPDX-License-Identifier: MIT OR Apache-2.0
//! Prints the broken states that tests make on real nodes, and each node's verdict.

use std::process::ExitCode;

use spared_tests::truth::{BEDS, Says, State};

fn main() -> ExitCode {
    spared_tests::say!(
        "{:<48} {:<7} {:<26} {:<26}",
        "state",
        "node",
        "r1 (active)",
        "r2 (backup)"
    );
    let mut count = 0;
    for bed in BEDS {
        spared_tests::say!("\n{}", bed.name);
        for state in bed.states {
            for struck in state.on.struck() {
                print(state, *struck);
                count += 1;
            }
        }
    }
    spared_tests::say!(
        "\n{count} states. Each cell: word, exit code, findings. (*) is made by `make soak-truth` alone."
    );
    ExitCode::SUCCESS
}

fn print(state: &State, struck: usize) {
    let [first, second] = [0, 1].map(|site| cell(state.says(struck, site), struck, site));
    let long = if state.is_quick { "" } else { " (*)" };
    let name = format!("  {}{long}", state.name);
    let on = state.on.word(struck);
    spared_tests::say!("{name:<48} {on:<7} {first:<26} {second:<26}");
}

fn cell(says: Says, struck: usize, site: usize) -> String {
    let Some((word, found)) = says else {
        return "does not answer".to_owned();
    };
    let mut cell = format!("{} {}", word.word(), word.exit_code());
    for finding in found {
        cell += &format!(", {}", finding.of(struck, site));
    }
    cell
}
