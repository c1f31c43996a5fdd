// SPDX-License-Identifier: MIT OR Apache-2.0
//! A node whose /proc/sys is read-only, as in a container: it serves, also by virtual MACs, and `spared check` says what it
//! cannot set. docs/howto/containers.md is about it.

use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{Lab, Wire, build_dir, scenario};
use spared_tests::probe::Watch;
use spared_tests::router::{Kind, Plan, Router, Spared, VirtualRouter};

const INTERVAL: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(15);
const SETTING: &str = "/proc/sys/net/ipv4/conf/lan/promote_secondaries";

fn plan(vmac: bool) -> Plan {
    let mut plan = Plan::lan(INTERVAL, 200);
    plan.routers.push(VirtualRouter::ipv6(Wire::Lan, 52));
    for router in &mut plan.routers {
        router.vmac = vmac;
    }
    plan.is_contained = true;
    plan
}

fn serves(lab: &Lab, vmac: bool) -> Result<()> {
    let site = &lab.sites[0];
    site.ns
        .set(&[("net/ipv4/conf/lan/promote_secondaries", "0")])?;
    let watch = Watch::start(lab)?;
    let router = Router::start(lab, site, Kind::Spared, &plan(vmac))?;
    watch.wait_active(0, Wire::Lan, INTERVAL * 3, LIMIT)?;
    let spared = Spared(&router);
    spared.wait_role("active", LIMIT)?;
    let answers = || lab.lan.shell("ping -c1 -W1 10.1.0.1").is_ok();
    assert!(poll(LIMIT, INTERVAL, answers), "{:?}", spared.status());
    let findings = spared.status()?.verdict.findings;
    let ids: Vec<&str> = findings.iter().map(|it| it.id.as_str()).collect();
    assert!(
        !ids.iter().any(|id| id.starts_with("SP-02")),
        "{findings:?}"
    );
    // the address is the parent's without a virtual MAC
    let promoted = site.ns.shell(&format!("cat {SETTING}"))?;
    assert_eq!(promoted.trim(), "1", "set by netlink");
    Ok(())
}

#[test]
fn a_node_whose_settings_are_read_only_serves() {
    scenario(1, |lab| serves(lab, false));
}

#[test]
fn a_node_whose_settings_are_read_only_serves_by_virtual_macs() {
    scenario(1, |lab| serves(lab, true));
}

#[test]
fn check_says_what_cannot_be_set() {
    scenario(1, |lab| {
        let site = &lab.sites[0];
        let router = Router::start(lab, site, Kind::Spared, &plan(true))?;
        Spared(&router).wait_role("active", LIMIT)?;
        let dir = lab.dir.join(format!("{}-spared", site.name));
        let (dir, build) = (dir.display(), build_dir()?);
        let check = format!(
            "{} check --config {dir}/etc/spared.toml --plugin-dir {dir}/plugins --runtime-dir {dir}/run",
            build.join("spared").display()
        );
        let printed = |script: &str| -> Result<String> {
            let output = site.ns.command("sh").args(["-c", script]).output()?;
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let outside = printed(&check)?;
        assert!(!outside.contains("settings-read-only"), "{outside}");
        let script = format!(
            "mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys; {check}"
        );
        let inside = printed(&format!(
            "unshare --mount --propagation private sh -ec '{script}'"
        ))?;
        assert!(inside.contains("warning[settings-read-only]"), "{inside}");
        assert!(inside.contains("only the fence keeps"), "{inside}");
        Ok(())
    });
}
