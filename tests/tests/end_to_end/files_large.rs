// SPDX-License-Identifier: MIT OR Apache-2.0
//! A tree as large as is promised: what arrives is compared by other programs than spared.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::scenario;
use spared_tests::linked::Linked;
use spared_tests::random::noise;
use spared_tests::router::Spared;

use crate::files::{own, plan};

const TREE: &str = "[[tree]]\nname = \"large\"\npaths = [\"/mnt/tree\"]\n";
const FILES: usize = 10_000;
const BYTES: usize = 2000;
const LARGE: usize = 1 << 30;
const MODES: [u32; 5] = [0o644, 0o600, 0o640, 0o755, 0o444];
/// Numbers of Debian's accounts daemon, bin, mail and nobody.
const OWNERS: [(u32, u32); 5] = [(0, 0), (1, 1), (2, 2), (8, 8), (65534, 65534)];
const LIMIT: Duration = Duration::from_secs(600);
const STEP: Duration = Duration::from_millis(500);

/// Kind, mode, owners, size, link and time of each name, and the digest of each file.
const LIST: &str = "find . -type f -printf '%p %y %m %u %g %s %T@\\n' | sort
find . ! -type f -printf '%p %y %m %u %g %l\\n' | sort
find . -type f -print0 | sort -z | xargs -0 sha256sum";

fn list(folder: &Path) -> Result<String> {
    let output = Command::new("sh")
        .args(["-ec", LIST])
        .current_dir(folder)
        .output()?;
    if output.status.success() {
        Ok(String::from_utf8(output.stdout)?)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
    }
}

fn make(tree: &Path) -> Result<()> {
    let of = |number: usize| number % MODES.len();
    for number in 0..FILES {
        let folder = tree.join((number / 100).to_string());
        let path = folder.join(number.to_string());
        if number % 100 == 0 {
            fs::create_dir_all(&folder)?;
            let (user, group) = OWNERS[of(number / 100)];
            chown(&folder, Some(user), Some(group))?;
            symlink(number.to_string(), folder.join("link"))?;
        }
        fs::write(&path, noise(number, BYTES))?;
        let (user, group) = OWNERS[of(number / 7)];
        chown(&path, Some(user), Some(group))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(MODES[of(number)]))?;
    }
    let mut large = File::create(tree.join("large"))?;
    const PART: usize = 1 << 24;
    for part in 0..LARGE / PART {
        large.write_all(&noise(FILES + part, PART))?;
    }
    Ok(())
}

#[test]
#[ignore = "for as long as one likes"]
fn ten_thousand_files_and_a_gigabyte_arrive_with_contents_modes_and_owners() {
    scenario(2, |lab| {
        let trees = [0, 1].map(|site| own(lab, site).join("tree"));
        fs::create_dir_all(own(lab, 1))?;
        make(&trees[0])?;
        let pair = Linked::begin(lab, ["r1", "r2"].map(|node| plan(lab, node, TREE)))?;
        pair.wait_settled()?;
        let state = || {
            let row = Spared(&pair.routers[0]).row(&["files"], "tree.large.state");
            row.ok()
                .and_then(|it| it.as_str().map(str::to_owned))
                .unwrap_or_default()
        };
        assert!(
            poll(LIMIT, STEP, || state().starts_with("pending")),
            "{}",
            state()
        );
        let begun = Instant::now();
        pair.done(0, &["files", "push", "large"])?;
        assert!(
            poll(LIMIT, STEP, || state() == "synchronized"),
            "{}",
            state()
        );
        let took = begun.elapsed();
        let [sent, arrived] = [list(&trees[0])?, list(&trees[1])?];
        let lines = sent.lines().count();
        let differs = sent
            .lines()
            .zip(arrived.lines())
            .find(|(sent, arrived)| sent != arrived);
        assert_eq!(differs, None);
        assert_eq!(lines, arrived.lines().count());
        println!(
            "{} files and {} MiB in {took:.1?}, {lines} equal lines",
            FILES + 1,
            LARGE >> 20
        );
        Ok(())
    });
}
