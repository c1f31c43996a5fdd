// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sparectl config push` of what one node alone refuses, or what makes a group or the other node worse.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{build_dir, scenario};
use spared_tests::linked::INTERVAL;
use spared_tests::pair::Fault;

use crate::files::expect;
use crate::files_config::{Nodes, PUSH};
use crate::files_config_faults::Pushing;

const VRRP: &str = "plugins/vrrp.toml";
const BACK: Duration = Duration::from_secs(90);

/// Digest of the configuration in force on each node, and its vrrp.toml.
fn in_force(it: &Nodes<'_>) -> [(String, String); 2] {
    [0, 1].map(|site| (it.in_force(site), it.read(site, VRRP)))
}

#[test]
fn what_the_other_node_refuses_or_what_is_worse_there_is_in_force_nowhere() {
    scenario(2, |lab| {
        let mut it = Nodes::ready(lab)?;
        let from = it.pair.at()?;
        let there = format!("r{}", 2 - from);
        let good = in_force(&it);
        let text = good[from].1.clone();

        // a plugin that is installed here alone: only the check of the other node can tell
        let plugin = lab
            .dir
            .join(format!("r{}-spared/plugins/health.so", from + 1));
        fs::copy(build_dir()?.join("libspared_health.so"), &plugin)?;
        fs::set_permissions(&plugin, fs::Permissions::from_mode(0o644))?;
        let health = it.path(from, "plugins/health.toml");
        fs::write(&health, "")?;
        let reloads = |site: usize| -> Result<usize> {
            let (_, events) = it.pair.said(site, &["events"])?;
            Ok(events.matches("reload").count() + events.matches("configuration").count())
        };
        let before = (reloads(0)?, reloads(1)?);
        let (code, said) = it.pair.said(from, &PUSH)?;
        assert_eq!(code, 1, "{said}");
        expect(&said, "the check accepts")?;
        expect(
            &said,
            &format!("{there}: the check refused it, nothing was changed"),
        )?;
        expect(&said, "health")?;
        assert!(!said.contains("in force"), "{said}");
        assert_eq!(in_force(&it), good);
        assert_eq!((reloads(0)?, reloads(1)?), before);
        fs::remove_file(&health)?;
        it.pair.said(from, &["files", "diff", "spared"])?;
        it.wait_same()?;

        // interfaces that the backup does not have: its group has no quality, and all links are up
        it.edit(from, VRRP, |text| {
            let mut number = 0;
            let line = |line: &str| match line.strip_prefix("interface = ") {
                Some(name) => {
                    number += 1;
                    format!(
                        "interface = {{ r{} = {name}, {there} = \"none{number}\" }}\n",
                        from + 1
                    )
                }
                None => format!("{line}\n"),
            };
            text.lines().map(line).collect()
        })?;
        let (code, said) = it.pair.said(from, &PUSH)?;
        assert_eq!(code, 1, "{said}");
        expect(
            &said,
            "worse than before: office cannot be active on 1 of 2 nodes",
        )?;
        expect(&said, "the old configuration is in force again")?;
        assert!(poll(BACK, INTERVAL, || in_force(&it) == good), "{said}");
        it.pair.wait_settled()?;
        it.wait_same()?;
        assert_eq!(it.read(from, VRRP), text);

        // the other node is not heard any more, and its daemon stays away until this one has gone back
        it.edit(from, VRRP, |text| format!("# worse\n{text}"))?;
        let mut pushing = Pushing::begin(&it, from, &PUSH)?;
        pushing.wait_for_both(&it)?;
        it.pair.begin_fault(Fault::Kill, 1 - from)?;
        let (code, said) = pushing.end()?;
        assert_eq!(code, Some(1), "{said}");
        expect(&said, &format!("{there} is not heard any more"))?;
        let has_old = || it.read(from, VRRP) == text && it.in_force(from) == good[from].0;
        assert!(poll(BACK, INTERVAL, has_old), "{said}");
        let plan = it.pair.plans[1 - from].clone();
        it.pair.routers[1 - from].start_again(lab, &lab.sites[1 - from], &plan)?;
        assert!(poll(BACK, INTERVAL, || in_force(&it) == good), "{said}");
        it.pair.wait_settled()?;
        it.wait_same()
    });
}
