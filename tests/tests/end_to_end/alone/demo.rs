// SPDX-License-Identifier: MIT OR Apache-2.0
//! `make demo`, with two of its faults.

use std::process::Command;

use spared_tests::lab::{build_dir, disturbed, scenario};

#[test]
fn the_demo_shows_both_pairs_and_keeps_what_it_promises() {
    scenario(0, |_| {
        let output = Command::new(build_dir()?.join("demo"))
            .args(["dead", "reload"])
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        if said.contains("not shown to the end: skipped") {
            eprintln!("{said}");
        } else {
            for row in ["machine dead spared", "nft reload   spared"] {
                assert!(said.contains(row), "no row {row:?}:\n{said}");
            }
            assert_eq!(rows_of_keepalived(&said), 2, "{said}");
        }
        if !output.status.success() && said.contains(" without forwarding, promised ") {
            return Err(disturbed(format!("the machine was late?\n{said}")));
        }
        assert!(output.status.success(), "{said}");
        assert_eq!(said.lines().last(), Some("demo: ok"), "{said}");
        Ok(())
    });
}

/// Measured rows in the last table.
fn rows_of_keepalived(said: &str) -> usize {
    let table = said.rsplit("fault        pair").next().unwrap_or_default();
    let rows = table
        .lines()
        .filter(|line| line.starts_with("             keepalived "));
    rows.filter(|row| !row.contains(" out")).count()
}
