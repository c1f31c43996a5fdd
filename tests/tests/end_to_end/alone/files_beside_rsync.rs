// SPDX-License-Identifier: MIT OR Apache-2.0
//! A sample of `make bench-files`: a tree that has not changed, beside `rsync -a` over ssh on the same link.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use spared_tests::Result;
use spared_tests::lab::{scenario, skipped};
use spared_tests::linked::Linked;
use spared_tests::rsync::{Rsync, missing};

use crate::files::{expect, own, plan};

const TREE: &str = "[[tree]]\nname = \"sample\"\npaths = [\"/mnt/tree\"]\n";
const FILES: usize = 1000;
/// Most of rsync's time that an unchanged tree may take.
const SHARE: f64 = 0.3;
const TRIES: usize = 5;

#[test]
fn an_unchanged_tree_takes_less_than_a_third_of_the_time_of_rsync_over_ssh() {
    scenario(2, |lab| {
        let missing = missing();
        if !missing.is_empty() {
            return Err(skipped(format!("not installed: {}", missing.join(", "))));
        }
        let tree = own(lab, 0).join("tree");
        make(&tree)?;
        fs::create_dir_all(own(lab, 1))?;
        let pair = Linked::begin(lab, ["r1", "r2"].map(|node| plan(lab, node, TREE)))?;
        pair.wait_settled()?;
        let push = ["files", "push", "sample"];
        pair.done(0, &push)?;
        let rsync = Rsync::over_ssh(lab)?;
        rsync.copy(&tree)?;
        let ours = shortest(|| expect(&pair.done(0, &push)?, "both nodes have the same files"))?;
        let theirs = shortest(|| rsync.copy(&tree).map(drop))?;
        if ours <= theirs.mul_f64(SHARE) {
            Ok(())
        } else {
            Err(format!("spared {ours:?}, rsync over ssh {theirs:?}").into())
        }
    });
}

fn make(tree: &Path) -> Result<()> {
    for number in 0..FILES {
        let folder = tree.join((number / 100).to_string());
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(number.to_string()), number.to_string())?;
    }
    Ok(())
}

/// The shortest of some times: what else runs on this machine makes others longer.
fn shortest(mut run: impl FnMut() -> Result<()>) -> Result<Duration> {
    let mut shortest = Duration::MAX;
    for _ in 0..TRIES {
        let begun = Instant::now();
        run()?;
        shortest = shortest.min(begun.elapsed());
    }
    Ok(shortest)
}
