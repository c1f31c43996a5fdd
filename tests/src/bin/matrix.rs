// SPDX-License-Identifier: MIT OR Apache-2.0
//! Prints the broken states that tests make on real nodes, and each node's verdict.

use std::process::ExitCode;

use spared_tests::truth::{BEDS, ExpectedReport, State};

fn main() -> ExitCode {
    spared_tests::say!(
        "{:<58} {:<7} {:<34} {:<34}",
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
        "\n{count} states. Each cell: word, exit code, findings; a node whose daemon is dead or stopped is not asked. \
         (+): and what the nodes have mended is looked at. (*): by `make soak-truth` alone."
    );
    ExitCode::SUCCESS
}

fn print(state: &State, struck: usize) {
    let [first, second] =
        [0, 1].map(|site| cell(state.expected_report(struck, site), struck, site));
    let mended = state.mended.map_or("", |_| " (+)");
    let long = if state.is_quick { "" } else { " (*)" };
    let name = format!("  {}{mended}{long}", state.name);
    let on = state.on.word(struck);
    spared_tests::say!("{name:<58} {on:<7} {first:<34} {second:<34}");
}

fn cell(report: ExpectedReport, struck: usize, site: usize) -> String {
    let Some((word, found)) = report else {
        return "(not asked)".to_owned();
    };
    let mut cell = format!("{} {}", word.word(), word.exit_code());
    for finding in found {
        cell += &format!(", {}", finding.of(struck, site));
    }
    cell
}
