// SPDX-License-Identifier: MIT OR Apache-2.0
//! A push that somebody stops, and what is seen of it meanwhile.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::Duration;

use spared_tests::clock::poll;
use spared_tests::lab::{build_dir, scenario};
use spared_tests::router::Spared;

use crate::files::{Firewalls, expect, own};

const TREE: &str = "[[tree]]\nname = \"firewall\"\npaths = [\"/mnt/fw.conf\", \"/mnt/fw.d\"]\n";
/// Long enough to be seen on its way.
const LARGE: u64 = 256 << 20;
const LIMIT: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(5);

#[test]
fn a_push_that_is_stopped_leaves_the_old_tree_whole_and_says_so() {
    scenario(2, |lab| {
        let it = Firewalls::start_with(lab, TREE)?;
        it.push_first()?;
        let old = it.read(1, "fw.conf");
        it.write(0, "fw.conf", "new\n")?;
        File::create(own(lab, 0).join("fw.d/large"))?.set_len(LARGE)?;
        it.wait_state(0, "pending: 2 files")?;

        let routers = &it.pair.routers;
        let push = Command::new(build_dir()?.join("sparectl"))
            .arg("--runtime-dir")
            .arg(Spared(&routers[0]).runtime_dir())
            .args(["files", "push", "firewall"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let number = |key: &str| {
            let row = Spared(&routers[1]).row(&["files"], &format!("transfer.{key}"));
            row.ok().and_then(|it| it.as_u64()).unwrap_or_default()
        };
        let is_on_its_way = || (1..LARGE).contains(&number("size"));
        assert!(poll(LIMIT, STEP, is_on_its_way), "not seen on its way");
        let (_, here) = it.pair.said(0, &["files"])?;
        let (_, there) = it.pair.said(1, &["files"])?;
        it.pair.done(0, &["files", "stop"])?;
        let output = push.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        expect(&said, "r2: stopped")?;

        // what was seen of it: files, bytes and seconds, of the one that receives; who, on the other
        expect(&here, "r2 receives it")?;
        for key in ["files", "files_in_all", "size", "size_in_all", "time"] {
            expect(&there, &format!("transfer.{key}"))?;
        }
        expect(&there, "being received")?;
        expect(&there, "268.4 MB")?;

        assert_eq!(it.read(1, "fw.conf"), old);
        assert!(!own(lab, 1).join("fw.d/large").exists());
        let stage = lab.dir.join("r2-spared/state/files/stage");
        let is_removed = || !stage.exists();
        assert!(poll(LIMIT, STEP, is_removed));
        assert_eq!(number("size"), 0);
        let (_, rows) = it.pair.said(1, &["-v", "files"])?;
        expect(&rows, "stopped")?;
        it.wait_event(1, "stopped")?;
        it.wait_state(0, "pending: 2 files")?;
        // and nothing hinders the next one
        fs::remove_file(own(lab, 0).join("fw.d/large"))?;
        it.pair.done(0, &["files", "push", "firewall"])?;
        it.wait_same()?;
        assert_eq!(it.read(1, "fw.conf").as_deref(), Some("new\n"));
        Ok(())
    });
}
